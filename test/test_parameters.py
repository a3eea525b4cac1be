"""Parameters as a person sets them: at the start, and at run time over the real services."""

import math
import time

import pytest
import rclpy
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from sim_bridge.supervisor import Child
from support import run_verb

DEADLINE_S = 30.0


@pytest.mark.parametrize(
    ('node', 'setting', 'told'),
    [
        ('throttle', 'speed_limit:=-1.0', 'parameter speed_limit must be in 0 .. 60'),
        ('throttle', 'speed_limit:=.nan', 'parameter speed_limit must be in 0 .. 60'),
        ('throttle', 'speed_limit:=fast', 'parameter speed_limit must be a float'),
        ('throttle', 'law:=none', 'it must be one of proportional, pi'),
        ('bridge', 'port:=70000', 'parameter port must be in 0 .. 65535'),
        ('bridge', 'command_timeout:=0.0', 'parameter command_timeout must be in 0.01 .. 1'),
        ('bridge', 'stop_timeout:=0.05', 'stop_timeout_s is 0.05, it must not be shorter'),
    ],
)
def test_bad_value_at_the_start_gives_one_line_and_2(node, setting, told):
    result = run_verb(node, '--ros-args', '-p', setting)
    assert result.returncode == 2
    assert result.stderr.count('\n') == 1
    assert told in result.stderr


@pytest.fixture(scope='module')
def set_parameter():
    """A function that sets a parameter of a running throttle node: (accepted, reason)."""
    throttle = Child('throttle', ['throttle'])
    rclpy.init()
    person = rclpy.create_node('person')
    client = AsyncParameterClient(person, 'throttle')
    try:
        wait_until = time.monotonic() + DEADLINE_S
        while not client.services_are_ready():
            assert time.monotonic() < wait_until
            time.sleep(0.05)

        def set_parameter(name, value):
            future = client.set_parameters([Parameter(name, value=value)])
            rclpy.spin_until_future_complete(person, future, timeout_sec=DEADLINE_S)
            (result,) = future.result().results
            return result.successful, result.reason

        yield set_parameter
    finally:
        person.destroy_node()
        rclpy.shutdown()
        throttle.ask_to_end()
        assert throttle.wait(10.0) == 0


@pytest.mark.parametrize('value', [-1.0, 61.0, math.nan, math.inf, 'fast', 7])
def test_bad_value_at_run_time_is_rejected_with_the_reason(set_parameter, value):
    accepted, reason = set_parameter('speed_limit', value)
    assert not accepted
    assert reason


def test_good_value_at_run_time_is_taken(set_parameter):
    assert set_parameter('speed_limit', 3.0) == (True, '')


@pytest.mark.parametrize(('name', 'value'), [('law', 'pi'), ('kp', 1.0)])
def test_what_is_read_once_cannot_be_changed(set_parameter, name, value):
    accepted, reason = set_parameter(name, value)
    assert not accepted
    assert 'read-only' in reason
