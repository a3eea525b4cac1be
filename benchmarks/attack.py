"""Attack a driving car, and compare the deadlines it misses with those it misses in peace.

Bridge, network and throttle run as in `make drive`, with a simulator at 60 frames/s. Spells of
peace alternate with one attack after the other, all on 127.0.0.1 and all bounded: a storm of 1000
reconnects a second, 500 idle connections, requests that never end, half-open WebSockets, messages
that nobody can read, and messages without a pause.

    make attack ARGS="--seconds 10"

Prints both side by side; exits 1 if a spell of attack missed more deadlines than the worst spell
of peace, lost a token, or stopped the car.
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

from helpers.graph import Graph
from helpers.network import own_domain_id
from helpers.talking_simulator import TalkingSimulator
from sim_bridge.simulator.camera import encode_jpeg
from sim_bridge.simulator.client_protocol import encode_text, upgrade_request
from sim_bridge.simulator.expert import TEST_SEEDS, samples
from steering_net.statistics import percentiles_ms

FRAME_S = 1 / 60
STORM_PER_S = 1000
CROWD = 500
PACE_S = 0.05


def storm(port: int, until_s: float) -> int:
    """Ask for a WebSocket as the simulator does, and break off, 1000 times a second."""
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
    """Keep 500 connections open that say nothing, and replace those that are closed."""
    return hold(port, until_s, lambda _client: b'')


def slow_loris(port: int, until_s: float) -> int:
    """Keep 500 requests open by a header line now and then."""
    return hold(
        port, until_s, lambda client: f'X-{id(client)}: y\r\n'.encode(), b'GET / HTTP/1.1\r\n'
    )


def half_open(port: int, until_s: float) -> int:
    """Connect 500 simulators that say hello and then nothing more, not even goodbye."""
    hello = upgrade_request('127.0.0.1', port)
    return hold(port, until_s, lambda _client: b'', hello, spoken('2'))


def gibberish(port: int, until_s: float) -> int:
    """Open WebSockets and send what nobody can read, until they are closed."""
    rng = random.Random(1)
    hello = upgrade_request('127.0.0.1', port)
    nonsense = [
        '42' + '[' * 1000,
        '45-[]',
        '42["connect",{}]',
        '7',
        '42["telemetry",{"image":1}]x',
    ]

    def say(_client: socket.socket) -> bytes:
        return spoken(rng.choice(nonsense))

    return hold(port, until_s, say, hello, spoken('40'), at_most=50)


def flood(port: int, until_s: float) -> int:
    """Send small messages that are in order on four connections, as fast as they are taken."""
    hello = upgrade_request('127.0.0.1', port)
    much = spoken(*['3'] * 10_000)

    def pour() -> None:
        with suppress(OSError), socket.create_connection(('127.0.0.1', port)) as client:
            client.sendall(hello)
            client.recv(65536)
            client.sendall(spoken('40'))
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
    say: Callable[[socket.socket], bytes],
    hello: bytes = b'',
    first_words: bytes = b'',
    at_most: int = CROWD,
) -> int:
    """Keep connections open, each saying something every now and then; how many it took.

    `hello` is sent at once; where there are `first_words`, they and what follows are sent when the
    server has answered it.
    """
    clients: dict[socket.socket, bool] = {}
    count = 0
    while time.monotonic() < until_s:
        for client, begun in list(clients.items()):
            heard = listen(client)
            if heard is None:
                del clients[client]
            elif heard and not begun:
                clients[client] = True
                speak(client, first_words)
        for _ in range(min(50, at_most - len(clients))):
            with suppress(OSError):
                client = socket.create_connection(('127.0.0.1', port), timeout=0.2)
                clients[client] = not first_words
                count += 1
                speak(client, hello)
        for client, begun in clients.items():
            if begun:
                speak(client, say(client))
        time.sleep(PACE_S)
    for client in clients:
        client.close()
    return count


def listen(client: socket.socket) -> bytes | None:
    """What the server said since the last time, b'' for nothing; None if it has closed."""
    client.setblocking(False)
    try:
        return client.recv(65536) or None
    except BlockingIOError:
        return b''
    except OSError:
        return None


def speak(client: socket.socket, data: bytes) -> None:
    """Send it; a connection that is gone is found by `listen`."""
    with suppress(OSError):
        client.sendall(data)


def spoken(*messages: str) -> bytes:
    """Text messages as frames."""
    return b''.join(frame for text in messages for frame in encode_text(text, lambda: b'abcd'))


ATTACKS = {
    function.__name__: function
    for function in (storm, crowd, slow_loris, half_open, gibberish, flood)
}


@dataclass
class Spell:
    """What the car and the bridge saw in one spell of time."""

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
    """A simulator at 60 frames/s, with a picture of the track."""

    def __init__(self, url: str) -> None:
        (sample,) = samples(TEST_SEEDS[0], 1, np.random.default_rng(1))
        self._jpeg = encode_jpeg(sample.rgb)
        self.simulator = TalkingSimulator(url)
        self.simulator.open(self._jpeg)

    def drive(self, until_s: float) -> int:
        """Frame after frame, each sent as soon as it is due and the last one is answered."""
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


def spell(graph: Graph, car: Car, name: str, seconds: float) -> Spell:
    """Drive for a while, under this attack or in peace."""
    client = car.simulator.client
    # While the last spell's counts were read, the simulator may have got a keepalive.
    car.drive(time.monotonic() + 0.5)
    before, answers, latencies, orders = (
        graph.state(), client.answers, len(client.latencies_s), len(client.commands),
    )  # fmt: skip
    attacker = start_attack(name, graph.port, seconds) if name in ATTACKS else None
    frames = car.drive(time.monotonic() + seconds)
    connections = int(attacker.communicate(timeout=seconds + 30)[0]) if attacker else 0
    figures = percentiles_ms(client.latencies_s[latencies:])
    after = state_of(graph)
    return Spell(
        name=name,
        frames=frames,
        answers=client.answers - answers,
        timeouts=after['timeouts'] - before['timeouts'],
        stops=sum(order.throttle == -1.0 for order in list(client.commands)[orders:]),
        p50_ms=figures['p50'] or 0.0,
        p99_ms=figures['p99'] or 0.0,
        max_ms=figures['max'] or 0.0,
        connections=connections,
        evicted=after['evicted_connections'] - before['evicted_connections'],
        malformed=after['malformed_messages'] - before['malformed_messages'],
    )


def state_of(graph: Graph) -> dict[str, int]:
    """The bridge's counts; asked again until what the attack left in its queue is gone."""
    for _ in range(50):
        if state := graph.state():
            return state
    raise SystemExit('the bridge does not answer any more')


def start_attack(name: str, port: int, seconds: float) -> subprocess.Popen[str]:
    """The attack in a process of its own, which says how many connections it made.

    Its own work does not count against the bridge, so it gets what processor time is left.
    """
    words = [sys.executable, __file__, '--attack', name, '--port', str(port)]
    return subprocess.Popen(
        [*words, '--seconds', str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: os.nice(19),
    )


def compare(seconds: float) -> int:
    """Run everything and print it; the exit code."""
    os.environ |= {
        'ROS_DOMAIN_ID': str(own_domain_id()),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }
    with Graph() as graph:
        car = Car(graph.url())
        car.drive(time.monotonic() + 2.0)
        spells = []
        for name in ATTACKS:
            spells += [spell(graph, car, 'peace', seconds), spell(graph, car, name, seconds)]
        car.simulator.leave()
    print_table(spells)
    worst = max(one.timeouts for one in spells if one.name == 'peace')
    bad = [
        one.name
        for one in spells
        if one.name in ATTACKS and (one.timeouts > worst or one.stops or one.answers < one.frames)
    ]
    print(f'harmed by: {", ".join(bad)}' if bad else 'no attack cost a deadline or a token')
    return 1 if bad else 0


def print_table(spells: list[Spell]) -> None:
    """One row for each spell."""
    columns = list(vars(spells[0]))
    print(' '.join(f'{column:>11}' for column in columns))
    for one in spells:
        cells = (f'{v:11.1f}' if isinstance(v, float) else f'{v:>11}' for v in vars(one).values())
        print(' '.join(cells))


def main() -> int:
    """Compare, or be the attacker."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--seconds', type=float, default=10.0, help='length of each spell, s')
    parser.add_argument('--attack', choices=tuple(ATTACKS), help=argparse.SUPPRESS)
    parser.add_argument('--port', type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.attack:
        print(ATTACKS[args.attack](args.port, time.monotonic() + args.seconds))
        return 0
    return compare(args.seconds)


if __name__ == '__main__':
    sys.exit(main())
