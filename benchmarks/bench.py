# SPDX-License-Identifier: Apache-2.0
"""Latency of answers, compared with `drive.py` and with the network alone.

    python benchmarks/bench.py [--only latency,sixty,start,cars] [--rounds 4]

latency: seed.py, our three processes, our nodes in one process and the floor take turns, so that
other load on the machine affects them alike. sixty: one minute at 60 frames/s, and the memory.
start: time from the command to the first answer of the network, for a simulator that waits already
and for the embedded one on each kind of track, and the processor time of imports.
cars: several cars at once. Prints a table and writes build/bench.json and build/bench.png.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import processes
from floor import Floor
from options import at_least
from quietness import Quietness, noise
from unity_like import HZ, QUIET_S, Car, jpegs

from steering_net.statistics import percentiles_ms

OUT = Path(__file__).parents[1] / 'build'
PARTS = ('latency', 'sixty', 'start', 'cars')
CARS = (1, 2, 4, 8, 16)
TRACKS = ('0', 'lake', 'jungle', 'hills:0')
_WARM_S = 0.7
_SEED_QUIET_S = 1.5
_FIRST_COMMAND_PATIENCE_S = 30.0
_LOOK_S = 0.01
_STRAIGHT_RAD = 1e-4
NODES = {
    'bridge': 'sim_bridge.nodes.bridge',
    'steering': 'steering_net.ros.steering_node',
    'throttle': 'sim_bridge.nodes.throttle',
    'drive': 'sim_bridge.cli.drive',
}


@dataclass
class Contender:
    """One program: its processes on a port, and the number of tokens of the client."""

    name: str
    port: int
    running: list[subprocess.Popen[str]]
    seconds: float
    tokens: int | None = None
    quiet_s: float = QUIET_S
    latencies_s: list[float] = field(default_factory=list)
    sent: int = 0
    spent_s: float = 0.0

    def take_turn(self, frames: list[bytes]) -> None:
        """Drive for a while."""
        url = f'ws://127.0.0.1:{self.port}'
        car = Car(url, frames, tokens=self.tokens, quiet_s=self.quiet_s)
        car.open(_WARM_S)
        turn = car.drive(self.seconds)
        car.leave()
        self.latencies_s += turn.latencies_s
        self.sent += turn.sent
        self.spent_s += turn.seconds

    def figures(self) -> dict[str, Any]:
        """Return the percentiles, ms, and the telemetry rate, 1/s."""
        hz = self.sent / self.spent_s if self.spent_s else 0.0
        return {**percentiles_ms(self.latencies_s), 'telemetry_hz': round(hz, 1)}


def contenders(domain: int) -> list[Contender]:
    """Start all programs; those with nodes have their own ROS domains."""
    ports = [processes.own_port() for _ in range(4)]
    seed = str(Path(__file__).with_name('seed.py'))
    # TensorFlow prints to stderr before its log level can be set.
    seeds = [
        processes.start(seed, '--port', str(port), *arguments, silent=True)
        for port, arguments in zip(ports[:2], ((), ('--no-greeting',)), strict=True)
    ]
    made = [
        Contender('seed', ports[0], seeds[:1], 5.0, quiet_s=_SEED_QUIET_S),
        Contender('seed_one_token', ports[1], seeds[1:], 4.0, tokens=1, quiet_s=_SEED_QUIET_S),
        Contender('ours', ports[2], processes.nodes(ports[2], domain), 5.0),
        Contender('one_process', ports[3], processes.together(ports[3], domain + 1), 5.0),
    ]
    for port in ports[:2]:
        processes.wait_for_port(port)
    for port in ports[2:]:
        processes.wait_until_ready(port)
    return made


def latency(args: argparse.Namespace, frames: list[bytes], quietness: Quietness) -> dict[str, Any]:
    """Measure the turns of all programs; return the figures and their ratios."""
    floor, network = Floor(frames), Floor(frames, as_it_drives=True)
    floor_s: list[float] = []
    network_s: list[float] = []
    paced_s: list[float] = []
    programs = contenders(args.domain)
    try:
        for number in range(args.rounds):
            for program in programs:
                show(f'round {number + 1} of {args.rounds}: {program.name}')
                program.take_turn(frames)
                quietness.look()
            floor_s += floor.run(1.0)
            network_s += network.run(1.0)
            paced_s += network.run(1.0, HZ)
    finally:
        processes.end(process for program in programs for process in program.running)
    found = {program.name: program.figures() for program in programs}
    ours, one_process, seed = found['ours'], found['one_process'], found['seed']
    bare, network_ms = percentiles_ms(floor_s), percentiles_ms(network_s)
    return {
        'baseline_ms': seed,
        'baseline_one_token_ms': found['seed_one_token'],
        'ours_ms': ours,
        'one_process_ms': one_process,
        'floor_ms': bare,
        'network_ms': network_ms,
        'network_60hz_ms': percentiles_ms(paced_s),
        'speedup': round(seed['p50'] / ours['p50'], 1),
        'speedup_one_token': round(found['seed_one_token']['p50'] / ours['p50'], 1),
        'baseline_p50_over_ours_p99': round(seed['p50'] / ours['p99'], 1),
        'over_floor': round(ours['p50'] / bare['p50'], 2),
        'over_floor_one_process': round(one_process['p50'] / bare['p50'], 2),
        'over_network': round(ours['p50'] / network_ms['p50'], 2),
        'over_network_one_process': round(one_process['p50'] / network_ms['p50'], 2),
        'latencies_ms': {
            **{program.name: in_ms(program.latencies_s) for program in programs},
            'network': in_ms(network_s),
        },
    }


def sixty(args: argparse.Namespace, frames: list[bytes], quietness: Quietness) -> dict[str, Any]:
    """Measure rate, timeouts and latency at 60 frames/s, and the memory of the nodes."""
    port = processes.own_port()
    running = processes.nodes(port, args.domain)
    try:
        processes.wait_until_ready(port)
        car = Car(f'ws://127.0.0.1:{port}', frames)
        car.open(_WARM_S)
        show(f'{args.seconds:.0f} s at {HZ:.0f} frames/s')
        before = processes.state(port) or {}
        turn = car.drive(args.seconds)
        after = processes.state(port) or {}
        car.leave()
        quietness.look()
        pids = [process.pid for process in running]
        memory = processes.memory_mb(pids)
        tensorflow = any(processes.has_mapped(pid, 'tensorflow') for pid in pids)
    finally:
        processes.end(running)
    return {
        'sixty_hz': {
            'telemetry_hz': round(turn.sent / turn.seconds, 2),
            'seconds': round(turn.seconds, 1),
            'timeouts': after['timeouts'] - before['timeouts'],
            **percentiles_ms(turn.latencies_s),
        },
        'rss_mb': memory['rss'],
        'pss_mb': memory['pss'],
        'tensorflow_loaded': tensorflow,
    }


def starting(
    args: argparse.Namespace, frames: list[bytes], quietness: Quietness
) -> dict[str, Any]:
    """Measure start and import times with warm caches; return medians."""
    show('from the command to the first answer')
    found = [first_command_s(args.domain, frames) for _ in range(1 + args.starts)][1:]
    first_s, cpu_s = zip(*found, strict=True)
    quietness.look()
    return {
        'first_command_s': round(statistics.median(first_s), 2),
        'first_command_cpu_s': round(statistics.median(cpu_s), 2),
        'first_command_all_s': [round(seconds, 2) for seconds in first_s],
        'first_answer_s': {track: first_answer_s(args, track) for track in TRACKS},
        'import_s': {name: import_s(module) for name, module in NODES.items()},
    }


def first_command_s(domain: int, frames: list[bytes]) -> tuple[float, float]:
    """Return the time from starting `sim-bridge drive` to the network's first command, s.

    The second value is the processor time that its processes took meanwhile, s.
    The simulator starts before the bridge and tries to connect all the time.
    """
    port = processes.own_port()
    arguments = ('drive', '--simulator', 'external', '--port', str(port))
    car = Car(f'ws://127.0.0.1:{port}', frames)
    started_s = time.perf_counter()
    running = [processes.start('-m', 'sim_bridge.cli', *arguments, domain=domain)]
    try:
        while time.perf_counter() < started_s + _FIRST_COMMAND_PATIENCE_S:
            car.drive(0.02)
            commands = car.client.commands
            if any(abs(command.steering_rad) > _STRAIGHT_RAD for command in commands):
                return time.perf_counter() - started_s, processes.cpu_of_tree_s(running[0].pid)
    finally:
        car.leave()
        processes.end(running)
    raise TimeoutError(f'no command within {_FIRST_COMMAND_PATIENCE_S:.0f} s')


def first_answer_s(args: argparse.Namespace, track: str) -> float:
    """Return the time from starting a drive on a track to the first answer, s: a median."""
    show(f'from the command to the first answer on track {track}')
    times_s = []
    for _ in range(args.starts):
        port = processes.own_port()
        started_s = time.perf_counter()
        arguments = ('drive', '--track', track, '--port', str(port))
        drive = processes.start('-m', 'sim_bridge.cli', *arguments, domain=args.domain)
        try:
            processes.wait_for_state(port, 'answers', _LOOK_S)
            times_s.append(time.perf_counter() - started_s)
        finally:
            processes.end([drive])
    return round(statistics.median(times_s), 2)


def import_s(module: str) -> float:
    """Return the processor time of an import, s: best of three, less the start of Python."""

    def best(code: str) -> float:
        times_s = []
        for _ in range(3):
            before_s = children_cpu_s()
            subprocess.run([sys.executable, '-c', code], check=True)
            times_s.append(children_cpu_s() - before_s)
        return min(times_s)

    return round(best(f'import {module}') - best('pass'), 3)


def children_cpu_s() -> float:
    """Return the processor time of all processes that this one has started and that ended, s."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cars(_args: argparse.Namespace, _frames: list[bytes], quietness: Quietness) -> dict[str, Any]:
    """Return the table of several cars, if its benchmark can be imported."""
    if find_spec('fleet') is None:
        return {'cars': []}
    import fleet

    show('several cars')
    rows = fleet.table(CARS, 10.0, print)
    quietness.look()
    return {'cars': rows}


MEASURES: dict[str, Callable[..., dict[str, Any]]] = dict(
    zip(PARTS, (latency, sixty, starting, cars), strict=True)
)


def in_ms(latencies_s: list[float]) -> list[float]:
    """Return the latencies in ms with three decimals."""
    return [round(1e3 * seconds, 3) for seconds in latencies_s]


def show(what: str) -> None:
    """Show the progress on a terminal."""
    if sys.stderr.isatty():
        print(f'\r{what:60}', end='', file=sys.stderr, flush=True)


def table(report: dict[str, Any]) -> str:
    """Return the report as text."""
    lines = [f'\nframes of {report["frames_from"]}, {report["date"]}']
    rows = (
        ('drive.py (3 tokens)', 'baseline_ms'),
        ('drive.py (1 token)', 'baseline_one_token_ms'),
        ('sim_bridge, three processes', 'ours_ms'),
        ('sim_bridge, one process', 'one_process_ms'),
        ('network alone at 60 Hz', 'network_60hz_ms'),
        ('network alone', 'network_ms'),
        ('... with 32 bits (floor)', 'floor_ms'),
    )
    if 'ours_ms' in report:
        lines.append(f'{"":30}{"p50 ms":>9}{"p99 ms":>9}{"max ms":>9}{"frames/s":>10}')
        for title, key in rows:
            one = report[key]
            hz = f'{one["telemetry_hz"]:10.1f}' if 'telemetry_hz' in one else ''
            lines.append(f'{title:30}{one["p50"]:9.2f}{one["p99"]:9.2f}{one["max"]:9.2f}{hz}')
    for title, key in (
        ('faster than drive.py', 'speedup'),
        ('... with one token', 'speedup_one_token'),
        ("drive.py's p50 / our p99", 'baseline_p50_over_ours_p99'),
        ('over the floor', 'over_floor'),
        ('... in one process', 'over_floor_one_process'),
        ('over the network alone', 'over_network'),
        ('... in one process', 'over_network_one_process'),
        ('first command, s', 'first_command_s'),
        ('... processor time, s', 'first_command_cpu_s'),
        ('resident memory, MiB', 'rss_mb'),
        ('... shared pages once, MiB', 'pss_mb'),
        ('TensorFlow loaded', 'tensorflow_loaded'),
    ):
        if key in report:
            lines.append(f'{title:30}{report[key]!s:>9}')
    if 'sixty_hz' in report:
        one = report['sixty_hz']
        lines.append(
            f'{"60 Hz for " + str(one["seconds"]) + " s":30}{one["telemetry_hz"]:9.2f} kept, '
            f'{one["timeouts"]} timeouts, p50 {one["p50"]:.2f} ms, p99 {one["p99"]:.2f} ms'
        )
    if 'first_answer_s' in report:
        times = ', '.join(f'{track} {one:.2f}' for track, one in report['first_answer_s'].items())
        lines.append(f'{"first answer on a track, s":30}{times}')
    if 'import_s' in report:
        times = ', '.join(f'{name} {seconds:.2f}' for name, seconds in report['import_s'].items())
        lines.append(f'{"imports, processor time, s":30}{times}')
    lines += [car_row(row) for row in report.get('cars', [])]
    return '\n'.join([*lines, noise(report['machine'])])


def car_row(row: dict[str, Any]) -> str:
    """Return one line of the table of several cars."""
    return (
        f'{row["cars"]:2} cars{"":23}{row["telemetry_hz"]:9.1f} telemetry/s, p50 '
        f'{row["p50_ms"]:.2f} ms, p99 {row["p99_ms"]:.2f} ms, CPU {row["cpu_percent"]:.0f} %'
    )


def draw(latencies_ms: dict[str, list[float]], path: Path) -> None:
    """Plot the share of frames that are answered within a time."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    names = {
        'seed': ('drive.py, 3 tokens', '#b5453c'),
        'seed_one_token': ('drive.py, 1 token', '#d98c2b'),
        'ours': ('sim_bridge, three processes', '#3b6fb6'),
        'one_process': ('sim_bridge, one process', '#3f9b5f'),
        'network': ('network alone', '#9aa5b1'),
    }
    figure, axes = pyplot.subplots(figsize=(9, 4.5), layout='constrained')
    for name, (label, colour) in names.items():
        ordered = sorted(latencies_ms[name])
        shares = [100.0 * (rank + 1) / len(ordered) for rank in range(len(ordered))]
        middle = statistics.median(ordered)
        axes.plot(ordered, shares, color=colour, lw=2, label=f'{label}: p50 {middle:.2f} ms')
    axes.axvline(1e3 / HZ, color='#555555', lw=1, ls=':')
    axes.text(1.03e3 / HZ, 2, 'one frame at 60 Hz', fontsize=8, color='#555555')
    axes.set(xscale='log', ylim=(0, 100), xlabel='ms from a telemetry to its answer')
    axes.set_ylabel('% of frames answered')
    axes.grid(alpha=0.3, which='both')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc='upper left')
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure, print, write and draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--only', default=','.join(PARTS), help='parts, with commas between')
    parser.add_argument('--rounds', type=at_least(1), default=4, help='turns of each in latency')
    parser.add_argument('--seconds', type=at_least(0.1), default=60.0, help='length of sixty, s')
    parser.add_argument(
        '--starts', type=at_least(1), default=3, help='starts measured, after a first one'
    )
    parser.add_argument('--out', type=Path, default=OUT, help='folder for bench.json, bench.png')
    args = parser.parse_args()
    chosen = args.only.split(',')
    if not set(chosen) <= set(PARTS):
        parser.error(f'--only takes some of {",".join(PARTS)}')
    processes.isolate()
    args.domain = int(os.environ['ROS_DOMAIN_ID'])
    frames, origin = jpegs()
    quietness = Quietness()
    report: dict[str, Any] = {'frames_from': origin, 'date': time.strftime('%Y-%m-%d %H:%M')}
    for part in PARTS:
        if part in chosen:
            report |= MEASURES[part](args, frames, quietness)
    report['machine'] = quietness.report()
    show('')
    args.out.mkdir(parents=True, exist_ok=True)
    latencies_ms = report.pop('latencies_ms', None)
    if latencies_ms:
        draw(latencies_ms, args.out / 'bench.png')
    (args.out / 'bench.json').write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    print(table(report))


if __name__ == '__main__':
    main()
