# SPDX-License-Identifier: Apache-2.0
"""The control of a drive on the real server, over real sockets; the car is set by the test."""

import json
import time

import pytest

from helpers.controlled_site import NETWORKS, ControlledSite
from helpers.waiting import wait_for

TOKEN = 'right-token'
REQUESTS = {
    'hold': {'held': True},
    'reset': {},
    'speed_limit': {'mps': 5},
    'network': {'name': 'a.keras'},
    'recording': {'on': True, 'name': 'lap'},
}


@pytest.fixture(scope='module')
def with_token():
    site = ControlledSite(TOKEN)
    yield site
    site.close()


@pytest.fixture
def site(with_token):
    yield with_token
    with_token.tidy()


@pytest.fixture(scope='module')
def off():
    site = ControlledSite(is_on=False)
    yield site
    site.close()


def bearer(token):
    return {'Authorization': f'Bearer {token}'}


@pytest.mark.parametrize('action', [*REQUESTS, 'networks', 'wheel', 'anything'])
def test_without_control_each_route_is_refused_with_one_line(off, action):
    for method in ('GET', 'POST'):
        status, line = off.request(action, REQUESTS.get(action, {}), method=method)
        assert status == 403
        assert line.startswith('control from pages is off; sim-bridge drive --control turns it on')
        assert line.count('\n') == 1
    assert off.wheel().status == 403


@pytest.mark.parametrize('action', REQUESTS)
def test_each_request_needs_the_token(site, action):
    for token in ('', 'wrong', TOKEN + 'x', TOKEN[:-1], 'tökén'):
        status, line = site.request(action, REQUESTS[action], **bearer(token))
        assert status == 403, token
        assert 'the token is missing or wrong' in line
    assert site.cars[0].done == []


def test_requests_are_done_and_answered_with_a_line(site):
    answers = {
        action: site.request(action, body, **bearer(TOKEN)) for action, body in REQUESTS.items()
    }
    assert answers == {
        'hold': (200, 'held True\n'),
        'reset': (409, 'this simulator has no reset\n'),
        'speed_limit': (200, 'limit 5.0\n'),
        'network': (200, 'loads a.keras\n'),
        'recording': (200, "records 'lap'\n"),
    }
    assert site.request('recording', {'on': False}, **bearer(TOKEN)) == (200, 'stopped\n')
    assert site.request('hold?car=2', {'held': False}, **bearer(TOKEN))[0] == 200
    for number in ('3', 'x'):
        told = f"car is '{number}'; it must be 1..2\n"
        assert site.request(f'hold?car={number}', {'held': False}, **bearer(TOKEN)) == (404, told)
    assert site.cars[1].done == ['held False']
    names = site.request('networks', method='GET', **bearer(TOKEN))[1]
    assert json.loads(names) == NETWORKS


@pytest.mark.parametrize(
    ('action', 'body', 'line'),
    [
        ('hold', {'held': 1}, 'held is 1; it must be true or false'),
        ('hold', [], 'held is null; it must be true or false'),
        ('speed_limit', {'mps': True}, 'mps is true; it must be a number of m/s'),
        ('speed_limit', {'mps': '5'}, 'mps is "5"; it must be a number of m/s'),
        ('network', {}, 'name is null; it must be the name of a network'),
        ('recording', {'on': True, 'name': 7}, 'name is 7; it must be a name, or empty'),
    ],
)
def test_bad_field_is_named_with_its_value(site, action, body, line):
    assert site.request(action, body, **bearer(TOKEN)) == (400, f'{line}\n')


def test_forms_and_floods_are_refused(site):
    form = {'Content-Type': 'text/plain'}
    assert site.request('hold', {'held': True}, **bearer(TOKEN), **form)[0] == 415
    assert site.request('recording', {'on': True, 'name': 'x' * 5000}, **bearer(TOKEN))[0] == 413
    for broken in ('{', '[' * 2000 + ']' * 2000, '\x00'):
        status, line = site.request('hold', broken, **bearer(TOKEN))
        assert (status, line) == (400, 'held is null; it must be true or false\n')
    assert site.cars[0].done == []


@pytest.mark.parametrize('origin', ['http://evil.example', 'null', 'http://127.0.0.1:1'])
def test_pages_of_others_are_kept_out_even_with_the_token(site, logged, origin):
    assert site.request('hold', {'held': True}, Origin=origin, **bearer(TOKEN))[0] == 403
    assert site.wheel(token=TOKEN, origin=origin).status == 403
    assert site.cars[0].done == []
    assert logged


def test_name_of_another_site_is_refused(site, logged):
    """DNS rebinding: Host and Origin fit each other, but name the other site."""
    names = {'Host': 'evil.example', 'Origin': 'http://evil.example'}
    assert site.request('hold', {'held': True}, **names, **bearer(TOKEN))[0] == 403
    wheel = site.wheel(token=TOKEN, origin='http://evil.example', host='evil.example')
    assert wheel.status == 403


def test_own_page_drives_until_it_lets_go(site):
    wheel = site.wheel(token=TOKEN, origin=f'http://127.0.0.1:{site.server.port}')
    assert wheel.status == 101
    wheel.drive(0.5, -0.25)
    assert wheel.hear() == {'wheel': 'yours'}
    wheel.send({})
    assert wheel.hear() == {'wheel': 'free'}
    assert site.cars[0].done == [(0.5, -0.25), 'let go']
    wheel.close()


def test_page_whose_connection_ends_lets_go_at_once(site):
    wheel = site.wheel(token=TOKEN, query='?car=2')
    wheel.drive(0.0, 1.0)
    assert wheel.hear() == {'wheel': 'yours'}
    closed_s = time.monotonic()
    wheel.close()
    wait_for(lambda: site.cars[1].done[-1] == 'let go')
    print('measured:', f'{time.monotonic() - closed_s:.3f} s')
    assert time.monotonic() - closed_s < 0.3
    for number in ('3', '0', 'x', '9' * 5000):
        assert site.wheel(token=TOKEN, query=f'?car={number}').status == 404


def test_one_page_at_a_time_holds_the_wheel(site):
    first, second = site.wheel(token=TOKEN), site.wheel(token=TOKEN)
    first.drive(1.0, 0.0)
    assert first.hear() == {'wheel': 'yours'}
    second.drive(-1.0, 0.0)
    assert second.hear() == {'wheel': 'taken'}
    assert site.cars[0].done == [(1.0, 0.0)]
    first.send({})
    first.hear()
    second.drive(-1.0, 0.0)
    assert second.hear() == {'wheel': 'yours'}
    first.close()
    second.drive(-0.5, 0.0)
    wait_for(lambda: site.cars[0].done[-1] == (-0.5, 0.0))
    assert site.cars[0].done.count('let go') == 1, 'the end of the other page frees nothing'
    time.sleep(0.6)
    third = site.wheel(token=TOKEN)
    third.drive(0.1, 0.0)
    assert third.hear() == {'wheel': 'yours'}, 'a page that has fallen silent loses the wheel'


@pytest.mark.parametrize(
    ('message', 'line'),
    [
        ('{"steering": 0.1}', 'throttle is null; it must be -1..1'),
        ('{"steering": 1.01, "throttle": 0}', 'steering is 1.01; it must be -1..1'),
        ('{"steering": NaN, "throttle": 0}', 'steering is NaN; it must be -1..1'),
        ('{"steering": true, "throttle": 0}', 'steering is true; it must be -1..1'),
        ('[1, 2]', 'a message is not a JSON object'),
        ('[' * 4000, 'a message is not a JSON object'),
        ('\x00', 'a message is not a JSON object'),
    ],
)
def test_bad_message_lets_go_and_is_named(site, message, line):
    wheel = site.wheel(token=TOKEN)
    wheel.drive(0.0, 0.5)
    assert wheel.hear() == {'wheel': 'yours'}
    wheel.send(message)
    assert wheel.hear() == {'error': line}
    assert wheel.hear() is None
    assert site.cars[0].done[-1] == 'let go'


def test_wheel_needs_the_token(site):
    wheel = site.wheel(token='wrong')
    assert 'the token is missing or wrong' in wheel.hear()['error']
    assert wheel.hear() is None
    assert 'the token is missing' in site.wheel(token='\ud800').hear()['error']
    assert site.cars[0].done == []


def test_no_token_is_needed_where_only_this_machine_reaches_the_server():
    site = ControlledSite()
    try:
        assert site.request('hold', {'held': True})[0] == 200
        wheel = site.wheel()
        wheel.drive(0.0, 0.0)
        assert wheel.hear() == {'wheel': 'yours'}
    finally:
        site.close()
