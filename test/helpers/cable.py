# SPDX-License-Identifier: Apache-2.0
"""Machines that are network namespaces of this one, connected by virtual cables and a switch."""

import ctypes
import os
import shutil
import subprocess
from contextlib import contextmanager

IP = shutil.which('ip') or shutil.which('ip', path='/usr/sbin:/sbin')
ACROSS = {
    'ROS_AUTOMATIC_DISCOVERY_RANGE': 'SUBNET',
    # Two namespaces are one machine to DDS, which would go round the cable by shared memory.
    'FASTDDS_BUILTIN_TRANSPORTS': 'UDPv4',
}
"""Environment of programs that are to use the cables."""
_NETWORK = 0x40000000
"""CLONE_NEWNET of linux/sched.h."""


class CableError(RuntimeError):
    """Network namespaces or virtual cables cannot be made here."""


class Machine:
    """A network namespace with an address on the switch."""

    def __init__(self, name, address):
        self.name = name
        self.address = address

    def command(self, *words):
        """The words of a command that runs another command on this machine."""
        return [IP, 'netns', 'exec', self.name, *map(str, words)]

    @contextmanager
    def entered(self):
        """Let this thread, and the programs that it starts, use the network of the machine."""
        with open('/proc/thread-self/ns/net') as before, open(f'/run/netns/{self.name}') as own:
            _set_namespace(own)
            try:
                yield
            finally:
                _set_namespace(before)

    def unplug(self):
        """Take the machine off the switch, for good."""
        _ip('-n', self.name, 'link', 'set', 'cable', 'down')


@contextmanager
def machines(count):
    """Yield so many machines on one switch, and remove them afterwards.

    Raises CableError where that is not possible.
    """
    if IP is None:
        raise CableError('needs ip: apt-get install iproute2')
    switch = f'sb{os.getpid()}'
    names = [f'{switch}n{number}' for number in range(1, count + 1)]
    try:
        for name in (switch, *names):
            _ip('netns', 'add', name)
        _ip('-n', switch, 'link', 'add', 'switch', 'type', 'bridge')
        _ip('-n', switch, 'link', 'set', 'switch', 'up')
        yield [_plug_in(name, switch, number) for number, name in enumerate(names, 1)]
    finally:
        for name in (switch, *names):
            subprocess.run([IP, 'netns', 'delete', name], capture_output=True, check=False)


def _plug_in(name, switch, number):
    end, address = f'port{number}', f'10.83.0.{number}'
    for words in (
        ('-n', switch, 'link', 'add', end, 'type', 'veth', 'peer', 'name', 'cable'),
        ('-n', switch, 'link', 'set', 'cable', 'netns', name),
        ('-n', switch, 'link', 'set', end, 'master', 'switch'),
        ('-n', switch, 'link', 'set', end, 'up'),
        ('-n', name, 'address', 'add', f'{address}/24', 'dev', 'cable'),
        ('-n', name, 'link', 'set', 'cable', 'up'),
        ('-n', name, 'link', 'set', 'lo', 'up'),
        ('-n', name, 'route', 'add', '224.0.0.0/4', 'dev', 'cable'),
    ):
        _ip(*words)
    return Machine(name, address)


def _set_namespace(file):
    # os.setns came with Python 3.12.
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(file.fileno(), _NETWORK):
        raise CableError(f'setns: {os.strerror(ctypes.get_errno())}')


def _ip(*words):
    done = subprocess.run([IP, *words], capture_output=True, text=True, check=False, timeout=10)
    if done.returncode:
        raise CableError(f'ip {" ".join(words)}: {done.stderr.strip()}')
