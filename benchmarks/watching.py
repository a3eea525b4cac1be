# SPDX-License-Identifier: Apache-2.0
"""Cost of watching a drive: round trips alone, and with open pages, Foxglove and a recording.

    make watching ARGS="--pages 4 --frames 500 --rounds 3"

They take turns, so that other load on the machine affects them alike; in the last turn all watch
at once. The output has the round trips, their ratio to the round trips alone, and the processor
time of the watchers and the bridge. A page is two streams that a separate process reads. Foxglove
is the foxglove node, the odometry node and a client, which subscribes to what
layouts/foxglove.json shows. The drawing of a browser is not included.
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import processes
from options import at_least

from helpers.foxglove_client import FoxgloveClient
from helpers.graph import Graph
from helpers.network import own_port
from helpers.processes import PROGRAM
from helpers.talking_simulator import TalkingSimulator
from sim_bridge.foxglove.server import foxglove_sdk
from sim_bridge.topics import COMPRESSED_FRAME, TOPICS
from sim_bridge.web.live_stream import STREAMS_AT_MOST
from steering_net.statistics import percentiles_ms

ROOT = Path(__file__).parents[1]
FRAME_PERIOD_S = 1 / 50
STARTING_FRAMES = 150
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


def shown_topics():
    """Return the topics that the layout for Foxglove shows, and those of the transforms."""
    text = (ROOT / 'layouts' / 'foxglove.json').read_text(encoding='utf-8')
    panels = json.loads(text)['configById']
    shown = json.dumps({name: panels[name] for name in panels if 'annotated' not in name})
    known = {f'/{name}' for name, topic in TOPICS.items() if topic.publishers and name[0] != '/'}
    named = set(re.findall(r'"(/[a-z_/]+)[".]', shown))
    return [*sorted(named & known), '/robot_description', '/tf', '/tf_static']


def view(port, ready):
    """Read what the layout shows until killed; create the file `ready` at the first frame."""
    while True:
        with contextlib.suppress(OSError):
            viewer = FoxgloveClient(port)
            break
        time.sleep(0.1)
    for topic in shown_topics():
        viewer.subscribe(topic)
    viewer.message(f'/{COMPRESSED_FRAME}')
    Path(ready).touch()
    while True:
        time.sleep(0.1)
        for messages in viewer.messages.values():
            messages.clear()


def watchers(graph, pages):
    """Return functions by the name of the watcher; each returns commands for a new folder."""
    own = [sys.executable, __file__]
    port = own_port()

    def none(_):
        return []

    def read(_):
        return [[*own, '--read', str(graph.port), '--pages', str(pages)]]

    def show(folder):
        return [
            [*PROGRAM, 'foxglove', '--ros-args', '-p', f'port:={port}'],
            [*PROGRAM, 'odometry'],
            [*own, '--view', str(port), '--ready', f'{folder}/ready'],
        ]

    def record(folder):
        return [[*PROGRAM, 'record', f'{folder}/bag']]

    def all_at_once(folder):
        return [*read(folder), *show(folder), *record(folder)]

    return {
        'alone': none,
        f'{pages} pages': read,
        'Foxglove': show,
        'recorded': record,
        'all': all_at_once,
    }


class Load:
    """Processor time of some processes from now on."""

    def __init__(self, pids):
        self._pids = pids
        self._started_s, self._before_s = time.monotonic(), self._used_s()

    def _used_s(self):
        return sum(map(processes.cpu_s, self._pids))

    def percent(self):
        """Of one processor."""
        return 100.0 * (self._used_s() - self._before_s) / (time.monotonic() - self._started_s)


def measure(graph, jpeg, args, folder):
    """Return by watcher: round trips, s, and the load of the watchers and of the bridge."""
    simulator = TalkingSimulator(graph.url())
    simulator.open(jpeg)
    round_trips_s(simulator, jpeg, 100)
    bridge = graph.nodes['bridge'].pid
    commands_of = watchers(graph, args.pages)
    seen = {name: ([], [], []) for name in commands_of}
    for number in range(args.rounds):
        for name, commands in commands_of.items():
            own = Path(folder, f'{name} {number}')
            own.mkdir()
            watching = [processes.start(*words[1:]) for words in commands(own)]
            round_trips_s(simulator, jpeg, STARTING_FRAMES)
            while any('--ready' in one.args for one in watching) and not (own / 'ready').exists():
                round_trips_s(simulator, jpeg, 10)
                check(name, watching)
            loads = Load([one.pid for one in watching]), Load([bridge])
            times_s, *percents = seen[name]
            times_s += round_trips_s(simulator, jpeg, args.frames)
            for percent, load in zip(percents, loads, strict=True):
                percent.append(load.percent())
            check(name, watching)
            for one in watching:
                one.terminate()
            for one in watching:
                one.wait()
    simulator.leave()
    return seen


def check(name, watching):
    """Fail if a process of a watcher has ended."""
    for one in watching:
        assert one.poll() is None, f'{name}: {one.args} ended early'


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
    parser.add_argument('--pages', type=at_least(1, STREAMS_AT_MOST // len(STREAMS)), default=4)
    parser.add_argument('--frames', type=at_least(1), default=500, help='frames of each turn')
    parser.add_argument('--rounds', type=at_least(1), default=3)
    parser.add_argument('--read', type=int, metavar='PORT', help=argparse.SUPPRESS)
    parser.add_argument('--view', type=int, metavar='PORT', help=argparse.SUPPRESS)
    parser.add_argument('--ready', metavar='FILE', help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.read:
        read_pages(args.read, args.pages)
        return
    if args.view:
        view(args.view, args.ready)
    foxglove_sdk()
    os.environ.setdefault('ROS_DOMAIN_ID', '98')
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    frames = ROOT / 'src' / 'steering_net' / 'probe_frames'
    jpeg = (frames / 'track_2000.jpg').read_bytes()
    with Graph() as graph, tempfile.TemporaryDirectory() as folder:
        table(measure(graph, jpeg, args, folder))


if __name__ == '__main__':
    main()
