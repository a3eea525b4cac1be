# SPDX-License-Identifier: Apache-2.0
"""Dead reckoning: the pose of a car from its speed and yaw rate alone. Pure.

The error of dead reckoning grows with the distance. The result shows the shape of a drive; it is
no input for driving.
"""

from __future__ import annotations

import math

from steering_net.vehicle import WHEELBASE_M, Pose, advance

_LONGEST_STEP_S = 0.2


def dead_reckoned(pose: Pose, speed_mps: float, yaw_rate_radps: float, dt_s: float) -> Pose:
    """Return the pose of base_link after `dt_s` seconds; the same after a pause of over 0.2 s."""
    if not 0.0 < dt_s <= _LONGEST_STEP_S:
        return pose
    steering_rad = math.atan2(WHEELBASE_M * yaw_rate_radps, speed_mps)
    return advance(pose, steering_rad, speed_mps * dt_s)
