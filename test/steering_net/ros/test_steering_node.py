# SPDX-License-Identifier: Apache-2.0
"""The steering node as a process of its own, over real DDS."""

import os
import shutil
import signal
import subprocess
import sys
import time
from array import array
from contextlib import suppress
from itertools import groupby
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import rclpy
from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Float32
from std_srvs.srv import SetBool

from helpers.ros import started_rclpy
from helpers.waiting import wait_for
from steering_net.errors import ImageError
from steering_net.inference.hot_reload import Request
from steering_net.inference.output_monitor import UNMOVED_FRAMES, Level
from steering_net.inference.predictor import PredictionError, default_model, load_predictor
from steering_net.model_io.litert_converter import probe_frames
from steering_net.ros.image_message import to_rgb
from steering_net.ros.steering_node import SteeringNode
from steering_net.vision.jpeg import decode_jpeg

pytestmark = pytest.mark.slow

RELIABLE = QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE)


def jpeg(rgb):
    return cv2.imencode('.jpg', cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))[1].tobytes()


def node_process(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, '-m', 'steering_net.ros.steering_node', '--ros-args', *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


class Listener:
    """Sends frames into a namespace and keeps all that the steering node there answers."""

    def __init__(self, namespace=''):
        self.context = Context()
        rclpy.init(context=self.context)
        self.node = rclpy.create_node('listener', namespace=namespace, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)
        self.commands, self.angles, self.diagnostics = [], [], []
        for kind, topic, kept in (
            (JointState, 'cmd/steering', self.commands),
            (Float32, 'steering', self.angles),
            (DiagnosticArray, 'diagnostics', self.diagnostics),
        ):
            self.node.create_subscription(kind, topic, kept.append, RELIABLE)
        self.frames = {
            kind: self.node.create_publisher(kind, topic, RELIABLE)
            for kind, topic in (
                (CompressedImage, 'camera/image_raw/compressed'),
                (Image, 'camera/image_raw'),
            )
        }

    def close(self):
        self.node.destroy_node()
        self.context.try_shutdown()

    def wait(self, condition, what, seconds=60.0):
        def spun():
            self.executor.spin_once(timeout_sec=0.02)
            return condition()

        return wait_for(spun, seconds, what)

    def connect(self, kind=CompressedImage):
        """Wait until the node listens and is listened to."""
        self.wait(lambda: self.frames[kind].get_subscription_count(), 'the subscription')
        topics = ('cmd/steering', 'steering', 'diagnostics')
        self.wait(
            lambda: all(self.node.count_publishers(topic) for topic in topics), 'its publishers'
        )

    def send_jpeg(self, data, stamp_ns):
        message = CompressedImage(format='jpeg', data=array('B', data))
        self._send(message, stamp_ns)

    def _send(self, message, stamp_ns):
        message.header.frame_id = 'camera_optical_frame'
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        self.frames[type(message)].publish(message)

    def ask(self, data, stamp_ns):
        """Send a JPEG and return the command that answers it.

        It is sent again after a while, because the graph knows of a publisher before DDS has
        matched it with this subscription, and a first command can be lost in between.
        """
        before = len(self.commands)
        for _ in range(12):
            self.send_jpeg(data, stamp_ns)
            with suppress(AssertionError):
                self.wait(lambda: len(self.commands) > before, 'an answer', 5.0)
                return self.commands[-1]
        raise AssertionError('no answer to twelve sendings of a frame')

    def status(self):
        """Values of the next diagnostic that is made from now on, with its level and message."""
        now_s = time.time()
        self.wait(lambda: self.diagnostics and self._made_s() > now_s, 'a diagnostic')
        status = self.diagnostics[-1].status[0]
        return status, {item.key: item.value for item in status.values}

    def _made_s(self):
        stamp = self.diagnostics[-1].header.stamp
        return stamp.sec + stamp.nanosec * 1e-9


@pytest.fixture
def listener():
    opened = Listener()
    yield opened
    opened.close()


@pytest.fixture
def node():
    process = node_process()
    yield process
    process.kill()
    process.communicate()


def test_every_frame_is_answered_with_its_own_stamp(listener, node):
    listener.connect()
    predictor = load_predictor(camera='autonomous')
    # Twice, for the node sends one and the same message object again and again.
    for i, frame in enumerate(probe_frames() * 2):
        data, stamp_ns = jpeg(frame), 1_700_000_000_123_456_789 + i
        command = listener.ask(data, stamp_ns)
        stamp = command.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == stamp_ns
        assert command.header.frame_id == 'camera_optical_frame'
        assert list(command.name) == ['steering']
        expected = predictor.predict(decode_jpeg(data))
        assert list(command.position) == [pytest.approx(expected, abs=1e-6)]
    listener.wait(lambda: len(listener.angles) == 8, 'the angles')
    for command, angle in zip(listener.commands, listener.angles, strict=True):
        assert angle.data == pytest.approx(command.position[0], abs=1e-6)


def test_a_bad_frame_is_dropped_counted_and_survived(listener, node):
    listener.connect()
    good = jpeg(probe_frames()[0])
    listener.ask(good, 1)
    for count, data in enumerate((b'', b'no jpeg', good[: len(good) // 2]), 1):
        listener.send_jpeg(data, 2)
        # The node keeps one frame only: let it see this one before the next.
        listener.wait(
            lambda count=count: listener.status()[1]['bad_frames'] == str(count),
            'the count of the frame',
        )
    assert listener.ask(good, 3).header.stamp.nanosec == 3
    assert [command.header.stamp.nanosec for command in listener.commands] == [1, 3]
    status, values = listener.status()
    assert (values['frames'], values['bad_frames']) == ('2', '3')
    assert status.level == b'\x01'
    assert values['model'] == 'pilotnet.keras'
    assert (values['backend'], values['profile']) == ('litert', 'course')
    assert len(values['model_sha256']) == 64


@pytest.mark.parametrize(
    ('camera', 'told'),
    [
        ('', 'camera autonomous, turned to training'),
        ('training', 'camera training'),
        ('as-trained', 'camera training'),
        ('pitch:8/roll:1.2/height:1.2', 'camera pitch:8/roll:1.2/height:1.2, turned to training'),
    ],
)
def test_frames_are_turned_to_the_networks_camera_unless_it_took_them(listener, camera, told):
    node = node_process(*(['-p', f'camera:={camera}'] if camera else []))
    try:
        listener.connect()
        predictor = load_predictor(camera=camera or 'autonomous')
        for number, frame in enumerate(probe_frames(), 1):
            data = jpeg(frame)
            expected = predictor.predict(decode_jpeg(data))
            assert listener.ask(data, number).position[0] == pytest.approx(expected, abs=1e-6)
        assert f'camera {listener.status()[1]["camera"]}' == told
    finally:
        node.terminate()
        output = ''.join(node.communicate(timeout=30))
    assert f'{told}\n' in output


def test_a_camera_that_is_not_known_ends_the_node_with_one_line():
    node = node_process('-p', 'camera:=left')
    _, error = node.communicate(timeout=60)
    assert node.returncode == 2
    assert "camera is 'left'; it must be training, autonomous" in error
    assert 'Traceback' not in error


def test_frame_without_a_finite_output_gets_no_command_and_is_judged_as_faulty(monkeypatch):
    def fail(_rgb):
        raise PredictionError('the output is nan')

    message = CompressedImage(data=array('B', jpeg(probe_frames()[0])))
    message.header.stamp.sec, message.header.stamp.nanosec = 3, 500_000_000
    judged, sent = [], []
    with started_rclpy('--log-level', 'fatal'):
        node = SteeringNode()
        (car,) = node._cars.values()
        monkeypatch.setattr(node, '_predictor', SimpleNamespace(predict=fail))
        monkeypatch.setattr(node._monitor, 'add', lambda *words: judged.append(words))
        monkeypatch.setattr(car.commands, 'publish', sent.append)
        node._on_frame(car, message)
        level, summary, values = node._outputs.take(1.0)
        node.destroy_node()
    assert judged == [('', 0.0, 3.5, True)]
    assert sent == []
    assert (level, summary) == (Level.ERROR, 'the output of the network is not finite')
    assert (values['bad_outputs'], values['bad_frames'], values['frames']) == ('1', '0', '0')


def test_faults_of_a_network_end_with_it():
    with started_rclpy('--log-level', 'fatal'):
        node = SteeringNode()
        for frame in range(UNMOVED_FRAMES + 1):
            node._outputs.add(0.1, 1.0, frame)
        assert node._outputs.is_faulty
        node._take_over(Request('default', ''), node._predictor)
        assert not node._outputs.is_faulty
        node.destroy_node()


def test_diagnostics_warn_of_a_refused_network_and_are_on_the_topic_of_each_car(monkeypatch):
    told = []
    with started_rclpy('-p', 'cars:=2', '--log-level', 'fatal'):
        node = SteeringNode()
        for prefix, publisher in node._diagnostics.items():
            monkeypatch.setattr(
                publisher, 'publish', lambda array, prefix=prefix: told.append((prefix, array))
            )
        node._swap.refused = 'b.keras: it is broken'
        node._publish_diagnostics()
        node.destroy_node()
    assert sorted(prefix for prefix, _ in told) == ['', 'car_1/', 'car_2/']
    (status,) = told[0][1].status
    assert (status.level, status.name) == (DiagnosticStatus.WARN, 'steering: network')
    assert status.message == 'the new network was refused: b.keras: it is broken'


def test_frames_of_another_shape_are_dropped_by_name_and_larger_ones_are_scaled(listener, node):
    listener.connect()
    frame = probe_frames()[0]
    right = listener.ask(jpeg(frame), 1).position[0]
    listener.send_jpeg(jpeg(cv2.resize(frame, (640, 480))), 2)
    reason = 'the frame is 640x480; it must be 320x160 or have the same shape (2:1): set the simu'
    listener.wait(lambda: reason in listener.status()[0].message, 'the reason')
    assert [command.header.stamp.nanosec for command in listener.commands] == [1]
    for number in range(3, 8):
        larger = jpeg(cv2.resize(frame, (640, 320)))
        assert listener.ask(larger, number).position[0] == pytest.approx(right, abs=0.03)
    node.terminate()
    output = ''.join(node.communicate(timeout=30))
    assert output.count('the simulator: frames of 640x320 are scaled to 320x160') == 1


def test_an_unsure_network_slows_the_car_and_then_calls_hold(listener):
    unsure, factors, holds = [], [], []
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    listener.node.create_subscription(Float32, 'uncertainty', unsure.append, RELIABLE)
    listener.node.create_subscription(Float32, 'speed_factor', factors.append, latched)

    def hold(request, response):
        holds.append(request.data)
        response.success = True
        return response

    listener.node.create_service(SetBool, 'hold', hold)
    node = node_process('-p', 'monitor:=hold')
    try:
        listener.connect()
        listener.wait(lambda: factors, 'the speed factor')
        known = probe_frames()[0]
        dark = known // 20
        listener.ask(jpeg(known), 50_000_000)
        listener.wait(lambda: unsure, 'the uncertainty')
        assert {factor.data for factor in factors} == {1.0}
        for number in range(1, 60):
            listener.ask(jpeg(dark), number * 100_000_000)
            if holds:
                break
        assert holds == [True]
        changes = [factor for factor, _ in groupby(round(one.data, 3) for one in factors)]
        assert changes == [1.0, 0.4], 'each is repeated once a second'
        assert unsure[-1].data > 0.5 > unsure[0].data
        status, values = listener.status()
        assert 'the network is unsure' in status.message
        assert values['monitor'] == 'hold'
        assert float(values['uncertainty']) > 0.5
    finally:
        node.kill()
        node.communicate()


def test_a_network_without_calibration_may_drive_but_not_hold(listener, tmp_path):
    model = tmp_path / 'copy.keras'
    for suffix in ('.keras', '.tflite', '.json'):
        shutil.copy(default_model().with_suffix(suffix), model.with_suffix(suffix))
    held = node_process('-p', f'model:={model}', '-p', 'monitor:=hold')
    _, error = held.communicate(timeout=60)
    assert held.returncode == 2
    assert 'is not calibrated: set it to warn, or run `sim-bridge evaluate monitor' in error
    node = node_process('-p', f'model:={model}')
    try:
        listener.connect()
        listener.ask(jpeg(probe_frames()[0]), 1)
        assert listener.status()[1]['monitor'] == 'warn, but the network is not calibrated'
    finally:
        node.kill()
        node.communicate()


@pytest.mark.parametrize(
    ('stop', 'code'), [(signal.SIGTERM, 0), (signal.SIGINT, 0)], ids=['SIGTERM', 'SIGINT']
)
def test_a_signal_ends_it_cleanly(listener, node, stop, code):
    listener.connect()
    node.send_signal(stop)
    _, error = node.communicate(timeout=30)
    assert (node.returncode, 'Traceback' in error) == (code, False)


def test_it_ends_when_its_parent_is_gone(listener):
    parent = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)
    node = node_process(SIM_BRIDGE_PARENT_PID=str(parent.pid))
    listener.connect()
    assert node.poll() is None
    parent.communicate()
    _, error = node.communicate(timeout=30)
    assert (node.returncode, 'Traceback' in error) == (0, False)


def test_namespace_parameters_and_raw_images(tmp_path):
    parameters = tmp_path / 'drive.yaml'
    parameters.write_text(
        '/**/steering:\n  ros__parameters: {image_transport: raw, max_steering_rad: 0.05}\n',
        encoding='utf-8',
    )
    node = node_process('-r', '__ns:=/car1', '--params-file', str(parameters))
    listener = Listener('/car1')
    try:
        listener.connect(Image)
        predictor = load_predictor(camera='autonomous')
        for i, frame in enumerate(probe_frames()):
            message = CvBridge().cv2_to_imgmsg(frame, 'rgb8')
            message.data = array('B', frame.tobytes())
            listener._send(message, i + 1)
            listener.wait(lambda n=i: len(listener.commands) > n, 'an answer')
            expected = max(-0.05, min(0.05, predictor.predict(frame)))
            assert listener.commands[-1].position[0] == pytest.approx(expected, abs=1e-6)
    finally:
        node.terminate()
        assert node.wait(30) == 0
        listener.close()


def test_a_batch_of_several_cars_is_answered_to_each_its_own():
    node = node_process('-p', 'backend:=keras', '-p', 'cars:=2')
    cars = [Listener('/car_1'), Listener('/car_2')]
    try:
        for car in cars:
            car.connect()
        predictor = load_predictor(camera='autonomous')
        frames = probe_frames()
        for i in range(8):
            # Both at the same time, so that they wait together; one of them may be unreadable.
            sent = [jpeg(frames[i % 4]), jpeg(frames[(i + 1) % 4]) if i % 2 else b'no jpeg']
            for car, data in zip(cars, sent, strict=True):
                car.send_jpeg(data, i + 1)
            for car, data in zip(cars, sent, strict=True):
                if data != b'no jpeg':
                    expected = predictor.predict(decode_jpeg(data))
                    car.wait(lambda c=car, n=i: stamps(c)[-1:] == [n + 1], 'an answer')
                    # The LiteRT file has weights of 8 bits; the frames differ by 0.03 rad.
                    assert car.commands[-1].position[0] == pytest.approx(expected, abs=5e-3)
        assert [stamps(car) for car in cars] == [list(range(1, 9)), [2, 4, 6, 8]]
        assert cars[1].status()[1]['bad_frames'] == '4'
    finally:
        node.terminate()
        node.wait(30)
        for car in cars:
            car.close()


def stamps(car):
    return [command.header.stamp.nanosec for command in car.commands]


@pytest.mark.parametrize(
    ('parameter', 'message'),
    [
        ('model:=/nowhere/net.keras', '/nowhere/net.keras'),
        ('backend:=torch', "parameter backend is 'torch', it must be one of litert, keras"),
        ('profile:=coarse', "unknown profile 'coarse'"),
        (
            'image_transport:=theora',
            "parameter image_transport is 'theora', it must be one of compressed, raw",
        ),
        ('threads:=0', 'threads'),
        ('threads:=two', 'threads'),
    ],
)
def test_what_cannot_be_used_is_said_in_one_line(parameter, message):
    node = node_process('-p', parameter)
    _, error = node.communicate(timeout=60)
    assert node.returncode == 2
    complaints = [line for line in error.splitlines() if line.startswith('steering: ')]
    assert len(complaints) == 1
    assert message in complaints[0]
    assert 'Traceback' not in error


def image(rgb, encoding='rgb8', padding=0):
    rows = np.pad(rgb.reshape(rgb.shape[0], -1), ((0, 0), (0, padding)), constant_values=7)
    height, width = rgb.shape[:2]
    return Image(
        height=height,
        width=width,
        encoding=encoding,
        step=rows.shape[1],
        data=array('B', rows.tobytes()),
    )


@pytest.mark.parametrize(('padding', 'is_bigendian'), [(0, 0), (40, 0), (0, 1), (40, 1)])
@pytest.mark.parametrize(
    ('encoding', 'order'), [('rgb8', [0, 1, 2]), ('bgr8', [2, 1, 0]), ('bgra8', [2, 1, 0, 0])]
)
def test_images_become_rgb_whatever_their_layout(encoding, order, padding, is_bigendian):
    rgb = probe_frames()[0]
    message = image(np.ascontiguousarray(rgb[..., order]), encoding, padding)
    message.is_bigendian = is_bigendian
    np.testing.assert_array_equal(to_rgb(message, CvBridge()), rgb)


def test_images_that_lie_about_themselves_are_refused():
    rgb = probe_frames()[0]
    short, odd, empty = image(rgb), image(rgb, '32FC1'), Image(encoding='rgb8')
    short.height += 1
    flat = Image(encoding='bgr8', width=5, step=15)
    for message in (short, odd, empty, flat):
        with pytest.raises(ImageError):
            to_rgb(message, CvBridge())
