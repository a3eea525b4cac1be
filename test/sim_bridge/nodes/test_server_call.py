# SPDX-License-Identifier: Apache-2.0
"""Calls on the thread of a real server: their results, and the reasons of failures."""

import threading
import time

import pytest
from std_srvs.srv import SetBool

from sim_bridge.nodes import server_call
from sim_bridge.nodes.car_services import CarServices
from sim_bridge.nodes.server_call import call_on_server
from sim_bridge.session.car_session import CarSession, ControlError
from sim_bridge.session.timeouts import AnswerTimeouts


def test_result_is_that_of_the_servers_thread(echo):
    name = call_on_server(echo.server.call_soon, lambda _: threading.current_thread().name)
    assert name == 'simulator-server'


def test_reason_of_a_refusal_comes_back_and_is_no_fault_of_the_server(echo, logged):
    def refuse(_now_s):
        raise ControlError('the simulator is not paused')

    with pytest.raises(ControlError, match=r'^the simulator is not paused$'):
        call_on_server(echo.server.call_soon, refuse)
    assert logged.messages == []


def test_any_other_error_comes_back_at_once_and_is_logged(echo, logged):
    def fail(_now_s):
        raise LookupError('no such car')

    with pytest.raises(ControlError, match=r'^the bridge failed: no such car$'):
        call_on_server(echo.server.call_soon, fail)
    call_on_server(echo.server.call_soon, lambda _: None)
    assert logged.messages == ['a call on the server thread failed']
    assert 'LookupError: no such car' in logged.text


class SlowServer:
    """Makes the calls when `react` is called, after the caller was told of a failure."""

    def __init__(self, monkeypatch):
        monkeypatch.setattr(server_call, 'SERVER_S', 0.01)
        self._calls = []
        self.call_soon = self._calls.append

    def react(self):
        for call in self._calls:
            call(0.0)


def test_request_that_the_server_did_not_react_to_is_never_carried_out(monkeypatch):
    server, done = SlowServer(monkeypatch), []
    with pytest.raises(ControlError, match=r'does not react; the request is cancelled$'):
        call_on_server(server.call_soon, done.append)
    server.react()
    assert done == []


def test_request_that_has_begun_in_time_is_waited_for(monkeypatch):
    monkeypatch.setattr(server_call, 'SERVER_S', 0.01)

    def call_soon(call):
        threading.Thread(target=call, args=[3.0]).start()

    def take_long(now_s):
        time.sleep(0.05)
        return now_s

    assert call_on_server(call_soon, take_long) == 3.0


@pytest.mark.parametrize(
    ('is_held', 'told'),
    [(True, 'the car is held as soon as it does'), (False, 'the request is cancelled')],
)
def test_only_a_hold_comes_late(ros_node, monkeypatch, is_held, told):
    server, session = SlowServer(monkeypatch), CarSession(AnswerTimeouts(), None)
    car = CarServices(ros_node, '', session, call_soon=server.call_soon, on_held=lambda: None)
    session.set_held(0.0, not is_held)
    reply = car._hold(SetBool.Request(data=is_held), SetBool.Response())
    assert (reply.success, reply.message) == (
        False,
        f'the server of the bridge does not react; {told}',
    )
    server.react()
    assert session.is_held


def test_reply_of_a_service_has_the_reason_of_an_error(ros_node, echo, logged):
    def fail():
        raise OSError('the guard has gone')

    session = CarSession(AnswerTimeouts(), None)
    car = CarServices(ros_node, '', session, call_soon=echo.server.call_soon, on_held=fail)
    reply = car._hold(SetBool.Request(data=True), SetBool.Response())
    assert (reply.success, reply.message) == (False, 'the bridge failed: the guard has gone')
    assert session.is_held
