# SPDX-License-Identifier: Apache-2.0
"""Each row of the table in docs/troubleshooting.md: what a person reads of wrong telemetry.

The same line stands in every place: the terminal, the page, /healthz, /state.json, the diagnostics
and the doctor.
"""

import base64
import re
import urllib.error
import urllib.request

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from helpers.paths import DOCS
from helpers.ros import started_node
from helpers.talking_simulator import JPEG_HEADER, TalkingSimulator
from helpers.waiting import wait_for
from sim_bridge.cli import doctor_checks
from sim_bridge.cli.doctor_checks import Level
from sim_bridge.cli.drive import _status_line
from sim_bridge.nodes.image_check import inspect_image
from sim_bridge.protocol.udacity import UdacityLink
from sim_bridge.session.session_manager import SessionManager
from sim_bridge.session.status import State
from sim_bridge.session.timeouts import AnswerTimeouts


def jpeg(width, height):
    """The header of a JPEG of this size, in base64."""
    at = JPEG_HEADER.index(b'\xff\xc0') + 5
    size = height.to_bytes(2, 'big') + width.to_bytes(2, 'big')
    return base64.b64encode(JPEG_HEADER[:at] + size + JPEG_HEADER[at + 4 :]).decode()


GOOD = {
    'steering_angle': '0.0000', 'throttle': '0.0000', 'speed': '11.1847', 'image': jpeg(320, 160)
}  # fmt: skip
CUT = base64.b64encode(base64.b64decode(GOOD['image'])[:-2]).decode()
SIZES = "it must be 320x160 or have the same shape (2:1): set the simulator's camera to 320x160"
ROWS = {
    'image is missing; it must be a base64 JPEG': {k: GOOD[k] for k in GOOD if k != 'image'},
    'steering_angle, throttle, speed and image are missing; is this the Udacity simulator of '
    'Term 1?': {'x': 1.0, 'psi': 0.5},
    'speed is null; it must be a number': GOOD | {'speed': None},
    "speed is 'fast'; it must be a number": GOOD | {'speed': 'fast'},
    'speed is 1e38; it must be within +-1000': GOOD | {'speed': '1e38'},
    'image is null; it must be a base64 JPEG': GOOD | {'image': None},
    'image is binary data; it must be a base64 JPEG': GOOD | {'image': b'\xff\xd8'},
    'image is a data: URI; it must be the base64 text behind the comma': GOOD
    | {'image': f'data:image/jpeg;base64,{GOOD["image"]}'},
    'image is not base64; it must be a base64 JPEG': GOOD | {'image': 'frame.jpg'},
    'image is not a JPEG': GOOD | {'image': base64.b64encode(b'\x89PNG\r\n\x1a\n').decode()},
    'image is a truncated JPEG': GOOD | {'image': CUT},
    f'the frame is 640x480; {SIZES}': GOOD | {'image': jpeg(640, 480)},
    'the frame is 16x8; it must be in 160x80 .. 4096x2048': GOOD | {'image': jpeg(16, 8)},
    'telemetry is a list; it must be an object or null': [GOOD],
}
OTHERS = [
    ('the MPC project', {'ptsx': [1.0], 'psi': 0.5, 'x': 1.0, **ROWS[next(iter(ROWS))]}, 0),
    ('donkeycar', {'steering_angle': 0.0, 'throttle': 0.0, 'speed': 1.0, 'image': jpeg(160, 120)},
     f'the frame is 160x120; {SIZES}'),
    ('frames of twice the size', GOOD | {'image': jpeg(640, 320)}, None),
]  # fmt: skip


def line_of(payload):
    """What the state says after this telemetry, and whether it is driven on."""
    sessions = SessionManager(AnswerTimeouts(), inspect_image)
    sessions.connected(0.0, 'a', UdacityLink(lambda *_: None), is_simulator=True)
    driven = sessions.telemetry(0.0, 'a', payload, 1)
    return sessions.sessions[0].state_line, driven is not None


@pytest.mark.parametrize('line', ROWS)
def test_wrong_input_is_named(line):
    assert line_of(ROWS[line]) == (f'telemetry cannot be read: {line}', False)


def test_every_row_is_in_the_docs_and_every_row_of_the_docs_is_a_test():
    text = (DOCS / 'troubleshooting.md').read_text(encoding='utf-8')
    section = text.partition('## Telemetry cannot be read')[2].partition('\n## ')[0]
    assert re.findall(r'^\| [^|]+ \| `([^|`]+)` \|', section, re.M) == list(ROWS)


@pytest.mark.parametrize(('_name', 'payload', 'line'), OTHERS)
def test_packets_of_other_simulators(_name, payload, line):
    told, is_driven = line_of(payload)
    if line is None:
        assert (told, is_driven) == (State.WAITING.value, True)
    else:
        line = line or next(iter(ROWS))
        assert (told, is_driven) == (f'telemetry cannot be read: {line}', False)


def healthz(graph):
    """Status code and body."""
    try:
        with urllib.request.urlopen(graph.url('/healthz', 'http'), timeout=2.0) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def diagnosed():
    """The next status that the bridge publishes."""
    with started_node('person') as node:
        heard = []
        node.create_subscription(DiagnosticArray, 'diagnostics', heard.append, 10)
        statuses = {}
        while 'sim_bridge: bridge' not in statuses:
            rclpy.spin_once(node, timeout_sec=5.0)
            statuses = {status.name: status for array in heard for status in array.status}
        return statuses['sim_bridge: bridge']


def test_wrong_input_is_named_everywhere_and_brakes_the_car(graph):
    line = 'telemetry cannot be read: image is missing; it must be a base64 JPEG'
    assert healthz(graph) == (200, 'ready\n')
    simulator = TalkingSimulator(graph.url())
    client = simulator.client
    payload = {name: GOOD[name] for name in ('steering_angle', 'throttle', 'speed')}

    def send():
        if client.tokens:
            client.tokens -= 1
            client.send_payload(payload)
        client.poll(0.01)
        return client.commands and client.commands[-1].throttle == -1.0

    wait_for(send, 2.0, 'braking')
    state = graph.state()
    assert state['state'] == state['trouble'] == state['cars'][0]['state'] == line
    assert _status_line(state, []).startswith(f'{line} | ')
    assert healthz(graph) == (503, f'{line}\n')
    status = diagnosed()
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, line)
    finding = doctor_checks.check_port(graph.port)
    assert (finding.level, finding.check, finding.found) == (Level.BROKEN, 'simulator', line)
    payload = GOOD | {'speed': '0.0000'}
    wait_for(lambda: send() or graph.state()['state'] != line)
    assert healthz(graph) == (200, 'ready\n')
    simulator.leave()
