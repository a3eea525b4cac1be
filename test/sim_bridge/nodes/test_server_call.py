# SPDX-License-Identifier: Apache-2.0
"""Calls on the thread of a real server: their results, and the reasons of failures."""

import threading

import pytest
from std_srvs.srv import SetBool

from sim_bridge.nodes import server_call
from sim_bridge.nodes.car_services import CarServices
from sim_bridge.nodes.server_call import call_on_server
from sim_bridge.session.car_session import CarSession, ControlError
from sim_bridge.session.tokens import Limits


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


def test_server_that_does_not_react_is_named(monkeypatch):
    monkeypatch.setattr(server_call, 'SERVER_S', 0.01)
    with pytest.raises(ControlError, match=r'^the server of the bridge does not react$'):
        call_on_server(lambda _: None, lambda _: None)


def test_reply_of_a_service_has_the_reason_of_an_error(ros_node, echo, logged):
    def fail():
        raise OSError('the guard has gone')

    session = CarSession(Limits(), None)
    car = CarServices(ros_node, '', session, call_soon=echo.server.call_soon, on_held=fail)
    reply = car._hold(SetBool.Request(data=True), SetBool.Response())
    assert (reply.success, reply.message) == (False, 'the bridge failed: the guard has gone')
    assert session.is_held
