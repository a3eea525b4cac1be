# SPDX-License-Identifier: Apache-2.0
"""Export as a LeRobot dataset: its files, its ticks and episodes, and what is refused."""

import json
import sys
import tracemalloc

import cv2
import numpy as np
import pytest

from helpers.recordings import (
    FRAMES,
    PERIOD_NS,
    SPEED_MPS,
    START_NS,
    jpeg_of,
    simulated_drives,
    steering_rad,
    write_bag,
    write_messages,
)
from sim_bridge.cli.main import main
from sim_bridge.recording.bag import Bag, frame_cdr, number_cdr
from sim_bridge.recording.frames import Frame
from sim_bridge.recording.lerobot import (
    ACTION,
    CAMERA,
    STATE,
    _Colours,
    _Columns,
    _statistics,
    _ticks,
    export_lerobot,
)
from sim_bridge.recording.storage import BagError, Storage
from sim_bridge.topics import COMPRESSED_FRAME, STEERING_ANGLE

parquet = pytest.importorskip('pyarrow.parquet', reason="needs pyarrow: pip install '.[lerobot]'")


@pytest.fixture(scope='module')
def dataset(tmp_path_factory):
    """The dataset of a bag with six frames in 0.25 s, as its command writes it."""
    folder = tmp_path_factory.mktemp('lerobot')
    write_bag(folder / 'bag')
    words = [
        'export',
        str(folder / 'bag'),
        '--lerobot',
        str(folder / 'set'),
        '--task',
        'Keep left.',
    ]
    assert main(words) == 0
    return folder / 'set'


def info_of(folder):
    return json.loads((folder / 'meta/info.json').read_text())


def table(folder, name):
    return parquet.read_table(folder / name).to_pydict()


def test_info_names_the_files_and_the_features(dataset):
    info = info_of(dataset)
    assert (info['codebase_version'], info['fps']) == ('v3.0', 20)
    assert (info['total_frames'], info['total_episodes']) == (FRAMES, 1)
    place = {'chunk_index': 0, 'file_index': 0}
    assert (dataset / info['data_path'].format(**place)).is_file()
    assert (dataset / info['video_path'].format(video_key=CAMERA, **place)).is_file()
    data = table(dataset, info['data_path'].format(**place))
    assert set(data) | {CAMERA} == set(info['features'])


def test_values_of_each_frame_are_si_and_left_positive(dataset):
    data = table(dataset, 'data/chunk-000/file-000.parquet')
    angles = [steering_rad(number) for number in range(FRAMES)]
    assert np.allclose(data[STATE], [(SPEED_MPS, angle) for angle in angles])
    assert np.allclose(data[ACTION], [(angle, 0.5) for angle in angles])
    assert np.allclose(data['timestamp'], np.arange(FRAMES) / 20)
    assert data['frame_index'] == data['index'] == list(range(FRAMES))
    info = info_of(dataset)
    assert info['features'][ACTION]['names'] == ['steering_rad', 'throttle']


def test_video_has_the_frames_in_their_order(dataset):
    video = cv2.VideoCapture(str(dataset / f'videos/{CAMERA}/chunk-000/file-000.mp4'))
    assert video.get(cv2.CAP_PROP_FPS) == 20
    for number in range(FRAMES):
        is_read, image = video.read()
        assert is_read
        assert image.shape == (160, 320, 3)
        assert image.mean() == pytest.approx(20 * number + 40, abs=4)
    assert not video.read()[0]


def test_statistics_and_the_task(dataset):
    stats = json.loads((dataset / 'meta/stats.json').read_text())
    assert stats[STATE]['mean'] == pytest.approx([SPEED_MPS, -0.005])
    assert stats[ACTION]['count'] == [FRAMES]
    assert np.shape(stats[CAMERA]['mean']) == (3, 1, 1)
    assert stats[CAMERA]['max'][0][0][0] == pytest.approx(40 / 255, abs=0.01)
    assert table(dataset, 'meta/tasks.parquet') == {'task_index': [0], 'task': ['Keep left.']}
    pandas = parquet.read_schema(dataset / 'meta/tasks.parquet').pandas_metadata
    assert pandas['index_columns'] == [column['field_name'] for column in pandas['columns']]
    assert pandas['index_columns'] == ['task']


def test_lerobot_reads_it_back(dataset):
    lerobot = pytest.importorskip(
        'lerobot.datasets.lerobot_dataset', reason='needs lerobot, which is large'
    )
    found = lerobot.LeRobotDataset('sim_bridge/test', root=dataset, video_backend='pyav')
    assert (found.num_frames, found.num_episodes, found.fps) == (FRAMES, 1, 20)
    item = found[4]
    assert item['task'] == 'Keep left.'
    assert item[CAMERA].shape == (3, 160, 320)
    assert float(item[CAMERA].mean()) == pytest.approx(120 / 255, abs=0.02)
    assert item[ACTION].tolist() == pytest.approx([steering_rad(4), 0.5])


def test_statistics_of_colours_are_those_of_all_pixels_without_the_images():
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (30, 16, 24, 3)).astype(np.uint8) // [[[1, 2, 9]]]
    colours = _Colours()
    for image in images.astype(np.uint8):
        colours.add(image)
    found, pixels = colours.spread(), images.reshape(-1, 3) / 255
    assert found['min'] == pytest.approx(pixels.min(axis=0))
    assert found['max'] == pytest.approx(pixels.max(axis=0))
    assert found['mean'] == pytest.approx(pixels.mean(axis=0))
    assert found['std'] == pytest.approx(pixels.std(axis=0))
    for name, quantile in (('q01', 0.01), ('q10', 0.1), ('q50', 0.5), ('q90', 0.9), ('q99', 0.99)):
        assert found[name] == pytest.approx(np.quantile(pixels, quantile, axis=0))


def test_memory_of_the_statistics_does_not_grow_with_the_images():
    columns, rgb = _Columns(), np.zeros((160, 320, 3), np.uint8)
    frame = Frame(0, b'', *(None,) * 5)
    tracemalloc.start()
    for _ in range(4000):
        columns.add(0, frame, rgb.copy())
    _statistics(columns.arrays(20), columns.colours)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6


def ticks(stamps_ms, rate_hz=20):
    """Episode and time, ms, of the frame of each tick, for frames at these times."""
    found = [(Frame(10**6 * ms, b'', *(None,) * 5), ms) for ms in stamps_ms]
    return [(episode, ms) for episode, (_, ms) in _ticks(found, rate_hz)]


@pytest.mark.parametrize(
    ('stamps_ms', 'expected'),
    [
        ([0], [0]),
        ([0, 50, 100], [0, 50, 100]),
        ([0, 48, 103, 149], [0, 48, 103, 149]),
        ([0, 16, 33, 50, 66, 83, 100], [0, 50, 100]),
        ([0, 100, 150], [0, 100, 100, 150]),
        ([0, 50, 50, 100], [0, 50, 100]),
    ],
)
def test_each_tick_has_the_nearest_frame(stamps_ms, expected):
    assert ticks(stamps_ms) == [(0, ms) for ms in expected]


def test_pause_ends_an_episode_and_the_next_one_begins_with_its_frame():
    assert ticks([0, 50, 800, 850, 5000]) == [(0, 0), (0, 50), (1, 800), (1, 850), (2, 5000)]
    assert ticks([0, 500]) == [(0, 0)] * 5 + [(0, 500)] * 6


def test_episodes_have_their_places_in_data_and_video(tmp_path):
    write_bag(tmp_path / 'bag', numbers=[0, 1, 2, 40, 41])
    size = export_lerobot(Bag(Storage(tmp_path / 'bag')), tmp_path / 'set', rate_hz=20)
    assert size == (5, 2, 20)
    episodes = table(tmp_path / 'set', 'meta/episodes/chunk-000/file-000.parquet')
    assert episodes['length'] == [3, 2]
    assert episodes['dataset_from_index'] == [0, 3]
    assert episodes['dataset_to_index'] == [3, 5]
    assert episodes[f'videos/{CAMERA}/from_timestamp'] == [0.0, 0.15]
    data = table(tmp_path / 'set', 'data/chunk-000/file-000.parquet')
    assert data['episode_index'] == [0, 0, 0, 1, 1]
    assert data['frame_index'] == [0, 1, 2, 0, 1]


def written(path, messages):
    return Bag(Storage(write_messages(path, messages)))


def test_drives_in_simulated_time_are_episodes_with_their_own_commands(tmp_path):
    bag = written(tmp_path / 'bag', [*simulated_drives(2)])
    assert export_lerobot(bag, tmp_path / 'set') == (40, 2, 20)
    data = table(tmp_path / 'set', 'data/chunk-000/file-000.parquet')
    assert np.allclose(data[ACTION], [(0.1, 0.0)] * 20 + [(0.2, 0.0)] * 20)


def test_frames_of_one_stamp_are_counted(logged):
    assert ticks([0, 50, 50, 50, 100]) == [(0, 0), (0, 50), (0, 100)]
    assert logged.messages == ['2 frames with the stamp of the frame before left out']


def test_manual_driving_has_the_wheels_as_action_and_a_bad_frame_is_left_out(tmp_path, logged):
    times = [START_NS + number * PERIOD_NS for number in range(4)]
    jpegs = [jpeg_of(0), jpeg_of(1), b'no image', jpeg_of(3)]
    frames = [
        (COMPRESSED_FRAME, t, frame_cdr(t, jpeg)) for t, jpeg in zip(times, jpegs, strict=True)
    ]
    angles = [(STEERING_ANGLE, t, number_cdr(0.1)) for t in times]
    bag = written(tmp_path / 'bag', frames + angles)
    assert export_lerobot(bag, tmp_path / 'set', rate_hz=20).frames == 4
    data = table(tmp_path / 'set', 'data/chunk-000/file-000.parquet')
    assert np.allclose(data[ACTION], [(0.1, 0.0)] * 4)
    assert 'left out: not a JPEG' in logged.text


def test_refusals_name_the_reason(tmp_path, capsys, monkeypatch):
    frames_only = written(tmp_path / 'bag', [(COMPRESSED_FRAME, 1, frame_cdr(1, jpeg_of(0)))])
    with pytest.raises(BagError, match='holds no steering'):
        export_lerobot(frames_only, tmp_path / 'set')
    with pytest.raises(BagError, match='is not empty'):
        export_lerobot(frames_only, tmp_path)
    words = ['export', str(tmp_path / 'bag'), '--lerobot', str(tmp_path / 'set'), '--fps', '29.5']
    assert main(words) == 2
    assert '--fps is 29.5; for --lerobot it must be a whole number' in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, 'pyarrow', None)
    assert main(words[:-2]) == 2
    assert "needs pyarrow: pip install 'sim_bridge[lerobot]'" in capsys.readouterr().err
