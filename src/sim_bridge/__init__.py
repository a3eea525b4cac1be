# SPDX-License-Identifier: Apache-2.0
"""A bridge between a Socket.IO driving simulator and ROS 2."""
