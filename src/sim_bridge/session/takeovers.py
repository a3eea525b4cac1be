# SPDX-License-Identifier: Apache-2.0
"""Which commands of a person are a takeover: driving passes from the network to a person.

A planner counts as a person too. The sources are a joystick, a page, a topic, or the keys of the
simulator. The answers to telemetry are counted, so a command without a driving car is no
takeover.

- A drive begins with a connect or a reset. While the network has not driven yet, no person takes
  over.
- A break of up to CONTINUED_S belongs to the takeover, because a dead-man's button slips and a
  keyboard repeats its keys with gaps.
- The change from one person to another is not a takeover, and the emergency stop is none either.
- The network may have failed, or the emergency stop may have come, before the person drives. That
  is a takeover too if the network drove before.

Pure: the clock is an argument.
"""

from __future__ import annotations

import math

CONTINUED_S = 1.0
"""Longest break in the commands of a person that belongs to one takeover, s."""


class TakeoverDetector:
    """Tells which answers of one car begin a takeover. Times are those of a monotonic clock, s."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin a drive: nothing has driven yet."""
        self._has_network_driven = False
        self._person_s = -math.inf

    def network(self) -> None:
        """Take an answer with fresh commands of the network."""
        self._has_network_driven = True

    def person(self, now_s: float) -> bool:
        """Take an answer by which a person drives; return whether it begins a takeover."""
        is_takeover = self._has_network_driven and now_s - self._person_s > CONTINUED_S
        self._has_network_driven = False
        self._person_s = now_s
        return is_takeover
