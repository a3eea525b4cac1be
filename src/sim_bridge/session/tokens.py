"""How one token of a simulator is kept in circulation, whatever its telemetries carry.

Each answer to a simulator brings one telemetry. So two tokens mean two telemetries per client
frame, for ever. A telemetry that comes while another one waits takes its place, and the token of
the older one ends. Two rules make the other tokens come in time:

- More than one token is out after a connect, because the simulator opens with two, and after each
  kick. The first telemetry then waits until the others came, or for `settle_s`. A token that does
  not come in this time is lost.
- The tokens of one client frame come some milliseconds apart. An answer that depends on no
  command waits for `gather_s`. So do the answers to WATCHED telemetries after more than one token
  was out, and one answer in CHECK_EVERY.

Pure: times are seconds of any monotonic clock that the caller passes in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WATCHED = 8
"""Telemetries: a token that came too late to end with the others shows within some frames."""

CHECK_EVERY = 300
"""Telemetries: five seconds at 60 frames/s. The wait for others must not show in the latencies."""


@dataclass(frozen=True)
class Limits:
    """Time limits, all in seconds. ValueError names the field that is out of range."""

    command_timeout_s: float = 0.1
    stop_timeout_s: float = 0.5
    settle_s: float = 0.05
    gather_s: float = 0.01
    kick_after_s: float = 0.5
    kick_at_most_every_s: float = 30.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value > 0.0):
                raise ValueError(f'{name} is {value}, it must be a positive number of seconds')
        if self.stop_timeout_s < self.command_timeout_s:
            raise ValueError(
                f'stop_timeout_s is {self.stop_timeout_s}, it must not be shorter than '
                f'command_timeout_s ({self.command_timeout_s})'
            )


class Circulation:
    """Says of each telemetry from when on it may be answered, so that other tokens can end."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._surplus = 1
        self._hold_until_s = -math.inf
        self._to_watch = 0
        self._to_check = 0

    def keepalive_sent(self) -> None:
        """A command answers no telemetry: should the lost token not be lost, it is one more."""
        self._surplus += 1

    def settled(self) -> None:
        """All tokens that were out have come, or are lost."""
        self._surplus = 0
        self._hold_until_s = -math.inf

    def take(self, now_s: float, *, collapses: bool, needs_command: bool) -> float:
        """Take a telemetry that came; when it may be answered, -inf for at once.

        collapses: it takes the place of one that waits. needs_command: of a node.
        """
        if collapses:
            self._to_watch = WATCHED
            self._surplus -= 1
            if self._surplus <= 0:
                self.settled()
        elif self._surplus:
            self._to_watch = WATCHED
            self._hold_until_s = now_s + self._limits.settle_s
        is_watched = self._to_watch > 0 or self._to_check <= 0
        self._to_watch -= 1
        self._to_check -= 1
        if needs_command and not is_watched:
            return self._hold_until_s
        self._to_check = CHECK_EVERY
        return max(self._hold_until_s, now_s + self._limits.gather_s)
