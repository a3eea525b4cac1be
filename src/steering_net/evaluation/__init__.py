"""Evaluation of networks on recorded frames."""
