# SPDX-License-Identifier: Apache-2.0
"""How long a car waits: for the commands of a frame, and for a source that is silent. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class AnswerTimeouts:
    """Times of the answers to one simulator, s. Raises ValueError, naming a wrong field.

    lock_step: wait for the commands of ready nodes without end, if the simulator waits too. For
    another simulator, and while nodes are missing, the times apply.
    """

    command_timeout_s: float = 0.1
    stop_timeout_s: float = 0.5
    settle_s: float = 0.05
    gather_s: float = 0.01
    keepalive_after_s: float = 0.5
    keepalive_at_most_every_s: float = 30.0
    lock_step: bool = False

    def __post_init__(self) -> None:
        _check_times(self)
        if self.stop_timeout_s < self.command_timeout_s:
            raise ValueError(
                f'stop_timeout is {self.stop_timeout_s}, it must not be shorter than '
                f'command_timeout ({self.command_timeout_s})'
            )


@dataclass(frozen=True)
class SourceTimeouts:
    """Time after which a silent source drives no longer, s. ValueError names a wrong field."""

    joystick_s: float = 0.5
    page_s: float = 0.2
    topic_s: float = 0.5

    def __post_init__(self) -> None:
        _check_times(self)


def _check_times(timeouts: AnswerTimeouts | SourceTimeouts) -> None:
    """Raise ValueError unless each field in seconds is positive."""
    for name, value in vars(timeouts).items():
        if name.endswith('_s') and not (math.isfinite(value) and value > 0.0):
            raise ValueError(f'{name} is {value}, it must be a positive number of seconds')
