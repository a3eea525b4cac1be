# SPDX-License-Identifier: Apache-2.0
"""Which source of commands drives a car: a hold, a person, a planner or the network.

The first of this list that applies drives: a person with the keys of the simulator, because it
ignores commands then; the hold; the joystick; a page; a topic of a person or planner; the network.

Pure: the clock is an argument. Times are seconds of any monotonic clock.
"""

from __future__ import annotations

import math
from enum import Enum
from typing import NamedTuple

from sim_bridge.control.motion_controller import DriverCommand
from sim_bridge.session.timeouts import SourceTimeouts


class Driver(Enum):
    """What drives a car, as the topic `driver/active` names it."""

    SIMULATOR = 'simulator'
    """A person with the keys of the simulator."""
    HOLD = 'hold'
    JOYSTICK = 'joystick'
    PAGE = 'page'
    """A person on a page of the bridge."""
    TWIST = 'cmd_vel'
    ACKERMANN = 'ackermann_cmd'
    NETWORK = 'network'
    NOBODY = 'nobody'
    """No source commands the car: the nodes of the network are not ready, or the car is braked
    because no fresh command comes."""


_KINDS = {
    Driver.JOYSTICK: 'joystick_s',
    Driver.PAGE: 'page_s',
    Driver.TWIST: 'topic_s',
    Driver.ACKERMANN: 'topic_s',
}
"""Kinds of sources by the name of their timeout, the first in rank first."""

PERSONS = tuple(_KINDS)
"""Persons and planners that drive in place of the network."""


class _Heard(NamedTuple):
    """Newest command of a kind of source."""

    source: Driver
    command: DriverCommand
    until_s: float


class Arbiter:
    """The newest command of each kind of source, until it times out.

    Of several topics the one with the newest message counts. `next_timeout_s` is the time at which
    `expire` has to be called; infinity without a command. `timeouts` may be changed; they apply to
    the next command.
    """

    def __init__(self, timeouts: SourceTimeouts) -> None:
        self.timeouts = timeouts
        self._heard: dict[str, _Heard] = {}
        self.next_timeout_s = math.inf

    @property
    def active(self) -> tuple[Driver, DriverCommand] | None:
        """Source and command that drive in place of the network; None if there is no command."""
        for kind in _KINDS.values():
            if kind in self._heard:
                return self._heard[kind][:2]
        return None

    def hear(self, now_s: float, source: Driver, command: DriverCommand) -> None:
        """Take a command."""
        kind = _KINDS[source]
        self._heard[kind] = _Heard(source, command, now_s + getattr(self.timeouts, kind))
        self._find_next_timeout()

    def let_go(self, source: Driver) -> None:
        """Forget the command of a source, because its dead-man's button was released."""
        self._heard.pop(_KINDS[source], None)
        self._find_next_timeout()

    def forget(self) -> None:
        """Forget all commands."""
        self._heard.clear()
        self._find_next_timeout()

    def expire(self, now_s: float) -> None:
        """Forget the commands that have timed out."""
        self._heard = {kind: one for kind, one in self._heard.items() if now_s < one.until_s}
        self._find_next_timeout()

    def _find_next_timeout(self) -> None:
        self.next_timeout_s = min((one.until_s for one in self._heard.values()), default=math.inf)
