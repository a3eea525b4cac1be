# SPDX-License-Identifier: Apache-2.0
"""Types of arrays and colours of the simulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.worlds.world import Colour, FloatArray

__all__ = ['Colour', 'FloatArray', 'Floats', 'Image']

Floats = NDArray[np.float32]
"""Values of pixels or of cells of a grid."""

Image = NDArray[np.uint8]
"""RGB, (height, width, 3), or a texture or a mask of one or four channels."""
