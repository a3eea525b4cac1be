"""Recorded drives: bags, logs and tracks to read, bags to write. Without ROS."""
