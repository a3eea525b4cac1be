# SPDX-License-Identifier: Apache-2.0
"""Ports to listen on: what is told if one cannot be opened."""

import errno
import os
import socket

import pytest

from helpers.network import own_port
from sim_bridge.server.listening import ServerError, listen


def opened(host, port):
    return listen(host, port, backlog=1, unacknowledged_ms=1000)


@pytest.mark.parametrize('host', ['192.0.2.1', 'no.such.host.invalid', '127.0.0.300', '::1'])
def test_address_of_another_machine_is_refused_with_one_that_works(host):
    port = own_port()
    told = (
        f'^port {port} on {host} cannot be opened: host must be .* such as 127.0.0.1, or 0.0.0.0'
    )
    with pytest.raises(ServerError, match=told):
        opened(host, port)


def test_port_that_another_program_has_is_named():
    with (
        socket.create_server(('127.0.0.1', 0)) as other,
        pytest.raises(
            ServerError, match='is in use: end the other program or choose another port'
        ),
    ):
        opened('127.0.0.1', other.getsockname()[1])


def test_port_zero_is_a_free_one():
    with opened('0.0.0.0', 0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(('127.0.0.1', port), timeout=5.0) as connected:
            assert connected.getpeername()[1] == port > 0


@pytest.mark.parametrize(
    ('number', 'told'),
    [
        (errno.EACCES, 'this needs an administrator; choose a port of 1024 or more'),
        (errno.EMFILE, 'cannot be opened: Too many open files'),
    ],
)
def test_error_of_the_system_is_told(monkeypatch, number, told):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(socket, 'create_server', fail)
    with pytest.raises(ServerError, match=f'^port 80 on 127.0.0.1 .*{told}'):
        opened('127.0.0.1', 80)


def test_connection_to_a_client_that_acknowledges_nothing_ends():
    with opened('127.0.0.1', 0) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=5.0)
        connection, _ = listener.accept()
        with client, connection:
            waits_ms = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            assert waits_ms == 1000
