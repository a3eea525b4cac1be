# SPDX-License-Identifier: Apache-2.0
"""A WebSocket server that is written by hand, frame by frame."""

import socket
import threading
from collections.abc import Callable
from typing import NamedTuple

OPEN = '0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":60000}'


def server_text(text: str) -> bytes:
    """An unmasked text frame, written by hand."""
    data = text.encode()
    if len(data) < 126:
        return bytes([0x81, len(data)]) + data
    return bytes([0x81, 126]) + len(data).to_bytes(2, 'big') + data


def unmask(frame: bytes) -> bytes:
    """Payload of a masked frame, read by hand."""
    size, start = frame[1] & 0x7F, 2
    if size == 126:
        size, start = int.from_bytes(frame[2:4], 'big'), 4
    mask, data = frame[start : start + 4], frame[start + 4 :]
    assert len(data) == size
    return bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


class Seen(NamedTuple):
    """A frame as the server saw it: first byte, payload."""

    head: int
    payload: bytes


class RawServer:
    """A WebSocket server of fifty lines, which plays one greeting to every connection."""

    def __init__(self, greeting: list[bytes]) -> None:
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.url = f'ws://127.0.0.1:{self._listener.getsockname()[1]}'
        self._greeting = greeting
        self.connections: list[socket.socket] = []
        self.requests: list[bytes] = []
        self.frames: list[Seen] = []
        threading.Thread(target=self._serve, name='raw server', daemon=True).start()

    def send(self, data: bytes) -> None:
        self.connections[-1].sendall(data)

    def messages(self) -> list[bytes]:
        """Whole text messages so far, fragments joined."""
        whole: list[bytes] = []
        for head, payload in self.frames:
            if head & 0x0F == 0:
                whole[-1] += payload
            elif head & 0x0F == 1:
                whole.append(payload)
        return whole

    def telemetries(self) -> int:
        complete = sum(head in (0x80, 0x81) for head, _ in self.frames)
        return sum(m.startswith(b'42["telemetry"') for m in self.messages()[:complete])

    def close(self) -> None:
        for connection in (*self.connections, self._listener):
            connection.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection: socket.socket) -> None:
        with connection, connection.makefile('rb') as stream:
            try:
                self.requests.append(b''.join(iter(stream.readline, b'\r\n')))
                connection.sendall(b'HTTP/1.1 101 Switching Protocols\r\n\r\n')
                connection.sendall(b''.join(self._greeting))
                while head := stream.read(2):
                    self.frames.append(self._read_frame(head, stream.read))
            except OSError:
                return

    @staticmethod
    def _read_frame(head: bytes, read: Callable[[int], bytes]) -> Seen:
        extended = read(2) if head[1] & 0x7F == 126 else b''
        size = int.from_bytes(extended, 'big') if extended else head[1] & 0x7F
        return Seen(head[0], unmask(head + extended + read(4 + size)))


def steer(angle: float, throttle: float) -> bytes:
    """A command in the words of the simulator."""
    values = f'"steering_angle":"{angle:.6f}","throttle":"{throttle:.6f}"'
    return server_text(f'42["steer",{{{values}}}]')


class AnsweringServer(RawServer):
    """Answers every telemetry with the same command."""

    command = steer(0.0, 0.2)

    def _read_frame(self, head: bytes, read: Callable[[int], bytes]) -> Seen:  # type: ignore[override]
        seen = super()._read_frame(head, read)
        if seen.head == 0x80 or b'null]' in seen.payload:
            self.send(self.command)
        return seen
