"""Starts what is measured, on a port and a ROS domain of its own, and ends it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterable, Sequence
from pathlib import Path

from sim_bridge.process import child_environment

_START_S = 60.0
_END_S = 10.0


def isolate() -> None:
    """Have what is started talk on this machine only, and beside other graphs that run here."""
    os.environ.setdefault('ROS_DOMAIN_ID', str(os.getpid() % 99 + 1))
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


def own_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.create_server(('127.0.0.1', 0)) as probe:
        return int(probe.getsockname()[1])


def start(*words: str, domain: int | None = None, silent: bool = False) -> subprocess.Popen[str]:
    """Start Python with these words, in a session of its own and, if given, a ROS domain too.

    `silent`: for programs that say much on stderr that nobody wants to read.
    """
    environment = child_environment(os.environ)
    if domain is not None:
        environment['ROS_DOMAIN_ID'] = str(domain)
    return subprocess.Popen(
        [sys.executable, *words],
        env=environment,
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if silent else None,
        text=True,
    )


def end(running: Iterable[subprocess.Popen[str]]) -> None:
    """Ask them to end, and see to it."""
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
    """Bridge, steering and throttle, each in a process, as `sim-bridge drive` starts them.

    `parameters`: of any of them, as `node:name:=value`.
    """
    words = ros_arguments(port, parameters)
    return [
        start('-m', 'sim_bridge.cli', name, *words, domain=domain)
        for name in ('bridge', 'steering', 'throttle')
    ]


def together(
    port: int, domain: int | None = None, parameters: Sequence[str] = ()
) -> list[subprocess.Popen[str]]:
    """The same nodes in one process, as `sim-bridge drive --one-process` starts them."""
    words = ros_arguments(port, parameters)
    return [start('-m', 'sim_bridge.cli', 'together', *words, domain=domain)]


def ros_arguments(port: int, parameters: Sequence[str] = ()) -> list[str]:
    """The port and the parameters, `node:name:=value`, as arguments of any node."""
    pairs = [word for pair in (f'bridge:port:={port}', *parameters) for word in ('-p', pair)]
    return ['--ros-args', '--log-level', 'warn', *pairs]


def state(port: int) -> dict | None:
    """What the bridge says of itself; None while it does not answer."""
    try:
        with urllib.request.urlopen(f'http://127.0.0.1:{port}/state.json', timeout=2.0) as reply:
            return json.load(reply)
    except (urllib.error.URLError, OSError, ValueError):
        return None


def wait_until_ready(port: int) -> None:
    """Return when the bridge has all its nodes."""
    deadline_s = time.monotonic() + _START_S
    while not (state(port) or {}).get('ready'):
        if time.monotonic() > deadline_s:
            raise TimeoutError(f'the graph was not ready within {_START_S:.0f} s')
        time.sleep(0.05)


def wait_for_port(port: int) -> None:
    """Return when somebody listens there."""
    deadline_s = time.monotonic() + _START_S
    while time.monotonic() < deadline_s:
        try:
            socket.create_connection(('127.0.0.1', port), timeout=1.0).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise TimeoutError(f'nobody listened on port {port} within {_START_S:.0f} s')


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
    """Whether a process has loaded a library whose path contains this."""
    return library in Path(f'/proc/{pid}/maps').read_text(encoding='utf-8')
