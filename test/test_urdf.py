# SPDX-License-Identifier: Apache-2.0
"""The description of the car: a tree whose lengths are those of the car that drives."""

from xml.etree import ElementTree

import pytest

from helpers.paths import ROOT
from sim_bridge.foxglove.urdf import with_link_prefix
from sim_bridge.nodes.state_topics import LIMITS, STEERING_JOINTS, WHEELS_M
from sim_bridge.topics import BASE_FRAME, CAMERA_FRAME, OPTICAL_FRAME
from steering_net.vehicle import MAX_STEERING_RAD, REAR_AXLE_M, TRACK_M, WHEELBASE_M
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA

ROBOT = ElementTree.parse(ROOT / 'urdf' / 'car.urdf').getroot()
JOINTS = {joint.get('name'): joint for joint in ROBOT.iter('joint')}


def numbers(element, name):
    text = '0 0 0' if element is None else element.get(name, '0 0 0')
    return [float(number) for number in text.split()]


def place_of(joint):
    """Place of a joint in base_link, m; no joint on the way is turned."""
    place = numbers(joint.find('origin'), 'xyz')
    parent = joint.find('parent').get('link')
    above = [one for one in JOINTS.values() if one.find('child').get('link') == parent]
    return [sum(pair) for pair in zip(place, place_of(above[0]), strict=True)] if above else place


def test_links_are_one_tree_from_base_link():
    children = [joint.find('child').get('link') for joint in JOINTS.values()]
    links = [link.get('name') for link in ROBOT.iter('link')]
    assert sorted([BASE_FRAME, *children]) == sorted(links)
    assert len(set(links)) == len(links)


def test_joints_that_move_are_those_that_the_bridge_publishes():
    moving = {name for name, joint in JOINTS.items() if joint.get('type') != 'fixed'}
    assert moving == {*STEERING_JOINTS, *WHEELS_M}
    for name in STEERING_JOINTS:
        limit = JOINTS[name].find('limit')
        assert float(limit.get('upper')) == pytest.approx(MAX_STEERING_RAD)
        assert float(limit.get('lower')) == pytest.approx(-MAX_STEERING_RAD)


@pytest.mark.parametrize('name', WHEELS_M)
def test_wheels_stand_on_the_ground_where_the_car_has_them(name):
    x_m = WHEELBASE_M if name.startswith('front') else 0.0
    y_m = 0.5 * TRACK_M if 'left' in name else -0.5 * TRACK_M
    radius_m = WHEELS_M[name]
    assert place_of(JOINTS[name]) == pytest.approx([x_m, y_m, radius_m])
    child = JOINTS[name].find('child').get('link')
    (link,) = [one for one in ROBOT.iter('link') if one.get('name') == child]
    assert float(link.find('.//cylinder').get('radius')) == radius_m


def test_the_shapes_of_a_link_have_one_material():
    """RViz paints all of them like the first one."""
    for link in ROBOT.iter('link'):
        materials = {shape.find('material').get('name') for shape in link.iter('visual')}
        assert len(materials) <= 1, link.get('name')


def test_camera_is_that_of_autonomous_mode():
    camera, optical = JOINTS['camera'], JOINTS['camera_optical']
    assert (camera.find('child').get('link'), optical.find('child').get('link')) == (
        CAMERA_FRAME,
        OPTICAL_FRAME,
    )
    pose = AUTONOMOUS_CAMERA
    place = [REAR_AXLE_M + pose.forward_m, 0.0, pose.height_m]
    turned = [-pose.roll_right_up_rad, pose.pitch_down_rad, -pose.yaw_right_rad]
    assert numbers(camera.find('origin'), 'xyz') == pytest.approx(place)
    assert numbers(camera.find('origin'), 'rpy') == pytest.approx(turned)


def test_links_of_a_car_among_several_begin_with_its_prefix():
    text = (ROOT / 'urdf' / 'car.urdf').read_text(encoding='utf-8')
    second = ElementTree.fromstring(with_link_prefix(text, 'car_2/'))
    links = {link.get('name') for link in ROBOT.iter('link')}
    assert {link.get('name') for link in second.iter('link')} == {f'car_2/{one}' for one in links}
    for joint in second.iter('joint'):
        assert joint.get('name') in JOINTS
        for end in ('parent', 'child'):
            plain = JOINTS[joint.get('name')].find(end).get('link')
            assert joint.find(end).get('link') == f'car_2/{plain}'
    assert with_link_prefix(text, '') == text


def test_limits_are_positive_numbers():
    assert all(value > 0.0 for value in LIMITS.values())
