# SPDX-License-Identifier: Apache-2.0
"""What the monitor does when the network is unsure, over real DDS in one process."""

from itertools import count

import pytest
import rclpy
from std_msgs.msg import Bool, Float32
from std_srvs.srv import SetBool

from helpers.ros import spin_until, started_node
from helpers.waiting import wait_for
from steering_net.errors import ModelError
from steering_net.inference.predictor import PredictionError
from steering_net.ros.monitor import Monitor
from steering_net.ros.qos import LATCHED


class Unsure:
    """A check that finds every frame unknown unless it is told otherwise, or fails."""

    def __init__(self, error=None):
        self.error = error
        self.value = 0.9

    def uncertainty(self, _steering_rad, _now_s):
        if self.error:
            raise self.error
        return self.value


class Bridge:
    """The service `hold` and the topic `hold/active` of a bridge; deaf, it does not react."""

    def __init__(self, node):
        self.is_deaf, self.requests = True, []
        self.active = node.create_publisher(Bool, 'hold/active', LATCHED)
        self.service = node.create_service(SetBool, 'hold', self.hold)

    def hold(self, request, response):
        self.requests.append(request.data)
        if not self.is_deaf:
            self.active.publish(Bool(data=request.data))
        return response


@pytest.fixture
def node():
    with started_node('monitored') as started:
        yield started


def watching(node, check):
    monitor = Monitor(node, 'hold')
    monitor.begin('')
    (car,) = monitor._cars.values()
    car.check = check
    wait_for(car._hold.service_is_ready, what='the service')
    return monitor, car


def test_hold_is_asked_for_until_the_bridge_confirms_it_and_not_after_a_release(node):
    bridge = Bridge(node)
    monitor, car = watching(node, Unsure())
    frames = count()

    def frame():
        monitor.add('', 0.1, 0.05 * next(frames), False)

    spin_until(node, lambda: frame() or len(bridge.requests) >= 2, 'a second request')
    bridge.is_deaf = False
    spin_until(node, lambda: frame() or car._is_held, 'the hold')
    bridge.active.publish(Bool(data=False))
    spin_until(node, lambda: not car._is_held, 'the release')
    asked = len(bridge.requests)
    for _ in range(100):
        frame()
        rclpy.spin_once(node, timeout_sec=0.001)
    assert len(bridge.requests) == asked


def test_requests_that_no_bridge_answers_do_not_pile_up(node):
    monitor = Monitor(node, 'hold')
    monitor.begin('')
    (car,) = monitor._cars.values()
    car.check = Unsure()
    for k in range(200):
        monitor.add('', 0.1, 0.05 * k, False)
    assert len(car._hold._pending_requests) == 1


@pytest.mark.parametrize(
    ('check', 'is_faulty'), [(Unsure(PredictionError('nan')), False), (None, True)]
)
def test_output_that_is_no_number_is_as_unsure_as_can_be(node, check, is_faulty):
    Bridge(node)
    monitor, car = watching(node, check or Unsure())
    monitor.add('', 0.0, 1.0, is_faulty)
    assert car.uncertainty == 1.0


def test_calibration_that_cannot_be_read_is_refused_before_the_network_drives(node, tmp_path):
    model = tmp_path / 'net.keras'
    model.with_suffix('.monitor.json').write_text('{')
    with pytest.raises(ModelError, match='is not a calibration of the monitor'):
        Monitor(node, 'warn').check(str(model))
    Monitor(node, 'off').check(str(model))


def test_speed_factor_is_repeated_because_another_node_may_have_said_another(node):
    heard = []
    node.create_subscription(Float32, 'speed_factor', lambda m: heard.append(m.data), LATCHED)
    monitor = Monitor(node, 'slow')
    monitor.begin('')
    spin_until(node, lambda: heard == [1.0], 'the first factor')
    other = node.create_publisher(Float32, 'speed_factor', LATCHED)
    other.publish(Float32(data=0.4))
    spin_until(node, lambda: heard[-1] < 1.0, 'the factor of another node')
    monitor.tell()
    spin_until(node, lambda: heard[-1] == 1.0, 'the factor again')


@pytest.mark.parametrize(('mode', 'unsure_factor'), [('warn', 1.0), ('slow', 0.4)])
def test_car_is_slow_while_the_network_is_unsure_if_the_mode_says_so(node, mode, unsure_factor):
    heard, frames, check = [], count(), Unsure()
    node.create_subscription(Float32, 'speed_factor', lambda m: heard.append(m.data), LATCHED)
    monitor = Monitor(node, mode)
    monitor.begin('')
    monitor._cars[''].check = check

    def factor_after(uncertainty, seconds):
        check.value = uncertainty
        for _ in range(round(20 * seconds)):
            monitor.add('', 0.0, next(frames) / 20, False)
        del heard[:]
        monitor.tell()
        spin_until(node, lambda: heard, 'a factor')
        return pytest.approx(heard[-1]), bool(monitor.trouble)

    assert factor_after(0.1, 1.0) == (1.0, False)
    assert factor_after(0.9, 1.0) == (unsure_factor, True)
    assert factor_after(0.1, 3.0) == (1.0, False)


@pytest.mark.parametrize(('cars', 'judged'), [(1, 25), (2, 25), (4, 12), (16, 3)])
def test_cars_share_the_looks_of_a_node(node, cars, judged):
    class Counting:
        looks = 0

        def uncertainty(self, _steering_rad, _now_s):
            self.looks += 1
            return 0.1

    monitor = Monitor(node, 'warn')
    prefixes = [f'car_{number}/' for number in range(cars)]
    for prefix in prefixes:
        monitor.begin(prefix)
    check = monitor._cars[prefixes[0]].check = Counting()
    for frame in range(200):
        monitor.add(prefixes[0], 0.0, frame / 200, False)
    assert check.looks == pytest.approx(judged, abs=1)
