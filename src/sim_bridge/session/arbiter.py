# SPDX-License-Identifier: Apache-2.0
"""Which source of commands drives a car: a hold, a person, a planner or the network.

The first of this list that applies drives: a person with the keys of the simulator, because it
ignores commands then; the hold; the joystick; a topic of a person or planner; the network.

Pure: the clock is an argument. Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from sim_bridge.control.motion_controller import DriverCommand


class Driver(Enum):
    """What drives a car, as the topic `driver/active` names it."""

    SIMULATOR = 'simulator'
    """A person with the keys of the simulator."""
    HOLD = 'hold'
    JOYSTICK = 'joystick'
    TWIST = 'cmd_vel'
    ACKERMANN = 'ackermann_cmd'
    NETWORK = 'network'
    NOBODY = 'nobody'
    """No source commands the car, and the nodes of the network are not ready."""


@dataclass(frozen=True)
class SourceTimeouts:
    """Time after which a silent source drives no longer, s. ValueError names a wrong field."""

    joystick_s: float = 0.5
    topic_s: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{name} is {value}, it must be a positive number of seconds')


class _Heard(NamedTuple):
    """Newest command of the joystick or of the topics."""

    source: Driver
    command: DriverCommand
    until_s: float


class Arbiter:
    """The newest commands of the joystick and of the topics, until they time out.

    Of several topics the one with the newest message counts. `next_timeout_s` is the time at which
    `expire` has to be called; infinity without a command. `timeouts` may be changed; they apply to
    the next command.
    """

    def __init__(self, timeouts: SourceTimeouts) -> None:
        self.timeouts = timeouts
        self._joystick: _Heard | None = None
        self._topic: _Heard | None = None
        self.next_timeout_s = math.inf

    @property
    def active(self) -> tuple[Driver, DriverCommand] | None:
        """Source and command that drive in place of the network; None if there is no command."""
        heard = self._joystick or self._topic
        return None if heard is None else (heard.source, heard.command)

    def hear(self, now_s: float, source: Driver, command: DriverCommand) -> None:
        """Take a command."""
        if source is Driver.JOYSTICK:
            self._joystick = _Heard(source, command, now_s + self.timeouts.joystick_s)
        else:
            self._topic = _Heard(source, command, now_s + self.timeouts.topic_s)
        self._find_next_timeout()

    def release_joystick(self) -> None:
        """Forget the joystick, because its dead-man button was released."""
        self._joystick = None
        self._find_next_timeout()

    def forget(self) -> None:
        """Forget all commands."""
        self._joystick = self._topic = None
        self.next_timeout_s = math.inf

    def expire(self, now_s: float) -> None:
        """Forget the commands that have timed out."""
        if self._joystick is not None and now_s >= self._joystick.until_s:
            self._joystick = None
        if self._topic is not None and now_s >= self._topic.until_s:
            self._topic = None
        self._find_next_timeout()

    def _find_next_timeout(self) -> None:
        heard = (self._joystick, self._topic)
        self.next_timeout_s = min(
            (one.until_s for one in heard if one is not None), default=math.inf
        )
