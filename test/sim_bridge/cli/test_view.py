# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge view`: what it refuses, and what it writes for Rerun."""

import sys
from types import SimpleNamespace

import pytest

from helpers.recordings import FRAMES, write_bag, write_folder
from sim_bridge.cli.main import main
from sim_bridge.recording import rerun_view
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A bag with six frames."""
    path = tmp_path_factory.mktemp('view') / 'bag'
    write_bag(path)
    return path


@pytest.mark.parametrize(
    ('words', 'reason'),
    [
        ([], 'name a recording, or --live'),
        (['bag', '--live'], 'name a recording, or --live'),
        (['bag'], 'there is no screen (DISPLAY is empty); name a file with --save FILE.rrd'),
        (['bag', '--save', 'film.mp4'], '--save is film.mp4; it must end with .rrd'),
        (['bag', '--save', 'no/such/d.rrd'], 'there is no folder'),
        (['--live', '--steering-unit', 'radians'], '--steering-unit needs a recording'),
        (['no_bag', '--save', 'd.rrd'], 'there is no bag no_bag'),
    ],
)
def test_mistake_is_told_in_one_line(words, reason, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert main(['view', *words]) == 2
    told = capsys.readouterr().err
    assert reason in told
    assert told.count('\n') == 1


@pytest.mark.parametrize('source', ['bag', '--live'])
def test_without_rerun_one_line_says_what_to_install(source, bag, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, 'rerun', None)
    words = [str(bag) if source == 'bag' else source, '--save', str(tmp_path / 'd.rrd')]
    assert main(['view', *words]) == 2
    told = capsys.readouterr().err
    assert told == "sim-bridge view: rerun-sdk is missing: pip install 'sim_bridge[rerun]'\n"


@pytest.mark.parametrize(
    ('write', 'camera'), [(write_bag, AUTONOMOUS_CAMERA), (write_folder, TRAINING_CAMERA)]
)
def test_path_is_that_of_the_camera_of_the_recording(tmp_path, monkeypatch, write, camera):
    cameras = []

    def log_of(_save, camera):
        cameras.append(camera)
        return SimpleNamespace(add=lambda *_: None, close=lambda: None, frames=FRAMES)

    monkeypatch.setattr(rerun_view, 'RerunLog', log_of)
    path = write(tmp_path / 'drive')
    assert main(['view', str(path), '--save', str(tmp_path / 'd.rrd')]) == 0
    assert cameras == [camera]


def test_recording_becomes_a_file_of_rerun(bag, tmp_path, capsys):
    pytest.importorskip('rerun', reason="needs rerun-sdk: pip install '.[rerun]'")
    path = tmp_path / 'd.rrd'
    assert main(['view', str(bag), '--save', str(path)]) == 0
    assert capsys.readouterr().out == f'{path}: {FRAMES} frames\n'
    content = path.read_bytes()
    assert content.startswith(b'RRF')
    for name in (b'camera/frame', b'camera/path', b'world/path', b'steering/commanded'):
        assert name in content
