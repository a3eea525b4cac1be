# SPDX-License-Identifier: Apache-2.0
"""A handler of the server that answers each telemetry at once."""

import threading

from sim_bridge.protocol.types import Command, Telemetry
from sim_bridge.protocol.udacity import CULTURES, encode_command, encode_telemetry

TELEMETRY = Telemetry(steering_rad=0.0, throttle=0.0, speed_mps=0.0, jpeg=b'\xff' * 12_000)
FRAME = encode_telemetry(TELEMETRY, CULTURES['en-US'])
"""The fields in which this telemetry arrives."""
STEER = encode_command(Command(0.1, 0.5), '.')


class Echo:
    """Answers every telemetry at once and keeps the events of the server."""

    def __init__(self, server):
        self.server = server
        self.threads = set()
        self.simulators = {}
        self.payloads = []
        self.gone = []
        self.answering = True
        self.deadline_s = float('inf')
        self.expired_s = []

    def connected(self, now_s, sid, link, *, is_simulator):
        self.simulators[sid] = is_simulator

    def disconnected(self, now_s, sid):
        self.gone.append(sid)

    def drives(self, now_s, sid):
        """The first that came, as long as it stays."""
        return [one for one in self.simulators if one not in self.gone][:1] == [sid]

    def telemetry(self, now_s, sid, payload):
        self.threads.add(threading.current_thread().name)
        self.payloads.append(payload)
        if self.answering:
            self.server.send(sid, 'steer', STEER)

    def expire(self, now_s):
        self.expired_s.append(now_s)
        self.deadline_s = float('inf')

    def next_deadline(self):
        return self.deadline_s


def page(environ, start_response):
    start_response('200 OK', [('Content-Type', 'text/plain')])
    return [b'a page']
