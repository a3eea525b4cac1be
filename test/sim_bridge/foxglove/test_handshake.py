# SPDX-License-Identifier: Apache-2.0
"""Which pages may connect to the Foxglove server."""

import pytest

from sim_bridge.foxglove.handshake import ViewerCheck, headers_of

CHECK = ViewerCheck('127.0.0.1', ['viewer.lan'])


@pytest.mark.parametrize(
    'headers',
    [
        {'host': '127.0.0.1:8765'},
        {'host': 'mybox:8765'},
        {},
        {'host': 'localhost:8765', 'origin': 'https://app.foxglove.dev'},
        {'host': '192.168.1.7:8765', 'origin': 'https://app.foxglove.dev'},
        {'host': 'localhost:8765', 'origin': 'file://'},
        {'host': 'localhost:8765', 'origin': 'http://localhost:8080'},
        {'host': 'localhost:8765', 'origin': 'http://127.0.0.1:8080'},
        {'host': '[::1]:8765', 'origin': 'http://[::1]:8080'},
        {'host': '192.168.1.7:8765', 'origin': 'http://192.168.1.7:8765'},
        {'host': 'localhost:8765', 'origin': 'http://viewer.lan:8080'},
        {'host': 'viewer.lan:8765', 'origin': 'http://viewer.lan:8080'},
    ],
)
def test_viewers_and_programs_may_connect(headers):
    assert CHECK.allows(headers)


@pytest.mark.parametrize(
    'headers',
    [
        {'host': 'localhost:8765', 'origin': 'http://evil.example'},
        {'host': 'localhost:8765', 'origin': 'null'},
        {'host': 'localhost:8765', 'origin': ''},
        {'host': 'localhost:8765', 'origin': 'http://[broken'},
        {'host': 'localhost:8765', 'origin': 'https://foxglove.dev.evil.example'},
        {'host': 'localhost:8765', 'origin': 'https://evilfoxglove.dev'},
        {'host': 'localhost:8765', 'origin': 'http://app.foxglove.dev'},
        # The name of a site that leads to this machine (DNS rebinding).
        {'host': 'evil.example:8765', 'origin': 'http://evil.example:8765'},
        {'host': 'evil.example:8765', 'origin': 'https://app.foxglove.dev'},
        {'host': 'localhost:8765', 'origin': 'http://192.168.1.9:80'},
    ],
)
def test_pages_of_other_sites_may_not(headers, logged):
    assert not CHECK.allows(headers)


def test_headers_are_read_by_lower_case_name():
    head = b'GET / HTTP/1.1\r\nHost: a:1\r\nORIGIN:  http://b \r\nbroken\r\n\r\n'
    assert headers_of(head) == {'host': 'a:1', 'origin': 'http://b', 'broken': ''}
