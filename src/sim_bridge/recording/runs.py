# SPDX-License-Identifier: Apache-2.0
"""Runs: the drives of one recording, told apart where the stamps of the frames go back. Pure."""

from __future__ import annotations

_PAUSE_NS = 5_000_000_000
"""Time between two runs, ns: longer than every window over time, and a pause for all readers."""

_LONGEST_DELAY_NS = 5_000_000_000
"""Longest time from the stamp of a frame to the receipt of the frame or of its command, ns."""


def is_other_clock(stamp_ns: int, time_ns: int) -> bool:
    """Return whether a stamp is from another clock than the time of receipt, both ns.

    The stamps of `drive --fast` are simulated time; messages are received in wall time.
    """
    return abs(time_ns - stamp_ns) > _LONGEST_DELAY_NS


def latency_ms(stamp_ns: int, answered_ns: int | None) -> float | None:
    """Return the time from a frame to its command; None if it is not measured by one clock."""
    if answered_ns is None or answered_ns <= stamp_ns or is_other_clock(stamp_ns, answered_ns):
        return None
    return 1e-6 * (answered_ns - stamp_ns)


class Runs:
    """Numbers the runs of a recording, and places them one after another on a rising time line.

    Stamps go back where a recording holds several drives in simulated time, each of which begins
    at 0. The first run keeps its stamps; each further one begins 5 s after the one before.
    """

    def __init__(self) -> None:
        self.number = 0
        self._last_ns: int | None = None
        self._shift_ns = 0

    def add(self, stamp_ns: int) -> int:
        """Take the stamp of the next frame, ns; return its place on the time line, ns."""
        if self._last_ns is not None and stamp_ns < self._last_ns:
            self.number += 1
            self._shift_ns += self._last_ns + _PAUSE_NS - stamp_ns
        self._last_ns = stamp_ns
        return stamp_ns + self._shift_ns
