# SPDX-License-Identifier: Apache-2.0
"""Parameters as a person sets them: at the start, and at run time over the real services."""

import math
import signal

import pytest
import rclpy
from rcl_interfaces.msg import ParameterType
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient

from helpers.processes import run_verb
from helpers.ros import started_node, started_rclpy
from helpers.waiting import PATIENCE_S, wait_for
from sim_bridge.nodes import annotate, bridge, odometry, runner, throttle
from sim_bridge.process import ManagedProcess
from steering_net.ros import steering_node as steering

NODES = {
    'annotate': (annotate.AnnotateNode, annotate.main),
    'bridge': (bridge.BridgeNode, bridge.main),
    'odometry': (odometry.OdometryNode, odometry.main),
    'steering': (steering.SteeringNode, steering.main),
    'throttle': (throttle.ThrottleNode, throttle.main),
}
OF_ROS = ('use_sim_time', 'start_type_description_service', 'qos_overrides')
# What a text has to be is not declared in its descriptor, so a bad one is given here.
BAD_TEXTS = {
    ('bridge', 'host'): 'nowhere.invalid',
    ('steering', 'model'): 'none.keras',
    ('steering', 'profile'): 'none',
    ('steering', 'backend'): 'none',
    ('steering', 'image_transport'): 'none',
    ('throttle', 'law'): 'none',
}


@pytest.fixture(params=NODES)
def declared(request):
    """A node, made here, and the descriptors of its own parameters."""
    with started_rclpy('--log-level', 'error', '-p', 'port:=0'):
        node = NODES[request.param][0]()
        names = [name for name in node._parameters if not name.startswith(OF_ROS)]
        yield node, [node.describe_parameter(name) for name in names]
        node.destroy_node()


def bad_values(node, descriptor):
    """Values that this parameter cannot have: of the wrong type, out of its range, no choice."""
    is_text = descriptor.type == ParameterType.PARAMETER_STRING
    yield 5 if is_text else 'fast'
    for bounds in (*descriptor.integer_range, *descriptor.floating_point_range):
        yield bounds.from_value - 1
        yield bounds.to_value + 1
    if descriptor.floating_point_range:
        yield 7
        yield math.nan
    if (node, descriptor.name) in BAD_TEXTS:
        yield BAD_TEXTS[node, descriptor.name]


def as_yaml(value):
    return '.nan' if value != value else value


@pytest.mark.slow
def test_every_parameter_refuses_bad_values_at_the_start(declared, capfd, monkeypatch):
    """One line that names the parameter or the value, and exit code 2."""
    node, descriptors = declared
    name = node.get_name()
    node.destroy_node()
    rclpy.try_shutdown()
    # A node's end ignores SIGINT for good, and a viewer keeps its low priority.
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    monkeypatch.setattr(runner, 'lower_priority', lambda: None)
    for descriptor in descriptors:
        port = [] if descriptor.name == 'port' else ['-p', 'port:=0']
        for value in bad_values(name, descriptor):
            capfd.readouterr()
            setting = f'{descriptor.name}:={as_yaml(value)}'
            code = NODES[name][1](['', '--ros-args', *port, '-p', setting])
            lines = capfd.readouterr().err.splitlines()
            assert (code, len(lines)) == (2, 1), (setting, lines)
            assert descriptor.name in lines[0] or str(value) in lines[0], setting


def test_every_parameter_refuses_bad_values_at_run_time(declared):
    """With a reason; and what is read once refuses every value."""
    node, descriptors = declared
    assert descriptors
    for descriptor in descriptors:
        before = node.get_parameter(descriptor.name).value
        values = list(bad_values(node.get_name(), descriptor))
        if descriptor.read_only:
            values.append(before)
        for value in values:
            (result,) = node.set_parameters([Parameter(descriptor.name, value=value)])
            assert not result.successful, (descriptor.name, value)
            assert result.reason
        assert node.get_parameter(descriptor.name).value == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ('node', 'setting', 'told'),
    [
        ('throttle', 'speed_limit:=-1.0', 'parameter speed_limit must be in 0 .. 60'),
        ('bridge', 'stop_timeout:=0.05', 'stop_timeout is 0.05, it must not be shorter'),
        ('steering', 'threads:=0', 'parameter threads must be in 1 .. 16'),
    ],
)
def test_program_ends_with_one_line_and_2(node, setting, told):
    result = run_verb(node, '--ros-args', '-p', setting)
    assert result.returncode == 2
    assert result.stderr.count('\n') == 1
    assert told in result.stderr


@pytest.fixture(scope='module')
def set_parameter():
    """A function that sets a parameter of a running throttle node: (accepted, reason)."""
    throttle = ManagedProcess('throttle', ['throttle'])
    try:
        with started_node('person') as person:
            client = AsyncParameterClient(person, 'throttle')
            wait_for(client.services_are_ready, what='the services of the node')

            def set_parameter(name, value):
                # A service drops its first answer if it does not know its reader yet.
                for _ in range(3):
                    future = client.set_parameters([Parameter(name, value=value)])
                    rclpy.spin_until_future_complete(person, future, timeout_sec=PATIENCE_S / 3)
                    if future.done():
                        break
                (result,) = future.result().results
                return result.successful, result.reason

            yield set_parameter
    finally:
        throttle.ask_to_end()
        assert throttle.wait(10.0) == 0


@pytest.mark.parametrize('value', [-1.0, 61.0, math.nan, math.inf, 'fast', 7])
def test_bad_value_at_run_time_is_rejected_with_the_reason(set_parameter, value):
    accepted, reason = set_parameter('speed_limit', value)
    assert not accepted
    assert reason


def test_good_value_at_run_time_is_taken(set_parameter):
    assert set_parameter('speed_limit', 3.0) == (True, '')


def test_what_is_read_once_cannot_be_changed(set_parameter):
    accepted, reason = set_parameter('cars', 2)
    assert not accepted
    assert 'read-only' in reason
