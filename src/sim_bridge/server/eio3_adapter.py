# SPDX-License-Identifier: Apache-2.0
"""Filters the messages of a client's WebSocket, and adapts Engine.IO 3 to Engine.IO 4.

Pure: works on any object with `wait`, `send` and `close`, and knows no socket.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

EIO3 = 'sim_bridge.eio3'
"""Key in the environ of a connection that speaks Engine.IO 3, as only the simulator does."""

MAX_MESSAGE_BYTES = 1_000_000
"""Largest message; a telemetry has some 20 kB."""

MALFORMED_AT_MOST = 100
"""Unreadable messages after which a connection is closed. A simulator never sends one."""

_ENGINE_IO = {'1', '2', '2probe', '3', '3probe', '5', '6'}
_SOCKET_IO = ('40', '41', '42')


def may_pass(message: str | bytes) -> bool:
    """Whether a message is of a kind that a client has a reason to send.

    Binary messages, attachments, acknowledgements and messages that Engine.IO cannot read are
    not. Socket.IO reads the rest of the message.
    """
    return isinstance(message, str) and (message in _ENGINE_IO or message.startswith(_SOCKET_IO))


class Eio3Adapter:
    """A WebSocket that looks to Engine.IO like that of a modern client.

    A client speaks Engine.IO 3 if its first message is one that a modern client cannot send: the
    bare ping `2`, or an event before the namespace was opened. The adapter then adds the message
    `40`, which opens the namespace, and answers the pings. Messages that no client has a reason to
    send are dropped and reported to `on_malformed`; all others pass unchanged.
    """

    def __init__(self, ws: Any, on_malformed: Callable[[], None]) -> None:
        self._ws = ws
        self.socket = ws.socket
        self._on_malformed = on_malformed
        self._malformed = 0
        self._waiting: deque[str] = deque()
        self._is_eio3: bool | None = None
        if EIO3 in ws.environ:
            self._begin_eio3()

    def wait(self) -> str | None:
        """Return the next message; None when the connection is closed."""
        while not self._waiting:
            message = self._ws.wait()
            if message is None:
                return None
            if may_pass(message):
                self._take(message)
            elif not self._tolerates():
                self._ws.close()
                return None
        return self._waiting.popleft()

    def send(self, message: str | bytes) -> None:
        """Send one message."""
        self._ws.send(message)

    def close(self) -> None:
        """Close the connection."""
        self._ws.close()

    def _tolerates(self) -> bool:
        self._on_malformed()
        self._malformed += 1
        return self._malformed < MALFORMED_AT_MOST

    def _take(self, message: str) -> None:
        if self._is_eio3 is None and message != '3':
            if message == '2' or message.startswith('42'):
                self._begin_eio3()
            else:
                self._is_eio3 = False
        if self._is_eio3 and message == '2':
            self._ws.send('3')
        else:
            self._waiting.append(message)

    def _begin_eio3(self) -> None:
        self._is_eio3 = True
        self._ws.environ[EIO3] = True
        self._waiting.append('40')
