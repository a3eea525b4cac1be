# SPDX-License-Identifier: Apache-2.0
"""View of a running drive in Rerun.

A frame is shown when the second frame after it comes or the view ends, with its command if one has
come. The command of a person takes precedence over that of the network, which may come first. A
command may be received before its frame, and after the next one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, JointState

from sim_bridge import topics
from sim_bridge.nodes import conversions
from sim_bridge.nodes.reading_inputs import keep_newest
from sim_bridge.nodes.runner import interruptible, ros
from sim_bridge.visualization.overlay import Reading
from sim_bridge.visualization.rerun_log import RerunLog
from steering_net.ros.qos import EVERY

_CHECK_S = 0.1
_WAITING_FRAMES = 2
_KEPT_COMMANDS = 16


@dataclass
class _Waiting:
    """A frame, and the newest values before the next frame."""

    frame: CompressedImage
    values: dict[str, float] = field(default_factory=dict)


class RerunViewNode(Node):
    """Passes frames, commands and values of one car on to a RerunLog."""

    def __init__(self, log: RerunLog, prefix: str = '') -> None:
        """`prefix` of the car's topics, as in `car_2/`."""
        super().__init__('rerun_view')
        self._log = log
        self._waiting: deque[_Waiting] = deque()
        self._commands: deque[tuple[str, JointState]] = deque(maxlen=_KEPT_COMMANDS)
        self._values: dict[str, float] = {}
        for topic, kind, callback in (
            (topics.STEERING_COMMAND, JointState, self._keep_command('network')),
            (topics.PERSON_COMMAND, JointState, self._keep_command('person')),
            (topics.COMPRESSED_FRAME, CompressedImage, self._on_frame),
        ):
            self.create_subscription(kind, prefix + topic, callback, EVERY)
        keep_newest(self, self._values, prefix)

    def _on_frame(self, message: CompressedImage) -> None:
        self._keep_values()
        if len(self._waiting) == _WAITING_FRAMES:
            self._show()
        self._waiting.append(_Waiting(message))

    def _keep_values(self) -> None:
        if self._waiting:
            self._waiting[-1].values = self._values.copy()

    def _keep_command(self, source: str) -> Callable[[JointState], None]:
        def keep(message: JointState) -> None:
            self._commands.append((source, message))

        return keep

    def _show(self) -> None:
        """Show the oldest frame that waits."""
        one = self._waiting.popleft()
        commands = {
            source: conversions.steering_of(message)
            for source, message in self._commands
            if message.header.stamp == one.frame.header.stamp
        }
        commanded_rad = commands.get('person', commands.get('network'))
        reading = Reading(commanded_rad=commanded_rad, **one.values)
        stamp_ns = conversions.stamp_ns(one.frame.header.stamp)
        self._log.add(stamp_ns, bytes(one.frame.data), reading)

    def destroy_node(self) -> None:
        """Show the last frames, then end."""
        self._keep_values()
        while self._waiting:
            self._show()
        super().destroy_node()


def view(save: Path | None, car: int | str) -> int:
    """Show a drive until SIGINT or SIGTERM, or write it to the .rrd file `save`.

    `car` is the number or the namespace of a car; 0: the only car. Returns the number of frames.
    Raises UsageError without rerun-sdk.
    """
    log = RerunLog(save)
    prefix = f'car_{car}/' if isinstance(car, int) and car else f'{car}/' if car else ''
    with ros(), interruptible() as running:
        node = RerunViewNode(log, prefix)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while running():
            executor.spin_once(_CHECK_S)
        node.destroy_node()
    log.close()
    return log.frames
