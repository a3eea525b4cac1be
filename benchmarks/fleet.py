# SPDX-License-Identifier: Apache-2.0
"""Number of cars that one graph of three nodes can drive: rates, latencies, processor time.

    make fleet ARGS="--cars 1 2 4 8 16 --seconds 10"
    make fleet ARGS="--cars 4 8 --machines 1 2 3"

Each car is a light simulator: a socket with the wire format of the real simulator (frames of 1016
bytes, each in its own write, Nagle's algorithm on) that replays frames at a fixed rate. The frames
are those of the recorded lap if it is beside the checkout, else rendered ones. All cars run in one
process, because they share the processors with the nodes. Writes a JSON file and a plot.

Machines are network namespaces on a switch, and each has a steering node that takes its share of
the cars; the first has the bridge and the cars too. They share the processors of this machine, so
the table shows what sharing costs, and not what further processors bring.
"""

from __future__ import annotations

import argparse
import heapq
import json
import os
import random
import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import processes
from options import at_least

from helpers import cable
from helpers.graph import Graph, ros_words
from helpers.network import own_domain_id
from helpers.paths import SHARED_DATA
from helpers.processes import PROGRAM
from helpers.tracks import TEST_SEEDS
from sim_bridge.protocol.types import Telemetry
from sim_bridge.protocol.udacity import CULTURES, encode_telemetry
from sim_bridge.simulator.client_protocol import (
    ClientProtocol,
    check_upgrade_reply,
    upgrade_request,
)
from sim_bridge.simulator.samples import samples
from steering_net.cars import MAX_CARS
from steering_net.statistics import percentiles_ms
from steering_net.vision.jpeg import encode_jpeg

HZ = 30.0
WARM_UP_S = 3.0
SHARING_S = 4.0
"""Time in which steering nodes start and find their shares."""
FRAMES = 60
SPEED_MPS = 5.0
P99_AT_MOST_MS = 33.0
STARVED_BELOW = 0.9
CULTURE = CULTURES['en-US']


def jpegs() -> list[bytes]:
    """Return successive frames of the recorded lap, or of an embedded track without it."""
    lap = SHARED_DATA / 'lake_lap_a' / 'IMG'
    if lap.is_dir():
        return [path.read_bytes() for path in sorted(lap.glob('*.jpg'))[:FRAMES]]
    rng = np.random.default_rng(1)
    return [encode_jpeg(sample.rgb) for sample in samples(TEST_SEEDS[0], FRAMES, rng)]


def wire_frames(pictures: Sequence[bytes]) -> list[list[bytes]]:
    """Return for each frame the writes of its telemetry."""
    rng = random.Random(0)
    protocol = ClientProtocol(CULTURE, lambda: rng.randbytes(4))
    telemetries = (Telemetry(0.0, 0.0, SPEED_MPS, jpeg) for jpeg in pictures)
    return [protocol.telemetry(encode_telemetry(one, CULTURE)) for one in telemetries]


class LightCar:
    """A simulator without a world. Like the real one it uses its tokens when a frame is due.

    `latencies_s`: from the first byte of a telemetry to its answer; `sent` counts telemetries.
    """

    def __init__(self, port: int, frames: Sequence[list[bytes]], start: int) -> None:
        self.socket = socket.create_connection(('127.0.0.1', port))
        self.socket.sendall(upgrade_request('127.0.0.1', port))
        head = b''
        while b'\r\n\r\n' not in head:
            head += self.socket.recv(4096)
        head, _, rest = head.partition(b'\r\n\r\n')
        check_upgrade_reply(head)
        rng = random.Random(start)
        self._protocol = ClientProtocol(CULTURE, lambda: rng.randbytes(4))
        self._frames = frames
        self._next = start
        self._tokens = 1
        self._sent_s: float | None = None
        self._write(self._protocol.ping())
        self.forget()
        self._take(rest)

    def forget(self) -> None:
        """Reset the counters."""
        self.sent = 0
        self.latencies_s: list[float] = []

    def frame(self) -> None:
        """Send one telemetry per token."""
        for _ in range(self._tokens):
            self._sent_s = time.perf_counter()
            self._write(self._frames[self._next % len(self._frames)])
            self._next += 1
            self.sent += 1
        self._tokens = 0

    def read(self) -> None:
        """Read from the socket."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError('the bridge closed a connection')
        self._take(data)

    def _take(self, data: bytes) -> None:
        received = self._protocol.receive(data)
        self._write(received.replies)
        self._tokens += received.tokens
        if received.steers and self._sent_s is not None:
            self.latencies_s.append(time.perf_counter() - self._sent_s)
            self._sent_s = None

    def _write(self, pieces: Sequence[bytes]) -> None:
        for piece in pieces:
            self.socket.sendall(piece)


class Traffic:
    """All cars; each has its own frame times."""

    def __init__(self, port: int, cars: int) -> None:
        frames = wire_frames(jpegs())
        rng = random.Random(7)
        self.cars = [LightCar(port, frames, 13 * number) for number in range(cars)]
        self._of_descriptor = {car.socket.fileno(): car for car in self.cars}
        self._poll = select.epoll()
        for descriptor in self._of_descriptor:
            self._poll.register(descriptor, select.EPOLLIN)
        now_s = time.perf_counter()
        self._due = [(now_s + rng.random() / HZ, number) for number in range(cars)]
        heapq.heapify(self._due)

    def run(self, seconds: float) -> None:
        """Drive for a while."""
        end_s = time.perf_counter() + seconds
        while (now_s := time.perf_counter()) < end_s:
            while self._due[0][0] <= now_s:
                due_s, number = self._due[0]
                heapq.heapreplace(self._due, (due_s + 1.0 / HZ, number))
                self.cars[number].frame()
            wait_s = max(0.0, min(self._due[0][0], end_s) - time.perf_counter())
            for descriptor, _ in self._poll.poll(wait_s):
                self._of_descriptor[descriptor].read()

    def close(self) -> None:
        """Disconnect all cars."""
        for car in self.cars:
            car.socket.close()
        self._poll.close()


@contextmanager
def graph_on(machines: int, cars: int) -> Iterator[tuple[Graph, dict[str, int]]]:
    """Yield a graph for `cars` cars and the process ids of its nodes, on so many machines."""
    count = [f'cars:={cars}']
    if machines == 1:
        with Graph(bridge=count, steering=count, throttle=count) as graph:
            yield graph, {name: node.pid for name, node in graph.nodes.items()}
        return
    shared = [*count, 'shared:=true']
    os.environ |= cable.ACROSS
    with ExitStack() as stack:
        here, *others = stack.enter_context(cable.machines(machines))
        stack.enter_context(here.entered())
        graph = stack.enter_context(Graph(bridge=count, steering=shared, throttle=count))
        pids = {name: node.pid for name, node in graph.nodes.items()}
        for number, machine in enumerate(others, 2):
            name = f'steering_{number}'
            command = machine.command(*PROGRAM, 'steering', *ros_words(shared, name))
            process = stack.enter_context(subprocess.Popen(command))
            stack.callback(process.terminate)
            pids[name] = process.pid
        time.sleep(SHARING_S)
        yield graph, pids


def measure(cars: int, seconds: float, machines: int = 1) -> dict[str, Any]:
    """Start a graph for `cars` cars, drive them, and return their row of the table.

    telemetry_hz is the mean rate of the cars, worst_hz the rate of the slowest car. Latencies are
    over all answers. cpu_percent is the processor time of all nodes, 100 for one processor.
    cpu_ms_per_answer includes the light simulators.
    """
    with graph_on(machines, cars) as (graph, pids):
        traffic = Traffic(graph.port, cars)
        traffic.run(WARM_UP_S)
        for car in traffic.cars:
            car.forget()
        before = {name: processes.cpu_s(pid) for name, pid in pids.items()}
        own_s, started_s = time.process_time(), time.perf_counter()
        traffic.run(seconds)
        elapsed_s, own_s = time.perf_counter() - started_s, time.process_time() - own_s
        nodes_s = {name: processes.cpu_s(pid) - before[name] for name, pid in pids.items()}
        state = graph.state() or {}
        traffic.close()
    rates = [car.sent / elapsed_s for car in traffic.cars]
    latencies_s = [latency for car in traffic.cars for latency in car.latencies_s]
    figures = percentiles_ms(latencies_s)
    return {
        'cars': cars,
        'machines': machines,
        'telemetry_hz': round(statistics.mean(rates), 2),
        'worst_hz': round(min(rates), 2),
        'p50_ms': figures['p50'],
        'p99_ms': figures['p99'],
        'max_ms': figures['max'],
        'cpu_percent': round(100.0 * sum(nodes_s.values()) / elapsed_s, 1),
        'cpu_ms_per_answer': round(
            1e3 * (sum(nodes_s.values()) + own_s) / max(1, len(latencies_s)), 3
        ),
        **{f'{name}_cpu_percent': round(100 * s / elapsed_s, 1) for name, s in nodes_s.items()},
        'timeouts': state.get('timeouts'),
    }


COLUMNS = (
    'cars', 'machines', 'telemetry_hz', 'worst_hz', 'p50_ms', 'p99_ms', 'max_ms', 'cpu_percent',
    'cpu_ms_per_answer', 'timeouts',
)  # fmt: skip


def table(
    counts: Sequence[int],
    seconds: float,
    show: Callable[[str], None],
    machines: Sequence[int] = (1,),
) -> list[dict]:
    """Measure and print one row for each number of machines and of cars."""
    show(' '.join(f'{column:>{width(column)}}' for column in COLUMNS))
    rows = []
    for number, count in product(machines, counts):
        os.environ |= {
            'ROS_DOMAIN_ID': str(own_domain_id()),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        rows.append(measure(count, seconds, number))
        show(' '.join(f'{rows[-1][column]!s:>{width(column)}}' for column in COLUMNS))
    return rows


def width(column: str) -> int:
    """Return the width of a column of the table."""
    return max(8, len(column))


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Plot latency and processor time over the number of cars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout='constrained')
    latency, load = figure.subplots(1, 2)
    for machines in sorted({row['machines'] for row in rows}):
        own = [row for row in rows if row['machines'] == machines]
        where = f', {machines} machines' if machines > 1 else ''
        cars = [row['cars'] for row in own]
        for axes, field, label in (
            (latency, 'p50_ms', 'p50'),
            (latency, 'p99_ms', 'p99'),
            (load, 'cpu_percent', 'processor, %'),
            (load, 'worst_hz', 'slowest car, Hz'),
        ):
            axes.plot(cars, [row[field] for row in own], 'o-', label=label + where)
    latency.axhline(P99_AT_MOST_MS, color='grey', linewidth=1)
    latency.set(xlabel='cars', ylabel='telemetry to answer, ms', ylim=0)
    latency.legend()
    load.set(xlabel='cars', ylim=0)
    load.legend()
    figure.savefig(path)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 if a row with up to 8 cars misses the limits."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--cars', type=at_least(1, MAX_CARS), nargs='+', default=[1, 2, 4, 8, 16])
    parser.add_argument(
        '--machines', type=at_least(1), nargs='+', default=[1], help='needs root for > 1'
    )
    parser.add_argument('--seconds', type=at_least(0.1), default=10.0, help='duration of each row')
    parser.add_argument('--out', type=Path, default=Path('build'), help='folder of the results')
    args = parser.parse_args(argv)
    with suppress(KeyboardInterrupt):
        rows = table(args.cars, args.seconds, lambda line: print(line, flush=True), args.machines)
        args.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps({'cars': rows}, indent=2) + '\n'
        (args.out / 'fleet.json').write_text(text, encoding='utf-8')
        draw(rows, args.out / 'fleet.png')
        return 1 if any(map(is_poor, rows)) else 0
    return 130


def is_poor(row: dict[str, Any]) -> bool:
    """Return whether a row with up to 8 cars has late answers or a car with too few frames."""
    late = row['p99_ms'] is None or row['p99_ms'] >= P99_AT_MOST_MS
    return row['cars'] <= 8 and (late or row['worst_hz'] < STARVED_BELOW * HZ)


if __name__ == '__main__':
    sys.exit(main())
