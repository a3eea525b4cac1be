# SPDX-License-Identifier: Apache-2.0
"""The throttle node: computes the throttle from speed and speed limit, for each car."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Float32

from sim_bridge import topics
from sim_bridge.control.speed_controller import (
    LATERAL_LIMIT_MPS2,
    PiController,
    PiGains,
    SpeedController,
)
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import PERIOD_S, Diagnostics
from sim_bridge.nodes.qos import LATCHED, NEWEST
from sim_bridge.nodes.runner import run
from steering_net.ros.parameters import Parameter, declare
from steering_net.ros.readiness import Readiness
from steering_net.ros.timers import steady_timer

_MAX_LIMIT_MPS = 60.0

PARAMETERS = (
    Parameter('speed_limit', 6.7, 'Speed limit, m/s.', 0.0, _MAX_LIMIT_MPS, read_only=False),
    Parameter(
        'law', 'proportional', 'Control law for the throttle.', choices=('proportional', 'pi')
    ),
    Parameter('kp', 0.5, 'Gain of law pi, throttle per m/s.', 0.0, 10.0),
    Parameter('ki', 0.1, 'Integral gain of law pi, throttle per m.', 0.0, 10.0),
    Parameter(
        'lateral_acceleration_limit',
        LATERAL_LIMIT_MPS2,
        'Largest lateral acceleration in curves, m/s^2; 0: no limit.',
        0.0,
        20.0,
    ),
    Parameter('cars', 1, 'Number of cars, the same as of the bridge.', 1, topics.MAX_CARS),
)


class CarThrottle:
    """Topics and speed controller of one car."""

    def __init__(
        self, node: Node, prefix: str, controller: SpeedController, clock: Callable[[], float]
    ) -> None:
        self.controller = controller
        self.speeds = 0
        self._clock = clock
        self._node = node
        self._speed_topic = prefix + topics.SPEED
        self._publisher = node.create_publisher(Float32, prefix + topics.THROTTLE_COMMAND, NEWEST)
        self._limits = node.create_publisher(Float32, prefix + topics.ACTIVE_SPEED_LIMIT, LATCHED)
        inputs = {topics.SPEED: self._on_speed, topics.SPEED_LIMIT: self._on_limit}
        if controller.uses_steering:
            inputs[topics.STEERING_ANGLE] = self._on_angle
        for topic, callback in inputs.items():
            node.create_subscription(Float32, prefix + topic, callback, NEWEST)
        self.publish_limit()

    def is_matched(self) -> bool:
        """Whether the bridge publishes speeds and subscribes to the throttle."""
        speeds = self._node.count_publishers(self._speed_topic)
        return speeds > 0 and self._publisher.get_subscription_count() > 0

    def set_limit(self, limit_mps: float) -> None:
        """Set the speed limit, and publish it."""
        self.controller.limit_mps = limit_mps
        self.publish_limit()

    def publish_limit(self) -> None:
        """Publish the speed limit."""
        self._limits.publish(conversions.float_message(self.controller.limit_mps))

    def _on_speed(self, message: Float32) -> None:
        speed_mps = float(message.data)
        if not math.isfinite(speed_mps):
            return
        self.speeds += 1
        throttle = self.controller.throttle(speed_mps, self._clock())
        self._publisher.publish(conversions.float_message(throttle))

    def _on_angle(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self.controller.steering_rad = float(message.data)

    def _on_limit(self, message: Float32) -> None:
        if 0.0 <= message.data <= _MAX_LIMIT_MPS:
            self.set_limit(float(message.data))
        else:
            self._node.get_logger().warning(
                f'speed_limit {message.data} ignored: it must be 0..{_MAX_LIMIT_MPS:g} m/s',
                throttle_duration_sec=5.0,
            )


class ThrottleNode(Node):
    """Publishes one `cmd/throttle` for each `vehicle/speed`, of each car."""

    def __init__(self) -> None:
        super().__init__('throttle')
        values: dict[str, Any] = declare(self, PARAMETERS)
        self._law: str = values['law']
        self._prefixes = topics.prefixes(values['cars'])
        self._readiness = Readiness(
            self,
            {
                prefix + topics.THROTTLE_READY: partial(self._is_matched, number)
                for number, prefix in enumerate(self._prefixes)
            },
        )
        self._cars = [
            CarThrottle(self, prefix, _controller(values), self._now_s)
            for prefix in self._prefixes
        ]
        self._diagnostics = Diagnostics(self, self._prefixes)
        self.add_on_set_parameters_callback(self._on_parameters)
        steady_timer(self, PERIOD_S, self._publish_diagnostics)

    def _now_s(self) -> float:
        """Return the time of the node's clock, which is that of a bag with use_sim_time."""
        return 1e-9 * float(self.get_clock().now().nanoseconds)

    def _is_matched(self, number: int) -> bool:
        return self._cars[number].is_matched()

    def _on_parameters(self, changed: list[RosParameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name == 'speed_limit':
                for car in self._cars:
                    car.set_limit(parameter.value)
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        """Publish diagnostics, and the limit again so that plots show a line, not a point."""
        for car in self._cars:
            car.publish_limit()
        self._diagnostics.publish(
            [
                conversions.diagnostic(
                    prefix + conversions.THROTTLE_STATUS,
                    DiagnosticStatus.OK,
                    f'limit {car.controller.limit_mps:.1f} m/s',
                    {
                        'speed_limit_mps': car.controller.limit_mps,
                        'law': self._law,
                        'speeds': car.speeds,
                    },
                )
                for prefix, car in zip(self._prefixes, self._cars, strict=True)
            ]
        )


def _controller(values: dict[str, Any]) -> SpeedController:
    pi = PiController(PiGains(values['kp'], values['ki']))
    return SpeedController(
        limit_mps=values['speed_limit'],
        lateral_limit_mps2=values['lateral_acceleration_limit'],
        pi=pi if values['law'] == 'pi' else None,
    )


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run(ThrottleNode, args=args)
