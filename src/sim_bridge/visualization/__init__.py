"""Drawings: overlays of frames, and plots. They return pictures and write no files."""
