"""The throttle node: speed in, throttle out, so that the car keeps to the speed limit."""

from __future__ import annotations

import math
import time
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Float32

from sim_bridge import messages
from sim_bridge.nodes.health import Health, publish_health
from sim_bridge.nodes.parameters import Parameter, declare
from sim_bridge.nodes.qos import NEWEST
from sim_bridge.nodes.running import run
from sim_bridge.speed_control import (
    PiController,
    PiGains,
    curve_limit_mps,
    proportional,
    without_reversing,
)

PARAMETERS = (
    Parameter('speed_limit', 6.7, 'Speed not to be exceeded, m/s.', 0.0, 60.0, read_only=False),
    Parameter('law', 'proportional', 'How to reach it.', choices=('proportional', 'pi')),
    Parameter('kp', 0.5, 'Gain of law pi, throttle per m/s.', 0.0, 10.0),
    Parameter('ki', 0.1, 'Integral gain of law pi, throttle per m.', 0.0, 10.0),
    Parameter(
        'lateral_acceleration_limit', 0.0, 'Slow down for curves above, m/s^2; 0 = off.', 0.0, 20.0
    ),
)

_LONGEST_STEP_S = 0.2
"""A pause of the simulator must not count as time in which the car could have accelerated."""


class ThrottleNode(Node):
    """Publishes one `cmd/throttle` for each `vehicle/speed`."""

    def __init__(self) -> None:
        super().__init__('throttle')
        self._values: dict[str, Any] = declare(self, PARAMETERS)
        self._limit_mps: float = self._values['speed_limit']
        self._steering_rad = 0.0
        self._pi = PiController(PiGains(self._values['kp'], self._values['ki']))
        self._last_s = time.monotonic()
        self._speeds = 0
        self._publisher = self.create_publisher(Float32, 'cmd/throttle', NEWEST)
        self.create_subscription(Float32, 'vehicle/speed', self._on_speed, NEWEST)
        self.create_subscription(Float32, 'vehicle/steering_angle', self._on_angle, NEWEST)
        self.create_subscription(Float32, 'speed_limit', self._on_limit, NEWEST)
        self.add_on_set_parameters_callback(self._on_parameters)
        publish_health(self, messages.THROTTLE_STATUS, self._health)

    def _on_speed(self, message: Float32) -> None:
        speed_mps = float(message.data)
        if not math.isfinite(speed_mps):
            return
        self._speeds += 1
        throttle = without_reversing(self._law(speed_mps), speed_mps)
        self._publisher.publish(messages.float_message(throttle))

    def _law(self, speed_mps: float) -> float:
        now_s = time.monotonic()
        dt_s, self._last_s = min(now_s - self._last_s, _LONGEST_STEP_S), now_s
        limit_mps = curve_limit_mps(
            self._limit_mps, self._steering_rad, self._values['lateral_acceleration_limit']
        )
        if self._values['law'] == 'pi':
            return self._pi.throttle(speed_mps, limit_mps, dt_s)
        return proportional(speed_mps, limit_mps)

    def _on_angle(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self._steering_rad = float(message.data)

    def _on_limit(self, message: Float32) -> None:
        if math.isfinite(message.data) and message.data >= 0.0:
            self._limit_mps = float(message.data)
        else:
            self.get_logger().warning(
                f'speed_limit {message.data} ignored: it must be 0 m/s or more',
                throttle_duration_sec=5.0,
            )

    def _on_parameters(self, changed: list[RosParameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name == 'speed_limit':
                self._limit_mps = parameter.value
        return SetParametersResult(successful=True)

    def _health(self) -> Health:
        values = {'speed_limit_mps': self._limit_mps, 'law': self._values['law']}
        return (
            DiagnosticStatus.OK,
            f'limit {self._limit_mps:.1f} m/s',
            values | {'speeds': self._speeds},
        )


def main(args: list[str] | None = None) -> int:
    """Run the node; the exit code."""
    return run(ThrottleNode, args)
