"""Inference: backends, hot reload, and monitoring of the output."""
