"""Steering from frames: backends, hot reload, and a check of what comes out."""
