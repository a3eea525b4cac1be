# SPDX-License-Identifier: Apache-2.0
"""Effect of settings on latency and processor time: graphs with and without them take turns.

    python benchmarks/variants.py FASTDDS_BUILTIN_TRANSPORTS=UDPv4 steering:threads:=2 together

A variant is an environment variable of the nodes, a parameter of a node, or `together` for all
nodes in one process; commas join several. The first row is the graph without changes. Other load
changes p10 least of the latencies, and hardly changes the processor time per frame of all nodes.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, field
from subprocess import Popen

import processes
from options import at_least
from quietness import Quietness
from unity_like import HZ, Car, jpegs

from steering_net.statistics import percentile

AS_IT_IS = 'as it is'
FAST_HZ = 1000.0
_WARM_S = 0.5


@dataclass
class Variant:
    """One graph, and the results of its turns."""

    name: str
    port: int
    running: list[Popen[str]]
    latencies_s: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    frames: int = 0

    def take_turn(self, frames: list[bytes], hz: float, seconds: float) -> None:
        """Drive for a while."""
        car = Car(f'ws://127.0.0.1:{self.port}', frames, hz=hz)
        car.open(_WARM_S)
        before_s = self._used_s()
        turn = car.drive(seconds)
        self.cpu_s += self._used_s() - before_s
        car.leave()
        self.frames += turn.sent
        self.latencies_s += turn.latencies_s

    def _used_s(self) -> float:
        return sum(processes.cpu_s(process.pid) for process in self.running)

    def row(self) -> str:
        """Return one line of the table."""
        p10, p50, p99 = (1e3 * percentile(self.latencies_s, p) for p in (10, 50, 99))
        cpu_ms = 1e3 * self.cpu_s / self.frames
        return f'{self.name:44}{p10:8.2f}{p50:8.2f}{p99:8.2f}{cpu_ms:8.2f}'


def start(name: str, domain: int) -> Variant:
    """Start the graph of one variant in its own ROS domain."""
    parts = [] if name == AS_IT_IS else name.split(',')
    parameters = [part for part in parts if ':=' in part]
    variables = dict(part.split('=', 1) for part in parts if '=' in part and ':=' not in part)
    port = processes.own_port()
    make = processes.together if 'together' in parts else processes.nodes
    before = dict(os.environ)
    os.environ |= variables
    try:
        running = make(port, domain, parameters)
    finally:
        for key in variables:
            os.environ.pop(key)
        os.environ |= before
    processes.wait_until_ready(port)
    return Variant(name, port, running)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('variants', nargs='*', metavar='VARIANT')
    parser.add_argument('--rounds', type=at_least(1), default=5)
    parser.add_argument(
        '--seconds', type=at_least(0.1), default=3.0, help='length of each turn, s'
    )
    parser.add_argument('--fast', action='store_true', help='frame after frame, not 60 a second')
    args = parser.parse_args()
    processes.isolate()
    domain = int(os.environ['ROS_DOMAIN_ID'])
    frames, _ = jpegs()
    quietness = Quietness()
    variants: list[Variant] = []
    try:
        for number, name in enumerate([AS_IT_IS, *args.variants]):
            variants.append(start(name, domain + number))
        for _ in range(args.rounds):
            for variant in variants:
                variant.take_turn(frames, FAST_HZ if args.fast else HZ, args.seconds)
                quietness.look()
    finally:
        processes.end(process for variant in variants for process in variant.running)
    print(f'{"":44}{"p10 ms":>8}{"p50 ms":>8}{"p99 ms":>8}{"CPU ms":>8}')
    for variant in variants:
        print(variant.row())
    print(quietness.line())


if __name__ == '__main__':
    main()
