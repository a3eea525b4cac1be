"""Which nodes of a car are there: what they say themselves, and which publishers there are.

`ready/steering`, `ready/throttle` and `ready/recorder` are latched topics on which a node says
whether it is ready. A node that knows nothing of them counts as ready as soon as its commands have
a publisher.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rclpy.node import Node
from std_msgs.msg import Bool

from sim_bridge import topics
from sim_bridge.nodes.qos import LATCHED

READY, STARTING, MISSING = 'ready', 'starting', 'missing'
COMMANDS = {'steering': topics.STEERING_COMMAND, 'throttle': topics.THROTTLE_COMMAND}
"""The nodes that a car cannot be driven without, and what each of them publishes."""

READY_TOPICS = {
    'steering': topics.STEERING_READY,
    'throttle': topics.THROTTLE_READY,
    'recorder': topics.RECORDER_READY,
}
"""By role, the latched topic on which a node publishes whether it is ready."""


class Attendance:
    """The nodes of one car, by role: `ready`, `starting` or `missing`."""

    def __init__(self, node: Node, prefix: str, on_change: Callable[[], None]) -> None:
        """`prefix`: that of the car's topics; `on_change` is called when a node has said more."""
        self._node = node
        self._prefix = prefix
        self._on_change = on_change
        self._said = dict.fromkeys(READY_TOPICS, False)
        self.nodes = dict.fromkeys(self._said, MISSING)
        for role in self._said:
            topic, callback = prefix + READY_TOPICS[role], partial(self._hear, role)
            node.create_subscription(Bool, topic, callback, LATCHED)

    @property
    def reasons(self) -> list[str]:
        """Why the car cannot be driven yet, a line for each node that is not ready."""
        told = {MISSING: 'no node publishes {topic}', STARTING: 'the {role} node is starting'}
        return [
            told[self.nodes[role]].format(role=role, topic=topic)
            for role, topic in COMMANDS.items()
            if self.nodes[role] != READY
        ]

    def look(self) -> None:
        """Look which publishers there are now."""
        self.nodes = {role: self._presence(role) for role in self._said}

    def _hear(self, role: str, message: Bool) -> None:
        self._said[role] = bool(message.data)
        self._on_change()

    def _presence(self, role: str) -> str:
        tells = self._publishers(READY_TOPICS[role])
        if not (self._publishers(COMMANDS[role]) if role in COMMANDS else tells):
            return MISSING
        return READY if self._said[role] or not tells else STARTING

    def _publishers(self, topic: str) -> int:
        return int(self._node.count_publishers(self._prefix + topic))
