# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a car are ready, by their latched topics and by the publishers of commands.

A node publishes whether it is ready on `ready/steering`, `ready/throttle` or `ready/recorder`. A
node that does not know these topics counts as ready as soon as its commands have a publisher.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Bool

from sim_bridge import topics
from steering_net.ros.qos import LATCHED
from steering_net.ros.readiness import has_publisher

READY, STARTING, MISSING = 'ready', 'starting', 'missing'
COMMANDS = {'steering': topics.STEERING_COMMAND, 'throttle': topics.THROTTLE_COMMAND}
"""The nodes that driving needs, and the command topic of each."""

READY_TOPICS = {
    'steering': topics.STEERING_READY,
    'throttle': topics.THROTTLE_READY,
    'recorder': topics.RECORDER_READY,
}
"""By role, the latched topic on which a node publishes whether it is ready."""


class ReadinessMonitor:
    """The nodes of one car, by role: `ready`, `starting` or `missing`."""

    def __init__(self, node: Node, prefix: str, on_change: Callable[[], None]) -> None:
        """`prefix` begins the topics of the car. `on_change` is called after each message."""
        self._node = node
        self._prefix = prefix
        self._on_change = on_change
        self._is_ready = dict.fromkeys(READY_TOPICS, False)
        self._was_announced = dict(self._is_ready)
        self.nodes = dict.fromkeys(self._is_ready, MISSING)
        for role in self._is_ready:
            topic, callback = prefix + READY_TOPICS[role], partial(self._hear, role)
            node.create_subscription(Bool, topic, callback, LATCHED)

    @property
    def reasons(self) -> list[str]:
        """Lines that name the nodes that driving needs and that are not ready."""
        nodes = self.nodes  # The other thread may replace it meanwhile.
        lines = {MISSING: 'no node publishes {topic}', STARTING: 'the {role} node is starting'}
        return [
            lines[nodes[role]].format(role=role, topic=topic)
            for role, topic in COMMANDS.items()
            if nodes[role] != READY
        ]

    def update(self) -> None:
        """Update `nodes` by the publishers that exist now."""
        self.nodes = {role: self._presence(role) for role in self._is_ready}

    def _hear(self, role: str, message: Bool) -> None:
        self._is_ready[role] = bool(message.data)
        self._on_change()

    def _presence(self, role: str) -> str:
        is_announced = self._has_publisher(READY_TOPICS[role])
        # A node that has ended, and not one whose message came before its publisher was known.
        if self._was_announced[role] and not is_announced:
            self._is_ready[role] = False
        self._was_announced[role] = is_announced
        if not (self._has_publisher(COMMANDS[role]) if role in COMMANDS else is_announced):
            return MISSING
        return READY if self._is_ready[role] or not is_announced else STARTING

    def _has_publisher(self, topic: str) -> bool:
        return has_publisher(self._node, self._prefix + topic)
