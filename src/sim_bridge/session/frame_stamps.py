# SPDX-License-Identifier: Apache-2.0
"""Stamps of the frames of one car: each greater than the one before, whatever clocks do. Pure."""

from __future__ import annotations


class FrameStamps:
    """Stamps frames with the time of receipt, or with the time of the simulator.

    `newest_ns` is the stamp of the newest frame, ns.
    """

    def __init__(self, *, in_simulated_time: bool) -> None:
        """`in_simulated_time`: use the time of the simulator, if it sends it."""
        self.newest_ns = 0
        self._in_simulated_time = in_simulated_time
        self._offset_ns: int | None = None
        self._received_s, self._received_ns = 0.0, 0

    def begin(self) -> None:
        """Note that another simulator begins, whose time may be behind that of the one before."""
        self._offset_ns = None

    def add(self, now_s: float, received_ns: int, simulated_ns: int | None) -> int:
        """Return the stamp of a frame that came now, ns.

        received_ns: time of receipt. simulated_ns: time of the simulator; None if it sends none.
        """
        if self._in_simulated_time and simulated_ns is not None:
            stamp_ns = self._simulated_ns(simulated_ns)
        else:
            stamp_ns = self._real_ns(now_s, received_ns)
        self.newest_ns = max(stamp_ns, self.newest_ns + 1)
        return self.newest_ns

    def _simulated_ns(self, simulated_ns: int) -> int:
        """Return simulated time, which goes on with another simulator."""
        if self._offset_ns is None:
            self._offset_ns = max(0, self.newest_ns + 1 - simulated_ns)
        return self._offset_ns + simulated_ns

    def _real_ns(self, now_s: float, received_ns: int) -> int:
        """Return the time of receipt; if its clock was set back, go on from the newest frame.

        The time between two frames then comes from the monotonic clock, because the readers of the
        stamps integrate over it.
        """
        if received_ns < self._received_ns:
            received_ns = self._received_ns + round(1e9 * (now_s - self._received_s))
        self._received_s, self._received_ns = now_s, received_ns
        return received_ns
