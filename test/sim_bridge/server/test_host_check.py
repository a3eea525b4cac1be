# SPDX-License-Identifier: Apache-2.0
"""Which requests the names in their headers let through, without a socket."""

import pytest

from sim_bridge.server.host_check import HostCheck

OWN = 'Car.lan'
HOST = 'car.lan:4567'


def status_of(app, **environ):
    """Answer a request; return its status."""
    told = []
    environ = {'REQUEST_METHOD': 'GET', 'HTTP_HOST': HOST, **environ}
    assert app(environ, lambda status, _headers: told.append(status))
    return told[0]


def page(_environ, start_response):
    start_response('200 OK', [])
    return [b'page']


@pytest.mark.parametrize('method', ['GET', 'HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'])
@pytest.mark.parametrize(
    ('origin', 'is_own'),
    [
        (None, True),
        ('http://car.lan:4567', True),
        ('https://proxy.example', True),
        ('http://car.lan:80', False),
        ('http://evil.example', False),
        ('null', False),
    ],
)
def test_only_own_pages_and_programs_change_something(method, origin, is_own):
    app = HostCheck(OWN, ['proxy.example']).keep_out_others(page)
    environ = {} if origin is None else {'HTTP_ORIGIN': origin}
    is_allowed = is_own or method in ('GET', 'HEAD', 'OPTIONS')
    status = status_of(app, REQUEST_METHOD=method, **environ)
    assert status == ('200 OK' if is_allowed else '403 Forbidden')
    socket = status_of(app, HTTP_UPGRADE='WebSocket', **environ)
    assert socket == ('200 OK' if is_own else '403 Forbidden')


@pytest.mark.parametrize(
    ('host', 'status'),
    [(HOST, '200 OK'), ('CAR.LAN.', '200 OK'), ('xcar.lan', '403 Forbidden')],
)
def test_server_is_known_by_the_name_that_it_listens_on(host, status):
    assert status_of(HostCheck(OWN).wrap(page), HTTP_HOST=host) == status


def test_refusals_are_logged_once_in_five_seconds(logged):
    now_s = [0.0]
    app = HostCheck(OWN, clock=lambda: now_s[0]).wrap(page)
    for now_s[0] in (100.0, 104.9, 105.0, 109.0):
        status_of(app, HTTP_HOST='evil.example')
    assert len(logged.messages) == 2
