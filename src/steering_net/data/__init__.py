# SPDX-License-Identifier: Apache-2.0
"""Recorded drives: logs, their trajectories, and the middle of the road beside them."""
