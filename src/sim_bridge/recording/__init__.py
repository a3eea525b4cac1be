# SPDX-License-Identifier: Apache-2.0
"""Recorded drives: bags that are written, and bags, logs and tracks that are read. No ROS."""
