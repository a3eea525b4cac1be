"""A bridge between a Socket.IO driving simulator and ROS 2."""
