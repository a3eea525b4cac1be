# SPDX-License-Identifier: Apache-2.0
"""Caution: decides from the uncertainty of the frames whether a car drives on, slows or stops."""

from __future__ import annotations

from enum import IntEnum

MODES = ('off', 'warn', 'slow', 'hold')
"""Values of the parameter `monitor`: each does what the one before does, and more."""

UNSURE = 0.5
"""Uncertainty from which a network counts as unsure."""

SLOW_FACTOR = 0.4
"""Share of the speed limit of a car that slows."""

_HOLD_AFTER_S = 1.2
"""Time for which a network has to be unsure without a break before the car is held."""
_SURE_AFTER_S = 2.0
"""Time for which a network has to be sure before the car drives on as before."""
_LONGEST_STEP_S = 0.2
"""Longest time that counts between two frames: a pause shows neither doubt nor certainty."""


class Action(IntEnum):
    """What a car does."""

    DRIVE = 0
    SLOW = 1
    HOLD = 2


class Caution:
    """The action of one car, from the uncertainty of its frames.

    HOLD lasts until the network has been sure again, so that a person who releases the car in
    spite of it is not held again at once.
    """

    def __init__(self, mode: str) -> None:
        """`mode` is one of MODES; it limits the action."""
        self._most = {'slow': Action.SLOW, 'hold': Action.HOLD}.get(mode, Action.DRIVE)
        self._action = Action.DRIVE
        self._last_s: float | None = None
        self._watched_s = self._last_unsure_s = 0.0
        self._unsure_since_s: float | None = None

    def add(self, uncertainty: float, now_s: float) -> Action:
        """Add a frame; return the action from now on.

        A clock that was set back counts as no time.
        """
        passed_s = 0.0 if self._last_s is None else now_s - self._last_s
        self._last_s = now_s
        self._watched_s += max(0.0, min(passed_s, _LONGEST_STEP_S))
        return self._judge(uncertainty, self._watched_s)

    def _judge(self, uncertainty: float, now_s: float) -> Action:
        if uncertainty < UNSURE:
            self._unsure_since_s = None
            if now_s - self._last_unsure_s >= _SURE_AFTER_S:
                self._action = Action.DRIVE
            return self._action
        self._last_unsure_s = now_s
        if self._unsure_since_s is None:
            self._unsure_since_s = now_s
        is_long = now_s - self._unsure_since_s >= _HOLD_AFTER_S
        wanted = Action.HOLD if is_long else Action.SLOW
        self._action = max(self._action, min(wanted, self._most))
        return self._action
