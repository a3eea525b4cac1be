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

from sim_bridge.session.timeouts import AnswerTimeouts

WATCHED = 8
"""Number of answers that wait: a late extra token appears within so many."""

CHECK_EVERY = 300
"""Number of telemetries, 5 s at 60 frames/s: too rare a wait to raise latencies."""


class TokenMerger:
    """Returns the earliest time to answer a telemetry, so that extra tokens can end."""

    def __init__(self, timeouts: AnswerTimeouts) -> None:
        self._timeouts = timeouts
        self._extra = 1
        self._settled_s = -math.inf
        self._to_watch = 0
        self._to_check = 0

    def add(self) -> None:
        """Count a keepalive: an extra token, unless a token was lost."""
        self._extra += 1

    def settle(self) -> None:
        """End the wait, because all tokens have arrived or are lost."""
        self._extra = 0
        self._settled_s = -math.inf

    def earliest_s(self, now_s: float, *, supersedes: bool, needs_command: bool) -> float:
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
            self._settled_s = now_s + self._timeouts.settle_s
        is_watched = self._to_watch > 0 or self._to_check <= 0
        self._to_watch -= 1
        self._to_check -= 1
        if needs_command and not is_watched:
            return self._settled_s
        self._to_check = CHECK_EVERY
        return max(self._settled_s, now_s + self._timeouts.gather_s)
