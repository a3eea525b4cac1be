"""The throttle node: speed in, throttle out, so that every car keeps to its speed limit."""

from __future__ import annotations

import math
import time
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from std_msgs.msg import Float32

from sim_bridge.control.speed_controller import PiController, PiGains, SpeedController
from sim_bridge.fleet import CARS_AT_MOST, prefixes
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import PERIOD_S, Diagnostics
from sim_bridge.nodes.qos import LATCHED, NEWEST
from sim_bridge.nodes.readiness_monitor import ready_topic
from sim_bridge.nodes.runner import run
from steering_net.ros.parameters import Parameter, declare
from steering_net.ros.readiness import Readiness

PARAMETERS = (
    Parameter('speed_limit', 6.7, 'Speed not to be exceeded, m/s.', 0.0, 60.0, read_only=False),
    Parameter('law', 'proportional', 'How to reach it.', choices=('proportional', 'pi')),
    Parameter('kp', 0.5, 'Gain of law pi, throttle per m/s.', 0.0, 10.0),
    Parameter('ki', 0.1, 'Integral gain of law pi, throttle per m.', 0.0, 10.0),
    Parameter(
        'lateral_acceleration_limit', 0.0, 'Slow down for curves above, m/s^2; 0 = off.', 0.0, 20.0
    ),
    Parameter('cars', 1, 'How many cars; as the bridge has it.', 1, CARS_AT_MOST),
)


class Car:
    """The topics of one car, and what its throttle depends on."""

    def __init__(self, node: Node, prefix: str, cruise: SpeedController) -> None:
        self.cruise = cruise
        self.speeds = 0
        self._node = node
        self._speed_topic = f'{prefix}vehicle/speed'
        self._publisher = node.create_publisher(Float32, f'{prefix}cmd/throttle', NEWEST)
        self._limits = node.create_publisher(Float32, f'{prefix}speed_limit/active', LATCHED)
        inputs = {'vehicle/speed': self._on_speed, 'speed_limit': self._on_limit}
        if cruise.minds_curves:
            inputs['vehicle/steering_angle'] = self._on_angle
        for topic, callback in inputs.items():
            node.create_subscription(Float32, prefix + topic, callback, NEWEST)
        self.tell_limit()

    def is_matched(self) -> bool:
        """Whether the bridge's speeds are heard and the bridge hears this."""
        speeds = self._node.count_publishers(self._speed_topic)
        return speeds > 0 and self._publisher.get_subscription_count() > 0

    def keep_to(self, limit_mps: float) -> None:
        """Have the car keep to another limit."""
        self.cruise.limit_mps = limit_mps
        self.tell_limit()

    def tell_limit(self) -> None:
        """Publish the limit that the car keeps to."""
        self._limits.publish(conversions.float_message(self.cruise.limit_mps))

    def _on_speed(self, message: Float32) -> None:
        speed_mps = float(message.data)
        if not math.isfinite(speed_mps):
            return
        self.speeds += 1
        throttle = self.cruise.throttle(speed_mps, time.monotonic())
        self._publisher.publish(conversions.float_message(throttle))

    def _on_angle(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self.cruise.steering_rad = float(message.data)

    def _on_limit(self, message: Float32) -> None:
        if math.isfinite(message.data) and message.data >= 0.0:
            self.keep_to(float(message.data))
        else:
            self._node.get_logger().warning(
                f'speed_limit {message.data} ignored: it must be 0 m/s or more',
                throttle_duration_sec=5.0,
            )


class ThrottleNode(Node):
    """Publishes one `cmd/throttle` for each `vehicle/speed`, of each car."""

    def __init__(self) -> None:
        super().__init__('throttle')
        values: dict[str, Any] = declare(self, PARAMETERS)
        self._law: str = values['law']
        self._prefixes = prefixes(values['cars'])
        self._readiness = Readiness(
            self,
            {
                prefix + ready_topic('throttle'): partial(self._is_matched, number)
                for number, prefix in enumerate(self._prefixes)
            },
        )
        self._cars = [Car(self, prefix, _cruise(values)) for prefix in self._prefixes]
        self._diagnostics = Diagnostics(self, self._prefixes)
        self.add_on_set_parameters_callback(self._on_parameters)
        self.create_timer(PERIOD_S, self._publish_diagnostics)

    def _is_matched(self, number: int) -> bool:
        return self._cars[number].is_matched()

    def _on_parameters(self, changed: list[RosParameter]) -> SetParametersResult:
        for parameter in changed:
            if parameter.name == 'speed_limit':
                for car in self._cars:
                    car.keep_to(parameter.value)
        return SetParametersResult(successful=True)

    def _publish_diagnostics(self) -> None:
        """Say how the node is; the limit once more, so that plots have a line, not a point."""
        for car in self._cars:
            car.tell_limit()
        self._diagnostics.publish(
            [
                conversions.diagnostic(
                    prefix + conversions.THROTTLE_STATUS,
                    DiagnosticStatus.OK,
                    f'limit {car.cruise.limit_mps:.1f} m/s',
                    {
                        'speed_limit_mps': car.cruise.limit_mps,
                        'law': self._law,
                        'speeds': car.speeds,
                    },
                )
                for prefix, car in zip(self._prefixes, self._cars, strict=True)
            ]
        )


def _cruise(values: dict[str, Any]) -> SpeedController:
    controller = PiController(PiGains(values['kp'], values['ki']))
    return SpeedController(
        limit_mps=values['speed_limit'],
        lateral_limit_mps2=values['lateral_acceleration_limit'],
        pi=controller if values['law'] == 'pi' else None,
    )


def main(args: list[str] | None = None) -> int:
    """Run the node; the exit code."""
    return run(ThrottleNode, args=args)
