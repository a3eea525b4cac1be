# SPDX-License-Identifier: Apache-2.0
"""The wheel of a page over a raw socket, byte by byte."""

import json
import socket
import time

from sim_bridge.protocol.websocket_frames import TEXT, encode_frame
from sim_bridge.simulator.client_protocol import FrameReader

PERIOD_S = 0.05


class RawWheel:
    """A WebSocket at /control/wheel. `status` is the code of the server's answer."""

    def __init__(self, port, *, token='', origin=None, query='', host=None):
        self.socket = socket.create_connection(('127.0.0.1', port), timeout=5.0)
        lines = [
            f'GET /control/wheel{query} HTTP/1.1',
            f'Host: {host or f"127.0.0.1:{port}"}',
            'Upgrade: websocket',
            'Connection: Upgrade',
            'Sec-WebSocket-Key: c2ltX2JyaWRnZSB0cmFjaw==',
            'Sec-WebSocket-Version: 13',
            *([f'Origin: {origin}'] if origin else []),
        ]
        self.socket.sendall('\r\n'.join([*lines, '', '']).encode())
        head = b''
        while not head.endswith(b'\r\n\r\n') and (more := self.socket.recv(1)):
            head += more
        self.status = int(head.split()[1])
        self._reader, self._heard = FrameReader(), []
        if self.status == 101:
            self.send({'token': token})

    def send(self, message):
        text = message if isinstance(message, str) else json.dumps(message)
        self.socket.sendall(encode_frame(TEXT, text.encode(), b'abcd'))

    def hear(self):
        """Return the next message; None when the server closes."""
        while not self._heard:
            data = self.socket.recv(4096)
            if not data:
                return None
            self._heard += [
                frame.payload for frame in self._reader.feed(data) if frame.opcode == 1
            ]
        return json.loads(self._heard.pop(0))

    def drive(self, steering, throttle, seconds=0.0, until=lambda: False):
        """Send a command as often as a page does, once at least."""
        end_s = time.monotonic() + seconds
        while True:
            self.send({'steering': steering, 'throttle': throttle})
            if time.monotonic() >= end_s or until():
                return
            time.sleep(PERIOD_S)

    def close(self):
        self.socket.close()
