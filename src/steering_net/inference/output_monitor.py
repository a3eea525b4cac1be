# SPDX-License-Identifier: Apache-2.0
"""OutputMonitor: finds a network that does not work from its outputs for the frames."""

import time
from collections import deque
from collections.abc import Callable
from enum import IntEnum

import numpy as np

from steering_net.statistics import percentile

UNMOVED_FRAMES = 30
"""Number of different frames in a row with the same output after which it counts as constant."""

WINDOW_FRAMES = 150
"""Number of newest frames for the share at full lock: 5 s at 30 frames/s."""

FULL_LOCK_SHARE = 0.8
"""Share of frames at full lock, 0..1, from which the steering counts as saturated."""

_UNMOVED_SPAN_RAD = 1e-6
_REMEMBERED_S = 5.0


class Level(IntEnum):
    """Severity, with the values of diagnostic_msgs."""

    OK = 0
    WARN = 1
    ERROR = 2


class OutputMonitor:
    """Counts frames and outputs, and reports a level and a summary of the newest ones.

    It detects unusable frames, and three faults of a network: its output is the same for
    different frames, at the steering limit for most frames, or not a finite number.
    """

    def __init__(self, full_lock_rad: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`full_lock_rad`: the limit to which the outputs are clamped. `clock`: time in s."""
        self.bad_frames = 0
        self.bad_outputs = 0
        self._full_lock_rad = full_lock_rad
        self._clock = clock
        self._bad_frame_reason = ''
        self._frames = 0
        self._milliseconds: list[float] = []
        self._bad_frame_s = -np.inf
        self.forget()

    def forget(self) -> None:
        """Discard the outputs so far, because another network steers from now on."""
        self._newest_rad: deque[float] = deque(maxlen=WINDOW_FRAMES)
        self._last_rad = np.inf
        self._last_frame: object = None
        self._unmoved = 0
        self._bad_output_s = -np.inf

    def add(self, steering_rad: float, milliseconds: float, frame: object = None) -> None:
        """Count a frame, its output, and the time from its arrival to its output in ms.

        `frame` is a value that differs (`!=`) between different frames, such as their bytes.
        """
        self._frames += 1
        self._milliseconds.append(milliseconds)
        self._newest_rad.append(steering_rad)
        # Frames are compared only while the steering is constant, because that takes time.
        if abs(steering_rad - self._last_rad) >= _UNMOVED_SPAN_RAD:
            self._unmoved = 0
        elif frame != self._last_frame:
            self._unmoved += 1
        self._last_rad, self._last_frame = steering_rad, frame

    def bad_frame(self, reason: str) -> None:
        """Count a frame that could not be decoded or used, with the reason."""
        self.bad_frames += 1
        self._bad_frame_reason = reason
        self._bad_frame_s = self._clock()

    def bad_output(self) -> None:
        """Count an output that is not a finite number."""
        self.bad_outputs += 1
        self._bad_output_s = self._clock()

    def take(self, period_s: float) -> tuple[Level, str, dict[str, str]]:
        """Return level, summary, and the values of the last `period_s`."""
        times, self._milliseconds = self._milliseconds, []
        values = {
            'frames': str(self._frames),
            'rate_hz': f'{len(times) / period_s:.1f}',
            'answer_p50_ms': f'{percentile(times, 50):.3f}' if times else '',
            'answer_max_ms': f'{max(times):.3f}' if times else '',
            'bad_frames': str(self.bad_frames),
            'bad_outputs': str(self.bad_outputs),
            'full_lock_share': f'{self._full_lock_share():.2f}',
        }
        level, summary = self._judge()
        if level is Level.OK and not times:
            summary = 'no frames'
        return level, summary, values

    @property
    def is_faulty(self) -> bool:
        """Whether the outputs show one of the three faults of a network."""
        return self._fault() is not None

    def _fault(self) -> tuple[Level, str] | None:
        if self._bad_output_s > self._clock() - _REMEMBERED_S:
            return Level.ERROR, 'the output of the network is not finite'
        if self._unmoved >= UNMOVED_FRAMES:
            return Level.WARN, 'the steering is constant: it does not depend on the frames'
        if self._full_lock_share() >= FULL_LOCK_SHARE:
            return Level.WARN, 'the steering is saturated: it is at its limit for most frames'
        return None

    def _judge(self) -> tuple[Level, str]:
        if fault := self._fault():
            return fault
        if self._bad_frame_s > self._clock() - _REMEMBERED_S:
            return Level.WARN, f'some frames are dropped: {self._bad_frame_reason}'
        return Level.OK, 'steering'

    def _full_lock_share(self) -> float:
        """Share of the newest frames at full lock, 0..1; 0 before there are enough frames."""
        if len(self._newest_rad) < WINDOW_FRAMES:
            return 0.0
        at_lock = sum(abs(angle) >= self._full_lock_rad for angle in self._newest_rad)
        return at_lock / WINDOW_FRAMES
