"""Evaluation of networks: on recordings and on embedded tracks."""
