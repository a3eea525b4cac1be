# SPDX-License-Identifier: Apache-2.0
"""Exports: names of images, the camera of the drawing, and what is left after a failure."""

import resource
import signal
from contextlib import contextmanager

import numpy as np
import pytest

from helpers.recordings import (
    FRAMES,
    PERIOD_NS,
    START_NS,
    jpeg_of,
    write_bag,
    write_folder,
    write_messages,
)
from sim_bridge.cli.main import main
from sim_bridge.recording import export
from sim_bridge.recording.bag import Bag, frame_cdr, number_cdr
from sim_bridge.recording.export import export_log, export_video
from sim_bridge.recording.frames import Frames
from sim_bridge.recording.lerobot import export_lerobot
from sim_bridge.recording.sources import open_recording
from sim_bridge.recording.storage import BagError, Storage
from sim_bridge.topics import COMPRESSED_FRAME, STEERING_ANGLE
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, TRAINING_CAMERA
from steering_net.vision.jpeg import encode_jpeg

EXPORTS = [(export_log, 'out'), (export_video, 'out.mp4'), (export_lerobot, 'out')]


@pytest.fixture(params=EXPORTS, ids=['csv', 'mp4', 'lerobot'])
def kind(request, tmp_path):
    """A function that exports, and its output."""
    if request.param[0] is export_lerobot:
        pytest.importorskip('pyarrow', reason="needs pyarrow: pip install '.[lerobot]'")
    return request.param[0], tmp_path / request.param[1]


@pytest.fixture
def bag(tmp_path):
    return Bag(Storage(write_bag(tmp_path / 'bag')))


def noise(path, count=40):
    """A bag of frames that need more than 100 kB of a video."""
    rng, sent = np.random.default_rng(0), []
    for number in range(count):
        stamp = START_NS + number * PERIOD_NS
        jpeg = encode_jpeg(rng.integers(0, 255, (160, 320, 3)).astype(np.uint8), 50)
        sent.append((COMPRESSED_FRAME, stamp, frame_cdr(stamp, jpeg)))
        sent.append((STEERING_ANGLE, stamp, number_cdr(0.1)))
    return Bag(Storage(write_messages(path, sent)))


@contextmanager
def largest_file(size):
    """Files cannot become larger, as on a disk that is full."""
    # The system sends the signal before it returns the error.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_exported_bag_is_read_as_one_of_autonomous_mode(tmp_path, bag):
    export_log(bag, tmp_path / 'log')
    names = sorted(path.name for path in (tmp_path / 'log' / 'IMG').iterdir())
    assert names[1] == '2026_11_18_11_06_40_050.jpg'
    assert open_recording(tmp_path / 'log').camera == 'autonomous'


def test_exported_log_of_training_mode_is_read_as_one(tmp_path, capsys):
    folder = write_folder(tmp_path / 'drive')
    assert main(['export', str(folder), '--csv', str(tmp_path / 'log')]) == 0
    assert open_recording(tmp_path / 'log').camera == 'training'


@pytest.mark.parametrize('is_there', [False, True])
def test_output_is_written_into_a_new_folder_or_one_that_exists(tmp_path, bag, is_there):
    folder = tmp_path / 'new' / 'log'
    if is_there:
        folder.mkdir(parents=True)
        (folder / 'notes.txt').write_text('mine', encoding='utf-8')
    assert export_log(bag, folder) == FRAMES
    names = {path.name for path in folder.iterdir()}
    assert names == {'IMG', 'driving_log.csv'} | ({'notes.txt'} if is_there else set())
    assert [path.name for path in folder.parent.iterdir()] == ['log']
    assert open_recording(folder).frame(3).shape == (160, 320, 3)


@pytest.mark.parametrize('error', [KeyboardInterrupt, OSError])
def test_export_that_ends_early_leaves_nothing_and_can_be_repeated(
    tmp_path, bag, kind, monkeypatch, error
):
    write, output = kind
    whole = Frames.__iter__

    def ends_early(frames):
        for number, frame in enumerate(whole(frames)):
            if number == FRAMES // 2:
                raise error
            yield frame

    before = set(tmp_path.iterdir())
    monkeypatch.setattr(Frames, '__iter__', ends_early)
    with pytest.raises(error):
        write(bag, output)
    assert set(tmp_path.iterdir()) == before
    monkeypatch.setattr(Frames, '__iter__', whole)
    write(bag, output)
    assert set(tmp_path.iterdir()) == {*before, output}


def test_full_disk_is_told_and_leaves_nothing(tmp_path, kind):
    write, output = kind
    bag = noise(tmp_path / 'bag')
    for size in (100,) if write is export_log else (100, 50_000):
        with largest_file(size), pytest.raises((BagError, OSError)):
            write(bag, output)
        assert [path.name for path in tmp_path.iterdir()] == ['bag']


def test_bag_without_a_frame_that_can_be_decoded_becomes_no_log(tmp_path, capsys):
    sent = [
        (COMPRESSED_FRAME, START_NS, frame_cdr(START_NS, b'no jpeg')),
        (STEERING_ANGLE, START_NS, number_cdr(0.1)),
    ]
    path = write_messages(tmp_path / 'bag', sent)
    assert main(['export', str(path), '--csv', str(tmp_path / 'log')]) == 2
    told = f'sim-bridge export: no frame of {path} can be decoded: not a JPEG\n'
    assert capsys.readouterr().err == told
    assert not (tmp_path / 'log').exists()


def test_predicted_path_is_drawn_for_the_camera_of_the_recording(tmp_path, monkeypatch):
    cameras = []

    def draw(rgb, reading, camera=AUTONOMOUS_CAMERA):
        cameras.append(camera)
        return rgb

    monkeypatch.setattr(export.overlay, 'draw', draw)
    frames = tmp_path / 'run1'
    frames.mkdir()
    (frames / '2026_11_17_12_00_00_000.jpg').write_bytes(jpeg_of(0))
    drive, folder = write_bag(tmp_path / 'bag'), write_folder(tmp_path / 'log')
    for path, camera in (
        (drive, AUTONOMOUS_CAMERA),
        (folder, TRAINING_CAMERA),
        (frames, AUTONOMOUS_CAMERA),
    ):
        cameras.clear()
        assert main(['export', str(path), '--mp4']) == 0
        assert set(cameras) == {camera}
