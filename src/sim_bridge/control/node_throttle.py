# SPDX-License-Identifier: Apache-2.0
"""The throttle of a drive without nodes: that of the throttle node, and the stop of the bridge."""

from __future__ import annotations

from sim_bridge.control.speed_controller import LATERAL_LIMIT_MPS2, SpeedController
from sim_bridge.control.stop_controller import StopController


class NodeThrottle:
    """Throttle for each frame, as the nodes compute it with their default parameters.

    `limit_mps` is the speed limit, which may be set at any time. `lateral_limit_mps2` lowers it in
    curves; 0 means that it holds there too.
    """

    def __init__(self, limit_mps: float, lateral_limit_mps2: float = LATERAL_LIMIT_MPS2) -> None:
        self._speed_controller = SpeedController(limit_mps, lateral_limit_mps2)
        self._stop_controller = StopController()

    @property
    def limit_mps(self) -> float:
        """Speed limit, m/s."""
        return self._speed_controller.limit_mps

    @limit_mps.setter
    def limit_mps(self, limit_mps: float) -> None:
        self._speed_controller.limit_mps = limit_mps

    def __call__(self, time_s: float, speed_mps: float, steering_rad: float) -> float:
        """Return the throttle, -1..1, for a frame.

        `speed_mps` is the magnitude of the speed. The limit in curves is that of the steering of
        the frame before, because the node knows only the angle that the car has.
        """
        self._stop_controller.measure(time_s, speed_mps)
        wanted = self._speed_controller.throttle(speed_mps, time_s)
        self._speed_controller.steering_rad = steering_rad
        return self._stop_controller.drive(time_s, wanted)
