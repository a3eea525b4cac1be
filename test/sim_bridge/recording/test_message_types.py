# SPDX-License-Identifier: Apache-2.0
"""Message types of packages that rosbags does not know: their definitions are installed."""

import pytest

from sim_bridge.recording.message_types import TYPES, definition_of, is_known
from sim_bridge.recording.storage import BagError

FILES = {
    'Drive': 'float32 speed\nuint8 FAST=1\n',
    'DriveStamped': 'std_msgs/Header header\nDrive drive\nDrive[] later\nDrive[2] last\n',
    'Lost': 'other_msgs/Nothing nothing\n',
    'Broken': 'float32 32speed 7 =\n',
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A prefix with the definitions of `plan_msgs`, behind one without them."""
    folder = tmp_path / 'share' / 'plan_msgs' / 'msg'
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / f'{name}.msg').write_text(text)
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{tmp_path / "empty"}:{tmp_path}')


@pytest.mark.usefixtures('installed')
def test_installed_type_is_known_with_its_fields():
    kind = 'plan_msgs/msg/DriveStamped'
    text = definition_of(kind)
    for part in ('plan_msgs/Drive[] later', 'MSG: plan_msgs/Drive', 'MSG: std_msgs/Header'):
        assert part in text
    drive = TYPES.types['plan_msgs/msg/Drive'](speed=2.0)
    time = TYPES.types['builtin_interfaces/msg/Time'](sec=1, nanosec=2)
    header = TYPES.types['std_msgs/msg/Header'](stamp=time, frame_id='')
    sent = TYPES.types[kind](header=header, drive=drive, later=[drive], last=[drive, drive])
    assert TYPES.deserialize_cdr(TYPES.serialize_cdr(sent, kind), kind).later[0].speed == 2.0


@pytest.mark.usefixtures('installed')
@pytest.mark.parametrize('name', ['Lost', 'Broken', 'Missing'])
def test_type_without_a_readable_definition_is_unknown(name):
    kind = f'plan_msgs/msg/{name}'
    assert not is_known(kind)
    with pytest.raises(BagError, match=f'the definition of {kind} is unknown'):
        definition_of(kind)


def test_nothing_is_installed_without_a_prefix(monkeypatch):
    monkeypatch.delenv('AMENT_PREFIX_PATH', raising=False)
    assert not is_known('nowhere_msgs/msg/Thing')
