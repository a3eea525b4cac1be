# SPDX-License-Identifier: Apache-2.0
"""Which client drives which car, and when it gets which command. Pure."""
