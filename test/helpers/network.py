# SPDX-License-Identifier: Apache-2.0
"""TCP ports and ROS domains that only this test process has."""

import random
import socket

DOMAIN_IDS = range(1, 102)
"""Domains above 101 use UDP ports that Linux also gives to clients."""

_held: list[socket.socket] = []


def own_port():
    """A TCP port of this machine that only this process can give to a server.

    A socket keeps the port bound until the process ends, so no other program gets it. The socket
    does not listen: on Linux, a server that sets SO_REUSEADDR can therefore listen on the port.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(('', 0))
    _held.append(holder)
    return holder.getsockname()[1]


def own_domain_id():
    """A ROS domain that no other test process on this machine has (1..101).

    The name of an abstract Unix socket stands for the domain. The kernel frees the name when the
    process ends.
    """
    for number in random.sample(DOMAIN_IDS, len(DOMAIN_IDS)):
        holder = socket.socket(socket.AF_UNIX)
        try:
            holder.bind(f'\0sim_bridge test domain {number}')
        except OSError:
            holder.close()
            continue
        _held.append(holder)
        return number
    raise RuntimeError('other test processes have all 101 ROS domains')
