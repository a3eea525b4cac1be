# SPDX-License-Identifier: Apache-2.0
"""The services of simulation_interfaces: fields of the answers, and the numbers of the package.

The package is not on PyPI, so most tests use objects with the fields of its messages.
"""

import math
from dataclasses import replace
from types import SimpleNamespace as Fields

import pytest
from geometry_msgs.msg import Pose, Twist
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes import simulation_services
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.nodes.simulation_services import (
    SERVICES,
    SimulationHandlers,
    SimulationServices,
)
from sim_bridge.protocol.types import Control, Truth
from sim_bridge.protocol.udacity import UdacityLink
from sim_bridge.session import simulation_control
from sim_bridge.session.car_session import CarSession, SimulatorClient
from sim_bridge.session.simulation_control import Feature, Reply, Result, World
from sim_bridge.session.timeouts import AnswerTimeouts
from steering_net.vehicle import REAR_AXLE_M

TRUTH = Truth(
    x_m=10.0, y_m=5.0, z_m=0.0, yaw_rad=math.pi / 2, pitch_up_rad=0.0, speed_mps=8.0,
    yaw_rate_radps=0.1, cross_track_m=0.0, laps=0, lap_time_s=0.0, off_road=False,
)  # fmt: skip

NOT_INSTALLED = 'simulation_interfaces is not installed; PyPI lacks it'


class Asked:
    """What the handlers ask, and the answers of the test."""

    def __init__(self):
        self.asked = []

    def features(self, *, has_truth):
        return [Feature.SIMULATION_STATE_GETTING] * (1 + has_truth)

    def world(self):
        return World.PAUSED

    def __getattr__(self, name):
        def ask(value):
            self.asked.append((name, value))
            return Reply(Result.UNSUPPORTED, 'a reason')

        return ask


@pytest.fixture
def car():
    return Fields(
        has_client=True,
        map_frame='lab/car_2/map',
        newest_truth=TRUTH.text(),
        newest_stamp_ns=7_000_000_005,
    )


@pytest.fixture
def handlers(car):
    return SimulationHandlers(Asked(), {'car_2': car})


def answer():
    return Fields(
        result=Fields(result=9, error_message='?'),
        state=Fields(state=9, header=Header(), pose=Pose(), twist=Twist()),
        features=Fields(features=[], custom_info=''),
    )


def test_every_service_has_its_handler(handlers):
    assert all(callable(getattr(handlers, name)) for name in SERVICES)


def test_features_and_state_are_numbers(handlers, car):
    assert handlers.get_simulator_features(None, answer()).features.features == [24, 24]
    car.newest_truth = None
    assert handlers.get_simulator_features(None, answer()).features.features == [24]
    told = handlers.get_simulation_state(None, answer())
    assert (told.state.state, told.result.result, told.result.error_message) == (2, 1, '')


@pytest.mark.parametrize(
    ('service', 'request_fields', 'asked'),
    [
        ('set_simulation_state', Fields(state=Fields(state=2)), ('set_world', 2)),
        ('reset_simulation', Fields(scope=255), ('reset', 255)),
        ('step_simulation', Fields(steps=3), ('step', 3)),
    ],
)
def test_requests_are_passed_on_and_the_reason_comes_back(
    handlers, service, request_fields, asked
):
    told = getattr(handlers, service)(request_fields, answer())
    assert handlers._control.asked == [asked]
    assert (told.result.result, told.result.error_message) == (0, 'a reason')


def test_entity_is_the_rear_axle_with_its_speed_in_the_frame_of_the_header(handlers):
    told = handlers.get_entity_state(Fields(entity='car_2'), answer())
    assert told.result.result == Result.OK
    assert told.state.header.frame_id == 'lab/car_2/map'
    assert (told.state.header.stamp.sec, told.state.header.stamp.nanosec) == (7, 5)
    position = told.state.pose.position
    assert (position.x, position.y) == pytest.approx((10.0, 5.0 - REAR_AXLE_M))
    twist = told.state.twist
    swing_mps = 0.1 * REAR_AXLE_M
    assert (twist.linear.x, twist.linear.y) == pytest.approx((0.0, math.sqrt(64 - swing_mps**2)))
    assert twist.angular.z == 0.1


def test_entity_on_a_climb_moves_up(handlers, car):
    car.newest_truth = replace(TRUTH, pitch_up_rad=0.2, speed_mps=-8.0, yaw_rate_radps=0.0).text()
    linear = handlers.get_entity_state(Fields(entity='car_2'), answer()).state.twist.linear
    assert (linear.x, linear.y, linear.z) == pytest.approx(
        (0.0, -8.0 * math.cos(0.2), -8.0 * math.sin(0.2))
    )


def test_entity_that_is_unknown_or_not_told_has_a_reason(handlers, car):
    told = handlers.get_entity_state(Fields(entity='bus'), answer())
    assert told.result.result == Result.NOT_FOUND
    assert told.result.error_message == "entity is 'bus'; it must be one of car_2"
    car.newest_truth = None
    told = handlers.get_entity_state(Fields(entity='car_2'), answer())
    assert told.result.result == Result.UNSUPPORTED


def test_frame_of_an_entity_begins_with_the_namespace_of_the_bridge():
    words = ('-r', '__ns:=/lab', '-p', 'cars:=2', '-p', 'port:=0')
    with started_rclpy('--log-level', 'error', *words):
        bridge = BridgeNode()
        frames = [car.map_frame for car in bridge._cars.values()]
        are_driven = [car.has_client for car in bridge._cars.values()]
        bridge.destroy_node()
    assert frames == ['lab/car_1/map', 'lab/car_2/map']
    assert are_driven == [False, False]


def test_entity_whose_simulator_has_gone_has_no_state(handlers, car):
    car.has_client = False
    told = handlers.get_entity_state(Fields(entity='car_2'), answer())
    assert told.result.result == Result.INCORRECT_STATE
    assert told.result.error_message == 'no simulator is connected'


class OnlyCar:
    """A car without a namespace of its own."""

    prefix = ''


class Stepping(SimulationHandlers):
    """Handlers whose step is the service of a package that is on PyPI."""

    def step_simulation(self, _request, response):
        response.message = self._control.step(1000).message
        return response


def test_step_that_waits_for_frames_ends_with_the_bridge(ros_node, monkeypatch):
    monkeypatch.setattr(simulation_services, 'srv', Fields(StepSimulation=Trigger))
    monkeypatch.setattr(simulation_services, 'SERVICES', {'step_simulation': 'StepSimulation'})
    monkeypatch.setattr(simulation_services, 'SimulationHandlers', Stepping)
    session = CarSession(AnswerTimeouts(), inspect_image)
    simulator = SimulatorClient(UdacityLink(lambda *_: None))
    simulator.resets.run = 0
    session.assign(0.0, simulator)
    session.control(0.0, Control.PAUSE)
    steps, car = [], OnlyCar()
    services = SimulationServices(
        ros_node,
        {car: (session, lambda _now_s, control: steps.append(control))},
        lambda function: function(0.0),
    )
    client = ros_node.create_client(Trigger, 'step_simulation')
    assert client.wait_for_service(10.0)
    client.call_async(Trigger.Request())
    wait_for(lambda: steps, what='a step')
    services.close()
    assert not services._thread.is_alive()
    assert steps == [Control.STEP], 'none after the one whose frame did not come'


def test_node_of_the_services_answers_ros2_param():
    pytest.importorskip('simulation_interfaces.srv', reason=NOT_INSTALLED)
    with started_rclpy('--log-level', 'error', '-p', 'port:=0'):
        bridge = BridgeNode()
        offered = dict(bridge.get_service_names_and_types_by_node('simulation', '/'))
        bridge.destroy_node()
    assert '/step_simulation' in offered
    assert '/simulation/list_parameters' in offered


def test_numbers_are_those_of_the_package():
    msg = pytest.importorskip('simulation_interfaces.msg', reason=NOT_INSTALLED)
    srv = pytest.importorskip('simulation_interfaces.srv')
    assert all(hasattr(srv, kind) for kind in SERVICES.values())
    for feature in Feature:
        assert getattr(msg.SimulatorFeatures, feature.name) == feature
    for world in World:
        assert getattr(msg.SimulationState, f'STATE_{world.name}') == world
    for result in set(Result) - {Result.UNSUPPORTED, Result.ALREADY_IN_TARGET_STATE}:
        assert getattr(msg.Result, f'RESULT_{result.name}') == result
    assert msg.Result.RESULT_FEATURE_UNSUPPORTED == Result.UNSUPPORTED
    already = srv.SetSimulationState.Response.ALREADY_IN_TARGET_STATE
    assert already == Result.ALREADY_IN_TARGET_STATE
    assert srv.ResetSimulation.Request.SCOPE_STATE == simulation_control.SCOPE_STATE
