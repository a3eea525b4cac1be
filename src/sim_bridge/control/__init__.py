# SPDX-License-Identifier: Apache-2.0
"""Controllers and estimators of one car: stopping, speed, motion. Pure."""
