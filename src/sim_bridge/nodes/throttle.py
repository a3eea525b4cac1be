# SPDX-License-Identifier: Apache-2.0
"""The throttle node: computes the throttle from speed and speed limit, for each car."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.subscription import Subscription
from std_msgs.msg import Float32, String

from sim_bridge import topics
from sim_bridge.control.speed_controller import LATERAL_LIMIT_MPS2, PiGains, SpeedController
from sim_bridge.limits import MAX_SPEED_LIMIT_MPS, USUAL_SPEED_LIMIT_MPS, is_speed_limit
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import PERIOD_S, Diagnostics
from sim_bridge.nodes.runner import run
from steering_net.cars import MAX_CARS, prefixes
from steering_net.ros.direct_publisher import DirectPublisher
from steering_net.ros.parameters import Parameter, declare, on_change
from steering_net.ros.qos import LATCHED, NEWEST
from steering_net.ros.readiness import Readiness, has_publisher
from steering_net.ros.timers import steady_timer

PARAMETERS = (
    Parameter(
        'speed_limit',
        USUAL_SPEED_LIMIT_MPS,
        'Speed limit, m/s.',
        0.0,
        MAX_SPEED_LIMIT_MPS,
        read_only=False,
    ),
    Parameter(
        'law',
        'proportional',
        'Control law for the throttle.',
        choices=('proportional', 'pi'),
        read_only=False,
    ),
    Parameter('kp', PiGains.kp, 'Gain of law pi, throttle per m/s.', 0.0, 10.0, read_only=False),
    Parameter(
        'ki', PiGains.ki, 'Integral gain of pi, throttle per m.', 0.0, 10.0, read_only=False
    ),
    Parameter(
        'lateral_acceleration_limit',
        LATERAL_LIMIT_MPS2,
        'Largest lateral acceleration in curves, m/s^2; 0: no limit.',
        0.0,
        20.0,
        read_only=False,
    ),
    Parameter('cars', 1, 'Number of cars, the same as of the bridge.', 1, MAX_CARS),
)


class CarThrottle:
    """Topics and speed controller of one car."""

    def __init__(
        self,
        node: Node,
        prefix: str,
        controller: SpeedController,
        clock: Callable[[], float],
        on_limit: Callable[[float], None],
    ) -> None:
        """`on_limit` gets each good limit of the topic `speed_limit`, m/s."""
        self.controller = controller
        self.speeds = 0
        self._limit_mps = controller.limit_mps
        self._factor = 1.0
        self._has_monitor = False
        self._clock = clock
        self._node = node
        self._speed_topic = prefix + topics.SPEED
        self._factor_topic = prefix + topics.SPEED_FACTOR
        self._publisher = node.create_publisher(
            Float32, prefix + topics.THROTTLE_COMMAND, NEWEST, publisher_class=DirectPublisher
        )
        self._limits = node.create_publisher(Float32, prefix + topics.ACTIVE_SPEED_LIMIT, LATCHED)
        self._take_limit = on_limit
        self._angle_topic = prefix + topics.STEERING_ANGLE
        self._angles: Subscription | None = None
        node.create_subscription(Float32, self._speed_topic, self._on_speed, NEWEST)
        node.create_subscription(Float32, prefix + topics.SPEED_LIMIT, self._on_limit, NEWEST)
        wanted = prefix + topics.WANTED_SPEED_LIMIT
        node.create_subscription(Float32, wanted, self._on_limit, LATCHED)
        node.create_subscription(Float32, self._factor_topic, self._on_factor, LATCHED)
        node.create_subscription(String, prefix + topics.DRIVER, self._on_driver, LATCHED)
        self.update()

    def is_matched(self) -> bool:
        """Whether the bridge publishes speeds and subscribes to the throttle."""
        has_speeds = has_publisher(self._node, self._speed_topic)
        return has_speeds and self._publisher.get_subscription_count() > 0

    def set_limit(self, limit_mps: float) -> None:
        """Set the speed limit, and publish what applies of it."""
        self._limit_mps = limit_mps
        self.controller.limit_mps = self._factor * limit_mps
        self.publish_limit()

    def update(self) -> None:
        """Publish the speed limit; subscribe to the steering angle if the controller uses it."""
        self.publish_limit()
        if self.controller.uses_steering and self._angles is None:
            self._angles = self._node.create_subscription(
                Float32, self._angle_topic, self._on_angle, NEWEST
            )
        elif not self.controller.uses_steering and self._angles is not None:
            self._node.destroy_subscription(self._angles)
            self._angles = None

    def end_factor(self) -> None:
        """Apply the whole limit if the node that asked for a share of it has ended.

        Its successor may run without a monitor, and would never publish a factor.
        """
        had_monitor = self._has_monitor
        self._has_monitor = has_publisher(self._node, self._factor_topic)
        # Not a node whose message came before its publisher was known.
        if had_monitor and not self._has_monitor:
            self._factor = 1.0
            self.set_limit(self._limit_mps)

    def publish_limit(self) -> None:
        """Publish the speed limit that applies."""
        self._limits.publish(conversions.float_message(self.controller.limit_mps))

    def _on_speed(self, message: Float32) -> None:
        speed_mps = float(message.data)
        if not math.isfinite(speed_mps):
            return
        self.speeds += 1
        throttle = self.controller.throttle(speed_mps, self._clock())
        self._publisher.publish(conversions.float_message(throttle))

    def _on_factor(self, message: Float32) -> None:
        """Take the share of the limit that the monitor of the steering node allows."""
        if 0.0 <= message.data <= 1.0:
            self._factor = float(message.data)
            self.set_limit(self._limit_mps)

    def _on_driver(self, _: String) -> None:
        self.controller.forget()

    def _on_angle(self, message: Float32) -> None:
        if math.isfinite(message.data):
            self.controller.steering_rad = float(message.data)

    def _on_limit(self, message: Float32) -> None:
        if is_speed_limit(message.data):
            self._take_limit(round(float(message.data), 6))
        else:
            self._node.get_logger().warning(
                f'speed_limit {message.data} ignored: it must be 0..{MAX_SPEED_LIMIT_MPS:g} m/s',
                throttle_duration_sec=5.0,
            )


class ThrottleNode(Node):
    """Publishes one `cmd/throttle` for each `vehicle/speed`, of each car."""

    def __init__(self) -> None:
        super().__init__('throttle')
        self._values: dict[str, Any] = declare(self, PARAMETERS)
        self._prefixes = prefixes(self._values['cars'])
        readiness = Readiness(self)
        for number, prefix in enumerate(self._prefixes):
            readiness.add(prefix + topics.THROTTLE_READY, partial(self._is_matched, number))
        self._cars = [
            CarThrottle(
                self, prefix, _controller(self._values), self._now_s, partial(self._limit, number)
            )
            for number, prefix in enumerate(self._prefixes)
        ]
        self._diagnostics = Diagnostics(self, self._prefixes)
        on_change(self, PARAMETERS, self._change)
        steady_timer(self, PERIOD_S, self._publish_diagnostics)

    def _now_s(self) -> float:
        """Return the time of the node's clock, which is that of a bag with use_sim_time."""
        return 1e-9 * float(self.get_clock().now().nanoseconds)

    def _is_matched(self, number: int) -> bool:
        return self._cars[number].is_matched()

    def _change(self, changed: dict[str, Any]) -> None:
        """Apply parameters that were set while the node runs, to all cars."""
        self._values |= changed
        for car in self._cars:
            car.controller.set_gains(_gains(self._values))
            car.controller.lateral_limit_mps2 = self._values['lateral_acceleration_limit']
            if 'speed_limit' in changed:
                car.set_limit(changed['speed_limit'])
            car.update()

    def _limit(self, number: int, limit_mps: float) -> None:
        """Apply a limit that came as a message for one car.

        With a single car the parameter follows. With several cars it stays, because it is of all.
        """
        if len(self._cars) > 1:
            self._cars[number].set_limit(limit_mps)
        elif limit_mps != self._values['speed_limit']:
            self.set_parameters([RosParameter('speed_limit', value=limit_mps)])

    def _publish_diagnostics(self) -> None:
        """Publish diagnostics, and the limit again so that plots show a line, not a point."""
        for car in self._cars:
            car.end_factor()
            car.publish_limit()
        self._diagnostics.publish(
            [
                conversions.diagnostic(
                    prefix + conversions.THROTTLE_STATUS,
                    DiagnosticStatus.OK,
                    f'limit {car.controller.limit_mps:.1f} m/s',
                    {
                        'speed_limit_mps': car.controller.limit_mps,
                        'law': self._values['law'],
                        'speeds': car.speeds,
                    },
                )
                for prefix, car in zip(self._prefixes, self._cars, strict=True)
            ]
        )


def _gains(values: Mapping[str, Any]) -> PiGains | None:
    return PiGains(values['kp'], values['ki']) if values['law'] == 'pi' else None


def _controller(values: Mapping[str, Any]) -> SpeedController:
    controller = SpeedController(values['speed_limit'], values['lateral_acceleration_limit'])
    controller.set_gains(_gains(values))
    return controller


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run(ThrottleNode, args=args)
