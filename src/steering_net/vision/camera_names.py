# SPDX-License-Identifier: Apache-2.0
"""Names of cameras, for programs that only read their options and need no NumPy."""

TRAINING = 'training'
"""Camera of recordings."""

AUTONOMOUS = 'autonomous'
"""Camera of the simulator while a network drives."""

AS_TRAINED = 'as-trained'
"""Stands for the camera that the network was trained with; frames are not turned."""
