# SPDX-License-Identifier: Apache-2.0
"""Starts verbs of `sim-bridge` and looks at processes."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from helpers.paths import ROOT
from helpers.waiting import wait_for
from sim_bridge.nodes.standby import STANDBY_VARIABLE

PROGRAM = (sys.executable, '-m', 'sim_bridge.cli')
"""Words that run `sim-bridge`; a verb and its options follow."""

REPORT_FIELDS = {
    'laps', 'distance_m', 'duration_s', 'lane_departures', 'interventions', 'autonomy_percent',
    'rms_cross_track_m', 'max_cross_track_m', 'max_speed_mps', 'steering_rms_rate_radps', 'frames',
    'answers', 'timeouts', 'late_commands', 'latency_ms', 'telemetry_hz',
}  # fmt: skip
TIMINGS = {'latency_ms', 'telemetry_hz'}
"""Fields of a report that a clock measures, so that no two runs have the same."""


def own_modules():
    """Environment variables with which another Python finds the modules of this one."""
    return {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}


def run_verb(*words, timeout=600.0, **options):
    """Run `sim-bridge` to its end."""
    return subprocess.run(
        [*PROGRAM, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def start_verb(*words, **options):
    """Start `sim-bridge` with options of Popen; return the process."""
    return subprocess.Popen([*PROGRAM, *map(str, words)], **options)


def start_attack(name, port, seconds):
    """Start one attack of `make attack` on a server; it prints the number of its connections."""
    words = ['--attack', name, '--port', str(port), '--seconds', str(seconds)]
    return subprocess.Popen(
        [sys.executable, str(ROOT / 'benchmarks' / 'attack.py'), *words],
        env={**os.environ, **own_modules()},
        stdout=subprocess.PIPE,
        text=True,
    )


def children_of(pid):
    """Process ids of the children of a process; empty if the process has ended."""
    found = []
    for task in Path('/proc').glob(f'{pid}/task/*'):
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, Path(task, 'children').read_text(encoding='ascii').split())
    return found


def children_running(pid, verb):
    """Process ids of the children of a process that run this verb; a spare bridge is no bridge."""
    return [
        child
        for child in children_of(pid)
        if words_of(child)[1:4] == [*PROGRAM[1:], verb] and not is_spare(child)
    ]


def spares_of(pid):
    """Process ids of the spare bridges among the children of a process."""
    return [child for child in children_of(pid) if is_spare(child)]


def words_of(pid):
    """Command line of a process; empty if the process has ended."""
    try:
        return Path(f'/proc/{pid}/cmdline').read_text(encoding='utf-8').split('\0')
    except OSError:
        return []


def is_spare(pid):
    """Whether a process was started as a spare bridge."""
    try:
        return f'{STANDBY_VARIABLE}='.encode() in Path(f'/proc/{pid}/environ').read_bytes()
    except OSError:
        return False


def is_stopped(pid):
    """Whether a process has been stopped by SIGSTOP."""
    return Path(f'/proc/{pid}/stat').read_text(encoding='ascii').split()[2] == 'T'


def freeze(pid):
    """Stop a process, and wait until it stands still: it may run on for some milliseconds."""
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: is_stopped(pid), what='the freeze')


def is_alive(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text(encoding='ascii').split()[2] != 'Z'
    except FileNotFoundError:
        return False
