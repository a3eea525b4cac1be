# SPDX-License-Identifier: Apache-2.0
"""Processes of a benchmark: started on their own port and ROS domain, and ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from sim_bridge.bridge_client import fetch_state
from sim_bridge.process import child_environment

_START_S = 60.0
_END_S = 10.0


def isolate() -> None:
    """Keep DDS on this machine and apart from other graphs that run here."""
    os.environ.setdefault('ROS_DOMAIN_ID', str(os.getpid() % 99 + 1))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


def own_port() -> int:
    """Return a TCP port that no server uses now."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return int(probe.getsockname()[1])


def start(
    *arguments: str, domain: int | None = None, silent: bool = False
) -> subprocess.Popen[str]:
    """Start Python with these arguments in its own session and, if given, its own ROS domain.

    `silent` discards stderr.
    """
    environment = child_environment(os.environ)
    if domain is not None:
        environment['ROS_DOMAIN_ID'] = str(domain)
    return subprocess.Popen(
        [sys.executable, *arguments],
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if silent else None,
        text=True,
    )


def end(running: Iterable[subprocess.Popen[str]]) -> None:
    """Ask the processes to end, and kill those that do not."""
    processes = list(running)
    for process in processes:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
    for process in processes:
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def nodes(
    port: int, domain: int | None = None, parameters: Sequence[str] = ()
) -> list[subprocess.Popen[str]]:
    """Start bridge, steering and throttle nodes as `sim-bridge drive` does.

    `parameters` are those of any node, as `node:name:=value`.
    """
    arguments = ros_arguments(port, parameters)
    return [
        start('-m', 'sim_bridge.cli', name, *arguments, domain=domain)
        for name in ('bridge', 'steering', 'throttle')
    ]


def together(
    port: int, domain: int | None = None, parameters: Sequence[str] = ()
) -> list[subprocess.Popen[str]]:
    """Start the same nodes in one process, as `sim-bridge drive --one-process` does."""
    arguments = ros_arguments(port, parameters)
    return [start('-m', 'sim_bridge.cli', 'together', *arguments, domain=domain)]


def ros_arguments(port: int, parameters: Sequence[str] = ()) -> list[str]:
    """Return the ROS arguments for the port and for parameters `node:name:=value`."""
    pairs = [
        argument for pair in (f'bridge:port:={port}', *parameters) for argument in ('-p', pair)
    ]
    return ['--ros-args', '--log-level', 'warn', *pairs]


def state(port: int) -> dict | None:
    """Return the state of the bridge on this port; None if it does not answer."""
    return fetch_state('127.0.0.1', port, timeout_s=2.0)


def wait_until_ready(port: int) -> None:
    """Wait until the bridge has all its nodes."""
    wait_for_state(port, 'ready')


def wait_for_state(port: int, field: str, look_s: float = 0.05) -> None:
    """Wait until a field of the bridge's state is true or above zero; look every `look_s`."""
    deadline_s = time.monotonic() + _START_S
    while not (state(port) or {}).get(field):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f'the bridge had no `{field}` within {_START_S:.0f} s')
        time.sleep(look_s)


def wait_for_port(port: int) -> None:
    """Wait until a server listens on the port."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f'no server listened on port {port} within {_START_S:.0f} s')


def cpu_s(pid: int) -> float:
    """Return the processor time of a process so far, s (man 5 proc)."""
    fields = Path(f'/proc/{pid}/stat').read_text(encoding='ascii').rpartition(')')[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf('SC_CLK_TCK')


def cpu_of_tree_s(pid: int) -> float:
    """Return the processor time of a process and of all that descend from it, s."""
    total_s, waiting = 0.0, [pid]
    while waiting:
        process = waiting.pop()
        total_s += cpu_s(process)
        for thread in Path(f'/proc/{process}/task').iterdir():
            waiting += map(int, (thread / 'children').read_text(encoding='ascii').split())
    return total_s


def memory_mb(pids: Sequence[int]) -> dict[str, float]:
    """Resident memory of these processes together, MiB.

    rss counts what they share once for each of them, pss counts it once in all (Linux,
    /proc/PID/smaps_rollup).
    """
    totals = {'rss': 0.0, 'pss': 0.0}
    for pid in pids:
        for line in Path(f'/proc/{pid}/smaps_rollup').read_text(encoding='ascii').splitlines():
            name = line.split(':')[0].lower()
            if name in totals:
                totals[name] += int(line.split()[1]) / 1024
    return {name: round(value, 1) for name, value in totals.items()}


def has_mapped(pid: int, library: str) -> bool:
    """Return whether a process has loaded a library whose path contains `library`."""
    return library in Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
