# SPDX-License-Identifier: Apache-2.0
"""Every verb that takes a recording takes every kind of it, and says what it cannot take."""

import functools
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from mcap.writer import Writer as McapWriter
from rosbags.rosbag2 import StoragePlugin

from helpers.recordings import (
    COMMON,
    FRAMES,
    KINDS,
    SPEED_MPS,
    jpeg_of,
    packed,
    steering_rad,
    write_bag,
    write_folder,
    write_kind,
    write_ros1,
    write_split,
)
from sim_bridge.cli import train
from sim_bridge.cli.main import main
from sim_bridge.nodes import bag_player
from sim_bridge.recording.bag import Bag, number_cdr, stamp_ns
from sim_bridge.recording.sources import open_bag, open_recording
from sim_bridge.recording.storage import BagError, Storage
from sim_bridge.topics import COMPRESSED_FRAME, SPEED, STEERING_COMMAND
from steering_net.training import trainer
from steering_net.training.config import TrainConfig
from steering_net.training.frames import Frames


@pytest.fixture
def only_read(monkeypatch):
    """Let `train` end when it has read its frames, and `replay` play to nobody at once."""
    read = trainer.recorded_frames

    def read_and_end(*args, **options):
        raise ValueError(f'{len(read(*args, **options))} frames were read')

    monkeypatch.setattr(trainer, 'recorded_frames', read_and_end)
    monkeypatch.setattr(bag_player, '_SUBSCRIPTION_S', 0.0)
    monkeypatch.setattr(bag_player, '_MORE_SUBSCRIPTIONS_S', 0.0)


VERBS = {
    'data': (lambda path, out: ['data', path], 0, f'{FRAMES} good, 0 bad'),
    'open-loop': (
        lambda path, out: ['evaluate', 'open-loop', '--recording', path],
        0,
        'correlation ',
    ),
    'data-driven': (
        lambda path, out: [
            'evaluate', 'data-driven', '--recording', path, '--reference', 'driver'
        ],
        0,
        'interventions ',
    ),
    'train --log': (
        lambda path, out: ['train', '--log', path, '--out', out],
        2,
        f'{FRAMES} frames were read',
    ),
    'train --bag': (
        lambda path, out: ['train', '--bag', path, '--out', out],
        2,
        f'{FRAMES} frames were read',
    ),
    'export': (
        lambda path, out: ['export', path, '--csv', out, '--mp4', out.with_suffix('.mp4')],
        0,
        f'{FRAMES} rows',
    ),
    'replay': (
        lambda path, out: ['replay', path, '--rate', '100'],
        0,
        f'{5 * FRAMES} messages published',
    ),
}  # fmt: skip


@pytest.fixture(scope='module')
def recorded(tmp_path_factory):
    """A function that returns the recording of a kind, which is written once."""
    return functools.cache(lambda kind: write_kind(kind, tmp_path_factory.mktemp('kind')))


def run(capsys, words):
    """Run a verb in this process: (exit code, its output)."""
    code = main([str(word) for word in words])
    told = capsys.readouterr()
    return code, told.out + told.err


@pytest.mark.slow
@pytest.mark.parametrize('verb', VERBS)
@pytest.mark.parametrize('kind', KINDS)
def test_every_verb_takes_every_kind(recorded, tmp_path, capsys, logged, only_read, kind, verb):
    path, more = recorded(kind)
    words, code, told = VERBS[verb]
    found, text = run(capsys, [*words(path, tmp_path / 'out'), *more])
    assert (found, told in text) == (code, True), text
    text += logged.text
    assert ('has no metadata.yaml' in text) == ('without metadata' in kind or kind == 'db3 file')


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_holds_the_same_drive(recorded, kind):
    path, more = recorded(kind)
    bag = open_bag(path, *more[1:])
    records = list(bag)
    for name in (COMPRESSED_FRAME, SPEED, STEERING_COMMAND):
        assert sum(record.is_of(name) for record in records) == FRAMES
    images = [r.frame().data.tobytes() for r in records if r.is_of(COMPRESSED_FRAME)]
    assert images == [jpeg_of(number) for number in range(FRAMES)]
    commands = [r.command()[1] for r in records if r.is_of(STEERING_COMMAND)]
    assert commands == pytest.approx([steering_rad(number) for number in range(FRAMES)], abs=1e-6)
    recording = open_recording(path, car=bag.car)
    assert recording.steering_rad.tolist() == pytest.approx(commands)
    assert recording.speed_mps.tolist() == pytest.approx([SPEED_MPS] * FRAMES, rel=1e-4)
    assert recording.camera == ('training' if kind in COMMON[:2] else 'autonomous')


@pytest.mark.parametrize('verb', VERBS)
def test_several_cars_are_named_and_one_is_asked_for(tmp_path, capsys, only_read, verb):
    path = write_bag(tmp_path / 'drive', cars=('/car_1', '/car_2'))
    words = VERBS[verb][0](path, tmp_path / 'out')
    code, told = run(capsys, ['replay', path, '--check'] if verb == 'replay' else words)
    assert code == 2
    assert told.endswith('holds several cars: car_1, car_2; choose one with --car\n')


@pytest.mark.parametrize('car', ['2', 'car_2', '/car_2'])
def test_car_is_chosen_by_its_number_or_its_namespace(tmp_path, capsys, car):
    path = write_bag(tmp_path / 'drive', cars=('/robot', '/car_2'))
    for word in (car, 'robot'):
        code, told = run(capsys, ['data', path, '--car', word])
        assert (code, f'{FRAMES} good' in told) == (0, True)


@pytest.mark.parametrize(
    ('path', 'told'),
    [
        ('video', '--mp4 is {folder}/video; it must end with .mp4'),
        ('folder.mp4', '--mp4: {folder}/folder.mp4 is a folder; name a file in it'),
        ('mine.mp4', '--mp4: {folder}/mine.mp4 already exists; name another file, or remove it'),
        ('none/v.mp4', '--mp4: there is no folder {folder}/none; create it'),
    ],
)
def test_video_that_cannot_be_written_is_told(tmp_path, capsys, recorded, path, told):
    (tmp_path / 'folder.mp4').mkdir()
    (tmp_path / 'mine.mp4').write_text('mine')
    code, text = run(capsys, ['export', recorded('mcap')[0], '--mp4', tmp_path / path])
    assert code == 2
    assert told.format(folder=tmp_path) in text
    assert text.count('\n') == 1
    assert (tmp_path / 'mine.mp4').read_text() == 'mine'


def test_car_that_is_not_there_is_told(tmp_path, capsys):
    path = write_bag(tmp_path / 'drive', cars=('/car_1', '/car_2'))
    code, told = run(capsys, ['data', path, '--car', '3'])
    assert code == 2
    assert 'of car 3; it holds that of car_1, car_2' in told


@pytest.mark.parametrize('verb', VERBS)
def test_ros1_bag_gets_a_line_that_says_what_to_do(tmp_path, capsys, only_read, verb):
    path = write_ros1(tmp_path)
    for named in (path, tmp_path):
        code, told = run(capsys, VERBS[verb][0](named, tmp_path / 'out'))
        assert (code, told.count('\n')) == (2, 1)
        assert f'is a bag of ROS 1; convert it with `rosbags-convert --src {path} --dst ' in told


@pytest.fixture
def frames(tmp_path):
    """A folder as drive.py writes it: frames that are named by their time, and no log."""
    folder = tmp_path / 'run1'
    folder.mkdir()
    for number in range(FRAMES):
        name = f'2026_11_17_12_00_00_{100 * number:03d}.jpg'
        (folder / name).write_bytes(jpeg_of(number))
    return folder


def test_frames_without_a_log_become_a_video_beside_them(frames, capsys):
    code, told = run(capsys, ['export', frames, '--csv', frames.with_name('log')])
    assert (code, 'holds no steering: a bag needs' in told) == (2, True)
    assert not frames.with_name('log').exists()
    code, told = run(capsys, ['export', frames, '--mp4'])
    assert (code, told) == (0, f'{frames}.mp4: {FRAMES} frames\n')
    video = cv2.VideoCapture(f'{frames}.mp4')
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(10.0, abs=0.1)
    other = frames.with_name('other.mp4')
    assert run(capsys, ['export', frames, '--mp4', other, '--fps', '60'])[0] == 0
    assert cv2.VideoCapture(str(other)).get(cv2.CAP_PROP_FPS) == pytest.approx(60.0)


@pytest.mark.parametrize('verb', ['data', 'open-loop', 'train --log'])
def test_frames_without_a_log_have_no_steering(frames, capsys, only_read, tmp_path, verb):
    code, told = run(capsys, VERBS[verb][0](frames, tmp_path / 'out'))
    assert code == 2
    assert 'it has frames without steering, which only replay and export --mp4' in told


def test_log_whose_frames_are_named_as_drive_py_names_them_is_of_autonomous_mode(frames):
    rows = [f'{path.name},0.1' for path in sorted(frames.iterdir())]
    (frames / 'log.csv').write_text('\n'.join(rows), encoding='utf-8')
    assert open_recording(frames).camera == 'autonomous'
    assert open_recording(frames, 'training').camera == 'training'


def frames_of_times(folder, times_s):
    """The records of the frames of a log with these times."""
    write_folder(folder)
    names = [path.name for path in sorted((folder / 'IMG').iterdir())]
    rows = [f'{name},{time_s},0' for name, time_s in zip(names, times_s, strict=True)]
    (folder / 'driving_log.csv').write_text('\n'.join(['frame,time_s,steering', *rows]), 'utf-8')
    return [record for record in open_bag(folder) if record.is_of(COMPRESSED_FRAME)]


def test_log_of_several_days_has_short_pauses_and_a_stamp_for_each_frame(tmp_path):
    records = frames_of_times(tmp_path / 'drive', [-1, 0, 0, 9e4, 9e4, 3])
    assert [round(record.time_ns * 1e-9, 3) for record in records] == [0, 1, 1, 4, 9, 9]
    assert len({record.time_ns for record in records}) == FRAMES


@pytest.mark.parametrize(
    ('first_s', 'begin_s'),
    [(2e9, 2e9), (2.0**31 - 40, 2.0**31 - 40), (2.0**31 - 20, 0), (1e13, 0)],
)
def test_times_that_no_stamp_can_hold_begin_at_0(tmp_path, first_s, begin_s):
    records = frames_of_times(tmp_path / 'drive', [first_s + 100 * row for row in range(FRAMES)])
    found = [round(record.time_ns * 1e-9 - begin_s, 3) for record in records]
    assert found == [5 * row for row in range(FRAMES)]
    assert [stamp_ns(record.frame()) for record in records] == [one.time_ns for one in records]


@pytest.mark.parametrize('verb', ['open-loop', 'train --log'])
def test_missing_images_are_one_warning(tmp_path, capsys, logged, only_read, verb):
    folder = write_folder(tmp_path / 'drive')
    for image in sorted((folder / 'IMG').iterdir())[2:]:
        image.unlink()
    run(capsys, VERBS[verb][0](folder, tmp_path / 'out'))
    (told,) = logged.messages
    assert 'left out: there is no image center_2026' in told
    assert told.endswith('; 4 frames in all')


def test_folders_with_logs_are_named(tmp_path, capsys):
    for name in ('lake', 'jungle'):
        write_folder(tmp_path / name)
    code, told = run(capsys, ['data', tmp_path])
    assert (code, told.count('\n')) == (2, 1)
    assert 'driving_log.csv nor frames.csv, but folders in it do: give one of jungle, lake' in told
    shutil.rmtree(tmp_path / 'lake')
    _, told = run(capsys, ['data', tmp_path])
    assert 'but the folder jungle in it does: give that' in told


def test_missing_images_of_a_log_are_one_line(tmp_path, capsys):
    folder = write_folder(tmp_path / 'drive')
    for image in sorted((folder / 'IMG').iterdir())[2:]:
        image.unlink()
    code, told = run(capsys, ['export', folder, '--csv', tmp_path / 'out'])
    assert code == 0
    assert told.count('\n') == 2
    assert 'drive lacks 4 images, 10 messages were read: there is no image center_2026' in told


@pytest.mark.parametrize('name', ['drive_10.mcap', 'drive: part 10.mcap'])
def test_file_that_a_split_bag_lacks_is_named(tmp_path, name):
    path = write_split(tmp_path / 'drive', StoragePlugin.MCAP)
    (path / 'drive_10.mcap').unlink()
    metadata = path / 'metadata.yaml'
    metadata.write_text(metadata.read_text('utf-8').replace('drive_10.mcap', name), 'utf-8')
    bag = Bag(Storage(path))
    assert sum(1 for _ in bag) == 15
    assert bag.trouble == f'{path} lacks {name}, 15 messages were read'


def test_bag_whose_files_are_listed_as_rosbag2_does_lacks_none(tmp_path):
    path = write_split(tmp_path / 'drive', StoragePlugin.MCAP)
    names = [file.name for file in path.glob('*.mcap')]
    parts = (f'    - path: {name}\n      message_count: {FRAMES}\n' for name in names)
    paths = (f'    - {name}\n' for name in names)
    (path / 'metadata.yaml').write_text(
        f'rosbag2_bagfile_information:\n  version: 9\n  relative_file_paths:\n{"".join(paths)}'
        f'  files:\n{"".join(parts)}  ros_distro: kilted\n'
    )
    bag = Bag(Storage(path))
    assert sum(1 for _ in bag) == 5 * FRAMES
    assert not bag.trouble


def test_split_bag_without_metadata_is_read_in_the_order_of_its_numbers(tmp_path):
    path = write_split(tmp_path / 'drive', StoragePlugin.MCAP)
    (path / 'metadata.yaml').unlink()
    times = [record.time_ns for record in Bag(Storage(path))]
    assert len(times) == 5 * FRAMES
    assert times == sorted(times)


def test_bag_whose_files_were_renamed_or_packed_is_read(tmp_path):
    path = write_bag(tmp_path / 'drive')
    packed(path / 'drive.mcap')
    (path / 'drive.mcap').unlink()
    assert sum(1 for _ in Bag(Storage(path))) == 5 * FRAMES
    (path / 'drive.mcap.zstd').rename(path / 'other.MCAP.ZSTD')
    assert sum(1 for _ in Bag(Storage(path))) == 5 * FRAMES


@pytest.mark.parametrize('suffix', ['db3', 'mcap.zstd'])
def test_what_is_no_storage_is_one_line(tmp_path, suffix):
    path = tmp_path / f'x.{suffix}'
    path.write_bytes(b'no bag at all')
    with pytest.raises(BagError, match='messages were read: ') as caught:
        list(Bag(Storage(path)))
    assert str(path) in str(caught.value)


def test_packed_file_that_is_broken_is_incomplete_each_time_that_it_is_read(tmp_path):
    path = write_bag(tmp_path / 'drive', numbers=range(400))
    copy = packed(path / 'drive.mcap')
    (path / 'drive.mcap').unlink()
    content = bytearray(copy.read_bytes())
    content[-2000:-1000] = b'\xff' * 1000
    copy.write_bytes(content)
    bag = Bag(Storage(path))
    for _ in range(2):
        with pytest.raises(BagError, match=f'{path} is incomplete, 0 messages were read: zstd'):
            list(bag)


def test_check_of_frames_that_cannot_be_decoded_ends_at_once(tmp_path, capsys):
    folder = write_folder(tmp_path / 'drive')
    for image in (folder / 'IMG').iterdir():
        image.write_bytes(b'no jpeg')
    code, told = run(capsys, ['replay', folder, '--check'])
    assert (code, told) == (
        2,
        f'sim-bridge replay: {folder} holds no frame that can be checked: not a JPEG\n',
    )


@pytest.mark.slow
def test_check_takes_a_log_and_does_not_wait_for_a_broken_frame(tmp_path, capsys):
    folder = write_folder(tmp_path / 'drive')
    sorted((folder / 'IMG').iterdir())[1].write_bytes(b'no jpeg')
    code, told = run(capsys, ['replay', folder, '--check', '--threshold', '1'])
    assert code == 1
    assert f'{FRAMES - 1} frames, 1 refused' in told


@pytest.mark.parametrize('verb', ['data', 'open-loop', 'data-driven', 'train --log'])
@pytest.mark.parametrize('rows', [1, 2])
def test_short_logs_do_not_write_nan(tmp_path, capsys, only_read, verb, rows):
    log = write_folder(tmp_path / 'drive') / 'driving_log.csv'
    log.write_text('\n'.join(log.read_text(encoding='utf-8').splitlines()[:rows]), 'utf-8')
    words, code, told = VERBS[verb]
    more = [] if verb.startswith('train') else ['--json', tmp_path / 'report.json']
    found, text = run(capsys, [*words(log, tmp_path / 'out'), *more])
    if (verb, rows) == ('data-driven', 1):
        code, told = 2, f'{log} holds one frame; a drive needs two or more'
    else:
        told = told.replace(f'{FRAMES} ', f'{rows} ')
    assert (found, told in text) == (code, True), text
    written = [path.read_text(encoding='utf-8') for path in tmp_path.glob('*.json')]
    assert len(written) == (code == 0)
    assert not any('nan' in one.lower() for one in (text, *written))


def test_training_without_held_out_frames_tells_so():
    assert train._shown(float('nan')) == '(none held out)'
    nothing = np.zeros(1, bool)
    pools = [Frames(np.zeros((1, 95, 320, 3), np.uint8), np.zeros(1, np.float32), nothing)] * 2
    trained = trainer.Trained(Path('x'), '', float('nan'), float('nan'), {'loss': [1.0]})
    facts = dict(trainer._card_facts(TrainConfig(Path('x')), trained, pools))
    assert facts['RMSE on held-out recorded frames'] == 'unknown'
    assert not any('nan' in value.lower() for value in facts.values())


def write_types(path, types):
    """Write a bag with one message of a number for each of these types, by topic."""
    with (path.with_suffix('.mcap')).open('wb') as file:
        writer = McapWriter(file)
        writer.start('ros2', 'test')
        for number, (topic, kind) in enumerate(types.items()):
            schema = writer.register_schema(kind, 'ros2msg', b'float32 data')
            channel = writer.register_channel(topic, 'cdr', schema)
            writer.add_message(channel, number, number_cdr(1.0), number)
        writer.finish()
    return path.with_suffix('.mcap')


@pytest.mark.parametrize('other', ['my_msgs/msg/Thing', 'my_msgs/Thing'])
def test_replay_leaves_out_types_that_are_not_installed(tmp_path, capfd, only_read, other):
    types = {'/thing': other, '/speed': 'std_msgs/msg/Float32'}
    told = f'topics of types that are not installed are not published: {other}'
    assert main(['replay', str(write_types(tmp_path / 'a', types))]) == 0
    out, err = capfd.readouterr()
    assert 'a.mcap: 1 messages published' in out
    assert told in err
    assert main(['replay', str(write_types(tmp_path / 'b', {'/thing': other}))]) == 2
    assert capfd.readouterr().err == f'sim-bridge replay: {told}\n'
