# SPDX-License-Identifier: Apache-2.0
"""Missed deadlines of a drive during attacks on its port, compared with periods without attack.

Bridge, network and throttle run as in `make drive`, with a simulator at 60 frames/s. Periods
without attack alternate with the attacks. All attacks are bounded and use 127.0.0.1: 1000
reconnections per second, 500 idle connections, requests that never end, half-open WebSockets,
malformed messages, and messages without a pause.

    make attack ARGS="--seconds 10"

Prints one row per period. The exit code is 1 if a period with an attack missed more deadlines than
the worst period without one, lost a token, or stopped the car.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from options import at_least

from helpers.graph import Graph
from helpers.network import own_domain_id
from helpers.talking_simulator import TalkingSimulator
from helpers.tracks import TEST_SEEDS
from sim_bridge.simulator.client_protocol import encode_text, upgrade_request
from sim_bridge.simulator.samples import samples
from steering_net.statistics import percentiles_ms
from steering_net.vision.jpeg import encode_jpeg

FRAME_S = 1 / 60
STORM_PER_S = 1000
CROWD = 500
PACE_S = 0.05


def storm(port: int, until_s: float) -> int:
    """Request a WebSocket as the simulator does, and disconnect, 1000 times per second."""
    count = 0
    started_s = time.monotonic()
    hello = upgrade_request('127.0.0.1', port)
    while (now_s := time.monotonic()) < until_s:
        if count < (now_s - started_s) * STORM_PER_S:
            count += 1
            with suppress(OSError), socket.socket() as client:
                client.setblocking(False)
                client.connect_ex(('127.0.0.1', port))
                client.send(hello)
        else:
            time.sleep(0.001)
    return count


def crowd(port: int, until_s: float) -> int:
    """Keep 500 silent connections open, and replace those that the bridge closes."""
    return hold(port, until_s, lambda _client: b'')


def slow_loris(port: int, until_s: float) -> int:
    """Keep 500 requests open by sending a header line from time to time."""
    return hold(
        port, until_s, lambda client: f'X-{id(client)}: y\r\n'.encode(), b'GET / HTTP/1.1\r\n'
    )


def half_open(port: int, until_s: float) -> int:
    """Connect 500 simulators that send a first PING and nothing after it."""
    hello = upgrade_request('127.0.0.1', port)
    return hold(port, until_s, lambda _client: b'', hello, frames_of('2'))


def gibberish(port: int, until_s: float) -> int:
    """Open WebSockets and send malformed messages until the bridge closes them."""
    rng = random.Random(1)
    hello = upgrade_request('127.0.0.1', port)
    nonsense = [
        '42' + '[' * 1000,
        '45-[]',
        '42["connect",{}]',
        '7',
        '42["telemetry",{"image":1}]x',
    ]

    def message(_client: socket.socket) -> bytes:
        return frames_of(rng.choice(nonsense))

    return hold(port, until_s, message, hello, frames_of('40'), at_most=50)


def flood(port: int, until_s: float) -> int:
    """Send small valid messages on four connections as fast as the bridge reads them."""
    hello = upgrade_request('127.0.0.1', port)
    much = frames_of(*['3'] * 10_000)

    def pour() -> None:
        with suppress(OSError), socket.create_connection(('127.0.0.1', port)) as client:
            client.sendall(hello)
            client.recv(65536)
            client.sendall(frames_of('40'))
            while time.monotonic() < until_s:
                client.sendall(much)

    threads = [threading.Thread(target=pour) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads)


def hold(
    port: int,
    until_s: float,
    message: Callable[[socket.socket], bytes],
    hello: bytes = b'',
    first_message: bytes = b'',
    at_most: int = CROWD,
) -> int:
    """Keep connections open and send on them from time to time; return how many were opened.

    `hello` is sent at once. If there is a `first_message`, it and all that follows is sent after
    the server has answered `hello`.
    """
    clients: dict[socket.socket, bool] = {}
    count = 0
    while time.monotonic() < until_s:
        for client, begun in list(clients.items()):
            received = receive(client)
            if received is None:
                del clients[client]
            elif received and not begun:
                clients[client] = True
                send(client, first_message)
        for _ in range(min(50, at_most - len(clients))):
            with suppress(OSError):
                client = socket.create_connection(('127.0.0.1', port), timeout=0.2)
                clients[client] = not first_message
                count += 1
                send(client, hello)
        for client, begun in clients.items():
            if begun:
                send(client, message(client))
        time.sleep(PACE_S)
    for client in clients:
        client.close()
    return count


def receive(client: socket.socket) -> bytes | None:
    """Return the received bytes, b'' if there are none; None if the server has closed."""
    client.setblocking(False)
    try:
        return client.recv(65536) or None
    except BlockingIOError:
        return b''
    except OSError:
        return None


def send(client: socket.socket, data: bytes) -> None:
    """Send the data; `receive` finds closed connections."""
    with suppress(OSError):
        client.sendall(data)


def frames_of(*messages: str) -> bytes:
    """Return text messages as frames."""
    return b''.join(frame for text in messages for frame in encode_text(text, lambda: b'abcd'))


ATTACKS = {
    function.__name__: function
    for function in (storm, crowd, slow_loris, half_open, gibberish, flood)
}


@dataclass
class Period:
    """Figures of the car and the bridge in one period."""

    name: str
    frames: int
    answers: int
    timeouts: int
    stops: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    connections: int = 0
    evicted: int = 0
    malformed: int = 0


class Car:
    """A simulator at 60 frames/s that sends one frame of a track."""

    def __init__(self, url: str) -> None:
        (sample,) = samples(TEST_SEEDS[0], 1, np.random.default_rng(1))
        self._jpeg = encode_jpeg(sample.rgb)
        self.simulator = TalkingSimulator(url)
        self.simulator.open(self._jpeg)

    def drive(self, until_s: float) -> int:
        """Send each frame when it is due and the last one is answered; return their number."""
        client = self.simulator.client
        frames = 0
        due_s = time.monotonic()
        while time.monotonic() < until_s:
            if client.tokens > 0 and time.monotonic() >= due_s:
                self.simulator.send(self._jpeg, 5.0)
                frames += 1
                due_s = max(due_s + FRAME_S, time.monotonic() - FRAME_S)
            client.poll(0.002)
        self.simulator.pump_until(lambda: client.tokens > 0)
        return frames


def measure(graph: Graph, car: Car, name: str, seconds: float) -> Period:
    """Drive for one period, with this attack or without one."""
    client = car.simulator.client
    # The simulator may have got a keepalive while the last period's counters were read.
    car.drive(time.monotonic() + 0.5)
    before, answers, latencies, commands = (
        graph.state(), client.answers, len(client.latencies_s), len(client.commands),
    )  # fmt: skip
    attacker = start_attack(name, graph.port, seconds) if name in ATTACKS else None
    frames = car.drive(time.monotonic() + seconds)
    connections = int(attacker.communicate(timeout=seconds + 30)[0]) if attacker else 0
    figures = percentiles_ms(client.latencies_s[latencies:])
    after = state_of(graph)
    return Period(
        name=name,
        frames=frames,
        answers=client.answers - answers,
        timeouts=after['timeouts'] - before['timeouts'],
        stops=sum(command.throttle == -1.0 for command in list(client.commands)[commands:]),
        p50_ms=figures['p50'] or 0.0,
        p99_ms=figures['p99'] or 0.0,
        max_ms=figures['max'] or 0.0,
        connections=connections,
        evicted=after['evicted_connections'] - before['evicted_connections'],
        malformed=after['malformed_messages'] - before['malformed_messages'],
    )


def state_of(graph: Graph) -> dict[str, int]:
    """Return the bridge's counters; retry until the attack's messages are processed."""
    for _ in range(50):
        if state := graph.state():
            return state
    raise SystemExit('the bridge does not answer')


def start_attack(name: str, port: int, seconds: float) -> subprocess.Popen[str]:
    """Start the attack in a process that prints how many connections it made.

    The process has a low priority, because its own load must not slow the bridge down.
    """
    command = [sys.executable, __file__, '--attack', name, '--port', str(port)]
    return subprocess.Popen(
        [*command, '--seconds', str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.nice(19),
    )


def compare(seconds: float) -> int:
    """Run all attacks and print the table; return the exit code."""
    os.environ |= {
        'ROS_DOMAIN_ID': str(own_domain_id()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    with Graph() as graph:
        car = Car(graph.url())
        car.drive(time.monotonic() + 2.0)
        periods = []
        for name in ATTACKS:
            periods += [
                measure(graph, car, 'no attack', seconds),
                measure(graph, car, name, seconds),
            ]
        car.simulator.leave()
    print_table(periods)
    worst = max(one.timeouts for one in periods if one.name == 'no attack')
    bad = [
        one.name
        for one in periods
        if one.name in ATTACKS and (one.timeouts > worst or one.stops or one.answers < one.frames)
    ]
    print(f'harmed by: {", ".join(bad)}' if bad else 'no attack cost a deadline or a token')
    return 1 if bad else 0


def print_table(periods: list[Period]) -> None:
    """Print one row for each period."""
    columns = list(vars(periods[0]))
    print(' '.join(f'{column:>11}' for column in columns))
    for one in periods:
        cells = (f'{v:11.1f}' if isinstance(v, float) else f'{v:>11}' for v in vars(one).values())
        print(' '.join(cells))


def main() -> int:
    """Compare, or run one attack; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument(
        '--seconds', type=at_least(0.1), default=10.0, help='duration of each period, s'
    )
    parser.add_argument('--attack', choices=tuple(ATTACKS), help=argparse.SUPPRESS)
    parser.add_argument('--port', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attack:
        print(ATTACKS[args.attack](args.port, time.monotonic() + args.seconds))
        return 0
    return compare(args.seconds)


if __name__ == '__main__':
    sys.exit(main())
