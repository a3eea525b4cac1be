# SPDX-License-Identifier: Apache-2.0
"""Protocol of the simulator's Socket.IO client: bytes in, bytes out. It has no socket.

It behaves as the C# networking source of the real simulator, which speaks Engine.IO 3 over a
WebSocket that announces EIO=4. It copies every peculiarity, so that a server that works with this
class also works with the real simulator. It also accepts the events of `Control`, which the real
one ignores.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import NamedTuple

from sim_bridge.protocol.types import Control, HalfCommandError, PacketError
from sim_bridge.protocol.udacity import (
    EVENT_MANUAL,
    EVENT_STEER,
    EVENT_TELEMETRY,
    Culture,
    decode_command,
)
from sim_bridge.protocol.websocket_frames import (
    CLOSE,
    CONTINUATION,
    FINAL,
    MASKED,
    PING,
    PONG,
    TEXT,
    encode_frame,
)

PATH = '/socket.io/?EIO=4&transport=websocket'
WEBSOCKET_KEY = 'c2ltX2JyaWRnZSB0cmFjaw=='
FRAGMENT_BYTES = 1016
PING_PERIOD_S = 25.0
MAX_MESSAGE_BYTES = 1 << 20
_CONTROLS = {control.value for control in Control}


class AbortError(Exception):
    """The server sent bytes that make the real client abort its connection and reconnect."""


def upgrade_request(host: str, port: int) -> bytes:
    """Return the HTTP request that opens the WebSocket, the same at every attempt."""
    # An address of IPv6 has brackets, because it has colons itself.
    name = f'[{host}]' if ':' in host else host
    lines = (
        f'GET {PATH} HTTP/1.1',
        'User-Agent: websocket-sharp/1.0',
        f'Host: {name}:{port}',
        'Upgrade: websocket',
        'Connection: Upgrade',
        f'Sec-WebSocket-Key: {WEBSOCKET_KEY}',
        'Sec-WebSocket-Version: 13',
        '',
        '',
    )
    return '\r\n'.join(lines).encode('ascii')


def check_upgrade_reply(head: bytes) -> None:
    """Raise AbortError unless `head`, up to the blank line, is a reply the client accepts."""
    status, *lines = head.decode('latin-1').split('\r\n')
    if status.split(' ')[1:2] != ['101']:
        raise AbortError(f'the server answered {status[:60]!r}, not 101')
    names = {line.partition(':')[0].strip().lower() for line in lines}
    for name in ('sec-websocket-extensions', 'sec-websocket-protocol'):
        if name in names:
            raise AbortError(f'the server offers {name}, which was not requested')


def encode_text(text: str, new_mask: Callable[[], bytes]) -> list[bytes]:
    """Return the frames of a text message, each to be its own write to the socket."""
    data = text.encode()
    parts = [data[i : i + FRAGMENT_BYTES] for i in range(0, len(data), FRAGMENT_BYTES)] or [b'']
    last = len(parts) - 1
    return [
        encode_frame(TEXT if i == 0 else CONTINUATION, part, new_mask(), final=i == last)
        for i, part in enumerate(parts)
    ]


class Frame(NamedTuple):
    """One unmasked frame from the server."""

    opcode: int
    payload: bytes
    final: bool


class FrameReader:
    """Splits the byte stream of the server into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes and yield every frame that is now complete. Raises AbortError."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        if buffer[0] & 0x70 or buffer[1] & MASKED:
            raise AbortError('the server sent a masked or extended frame')
        start, size = 2, buffer[1]
        if size >= 126:
            start = 4 if size == 126 else 10
            if len(buffer) < start:
                return None
            size = int.from_bytes(buffer[2:start], 'big')
        if size > MAX_MESSAGE_BYTES:
            raise AbortError(f'the server sent a frame of {size} bytes')
        if len(buffer) < start + size:
            return None
        frame = Frame(buffer[0] & 0x0F, bytes(buffer[start : start + size]), buffer[0] >= FINAL)
        del buffer[: start + size]
        return frame


class CarCommand(NamedTuple):
    """Command for the car; with a throttle of None the car keeps its last throttle."""

    steering_rad: float
    throttle: float | None


class Received(NamedTuple):
    """Result of some received bytes; each list is sorted by arrival.

    replies: frames to write at once. commands: for the car or the simulator. tokens: telemetries
    that are now due. steers: steer events among those that gave a token. lost: ignored events,
    each of which loses a token. pong: the answer to our PING arrived. closed: the server closed
    the connection.
    """

    replies: list[bytes]
    commands: list[CarCommand | Control]
    tokens: int = 0
    steers: int = 0
    lost: int = 0
    pong: bool = False
    closed: bool = False


class ClientProtocol:
    """The state of one connection after its HTTP upgrade; make a new one for each connection."""

    def __init__(self, culture: Culture, new_mask: Callable[[], bytes]) -> None:
        """`new_mask` returns 4 bytes for each frame sent."""
        self._culture = culture
        self._new_mask = new_mask
        self._reader = FrameReader()
        self._message = bytearray()
        self._in_message = False

    def ping(self) -> list[bytes]:
        """Return the frames of the Engine.IO PING."""
        return encode_text('2', self._new_mask)

    def telemetry(self, payload: object) -> list[bytes]:
        """Return the frames of one telemetry; a payload of None means manual driving."""
        event = json.dumps([EVENT_TELEMETRY, payload], separators=(',', ':'), ensure_ascii=False)
        return encode_text('42' + event, self._new_mask)

    def quitting(self) -> list[bytes]:
        """Return the frames that the simulator sends when its window is closed."""
        return [
            *encode_text('41', self._new_mask),
            *encode_text('1', self._new_mask),
            encode_frame(CLOSE, b'', self._new_mask()),
        ]

    def receive(self, data: bytes) -> Received:
        """Process bytes from the server. Raises AbortError where the real client aborts."""
        received = Received([], [])
        for frame in self._reader.feed(data):
            received = self._on_frame(frame, received)
        return received

    def _on_frame(self, frame: Frame, received: Received) -> Received:
        if frame.opcode == PING:
            received.replies.append(encode_frame(PONG, frame.payload, self._new_mask()))
        elif frame.opcode == CLOSE:
            received.replies.append(encode_frame(CLOSE, frame.payload[:2], self._new_mask()))
            return received._replace(closed=True)
        elif frame.opcode in (TEXT, CONTINUATION):
            return self._on_text(frame, received)
        elif frame.opcode != PONG:
            raise AbortError('the server sent a binary frame')
        return received

    def _on_text(self, frame: Frame, received: Received) -> Received:
        if self._in_message != (frame.opcode == CONTINUATION):
            raise AbortError('the server sent the fragments of a message in a wrong sequence')
        self._message += frame.payload
        self._in_message = not frame.final
        if len(self._message) > MAX_MESSAGE_BYTES:
            raise AbortError(f'the server sent a message of more than {MAX_MESSAGE_BYTES} bytes')
        if not frame.final:
            return received
        text = self._message.decode('utf-8', errors='replace')
        self._message.clear()
        return self._on_message(text, received)

    def _on_message(self, text: str, received: Received) -> Received:
        if text.startswith('0{'):
            return received._replace(tokens=received.tokens + 1)
        if text == '2':
            received.replies.extend(encode_text('3', self._new_mask))
        elif text == '3':
            return received._replace(pong=True)
        elif text.startswith('42'):
            return self._on_event(text[2:], received)
        elif text in ('', '4'):
            raise AbortError(f'the server sent {text!r} as a message')
        return received

    def _on_event(self, text: str, received: Received) -> Received:
        name, data = _parse_event(text)
        if name == EVENT_MANUAL:
            return received._replace(tokens=received.tokens + 1)
        if name in _CONTROLS:
            received.commands.append(Control(name))
            return received
        try:
            if name != EVENT_STEER:
                raise PacketError(f'the simulator has no event {name!r}')
            command = decode_command(data, self._culture)
            received.commands.append(CarCommand(command.steering_rad, command.throttle))
        except HalfCommandError as error:
            received.commands.append(CarCommand(error.steering_rad, None))
        except PacketError:
            pass
        else:
            return received._replace(tokens=received.tokens + 1, steers=received.steers + 1)
        return received._replace(lost=received.lost + 1)


def _parse_event(text: str) -> tuple[object, dict[str, object]]:
    """Return name and data of `[/namespace,][ack id][...]`."""
    try:
        items = json.loads(text[text.index('[') :])
    except (ValueError, RecursionError) as error:
        raise AbortError(f'the server sent an event that is not JSON: {text[:40]!r}') from error
    name, data = (*items, {})[:2] if items else (None, None)
    if len(items) > 2 or not isinstance(data, dict):
        raise AbortError(f'the server sent an event of another shape: {text[:40]!r}')
    return name, data
