"""Readers of networks that other libraries saved. None runs code from a file."""
