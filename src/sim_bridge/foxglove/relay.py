# SPDX-License-Identifier: Apache-2.0
"""Relay: the port that viewers connect to. It checks each handshake and bounds each queue.

foxglove-sdk accepts every Origin and drops messages without a count. So it listens on an address
of 127.0.0.0/8 that web pages cannot guess, and the relay passes the frames of accepted viewers
on. The relay has a thread of its own, on which everything but `start` and `stop` runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

from sim_bridge.foxglove.handshake import ViewerCheck, headers_of
from sim_bridge.foxglove.outbox import Outbox, OutboxFullError
from sim_bridge.server.listening import ServerError, is_loopback, listen

VIEWERS_AT_MOST = 16
_HEAD_BYTES = 16 * 1024
_HEAD_S = 5.0
_CLOSE_S = 1.0
_UNACKNOWLEDGED_MS = 10_000
_BUFFER_BYTES = 64 * 1024
_CHUNK_BYTES = 64 * 1024
_END_OF_HEAD = b'\r\n\r\n'
_BINARY_FRAME = 0x82
_MESSAGE_DATA = 1
"""First byte of the payload of a message of a topic, in the protocol of Foxglove."""
_GONE = (
    ConnectionError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncio.LimitOverrunError,
    OutboxFullError,
)


class Relay:
    """Relays between viewers and a Foxglove server on this machine."""

    def __init__(self, host: str, port: int, check: ViewerCheck) -> None:
        """Bind at once; port 0 takes any free one. Raises ServerError if that is not possible."""
        self._check = check
        try:
            self._listener = listen(
                host,
                port,
                backlog=VIEWERS_AT_MOST,
                unacknowledged_ms=_UNACKNOWLEDGED_MS,
                family=socket.AF_INET6 if ':' in host else socket.AF_INET,
            )
        except ServerError as error:
            raise ServerError(f'Foxglove: {error}') from error
        self._server: tuple[str, int] = ('', 0)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name='foxglove-relay', daemon=True)
        self._stopped = asyncio.Event()
        self.viewers = 0
        self.relayed = 0
        self.dropped = 0

    @property
    def port(self) -> int:
        """TCP port that viewers connect to."""
        return int(self._listener.getsockname()[1])

    @property
    def is_local(self) -> bool:
        """Whether only programs of this machine can connect."""
        return is_loopback(self._listener.getsockname()[0])

    def start(self, server: tuple[str, int]) -> None:
        """Accept viewers and connect them to the Foxglove server at this address and port."""
        self._server = server
        self._thread.start()

    def stop(self) -> None:
        """Close all connections and the port."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()
        else:
            self._loop.close()
        self._listener.close()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, sock=self._listener, limit=_HEAD_BYTES)
        await self._stopped.wait()
        server.close()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.viewers += 1
        try:
            # At the end of the loop Python 3.11 logs an error for each cancelled connection.
            with contextlib.suppress(*_GONE, asyncio.CancelledError):
                await self._relay(reader, writer)
            await _close(writer)
        finally:
            self.viewers -= 1
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_HEAD_S):
            head = await reader.readuntil(_END_OF_HEAD)
        if self.viewers > VIEWERS_AT_MOST:
            _refuse(writer, '503 Service Unavailable', 'too many viewers are connected')
            return
        if not self._check.allows(headers_of(head)):
            _refuse(
                writer,
                '403 Forbidden',
                'this page may not connect; allow its name with the parameter allowed_hosts',
            )
            return
        from_server, to_server = await asyncio.open_connection(*self._server)
        try:
            to_server.write(head)
            writer.write(await from_server.readuntil(_END_OF_HEAD))
            await self._relay_frames(reader, writer, from_server, to_server)
        finally:
            to_server.transport.abort()

    async def _relay_frames(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        from_server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        """Relay in both directions until one of the ends closes."""
        outbox = Outbox()
        writer.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        ways = [
            asyncio.create_task(way)
            for way in (
                _copy(reader, to_server),
                self._fill(outbox, from_server),
                _empty(outbox, writer),
            )
        ]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for way in done:
            way.result()

    async def _fill(self, outbox: Outbox, reader: asyncio.StreamReader) -> None:
        """Put the frames of the server into the outbox, without waiting for the viewer."""
        while True:
            frame, is_message = await read_frame(reader)
            if is_message:
                self.relayed += 1
                self.dropped += outbox.put_message(frame)
            else:
                outbox.put_reply(frame)


async def read_frame(reader: asyncio.StreamReader) -> tuple[bytes, bool]:
    """Read one WebSocket frame of a server; return it, and whether it is a message of a topic."""
    head = await reader.readexactly(2)
    length = head[1] & 0x7F
    if length >= 126:
        extended = await reader.readexactly(2 if length == 126 else 8)
        head += extended
        length = int.from_bytes(extended)
    payload = await reader.readexactly(length)
    return head + payload, head[0] == _BINARY_FRAME and payload[:1] == bytes([_MESSAGE_DATA])


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _empty(outbox: Outbox, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(await outbox.get())
        await writer.drain()


def _refuse(writer: asyncio.StreamWriter, status: str, why: str) -> None:
    body = f'{why}\n'.encode()
    head = f'HTTP/1.1 {status}\r\nContent-Type: text/plain; charset=utf-8\r\n'
    writer.write(f'{head}Content-Length: {len(body)}\r\nConnection: close\r\n\r\n'.encode() + body)


async def _close(writer: asyncio.StreamWriter) -> None:
    """Close a connection, after the rest of its output or a second."""
    writer.close()
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(_CLOSE_S):
            await writer.wait_closed()
