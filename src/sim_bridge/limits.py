# SPDX-License-Identifier: Apache-2.0
"""What verbs and nodes must allow alike: speed limits and files of networks. Pure."""

MAX_SPEED_LIMIT_MPS = 60.0
"""Largest speed limit, m/s."""

USUAL_SPEED_LIMIT_MPS = 6.7
"""Speed limit if none is given, m/s."""

NETWORK_SUFFIXES = ('.keras', '.h5', '.hdf5', '.onnx', '.tflite')
"""Endings of the files that hold a network."""
