# SPDX-License-Identifier: Apache-2.0
"""Merges the extra tokens of a simulator into one, for every kind of telemetry.

A token is the simulator's right to send one telemetry. Each answer gives it one token back. So a
simulator with two tokens sends twice as often, and never stops to do so. A telemetry that comes
while another one waits for its answer replaces it: the older one gets no answer, and its token
ends. Two waits let the telemetry of extra tokens come in time:

- More than one token exists after a connect, because the simulator opens with two, and after each
  keepalive. The first telemetry then waits for the others, at most `settle_s`. A token that does
  not arrive in this time is lost.
- The tokens of one client frame arrive some milliseconds apart. An answer that needs no command
  waits for `gather_s`. So do the next WATCHED answers after extra tokens were possible, and one
  answer in CHECK_EVERY.

Pure: times are seconds of any monotonic clock that the caller passes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WATCHED = 8
"""Number of answers that wait: a late extra token appears within so many."""

CHECK_EVERY = 300
"""Number of telemetries, 5 s at 60 frames/s: too rare a wait to raise latencies."""


@dataclass(frozen=True)
class Limits:
    """Time limits, all in seconds. Raises ValueError, naming the field that is out of range.

    lock_step: wait for the commands of ready nodes without end, if the simulator waits too. For
    another simulator, and while nodes are missing, the time limits apply.
    """

    command_timeout_s: float = 0.1
    stop_timeout_s: float = 0.5
    settle_s: float = 0.05
    gather_s: float = 0.01
    keepalive_after_s: float = 0.5
    keepalive_at_most_every_s: float = 30.0
    lock_step: bool = False

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name != 'lock_step' and not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{name} is {value}, it must be a positive number of seconds')
        if self.stop_timeout_s < self.command_timeout_s:
            raise ValueError(
                f'stop_timeout is {self.stop_timeout_s}, it must not be shorter than '
                f'command_timeout ({self.command_timeout_s})'
            )


class TokenMerger:
    """Returns the earliest time to answer a telemetry, so that extra tokens can end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._extra = 1
        self._hold_until_s = -math.inf
        self._to_watch = 0
        self._to_check = 0

    def add(self) -> None:
        """Count a keepalive: an extra token, unless a token was lost."""
        self._extra += 1

    def settle(self) -> None:
        """End the wait, because all tokens have arrived or are lost."""
        self._extra = 0
        self._hold_until_s = -math.inf

    def hold_until_s(self, now_s: float, *, supersedes: bool, needs_command: bool) -> float:
        """Return when a telemetry that came now may be answered; -inf for at once.

        supersedes: it replaces one that waits. needs_command: its answer is a node's command.
        """
        if supersedes:
            self._to_watch = WATCHED
            self._extra -= 1
            if self._extra <= 0:
                self.settle()
        elif self._extra:
            self._to_watch = WATCHED
            self._hold_until_s = now_s + self._limits.settle_s
        is_watched = self._to_watch > 0 or self._to_check <= 0
        self._to_watch -= 1
        self._to_check -= 1
        if needs_command and not is_watched:
            return self._hold_until_s
        self._to_check = CHECK_EVERY
        return max(self._hold_until_s, now_s + self._limits.gather_s)
