# SPDX-License-Identifier: Apache-2.0
"""Messages and parameters of the nodes, with real message classes and a real node."""

import subprocess
import sys

import numpy as np
import pytest
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from sensor_msgs.msg import JointState

from helpers.ros import started_rclpy
from sim_bridge.nodes import bridge, conversions, throttle
from sim_bridge.nodes.raw_image import raw_image
from steering_net.ros.parameters import Parameter, ParameterError, declare

STAMP = 1_700_000_000_123_456_789


@pytest.fixture
def make_node():
    """Make a node with parameter overrides."""
    nodes = []

    def make(**overrides):
        values = [RosParameter(name, value=value) for name, value in overrides.items()]
        nodes.append(Node('probe', parameter_overrides=values))
        return nodes[-1]

    with started_rclpy():
        yield make
        for node in nodes:
            node.destroy_node()


def test_stamp_survives():
    assert conversions.stamp_ns(conversions.time_message(STAMP)) == STAMP
    assert conversions.header(STAMP, 'frame').stamp.nanosec == 123_456_789


def test_compressed_image_holds_the_bytes_untouched():
    jpeg = bytes(range(256)) * 40
    message = conversions.compressed_image(conversions.header(STAMP, 'f'), jpeg)
    assert bytes(message.data) == jpeg
    assert message.format == 'rgb8; jpeg compressed bgr8', 'as other ROS software reads it'


def test_raw_image_is_rgb8():
    rgb = np.random.default_rng(0).integers(0, 256, (160, 320, 3), np.uint8)
    message = raw_image(conversions.header(STAMP, 'f'), rgb)
    assert (message.height, message.width, message.step) == (160, 320, 960)
    assert message.encoding == 'rgb8'
    assert bytes(message.data) == rgb.tobytes()
    assert conversions.stamp_ns(message.header.stamp) == STAMP


def test_camera_info_is_the_pinhole_of_the_field_of_view():
    info = conversions.camera_info(conversions.header(STAMP, 'f'), 320, 160, np.pi / 3)
    assert info.k[0] == info.k[4] == pytest.approx(138.564, abs=1e-3)
    assert (info.k[2], info.k[5], info.k[8]) == (160.0, 80.0, 1.0)
    np.testing.assert_array_equal(info.r.reshape(3, 3), np.eye(3))
    projection = np.hstack((info.k.reshape(3, 3), np.zeros((3, 1))))
    np.testing.assert_array_equal(info.p.reshape(3, 4), projection)
    assert (info.distortion_model, list(info.d)) == ('plumb_bob', [0.0] * 5)


def test_steering_is_found_by_its_joint_name():
    message = JointState(name=['wheel', 'steering'], position=[1.0, 0.25])
    assert conversions.steering_of(message) == 0.25
    assert conversions.steering_of(JointState(name=['steering'])) is None
    assert conversions.steering_of(JointState(name=['wheel'], position=[1.0])) is None


@pytest.mark.parametrize('parameters', [bridge.PARAMETERS, throttle.PARAMETERS])
def test_every_parameter_says_what_it_is(make_node, parameters):
    node = make_node()
    values = declare(node, parameters)
    assert values == {parameter.name: parameter.default for parameter in parameters}
    for parameter in parameters:
        descriptor = node.describe_parameter(parameter.name)
        assert descriptor.description.endswith('.')
        number = type(parameter.default) in (int, float)
        ranges = [*descriptor.floating_point_range, *descriptor.integer_range]
        assert bool(ranges) == number


@pytest.mark.parametrize(
    ('value', 'told'),
    [(99.0, r'level must be in 0 \.\. 5'), (3, 'level must be a float'), ('x', 'level must be')],
)
def test_bad_value_is_named(make_node, value, told):
    parameter = Parameter('level', 1.0, 'A level, m.', 0.0, 5.0)
    with pytest.raises(ParameterError, match=told):
        declare(make_node(level=value), [parameter])


@pytest.mark.parametrize(
    ('default', 'told'),
    [
        (4567, 'value must be a whole number'),
        (False, 'value must be true or false'),
        ('', 'value must be a text'),
    ],
)
def test_value_of_another_type_is_named_with_what_is_wanted(make_node, default, told):
    with pytest.raises(ParameterError, match=told):
        declare(make_node(value=0.5), [Parameter('value', default, 'A value.')])


def test_bare_off_is_a_choice_although_yaml_reads_it_as_false(make_node):
    parameter = Parameter('watch', 'on', 'Whether to watch.', choices=('on', 'off'))
    assert declare(make_node(watch=False), [parameter]) == {'watch': 'off'}
    with pytest.raises(ParameterError, match='watch is True, it must be one of on, off'):
        declare(make_node(watch=True), [parameter])


def test_value_that_is_no_choice_is_named(make_node):
    parameter = Parameter('law', 'a', 'A law.', choices=('a', 'b'))
    with pytest.raises(ParameterError, match="law is 'c', it must be one of a, b"):
        declare(make_node(law='c'), [parameter])


def test_read_only_parameter_cannot_be_changed(make_node):
    node = make_node()
    declare(node, [Parameter('level', 1.0, 'A level, m.', 0.0, 5.0)])
    (result,) = node.set_parameters([RosParameter('level', value=2.0)])
    assert not result.successful
    assert 'read-only' in result.reason
    assert node.get_parameter('level').value == 1.0


def test_changeable_parameter_keeps_its_range(make_node):
    node = make_node()
    declare(node, [Parameter('level', 1.0, 'A level, m.', 0.0, 5.0, read_only=False)])
    good, bad = node.set_parameters(
        [RosParameter('level', value=2.0), RosParameter('level', value=7.0)]
    )
    assert good.successful
    assert not bad.successful
    assert 'range' in bad.reason


INTERRUPTED_WHILE_MADE = """
import os, signal, sys, time
from rclpy.node import Node
from sim_bridge.nodes.runner import run

class Slow(Node):
    def __init__(self):
        super().__init__('slow')
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)

    def destroy_node(self):
        print('ended', flush=True)
        super().destroy_node()

sys.exit(run(Slow, args=[]))
"""


@pytest.mark.slow
def test_node_that_is_interrupted_while_it_is_made_is_still_ended():
    """The bridge's server, for one, has a thread by then that somebody has to stop."""
    result = subprocess.run(
        [sys.executable, '-c', INTERRUPTED_WHILE_MADE], capture_output=True, text=True, timeout=30
    )
    assert (result.returncode, result.stdout) == (0, 'ended\n'), result.stderr


@pytest.mark.parametrize(('host', 'is_open'), [('0.0.0.0', True), ('127.0.0.1', False)])
def test_bridge_warns_of_an_address_that_all_machines_can_reach(capfd, host, is_open):
    with started_rclpy('-p', f'host:={host}', '-p', 'port:=0'):
        bridge.BridgeNode().destroy_node()
    assert ('all machines on the network can watch and drive' in capfd.readouterr().err) == is_open
