"""What watching costs the drive: the round trip of frames alone, with open pages, and recorded.

    python benchmarks/watching.py [--pages 4] [--frames 500] [--rounds 3]

The three take turns, so that whatever else the machine does hits all alike. A page is its two
streams, read by a process of its own: what a browser draws is not counted.
"""

import argparse
import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / 'test'))

from sim_bridge.meters import percentiles_ms
from support import Graph, TalkingSimulator

FRAME_PERIOD_S = 1 / 50
STREAMS = ('/events', '/camera.mjpg')


def read_pages(port, pages):
    """Read the streams of so many pages until killed."""
    for path in STREAMS * pages:
        threading.Thread(target=read_stream, args=(port, path)).start()


def read_stream(port, path):
    """Read one stream and throw away what comes."""
    connection = http.client.HTTPConnection('127.0.0.1', port)
    connection.request('GET', path)
    reply = connection.getresponse()
    assert reply.status == http.HTTPStatus.OK, reply.read()
    while reply.read1(65536):
        pass


def round_trips_s(simulator, jpeg, frames):
    """Seconds from each frame to its answer, at a steady rate."""
    times_s = []
    for _ in range(frames):
        started_s = time.perf_counter()
        simulator.ask(jpeg)
        times_s.append(time.perf_counter() - started_s)
        time.sleep(max(0.0, FRAME_PERIOD_S - times_s[-1]))
    return times_s


def watchers(graph, pages, folder):
    """What can be started beside the drive, by its name: words of a command, None for nothing."""
    reader = [sys.executable, __file__, '--read', str(graph.port), '--pages', str(pages)]
    recorder = [sys.executable, '-m', 'sim_bridge.cli', 'record']
    return {
        'alone': lambda _: None,
        f'{pages} pages': lambda _: reader,
        'recorded': lambda number: [*recorder, f'{folder}/{number}'],
    }


def measure(graph, jpeg, args, folder):
    """Round trips in seconds by what watched."""
    simulator = TalkingSimulator(graph.url())
    simulator.open(jpeg)
    round_trips_s(simulator, jpeg, 100)
    times_s = {name: [] for name in watchers(graph, args.pages, folder)}
    for number in range(args.rounds):
        for name, words_of in watchers(graph, args.pages, folder).items():
            words = words_of(number)
            watcher = words and subprocess.Popen(words, stdout=subprocess.DEVNULL)
            round_trips_s(simulator, jpeg, 150)  # It starts meanwhile.
            times_s[name] += round_trips_s(simulator, jpeg, args.frames)
            if watcher:
                assert watcher.poll() is None, f'{name} ended early'
                watcher.terminate()
                watcher.wait()
    simulator.leave()
    return times_s


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
        times_s = measure(graph, jpeg, args, folder)
    print(json.dumps({name: percentiles_ms(times) for name, times in times_s.items()}, indent=2))


if __name__ == '__main__':
    main()
