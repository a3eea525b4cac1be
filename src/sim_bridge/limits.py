# SPDX-License-Identifier: Apache-2.0
"""What verbs and nodes must allow alike: port, speed limits, files of networks. Pure."""

USUAL_PORT = 4567
"""TCP port of the bridge if none is given, the only one that the Udacity simulator connects to."""

USUAL_URL = f'ws://127.0.0.1:{USUAL_PORT}'
"""URL of a bridge on this machine that listens on that port."""

MAX_SPEED_LIMIT_MPS = 60.0
"""Largest speed limit, m/s."""

USUAL_SPEED_LIMIT_MPS = 6.7
"""Speed limit if none is given, m/s."""

NETWORK_SUFFIXES = ('.keras', '.h5', '.hdf5', '.onnx', '.tflite')
"""Endings of the files that hold a network."""


def is_speed_limit(limit_mps: float) -> bool:
    """Whether a speed limit may be set while a car drives, m/s. 0 stops the car."""
    return 0.0 <= limit_mps <= MAX_SPEED_LIMIT_MPS
