# SPDX-License-Identifier: Apache-2.0
"""Whether the telemetry of a client is from before its newest reset. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

RESET_S = 1.0
"""Time from a reset after which a simulator should send no telemetry from before it any more."""


@dataclass
class ResetWatch:
    """The resets of one client.

    run: number of resets that its telemetry has to have, see `Telemetry`; None for a client that
    cannot be reset. is_ignored: its telemetry is still from before the newest reset.
    """

    run: int | None = None
    is_ignored: bool = False
    _reset_s: float = -math.inf

    def reset(self, now_s: float) -> None:
        """Note that a reset was sent to a client with a `run`."""
        assert self.run is not None
        self.run += 1
        self.is_ignored = False
        self._reset_s = now_s

    def is_before(self, now_s: float, run: int | None) -> bool:
        """Whether a telemetry of this run is from before the reset that is under way.

        After `RESET_S` it counts all the same, because the reset may not have reached the client.
        """
        if run is None:
            return False
        is_old = self.run is not None and run < self.run
        if is_old and now_s < self._reset_s + RESET_S:
            return True
        self.is_ignored = is_old or (self.is_ignored and run == self.run)
        self.run = run
        return False
