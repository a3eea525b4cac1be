"""Recorded drives: logs, their trajectories, and the middle of the road beside them."""
