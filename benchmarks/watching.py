# SPDX-License-Identifier: Apache-2.0
"""Cost of watching a drive: round trips alone, with open pages, and with a recording.

    make watching ARGS="--pages 4 --frames 500 --rounds 3"

The three take turns, so that other load on the machine affects them alike. The output has the
round trips, their ratio to the round trips alone, and the processor time of the watcher and the
bridge. A page is two streams that a separate process reads. The drawing of a browser is not
included.
"""

import argparse
import http.client
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from helpers.graph import Graph
from helpers.talking_simulator import TalkingSimulator
from steering_net.statistics import percentiles_ms

FRAME_PERIOD_S = 1 / 50
STREAMS = ('/events', '/camera.mjpg')


def read_pages(port, pages):
    """Read the streams of `pages` pages until killed."""
    for path in STREAMS * pages:
        threading.Thread(target=read_stream, args=(port, path)).start()


def read_stream(port, path):
    """Read one stream and discard its content."""
    connection = http.client.HTTPConnection('127.0.0.1', port)
    connection.request('GET', path)
    reply = connection.getresponse()
    assert reply.status == http.HTTPStatus.OK, reply.read()
    while reply.read1(65536):
        pass


def round_trips_s(simulator, jpeg, frames):
    """Return the time from each frame to its answer, s, at a constant rate."""
    times_s = []
    for _ in range(frames):
        started_s = time.perf_counter()
        simulator.ask(jpeg)
        times_s.append(time.perf_counter() - started_s)
        time.sleep(max(0.0, FRAME_PERIOD_S - times_s[-1]))
    return times_s


def watchers(graph, pages, folder):
    """Return the commands of the watchers by name; None for no watcher."""
    reader = [sys.executable, __file__, '--read', str(graph.port), '--pages', str(pages)]
    recorder = [sys.executable, '-m', 'sim_bridge.cli', 'record']
    return {
        'alone': lambda _: None,
        f'{pages} pages': lambda _: reader,
        'recorded': lambda number: [*recorder, f'{folder}/{number}'],
    }


class Load:
    """Processor time of a process from now on; 0 for none."""

    def __init__(self, pid):
        self._pid = pid
        self._started_s, self._before_s = time.monotonic(), self._used_s()

    def _used_s(self):
        if not self._pid:
            return 0.0
        stat = Path(f'/proc/{self._pid}/stat').read_text(encoding='ascii')
        fields = stat.rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf('SC_CLK_TCK')

    def percent(self):
        """Of one processor."""
        return 100.0 * (self._used_s() - self._before_s) / (time.monotonic() - self._started_s)


def measure(graph, jpeg, args, folder):
    """Return by watcher: round trips, s, and the load of the watcher and of the bridge."""
    simulator = TalkingSimulator(graph.url())
    simulator.open(jpeg)
    round_trips_s(simulator, jpeg, 100)
    bridge = graph.nodes['bridge'].pid
    seen = {name: ([], [], []) for name in watchers(graph, args.pages, folder)}
    for number in range(args.rounds):
        for name, command_of in watchers(graph, args.pages, folder).items():
            command = command_of(number)
            watcher = command and subprocess.Popen(command, stdout=subprocess.DEVNULL)
            round_trips_s(simulator, jpeg, 150)  # It starts meanwhile.
            loads = Load(watcher and watcher.pid), Load(bridge)
            times_s, *percents = seen[name]
            times_s += round_trips_s(simulator, jpeg, args.frames)
            for percent, load in zip(percents, loads, strict=True):
                percent.append(load.percent())
            if watcher:
                assert watcher.poll() is None, f'{name} ended early'
                watcher.terminate()
                watcher.wait()
    simulator.leave()
    return seen


def table(seen):
    """Return the table of all watchers, with ratios to no watcher."""
    alone = percentiles_ms(seen['alone'][0])
    print(' ' * 10, '  p50 ms   p99 ms   p50 x   p99 x  watcher % bridge %')
    for name, (times_s, watcher, bridge) in seen.items():
        ms = percentiles_ms(times_s)
        ratios = [ms[which] / alone[which] for which in ('p50', 'p99')]
        print(
            f'{name:10} {ms["p50"]:8.2f} {ms["p99"]:8.2f} {ratios[0]:7.2f} {ratios[1]:7.2f} '
            f'{np.mean(watcher):10.1f} {np.mean(bridge):8.1f}'
        )


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pages', type=int, default=4)
    parser.add_argument('--frames', type=int, default=500, help='frames of each turn')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--read', type=int, metavar='PORT', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read_pages(args.read, args.pages)
        return
    os.environ.setdefault('ROS_DOMAIN_ID', '98')
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    frames = Path(__file__).parents[1] / 'src' / 'steering_net' / 'probe_frames'
    jpeg = (frames / 'track_2000.jpg').read_bytes()
    with Graph() as graph, tempfile.TemporaryDirectory() as folder:
        table(measure(graph, jpeg, args, folder))


if __name__ == '__main__':
    main()
