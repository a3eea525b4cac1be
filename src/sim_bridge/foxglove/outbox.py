# SPDX-License-Identifier: Apache-2.0
"""Outbox: the frames that wait for one viewer. It is bounded: it drops the oldest message."""

from __future__ import annotations

import asyncio
from collections import deque

MESSAGES_AT_MOST = 500
"""Messages that wait at most for one viewer: about a second of a drive."""
REPLIES_AT_MOST = 5000
"""Other frames that wait at most; a viewer that lets more wait does not read at all."""


class OutboxFullError(Exception):
    """Too many frames wait that must not be dropped."""


class Outbox:
    """Queue of WebSocket frames, for one asyncio loop.

    Frames that are no messages of topics, such as replies, are never dropped and go first.
    """

    def __init__(
        self, messages_at_most: int = MESSAGES_AT_MOST, replies_at_most: int = REPLIES_AT_MOST
    ) -> None:
        self.dropped = 0
        self._replies_at_most = replies_at_most
        self._messages: deque[bytes] = deque(maxlen=messages_at_most)
        self._replies: deque[bytes] = deque()
        self._filled = asyncio.Event()

    def put_message(self, frame: bytes) -> bool:
        """Append the message of a topic; return whether the oldest one was dropped for it."""
        is_full = len(self._messages) == self._messages.maxlen
        self.dropped += is_full
        self._messages.append(frame)
        self._filled.set()
        return is_full

    def put_reply(self, frame: bytes) -> None:
        """Append another frame. Raises OutboxFullError if too many of these wait."""
        if len(self._replies) >= self._replies_at_most:
            raise OutboxFullError
        self._replies.append(frame)
        self._filled.set()

    async def get(self) -> bytes:
        """Return the next frame; wait until there is one."""
        while not self._replies and not self._messages:
            self._filled.clear()
            await self._filled.wait()
        return self._replies.popleft() if self._replies else self._messages.popleft()
