# SPDX-License-Identifier: Apache-2.0
"""Streams of the live page: the newest frame, and plots of the last minute.

The thread that serves the pages also serves the car. So nothing here decodes or encodes an image,
or waits: a frame is passed on as it came, a message is written once for all pages, and a page that
reads slowly misses messages. Pure: clock and pause are passed in.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

PERIOD_S = 0.1
"""Time between two moments, and between two frames on a page."""

BOUNDARY = 'frame'
HISTORY_S = 60.0
STREAMS_AT_MOST = 16
_STATUS_PERIOD_S = 1.0
_FRAME_AGAIN_S = 2.0


@dataclass(frozen=True)
class Moment:
    """One point of every plot.

    at_s: the server's monotonic clock. recorded_rad: angle of the wheels, left positive.
    commanded_rad, throttle (-1..1), latency_ms: of the newest answer. latency_ms is None if that
    answer did not need the nodes, as while a person drives. limit_mps: None if unknown.
    driver: what drives, as the topic `driver/active` names it.
    """

    at_s: float
    recorded_rad: float
    commanded_rad: float
    speed_mps: float
    limit_mps: float | None
    throttle: float
    latency_ms: float | None
    driver: str = ''


class StreamsFullError(RuntimeError):
    """So many streams are open that another one could slow down the drive."""


class StreamLimit:
    """Number of open streams of all cars together, at most STREAMS_AT_MOST."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> None:
        """Count a stream that opens. Raises StreamsFullError if too many are open."""
        if self.taken >= STREAMS_AT_MOST:
            raise StreamsFullError(f'{self.taken} streams are open; close a page')
        self.taken += 1

    def release(self) -> None:
        """Count a stream that was closed."""
        self.taken -= 1


class LiveFeed:
    """Newest frame and last minute of a car, and streams of both. Belongs to one thread."""

    def __init__(
        self,
        status: Callable[[], dict[str, Any]],
        limit: StreamLimit,
        *,
        clock: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        """`status` returns the state for the page; `sleep` pauses one stream and no other."""
        self._read_status = status
        self._clock = clock
        self._sleep = sleep
        self._jpeg = b''
        self._frames = 0
        self._moments: deque[Moment] = deque(maxlen=round(HISTORY_S / PERIOD_S))
        self._moment_message = b''
        self._status_message = b''
        self._status_due_s = float('-inf')
        self._limit = limit

    @property
    def has_frame(self) -> bool:
        """Whether a frame has come."""
        return bool(self._jpeg)

    def keep(self, jpeg: bytes) -> bool:
        """Keep the newest frame; return whether a `Moment` is due with it."""
        self._jpeg = jpeg
        self._frames += 1
        # A little early counts as due, because 20 frames/s would otherwise give every third one.
        return not self._moments or self._clock() - self._moments[-1].at_s > 0.8 * PERIOD_S

    def add(self, moment: Moment) -> None:
        """Add a point to the plots, and send the status at once if something else drives now."""
        if self._moments and moment.driver != self._moments[-1].driver:
            self.refresh()
        self._moments.append(moment)
        self._moment_message = _event('moment', rounded(moment))

    def refresh(self) -> None:
        """Send the status to the pages at once."""
        self._status_due_s = float('-inf')

    def events(self) -> Stream:
        """Server-sent events: `history` at once, then `moment`s, and each second `status`.

        Raises StreamsFullError if too many streams are open.
        """
        return self._open(self._events())

    def frames(self) -> Stream:
        """Body of multipart/x-mixed-replace: the newest JPEG, at most ten a second.

        Raises StreamsFullError if too many streams are open.
        """
        return self._open(self._parts())

    def _open(self, chunks: Iterator[bytes]) -> Stream:
        self._limit.take()
        return Stream(chunks, self._limit.release)

    def _events(self) -> Iterator[bytes]:
        yield _event('history', [rounded(moment) for moment in self._moments])
        moment = status = b''
        while True:
            news = b''
            if moment is not self._moment_message:
                news += (moment := self._moment_message)
            if status is not self._status():
                news += (status := self._status_message)
            if news:
                yield news
            self._sleep(PERIOD_S)

    def _status(self) -> bytes:
        """Return the status message of this second, written once for all pages."""
        now_s = self._clock()
        if now_s >= self._status_due_s:
            self._status_due_s = now_s + _STATUS_PERIOD_S
            message = {'now_s': round(now_s, 3), 'has_frame': self.has_frame}
            self._status_message = _event('status', message | self._read_status())
        return self._status_message

    def _parts(self) -> Iterator[bytes]:
        """Yield frames, each with its boundary at once: a browser shows a frame that has ended.

        An old frame is sent again now and then, because only a write shows that a page is gone.
        """
        sent, sent_at_s = -1, 0.0
        yield f'--{BOUNDARY}\r\n'.encode()
        while True:
            now_s = self._clock()
            if sent != self._frames or now_s - sent_at_s >= _FRAME_AGAIN_S:
                sent, sent_at_s = self._frames, now_s
                yield _part(self._jpeg)
            self._sleep(PERIOD_S)


class Stream:
    """Chunks of a body; calls `closed` once, when its reader is gone."""

    def __init__(self, chunks: Iterator[bytes], closed: Callable[[], None]) -> None:
        self._chunks = chunks
        self._closed: Callable[[], None] | None = closed

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        """End the stream. The server calls this when the body ends."""
        if self._closed:
            self._closed()
            self._closed = None


def rounded(moment: Moment) -> dict[str, float | str | None]:
    """Return the fields of a moment, numbers rounded to four decimals to keep messages short."""
    return {
        name: round(value, 4) if isinstance(value, float) else value
        for name, value in asdict(moment).items()
    }


def _event(name: str, data: object) -> bytes:
    text = json.dumps(data, separators=(',', ':'), allow_nan=False)
    return f'event: {name}\ndata: {text}\n\n'.encode()


def _part(jpeg: bytes) -> bytes:
    head = f'Content-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n'
    return head.encode() + jpeg + f'\r\n--{BOUNDARY}\r\n'.encode()
