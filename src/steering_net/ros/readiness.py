"""How a node says that it is ready: on a latched topic, so that later nodes hear it too.

A node says `false` when it starts, and what is true when that changes. That a node ended shows in
its publisher, which is gone.
"""

from collections.abc import Callable, Mapping

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer
from std_msgs.msg import Bool

LATCHED = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
"""The newest value counts, and a subscription that comes later gets it."""

STARTING_PERIOD_S = 0.05
READY_PERIOD_S = 1.0
"""A timer costs a drive more than a message, so a node that is ready looks rarely."""


def look_again(timer: Timer, is_ready: bool) -> None:
    """Set when to look again whether something is ready: often until it is."""
    period_ns = round(1e9 * (READY_PERIOD_S if is_ready else STARTING_PERIOD_S))
    if timer.timer_period_ns != period_ns:
        timer.timer_period_ns = period_ns


class Readiness:
    """Publishes std_msgs/Bool on some topics: whether their condition holds."""

    def __init__(self, node: Node, conditions: Mapping[str, Callable[[], bool]]) -> None:
        """`conditions`: by topic, a function that is called now and then from now on.

        Make this before the publishers of commands: a node that publishes commands, and is not
        known to say when it is ready, is taken as ready.
        """
        self._conditions = dict(conditions)
        self._publishers = {
            topic: node.create_publisher(Bool, topic, LATCHED) for topic in conditions
        }
        self._told: dict[str, bool] = {}
        for topic in conditions:
            self._tell(topic, False)
        self._timer = node.create_timer(STARTING_PERIOD_S, self._look)

    def _look(self) -> None:
        for topic, is_met in self._conditions.items():
            self._tell(topic, is_met())
        look_again(self._timer, all(self._told.values()))

    def _tell(self, topic: str, is_ready: bool) -> None:
        if self._told.get(topic) is not is_ready:
            self._told[topic] = is_ready
            self._publishers[topic].publish(Bool(data=is_ready))
