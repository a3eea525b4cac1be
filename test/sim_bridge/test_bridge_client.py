# SPDX-License-Identifier: Apache-2.0
"""The client of a running bridge, against a real HTTP server that answers as the test wants."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from helpers.network import own_port
from sim_bridge.bridge_client import client_host, fetch_state, is_ready


class Server(HTTPServer):
    """A server with one answer for each path; `hosts` are the Host headers that it got."""

    def __init__(self, pages):
        super().__init__(('127.0.0.1', 0), Handler)
        self.pages = pages
        self.hosts = set()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = self.server.pages[self.path]
        self.server.hosts.add(self.headers['Host'])
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """Function that serves pages and returns their server."""
    servers = []

    def start(**pages):
        server = Server({f'/{name}': answer for name, answer in pages.items()})
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_state_is_fetched_by_a_name_that_every_bridge_knows(serve):
    server = serve(**{'state.json': (200, b'{"ready": true}')})
    assert fetch_state('127.0.0.1', server.server_port) == {'ready': True}
    assert server.hosts == {'localhost'}


@pytest.mark.parametrize('body', [b'<html>', b'[1]', b''])
def test_another_program_on_the_port_has_no_state(serve, body):
    assert fetch_state('127.0.0.1', serve(**{'state.json': (200, body)}).server_port) is None


def test_no_program_on_the_port_has_no_state():
    assert fetch_state('127.0.0.1', own_port()) is None


STATE = {'ready': True, 'drive': 'a', 'cars': [{'nodes': {'recorder': 'ready'}}]}


@pytest.mark.parametrize(
    ('state', 'wanted', 'expected'),
    [
        (None, {}, False),
        ({}, {}, False),
        (STATE, {}, True),
        (STATE | {'ready': False}, {}, False),
        (STATE, {'drive': 'a'}, True),
        (STATE, {'drive': 'b'}, False),
        ({'ready': True}, {'drive': 'a'}, False),
        (STATE, {'is_recorded': True}, True),
        (STATE | {'cars': [*STATE['cars'], {'nodes': {'recorder': 'missing'}}]},
         {'is_recorded': True}, False),
    ],
)  # fmt: skip
def test_bridge_is_ready_if_it_has_its_nodes_and_belongs_to_the_drive(state, wanted, expected):
    assert is_ready(state, **wanted) is expected


@pytest.mark.parametrize(
    ('listen', 'connect'),
    [('', '127.0.0.1'), ('0.0.0.0', '127.0.0.1'), ('192.168.1.2', '192.168.1.2')],
)
def test_server_on_all_addresses_is_reached_at_the_loopback_address(listen, connect):
    assert client_host(listen) == connect
