# SPDX-License-Identifier: Apache-2.0
"""The ROS 2 nodes of the bridge: they convert, call pure code, and publish."""
