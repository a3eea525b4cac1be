# SPDX-License-Identifier: Apache-2.0
"""Training on embedded tracks that the network drives itself."""
