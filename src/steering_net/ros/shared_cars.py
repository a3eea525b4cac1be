# SPDX-License-Identifier: Apache-2.0
"""SharedCars: tells the other steering nodes which cars this one steers, and hears theirs."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node

from steering_net.inference.car_sharing import PERIOD_S, CarSharing
from steering_net.ros.car_topics import CarTopics
from steering_net.ros.parameters import Parameter
from steering_net.ros.qos import EVERY
from steering_net.ros.timers import steady_timer

SHARED = Parameter(
    'shared',
    False,
    'Whether this node shares the cars with the other steering nodes that share them.',
)
_TOPIC = 'steering_nodes'
_STEERED = 'steered'
_WARNING_PERIOD_S = 5.0


class SharedCars:
    """Lets a node steer its share of the cars, see `inference.car_sharing`."""

    def __init__(
        self,
        node: Node,
        prefixes: Sequence[str],
        cars: Mapping[str, CarTopics],
        begin: Callable[[str], None],
        cease: Callable[[str], None],
        clock: Callable[[], float],
    ) -> None:
        """`prefixes`: of all cars; `cars`: of the steered ones, which `begin` and `cease` change.

        `clock`: time in s.
        """
        self._node = node
        self._prefixes = list(prefixes)
        self._cars = cars
        self._begin = begin
        self._cease = cease
        self._now_s = clock
        # The name of a node, of a machine and a process number may each be there twice.
        self._own = f'{socket.gethostname()}-{os.urandom(4).hex()}'
        self._claim = f'shares {len(self._prefixes)} cars'
        self._sharing = CarSharing(self._own, len(self._prefixes), clock())
        self._nodes = node.create_publisher(DiagnosticStatus, _TOPIC, EVERY)
        node.create_subscription(DiagnosticStatus, _TOPIC, self._hear, EVERY)
        steady_timer(node, PERIOD_S, self._turn)

    def values(self) -> dict[str, str]:
        """Return the values for diagnostics."""
        return {_STEERED: ', '.join(prefix.rstrip('/') or 'the car' for prefix in self._cars)}

    def _turn(self) -> None:
        held = {self._prefixes.index(prefix) for prefix in self._cars}
        changes = self._sharing.changes(self._now_s(), held)
        for number in changes.release:
            self._cease(self._prefixes[number])
        for number in changes.take:
            self._begin(self._prefixes[number])
        if changes.take or changes.release:
            self._node.get_logger().info(f'steers {self.values()[_STEERED] or "no car"} now')
        self._tell()

    def _tell(self) -> None:
        values = [
            KeyValue(key=prefix, value=_STEERED if car.is_matched() else 'starting')
            for prefix, car in self._cars.items()
        ]
        self._nodes.publish(
            DiagnosticStatus(
                name=self._node.get_fully_qualified_name(),
                hardware_id=self._own,
                message=self._claim,
                values=values,
            )
        )

    def _hear(self, message: DiagnosticStatus) -> None:
        if message.message != self._claim:
            self._node.get_logger().warning(
                f'{message.name} {message.message}, but this node {self._claim}: it is ignored',
                throttle_duration_sec=_WARNING_PERIOD_S,
            )
            return
        steered = {
            self._prefixes.index(one.key)
            for one in message.values
            if one.value == _STEERED and one.key in self._prefixes
        }
        self._sharing.hear(self._now_s(), message.hardware_id, steered)
