# SPDX-License-Identifier: Apache-2.0
"""Bags: what is written can be read by everybody, and what is broken is read as far as it goes."""

import json
import re
import shutil
import threading
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore

from helpers.processes import run_verb
from sim_bridge.recording.bag import Bag, BagWriter, Offer, Record, UnusableError, stamp_ns
from sim_bridge.recording.export import export_log, export_video
from sim_bridge.recording.frames import Frames
from sim_bridge.recording.sources import read_bag
from sim_bridge.recording.storage import BagError, Storage
from steering_net.data.driving_log import read_log
from steering_net.data.frame_files import read_image
from steering_net.vehicle import MAX_STEERING_RAD
from steering_net.vision.jpeg import encode_jpeg

TYPES = get_typestore(Stores.ROS2_KILTED)
START_NS = 1_795_000_000_123_000_000
PERIOD_NS = 50_000_000
FLOATS = {'vehicle/speed': 4.4704, 'vehicle/steering_angle': 0.1, 'vehicle/throttle': 0.5}


def message(kind, **fields):
    return TYPES.types[kind](**fields)


def header(stamp):
    time = message('builtin_interfaces/msg/Time', sec=stamp // 10**9, nanosec=stamp % 10**9)
    return message('std_msgs/msg/Header', stamp=time, frame_id='camera')


def cdr(value):
    return bytes(TYPES.serialize_cdr(value, value.__msgtype__))


def jpeg_of(number):
    return encode_jpeg(np.full((160, 320, 3), number % 256, np.uint8))


def joints(head, **positions):
    return message(
        'sensor_msgs/msg/JointState',
        header=head,
        name=list(positions),
        position=np.array(list(positions.values())),
        velocity=np.array([]),
        effort=np.array([]),
    )


def write_drive(path, count=40, with_commands=True, people=(), commands=()):
    """A bag of a drive in which every frame has another shade and another command.

    A person steers the frames `people`, with a jump at frame 20. `commands` are further
    messages of the network.
    """
    writer = BagWriter(path)
    writer.add_topic(
        '/camera/image_raw/compressed', 'sensor_msgs/msg/CompressedImage', Offer(depth=1)
    )
    writer.add_topic('/cmd/steering', 'sensor_msgs/msg/JointState', Offer(depth=7))
    writer.add_topic('/driver/command', 'sensor_msgs/msg/JointState', Offer(depth=1))
    for name in FLOATS:
        writer.add_topic(f'/{name}', 'std_msgs/msg/Float32', Offer(is_reliable=False))
    for number in range(count):
        stamp = START_NS + number * PERIOD_NS
        head = header(stamp)
        image = message(
            'sensor_msgs/msg/CompressedImage',
            header=head,
            format='jpeg',
            data=np.frombuffer(jpeg_of(number), np.uint8),
        )
        writer.write('/camera/image_raw/compressed', stamp + 1_000_000, cdr(image))
        for name, value in FLOATS.items():
            float32 = message('std_msgs/msg/Float32', data=value * (1 + number / 100))
            writer.write(f'/{name}', stamp + 2_000_000, cdr(float32))
        if with_commands:
            command = joints(head, steering=number / 1000)
            writer.write('/cmd/steering', stamp + 5_000_000, cdr(command))
        if number in people:
            command = joints(head, steering=-0.3 if number < 20 else -0.1, throttle=0.5)
            writer.write('/driver/command', stamp + 6_000_000, cdr(command))
    for command in commands:
        writer.write('/cmd/steering', START_NS, cdr(command))
    writer.close()
    return path


@pytest.fixture
def drive(tmp_path):
    return write_drive(tmp_path / 'drive')


def test_while_a_person_drives_the_frames_carry_what_was_sent(tmp_path):
    people = {*range(10, 30), *range(45, 60)}
    path = write_drive(tmp_path / 'drive', count=60, people=people)
    shown = list(Frames(Bag(Storage(path))))
    assert [frame.is_by_person for frame in shown] == [i in people for i in range(60)]
    steered = [(-0.3 if i < 20 else -0.1) if i in people else i / 1000 for i in range(60)]
    assert [frame.commanded_rad for frame in shown] == pytest.approx(steered)
    recording = read_bag(path)
    assert recording.steering_rad == pytest.approx(np.array(steered))
    # 21 frames of 0.05 s are a second. The network drove before frame 10 and after frame 29.
    smoothed = [np.mean(steered[max(10, i - 10) : min(30, i + 11)]) for i in range(10, 30)]
    expected = [*steered[:10], *smoothed, *steered[30:]]
    assert recording.target_rad == pytest.approx(np.array(expected))


def test_bytes_come_out_as_they_went_in(drive):
    records = list(Bag(Storage(drive)))
    assert len(records) == 40 * 5
    images = [record for record in records if record.is_of('camera/image_raw/compressed')]
    assert [record.time_ns for record in images] == [
        START_NS + number * PERIOD_NS + 1_000_000 for number in range(40)
    ]
    decoded = images[7].decoded()
    assert decoded.data.tobytes() == jpeg_of(7)
    assert stamp_ns(decoded) == START_NS + 7 * PERIOD_NS
    assert cdr(decoded) == images[7].cdr
    assert [r.time_ns for r in records] == sorted(r.time_ns for r in records)


def test_mcap_library_reads_it_with_schemas_and_statistics(drive):
    with (drive / 'drive_0.mcap').open('rb') as file:
        reader = make_reader(file)
        summary = reader.get_summary()
        assert summary.statistics.message_count == 200
        assert reader.get_header().profile == 'ros2'
        schemas = {schema.name: schema for schema in summary.schemas.values()}
        assert b'uint8[] data' in schemas['sensor_msgs/msg/CompressedImage'].data
        assert sum(1 for _ in reader.iter_messages(topics=['/cmd/steering'])) == 40


def test_rosbags_reads_it_with_its_metadata_and_quality_of_service(drive):
    with Reader(drive) as reader:
        assert reader.message_count == 200
        offers = {c.topic: c.ext.offered_qos_profiles[0] for c in reader.connections}
    assert offers['/cmd/steering'].depth == 7
    assert offers['/cmd/steering'].reliability.name == 'RELIABLE'
    assert offers['/vehicle/speed'].reliability.name == 'BEST_EFFORT'
    assert Bag(Storage(drive)).offers()['/vehicle/speed'] == Offer(is_reliable=False)


def test_existing_bag_is_never_overwritten(drive):
    before = (drive / 'drive_0.mcap').read_bytes()
    with pytest.raises(BagError, match='already exists; name a new folder'):
        BagWriter(drive)
    assert (drive / 'drive_0.mcap').read_bytes() == before


@pytest.mark.slow
def test_topics_may_be_announced_while_others_are_written(tmp_path):
    kind = 'std_msgs/msg/Float32'
    speed = cdr(message(kind, data=1.0))
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/speed', kind, Offer())
    writing = threading.Thread(
        target=lambda: [writer.write('/speed', time_ns, speed) for time_ns in range(10_000)]
    )
    writing.start()
    topics = [f'/topic_{number}' for number in range(300)]
    for topic in topics:
        writer.add_topic(topic, kind, Offer())
        writer.write(topic, 0, speed)
    writing.join()
    writer.close()
    read = Counter(record.topic for record in Bag(Storage(tmp_path / 'bag')))
    assert read == {'/speed': 10_000, **dict.fromkeys(topics, 1)}


def test_unknown_message_type_is_named(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    with pytest.raises(BagError, match='definition of my_msgs/msg/Thing is unknown'):
        writer.add_topic('/thing', 'my_msgs/msg/Thing', Offer())
    writer.close()


def long_drive(tmp_path):
    """Long enough for several chunks of a megabyte."""
    return write_drive(tmp_path / 'long', count=1200)


@pytest.mark.parametrize('kept', [0.5, 0.9, 0.999])
def test_bag_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path, kept):
    path = long_drive(tmp_path)
    (path / 'metadata.yaml').unlink()
    file = path / 'long_0.mcap'
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * kept)])
    bag = Bag(Storage(path))
    read = sum(1 for _ in bag)
    assert 0 < read <= 6000
    assert f'is incomplete, {read} messages were read' in bag.trouble
    assert '\n' not in bag.trouble


def test_bag_without_metadata_is_read_completely(drive):
    (drive / 'metadata.yaml').unlink()
    bag = Bag(Storage(drive))
    assert sum(1 for _ in bag) == 200
    assert bag.trouble == (
        f'{drive} has no metadata.yaml, 200 messages were read: a recorder writes it at its end, '
        f'and `ros2 bag reindex -s mcap {drive}` makes one'
    )


@pytest.mark.parametrize('name', ['drive', 'run.of.today'])
def test_file_has_a_name_that_ros2_bag_reindex_finds(tmp_path, name):
    path = write_drive(tmp_path / name)
    (file,) = path.glob('*.mcap')
    assert file.name == f'{name}_0.mcap'
    # That of rosbag2_cpp, for the whole path.
    assert re.fullmatch(r'.+_(\d+)\.([a-zA-Z0-9])+', str(file))
    assert f'path: {file.name}' in (path / 'metadata.yaml').read_text(encoding='utf-8')


def test_mcap_file_alone_is_read(drive):
    bag = Bag(Storage(drive / 'drive_0.mcap'))
    assert sum(1 for _ in bag) == 200
    assert bag.trouble == ''


def test_file_whose_suffix_has_capitals_is_read(drive, tmp_path):
    file = shutil.copy(drive / 'drive_0.mcap', tmp_path / 'COPY.MCAP')
    assert sum(1 for _ in Bag(Storage(file))) == 200


def test_bag_whose_files_all_have_other_names_is_read_without_a_remark(drive):
    (drive / 'drive_0.mcap').rename(drive / 'lap_0.mcap')
    bag = Bag(Storage(drive))
    assert sum(1 for _ in bag) == 200
    assert bag.trouble == ''


def test_offers_of_a_bag_without_an_index_are_unknown(drive):
    assert Bag(Storage(drive)).offers()['/cmd/steering'] == Offer(depth=7)
    file = drive / 'drive_0.mcap'
    file.write_bytes(file.read_bytes()[:-500])
    assert Bag(Storage(drive)).offers() == {}


def test_offer_of_several_publishers_is_what_a_subscription_to_all_needs():
    publishers = [Offer(depth=3, is_latched=True), Offer(depth=7, is_reliable=False)]
    profiles = [offer.profile() for offer in publishers]
    source = SimpleNamespace(offers=lambda: {'/a': profiles, '/b': profiles[::-1], '/c': []})
    together = Offer(depth=7, is_reliable=False, is_latched=True)
    assert Bag(source).offers() == {'/a': together, '/b': together, '/c': Offer()}


def test_damage_in_the_middle_is_told(tmp_path):
    path = long_drive(tmp_path)
    file = path / 'long_0.mcap'
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b'\xff' * 20_000
    file.write_bytes(data)
    bag = Bag(Storage(path))
    read = sum(1 for _ in bag)
    assert bag.trouble or read == 6000


@pytest.mark.parametrize('content', [b'', b'no bag at all', b'\x89MCAP0\r\n'])
def test_what_is_no_bag_is_one_line(tmp_path, content):
    file = tmp_path / 'x.mcap'
    file.write_bytes(content)
    with pytest.raises(BagError) as caught:
        list(Bag(Storage(file)))
    assert str(file) in str(caught.value)
    assert '\n' not in str(caught.value)


def test_missing_bag_is_told(tmp_path):
    with pytest.raises(BagError, match='there is no bag'):
        Bag(Storage(tmp_path / 'nothing'))


def test_frames_have_what_belongs_to_them(drive):
    found = list(Frames(Bag(Storage(drive))))
    assert len(found) == 40
    frame = found[10]
    assert frame.jpeg == jpeg_of(10)
    assert frame.speed_mps == pytest.approx(4.4704 * 1.1)
    assert frame.steering_rad == pytest.approx(0.11)
    assert frame.commanded_rad == pytest.approx(0.010)
    assert frame.latency_ms == pytest.approx(5.0)


def test_exported_log_is_the_simulators_own_and_training_reads_it(drive, tmp_path):
    folder = tmp_path / 'log'
    assert export_log(Bag(Storage(drive)), folder) == 40
    lines = (folder / 'driving_log.csv').read_text(encoding='utf-8').splitlines()
    center, left, right, steering, _, brake, speed = lines[0].split(',')
    assert center.endswith('.jpg')
    assert (left, right, brake) == ('', '', '0')
    assert float(steering) == pytest.approx(-0.1 / MAX_STEERING_RAD, abs=1e-6), 'right is positive'
    assert float(speed) == pytest.approx(10.0, abs=1e-4), 'mph'
    log = read_log(folder / 'driving_log.csv')
    assert not log.bad_rows
    assert log.rows[3].steering_rad == pytest.approx(0.103, abs=1e-6)
    assert log.rows[3].speed_mps == pytest.approx(4.4704 * 1.03, abs=1e-5)
    assert log.rows[3].throttle == pytest.approx(0.515, abs=1e-6)
    assert log.rows[3].timestamp_s == pytest.approx((START_NS + 3 * PERIOD_NS) * 1e-9)
    assert read_image(log.rows[3].center, folder)[80, 80, 0] == pytest.approx(3, abs=1)


def test_exported_log_is_never_overwritten(drive, tmp_path):
    export_log(Bag(Storage(drive)), tmp_path / 'log')
    with pytest.raises(BagError, match='already exists'):
        export_log(Bag(Storage(drive)), tmp_path / 'log')


def test_bag_without_frames_is_told(tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    writer.add_topic('/vehicle/speed', 'std_msgs/msg/Float32', Offer())
    writer.write('/vehicle/speed', 1, cdr(message('std_msgs/msg/Float32', data=1.0)))
    writer.close()
    with pytest.raises(BagError, match='holds no camera/image_raw/compressed; its topics are /v'):
        list(Frames(Bag(Storage(tmp_path / 'bag'))))


def write_one(path, topic, value):
    writer = BagWriter(path)
    writer.add_topic(topic, value.__msgtype__, Offer())
    writer.write(topic, START_NS, cdr(value))
    writer.close()
    return path


def joint_state(*position, names=('steering',)):
    empty = np.array([])
    return message(
        'sensor_msgs/msg/JointState', header=header(START_NS), name=list(names),
        position=np.array(position, np.float64), velocity=empty, effort=empty,
    )  # fmt: skip


@pytest.mark.parametrize(
    ('topic', 'value', 'told'),
    [
        (
            '/vehicle/speed',
            message('std_msgs/msg/String', data='fast'),
            '/vehicle/speed holds std_msgs/msg/String; it must be std_msgs/msg/Float32',
        ),
        (
            '/cmd/steering',
            message('std_msgs/msg/Float32', data=0.1),
            '/cmd/steering holds std_msgs/msg/Float32; it must be sensor_msgs/msg/JointState',
        ),
        (
            '/camera/image_raw/compressed',
            header(START_NS),
            '/camera/image_raw/compressed holds std_msgs/msg/Header; it must be sensor_msgs/msg/C',
        ),
    ],
)
def test_message_that_a_topic_cannot_hold_is_told(tmp_path, topic, value, told):
    with pytest.raises(BagError, match=told):
        list(Frames(Bag(Storage(write_one(tmp_path / 'bag', topic, value)))))


def test_steering_of_a_command_is_that_of_its_joint():
    value = joint_state(0.1, 0.2, names=['throttle', 'steering'])
    assert Record('cmd/steering', value.__msgtype__, 0, cdr(value)).command() == (START_NS, 0.2)


@pytest.mark.parametrize(
    ('value', 'told'),
    [
        (joint_state(), 'has a sensor_msgs/msg/JointState without position; it must be'),
        (joint_state(0.1, names=['wheel']), 'JointState without the joint steering'),
        (joint_state(0.1, names=[]), 'JointState without the joint steering'),
        (joint_state(np.nan), 'has the value nan; it must be finite'),
    ],
)
def test_command_without_usable_steering_is_told_and_left_out(tmp_path, logged, value, told):
    record = Record('/cmd/steering', value.__msgtype__, 0, cdr(value))
    with pytest.raises(UnusableError, match=f'^/cmd/steering .*{told}'):
        record.command()
    path = write_drive(tmp_path / 'drive', count=4, with_commands=False, commands=[value])
    assert [frame.commanded_rad for frame in Frames(Bag(Storage(path)))] == [None] * 4
    assert told in logged.text


@pytest.mark.parametrize(
    ('kind', 'cdr'),
    [
        ('std_msgs/msg/Float32', b''),
        ('std_msgs/msg/Float32', b'\0\1\0\0\1'),
        ('sensor_msgs/msg/JointState', b'\0'),
        ('sensor_msgs/msg/JointState', b'\xff' * 60),
    ],
)
def test_message_of_broken_bytes_is_told(kind, cdr):
    with pytest.raises(BagError, match=f'/topic has a message that is not {kind}'):
        Record('/topic', kind, 0, cdr).decoded()


@pytest.mark.slow
def test_check_names_a_command_without_steering(tmp_path):
    path = write_one(tmp_path / 'bag', '/cmd/steering', joint_state())
    result = run_verb('replay', path, '--check')
    assert result.returncode == 2
    assert (
        '/cmd/steering has a sensor_msgs/msg/JointState without position; it must be [rad]'
        in result.stderr
    )
    assert 'Traceback' not in result.stderr


def test_video_has_every_frame_at_the_drives_rate(drive, tmp_path):
    import cv2

    path = tmp_path / 'drive.mp4'
    assert export_video(Bag(Storage(drive)), path) == 40
    video = cv2.VideoCapture(str(path))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 40
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(20.0, abs=0.1)
    assert video.read()[1].shape == (320, 640, 3)


@pytest.mark.slow
def test_export_verb_does_both_and_tells_that_metadata_is_missing(drive, tmp_path):
    shutil.copytree(drive, tmp_path / 'cut')
    (tmp_path / 'cut' / 'metadata.yaml').unlink()
    log, video = tmp_path / 'log', tmp_path / 'v.mp4'
    result = run_verb('export', tmp_path / 'cut', '--csv', log, '--mp4', video)
    assert result.returncode == 0
    assert '40 rows' in result.stdout
    assert '40 frames' in result.stdout
    assert 'has no metadata.yaml, 200 messages were read: a recorder' in result.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['export', 'no/bag', '--csv', 'x'], 'there is no bag no/bag'),
        (['export', 'no/bag'], 'there is no output; name --csv DIR'),
        (['replay', 'no/bag'], 'there is no bag no/bag'),
        (['replay', 'no/bag', '--rate', '0'], '--rate is 0.0'),
        (['replay', '.', '--check', 'no/such.keras'], 'there is no file no/such.keras'),
        (['record', '--seconds', '-1'], '--seconds is -1.0'),
    ],
)
def test_bad_input_is_one_line(words, told):
    result = run_verb(*words)
    assert result.returncode == 2
    assert told in result.stderr
    assert 'Traceback' not in result.stderr


@pytest.mark.slow
def test_check_tells_that_nothing_was_recorded_to_compare_with(tmp_path):
    path = write_drive(tmp_path / 'silent', with_commands=False)
    result = run_verb('replay', path, '--check')
    assert result.returncode == 2
    assert 'holds no cmd/steering to compare with' in result.stderr


@pytest.mark.slow
def test_check_fails_a_network_that_steers_otherwise(drive, tmp_path):
    report = tmp_path / 'report.json'
    result = run_verb('replay', drive, '--check', '--threshold', '1e-6', '--json', report)
    assert result.returncode == 1
    assert 'beyond 1e-06 rad' in result.stdout
    figures = json.loads(report.read_text(encoding='utf-8'))
    assert figures['frames'] == 40
    assert figures['mae_rad'] > 1e-6
