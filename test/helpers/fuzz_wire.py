# SPDX-License-Identifier: Apache-2.0
"""Fuzz the wire: mutated telemetries and frames through the server's own path, without a socket.

Bytes go through the WebSocket, Eio3Adapter, Engine.IO, Socket.IO, the decoder and the sessions
as they do in the bridge, and frames that are accepted through the JPEG decoder. Inputs that reach
lines which none reached before are kept and mutated further.

    make fuzz N=1000000 ARGS="--seed 1"

Exits 1 with the input if anything is raised, takes too long, or is answered twice or not at all.
"""

from __future__ import annotations

import argparse
import base64
import json
import logging
import random
import sys
import time
from types import FrameType, SimpleNamespace

import numpy as np

# First, because it silences eventlet's warning.
from sim_bridge.server.websocket import OWNER, wrap_websocket  # isort: skip
from engineio import packet
from engineio.exceptions import SocketIsClosedError, UnknownPacketError
from engineio.socket import Socket
from eventlet.websocket import RFC6455WebSocket

from helpers.tracks import TEST_SEEDS
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.types import Link, Telemetry
from sim_bridge.protocol.udacity import CULTURES, encode_telemetry
from sim_bridge.protocol.websocket_frames import encode_frame
from sim_bridge.server.eio3_adapter import EIO3, MAX_MESSAGE_BYTES
from sim_bridge.server.simulator_server import SimulatorServer
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.timeouts import AnswerTimeouts
from sim_bridge.simulator.client_protocol import encode_text
from sim_bridge.simulator.fault_injection import CHANCES, Spoiler, parse_faults
from sim_bridge.simulator.samples import samples
from steering_net.errors import ImageError
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg

LONGEST_S = 2.0
CORPUS_AT_MOST = 2000
TELEMETRIES = 54
"""So many of the real messages are whole telemetries."""
TRACE_ALL = 5000
TRACE_EVERY = 10
"""Tracing costs most of the time: after the first inputs only every tenth is traced."""
FRAME_S = 0.02
TRACED = ('sim_bridge/', 'eventlet/websocket.py', 'engineio/packet.py', 'socketio/packet.py')
NASTY = [
    '"', '\\', '\\u0000', '\\ud800', '[', ']', '{', '}', ',', ':', 'null', 'true', '-', '+', '1e9',
    'NaN', 'Infinity', '-0', '1e400', '9' * 50, '0.0000', '-1,234.5000', '1.234,5000', '\u0660',
    '[' * 2000, '{"a":' * 500, '=', '====', '/9j/', '\xff', '\u2028', '2', '3', '40', '41', '42',
    '42["telemetry",null]', '42["telemetry"]', '42["manual",{}]', '42/x,', '427', '451-', '1', '0',
    'telemetry', 'image', 'speed', 'throttle', 'steering_angle', '_placeholder', '\x1e',
]  # fmt: skip
HEADS = [
    bytes([first, second])
    for first in (0x01, 0x00, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A, 0xC1, 0x83, 0x8F)
    for second in (0x80, 0x85, 0xFE, 0xFF, 0x05)
]


class Failure(AssertionError):
    """What must never happen, with the input that makes it happen."""


class _Bytes:
    """A socket that has received these bytes and no more will come."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self.fd = self

    def recv(self, size: int) -> bytes:
        self._at += size
        return self._data[self._at - size : self._at]

    def __getattr__(self, _name: str):
        return lambda *_args, **_options: None


class Bridge:
    """The server's path and the sessions behind it, on a clock of its own."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.server = SimulatorServer(
            host='127.0.0.1', port=0, pages=lambda *_: [], clock=lambda: self.now_s
        )
        self._server_send = self.server.send
        self.server.send = self._send
        self.server.attach(self)
        self.server._call = self._call
        self.server._sio.eio.start_background_task = lambda *_args, **_options: None
        for library in (self.server._sio, self.server._sio.eio):
            library.logger = _Alarm()
        self.mistake: Exception | None = None
        self.stamp = 0
        self.sessions = SessionManager(AnswerTimeouts(), inspect_image)
        self.sent: list[tuple[str, str]] = []
        self.accepted = self.refused = self.undecodable = self.messages = 0

    def close(self) -> None:
        self.server._socket.close()

    def connected(self, now_s: float, sid: str, link: Link, *, is_simulator: bool) -> None:
        self.sessions.connected(now_s, sid, link, is_simulator=is_simulator)

    def disconnected(self, now_s: float, sid: str) -> None:
        self.sessions.disconnected(now_s, sid)

    def drives(self, now_s: float, sid: str) -> bool:
        return self.sessions.drives(now_s, sid)

    def expire(self, now_s: float) -> None:
        """Time passes in `_settle` only."""

    def next_deadline(self) -> float:
        return float('inf')

    def telemetry(self, now_s: float, sid: str, payload: object) -> None:
        """One token: whatever it carries, it has to be answered once."""
        self.stamp += 1
        self.sent.clear()
        driven = self.sessions.telemetry(now_s, sid, payload, self.stamp)
        if driven is not None:
            session, frame = driven
            self._decode(frame.jpeg)
            session.throttle(now_s, 0.5)
            session.steering(now_s, self.stamp, 0.1)
        self._settle()
        if [to for to, _ in self.sent] != [sid]:
            raise Failure(f'answers: {self.sent}')
        self.accepted += driven is not None
        self.refused += driven is None and payload is not None

    def _call(self, function) -> None:
        """Replaces the server's own method, which would only log an error."""
        try:
            function(self.now_s)
        except Exception as error:  # noqa: BLE001
            self.mistake = error

    def _send(self, sid: str, event: str, data) -> None:
        self.sent.append((sid, event))
        self._server_send(sid, event, data)

    def _settle(self) -> None:
        """Let a second's deadlines pass, but not the keepalive after a silence."""
        for _ in range(20):
            self.now_s += FRAME_S
            self.sessions.expire(self.now_s)

    def _decode(self, jpeg: bytes) -> None:
        try:
            decode_jpeg(jpeg)
        except ImageError:
            self.undecodable += 1

    def feed(self, data: bytes) -> None:
        """One connection that brings these bytes and ends."""
        eio = self.server._sio.eio
        environ = {OWNER: self.server, EIO3: True}
        ws = RFC6455WebSocket(_Bytes(data), environ, 13, max_frame_length=MAX_MESSAGE_BYTES)
        ws.log = SimpleNamespace(write=lambda _text: None)
        wire = wrap_websocket(ws)
        connection = eio.sockets['fuzz'] = Socket(eio, 'fuzz')
        connection.connected = connection.upgraded = True
        eio._trigger_event('connect', 'fuzz', environ, run_async=False)
        try:
            self._read(connection, wire)
        finally:
            connection.close(wait=False, abort=True)
            eio.sockets.pop('fuzz', None)
        if self.mistake is not None:
            raise self.mistake

    def _read(self, connection: Socket, wire) -> None:
        """What Engine.IO's own loop does, but for catching what it would have to log."""
        while not connection.closed:
            try:
                message = wire.wait()
            except UnicodeDecodeError:
                return
            if message is None:
                return
            self.messages += 1
            try:
                connection.receive(packet.Packet(encoded_packet=message))
            except UnknownPacketError:
                continue
            except SocketIsClosedError:
                return


class _Alarm(logging.Logger):
    """Whatever the libraries would log as an error is one that nobody foresaw."""

    def __init__(self) -> None:
        super().__init__('alarm', logging.ERROR)

    def handle(self, record: logging.LogRecord) -> None:
        raise Failure(record.getMessage()) from (record.exc_info or (None, None))[1]


class Coverage:
    """Lines of the path that were reached so far."""

    def __init__(self) -> None:
        self.lines: set[tuple[int, int]] = set()

    def run(self, function, *args) -> bool:
        """Call it; whether it reached a new line."""
        before = len(self.lines)
        sys.settrace(self._on_call)
        try:
            function(*args)
        finally:
            sys.settrace(None)
        return len(self.lines) > before

    def _on_call(self, frame: FrameType, _event: str, _arg: object):
        return self._on_line if any(t in frame.f_code.co_filename for t in TRACED) else None

    def _on_line(self, frame: FrameType, _event: str, _arg: object):
        self.lines.add((id(frame.f_code), frame.f_lineno))
        return self._on_line


def real_messages() -> list[str]:
    """What simulators send: frames of the track in all cultures, a person, faults, disconnects."""
    rng = np.random.default_rng(1)
    jpegs = [encode_jpeg(sample.rgb) for sample in samples(TEST_SEEDS[0], 3, rng)]
    jpegs += [
        encode_jpeg(sample.rgb[::2, ::2].copy()) for sample in samples(TEST_SEEDS[1], 6, rng)
    ]
    frames = [Telemetry(0.1, 0.3, 5.0, jpeg) for jpeg in jpegs]
    fields = [
        encode_telemetry(frame, culture) for frame in frames for culture in CULTURES.values()
    ]
    spoiled = [
        payload
        for kind in CHANCES
        for payload in Spoiler(parse_faults(f'{kind}:1')).payloads(fields[-1])
    ]
    events = [json.dumps(['telemetry', payload]) for payload in [*fields, *spoiled, None]]
    return [*(f'42{event}' for event in events), '2', '3', '41', '1']


def framed(message: str) -> bytes:
    """As the simulator sends it: masked, in fragments."""
    return b''.join(encode_text(message, lambda: b'\x01\x02\x03\x04'))


class Mutator:
    """Makes new inputs from old ones, as text before it is framed or as bytes afterwards."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def input(self, corpus: list[bytes], messages: list[str]) -> bytes:
        """One connection's worth of bytes."""
        chance = self._rng.random()
        if chance < 0.4:
            return b''.join(framed(self._event(messages)) for _ in range(self._rng.randint(1, 3)))
        if chance < 0.7:
            return framed(self._text(self._rng.choice(messages)))
        data = bytearray(self._rng.choice(corpus))
        for _ in range(self._rng.randint(1, 4)):
            self._change_bytes(data, corpus)
        return bytes(data)

    def _event(self, messages: list[str]) -> str:
        """A telemetry, well-formed on the outside, of which one field is not."""
        fields = json.loads(self._rng.choice(messages[:TELEMETRIES])[2:])[1]
        name = self._rng.choice(list(fields))
        if name == 'image' and self._rng.random() < 0.8:
            jpeg = bytearray(base64.b64decode(fields[name]))
            self._change_bytes(jpeg, [bytes(jpeg)])
            fields[name] = base64.b64encode(jpeg).decode()
        else:
            fields[name] = self._text(fields[name])
        return '42' + json.dumps(['telemetry', fields])

    def _text(self, text: str) -> str:
        for _ in range(self._rng.choice((1, 1, 2, 4))):
            at = self._place(len(text))
            piece = self._rng.choice(NASTY) if self._rng.random() < 0.7 else chr(self._point())
            until = at + self._rng.choice((0, 0, 1, 1, 4, 20, len(text)))
            text = text[:at] + piece + text[until:]
        return text.encode('utf-8', 'replace').decode()

    def _place(self, size: int) -> int:
        """Mostly near either end, because the middle is a picture."""
        near = min(size, self._rng.choice((20, 100, 100, size)))
        at = self._rng.randint(0, near)
        return at if self._rng.random() < 0.8 else size - at

    def _point(self) -> int:
        return self._rng.choice((self._rng.randrange(128), self._rng.randrange(0xD7FF)))

    def _change_bytes(self, data: bytearray, corpus: list[bytes]) -> None:
        at = self._place(len(data))
        kind = self._rng.randrange(6)
        if kind == 0 and data:
            data[min(at, len(data) - 1)] ^= 1 << self._rng.randrange(8)
        elif kind == 1:
            del data[at : at + self._rng.choice((1, 2, 6, 1000))]
        elif kind == 2:
            data[at:at] = self._rng.choice(HEADS)
        elif kind == 3:
            data[at:at] = self._rng.randbytes(self._rng.choice((1, 2, 8)))
        elif kind == 4:
            other = self._rng.choice(corpus)
            data[at:] = other[self._place(len(other)) :]
        else:
            opcode = self._rng.randrange(16)
            data[at:at] = encode_frame(opcode, self._rng.randbytes(3), b'abcd')


def fuzz(inputs: int, seed: int, on_progress=lambda done, bridge: None) -> dict[str, object]:
    """Feed so many inputs; return what was seen. Failure carries the first bad input."""
    bridge, coverage = Bridge(), Coverage()
    messages = real_messages()
    corpus = [framed(message) for message in messages]
    mutator = Mutator(random.Random(seed))
    slowest_s = 0.0
    try:
        for number in range(inputs):
            is_new = number >= len(corpus)
            data = mutator.input(corpus, messages) if is_new else corpus[number]
            started_s = time.thread_time()
            try:
                if number < TRACE_ALL or number % TRACE_EVERY == 0:
                    found = coverage.run(bridge.feed, data)
                else:
                    found = False
                    bridge.feed(data)
            except Exception as error:
                raise Failure(f'input {number}: {error!r} for {data[:3000]!r}') from error
            slowest_s = max(slowest_s, time.thread_time() - started_s)
            if slowest_s > LONGEST_S:
                raise Failure(f'input {number} took {slowest_s:.1f} s: {data[:3000]!r}')
            if found and is_new and len(corpus) < CORPUS_AT_MOST:
                corpus.append(data)
            on_progress(number + 1, bridge)
    finally:
        bridge.close()
    return {
        'inputs': inputs,
        'messages': bridge.messages,
        'accepted': bridge.accepted,
        'refused': bridge.refused,
        'undecodable': bridge.undecodable,
        'malformed': bridge.server.malformed,
        'lines': len(coverage.lines),
        'corpus': len(corpus),
        'slowest_ms': round(1e3 * slowest_s, 1),
    }


def main() -> int:
    """Fuzz as long as the command line says."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--inputs', type=int, default=100_000, help='how many')
    parser.add_argument('--seed', type=int, default=1, help='chooses another sequence')
    args = parser.parse_args()
    started_s = time.monotonic()

    def tell(done: int, _bridge: Bridge) -> None:
        if done % 10_000 == 0:
            rate = done / (time.monotonic() - started_s)
            print(f'\r{done:,} inputs, {rate:.0f}/s', end='', file=sys.stderr, flush=True)

    try:
        seen = fuzz(args.inputs, args.seed, tell)
    except Failure as failure:
        print(f'\n{failure}', file=sys.stderr)
        return 1
    print(file=sys.stderr)
    print(', '.join(f'{name} {value}' for name, value in seen.items()))
    return 0


if __name__ == '__main__':
    sys.exit(main())
