# SPDX-License-Identifier: Apache-2.0
"""The player: the time that it publishes with a bag, and messages that DDS refuses."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import rclpy
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import Float32

from helpers.recordings import (
    PERIOD_NS,
    START_NS,
    messages,
    number_cdr,
    simulated_drives,
    write_messages,
)
from helpers.ros import spinning_node, started_rclpy
from helpers.waiting import wait_for
from sim_bridge.nodes import bag_player
from sim_bridge.nodes.bag_player import PlayerNode
from sim_bridge.nodes.conversions import stamp_ns as time_of
from sim_bridge.recording.bag import Bag, BagWriter, Offer, Record
from sim_bridge.recording.storage import BagError, Storage
from sim_bridge.topics import CLOCK, COMPRESSED_FRAME, SPEED, STATIC_TRANSFORMS, STEERING_COMMAND


@pytest.fixture
def player(monkeypatch):
    """A player that waits for no subscription."""
    monkeypatch.setattr(bag_player, '_SUBSCRIPTION_S', 0.0)
    monkeypatch.setattr(bag_player, '_MORE_SUBSCRIPTIONS_S', 0.0)
    with started_rclpy():
        node = PlayerNode()
        yield node
        node.destroy_node()


class Publisher:
    """A publisher that notes what is published, with its topic."""

    def __init__(self, topic, sent):
        self._topic, self._sent = topic, sent

    def publish(self, message):
        self._sent.append((self._topic, message))


def stand_in_for_time(monkeypatch):
    """Let the player sleep at no cost; return its time, [s]."""
    now_s = [5.0]

    def sleep(seconds):
        now_s[0] += seconds

    stand_in = SimpleNamespace(monotonic=lambda: now_s[0], sleep=sleep)
    monkeypatch.setattr(bag_player, 'time', stand_in)
    return now_s


def play(player, path, monkeypatch, *, topics=None, at=COMPRESSED_FRAME):
    """Play a bag with its clock; return the time of the newest /clock at each `at`, ns.

    No /clock is earlier than the one before, unless `at` begins anew.
    """
    sent = []
    stand_in_for_time(monkeypatch)
    monkeypatch.setattr(
        player, 'create_publisher', lambda _kind, topic, _qos: Publisher(topic, sent)
    )
    bag = Bag(Storage(path))
    player._publishers_by_topic = {
        record.topic: Publisher(record.topic, sent)
        for record in bag
        if topics is None or record.topic in topics
    }
    player.play(bag, 1.0, with_clock=True, keep_going=lambda: True)
    times, now = [], None
    for topic, message in sent:
        if topic == CLOCK:
            before, now = now, time_of(message.clock)
            assert before is None or before <= now or now == PERIOD_NS
        elif topic == at:
            times.append(now)
    return times


def test_clock_is_the_time_of_simulated_stamps(player, tmp_path, monkeypatch):
    path = write_messages(tmp_path / 'bag', [*simulated_drives(2)])
    stamps = [index * PERIOD_NS for index in range(1, 21)] * 2
    assert play(player, path, monkeypatch) == stamps


@pytest.mark.parametrize('pace', [0.5, 4.0])
def test_clock_follows_simulated_stamps_of_another_pace_and_never_goes_back(
    player, tmp_path, monkeypatch, pace
):
    drive = [
        (topic, START_NS + round((time_ns - START_NS) / pace), cdr)
        for topic, time_ns, cdr in simulated_drives(1)
    ]
    times = play(player, write_messages(tmp_path / 'bag', drive), monkeypatch)
    assert all(before <= after for before, after in pairwise(times))
    early_ns = [time_ns - index * PERIOD_NS for index, time_ns in enumerate(times, 1)]
    assert min(early_ns) == 0
    assert max(early_ns) <= PERIOD_NS / pace


def test_clock_follows_frames_that_are_not_published(player, tmp_path, monkeypatch):
    drive = [
        (topic, START_NS + (time_ns - START_NS) // 4, cdr)
        for topic, time_ns, cdr in simulated_drives(1)
    ]
    path = write_messages(tmp_path / 'bag', drive)
    times = play(player, path, monkeypatch, topics={SPEED}, at=SPEED)
    assert times == [index * PERIOD_NS for index in range(1, 21)]


def test_clock_of_a_real_drive_is_the_time_of_receipt(player, tmp_path, monkeypatch):
    late_ns = 3_000_000
    sent = [
        (topic, START_NS + number * PERIOD_NS + late_ns, cdr)
        for number in range(3)
        for topic, cdr in messages(number)
    ]
    times = play(player, write_messages(tmp_path / 'bag', sent), monkeypatch)
    assert times == [START_NS + number * PERIOD_NS + late_ns for number in range(3)]


def test_messages_and_clock_come_at_the_rate_of_the_play(player, tmp_path, monkeypatch):
    second_ns = 1_000_000_000
    sent = [(SPEED, START_NS + number * second_ns, number_cdr(number)) for number in range(3)]
    bag = Bag(Storage(write_messages(tmp_path / 'bag', sent)))
    now_s, times = stand_in_for_time(monkeypatch), {CLOCK: [], SPEED: []}

    class Timed:
        def __init__(self, topic):
            self.topic = topic

        def publish(self, message):
            clock_ns = time_of(message.clock) - START_NS if self.topic == CLOCK else None
            times[self.topic].append((now_s[0] - 5.0, clock_ns))

    monkeypatch.setattr(player, 'create_publisher', lambda _kind, topic, _qos: Timed(topic))
    player._publishers_by_topic = {SPEED: Timed(SPEED)}
    player.play(bag, 10.0, with_clock=True, keep_going=lambda: True)
    assert [at_s for at_s, _ in times[SPEED]] == pytest.approx([0.0, 0.1, 0.2])
    assert len(times[CLOCK]) > 20
    for at_s, clock_ns in times[CLOCK]:
        assert clock_ns == pytest.approx(at_s * 10.0 * second_ns, abs=1000)


def test_topics_of_types_that_are_not_installed_are_left_out_by_name(player, capfd):
    odd = Record('/odd', 'odd_msgs/msg/Odd', 0, b'')
    with pytest.raises(BagError, match=r'are not installed are not published: odd_msgs/msg/Odd$'):
        player.open([odd], {})
    player.open([odd, Record('/number', 'std_msgs/msg/Float32', 0, b'')], {})
    assert list(player._publishers_by_topic) == ['/number']
    assert 'not published: odd_msgs/msg/Odd' in capfd.readouterr().err


def test_play_waits_for_a_subscription_of_each_car(player):
    cars = [f'/car_{number}/{SPEED}' for number in (1, 2)]
    player.open([Record(name, 'std_msgs/msg/Float32', 0, b'') for name in (*cars, '/other')], {})
    listener, looks = rclpy.create_node('listener'), []

    def listen(name):
        listener.create_subscription(Float32, name, lambda _: None, 1)
        wait_for(player._publishers_by_topic[name].get_subscription_count, what='the match')

    listen(cars[0])

    def keep_going():
        looks.append(len(looks))
        if len(looks) == 2:
            listen(cars[1])
        return len(looks) < 5

    player.wait_for_subscriptions(SPEED, keep_going)
    assert len(looks) == 2
    listener.destroy_node()


def test_messages_that_dds_refuses_are_counted(player, tmp_path):
    class Refusing:
        def publish(self, _message):
            raise RuntimeError('cannot publish data')

    bag = Bag(Storage(write_messages(tmp_path / 'bag', [*simulated_drives(1, frames=4)])))
    player.open({record.topic: record for record in bag}.values(), {})
    player._publishers_by_topic[STEERING_COMMAND] = Refusing()
    player.play(bag, 1000.0, with_clock=False, keep_going=lambda: True)
    assert (player.published, player.refused) == (12, 4)


def test_late_subscription_gets_the_static_transforms_of_all_cars(player, tmp_path):
    writer = BagWriter(tmp_path / 'bag')
    # PyPI lacks the type of transforms.
    writer.add_topic(STATIC_TRANSFORMS, 'std_msgs/msg/Float32', Offer(is_latched=True))
    for number in range(4):
        writer.write(STATIC_TRANSFORMS, START_NS + number, number_cdr(number))
    writer.close()
    bag = Bag(Storage(tmp_path / 'bag'))
    player.open({record.topic: record for record in bag}.values(), bag.offers())
    player.play(bag, 1000.0, with_clock=False, keep_going=lambda: True)
    heard = []
    latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    with spinning_node('late') as node:
        node.create_subscription(
            Float32, STATIC_TRANSFORMS, lambda it: heard.append(it.data), latched
        )
        wait_for(lambda: heard == [0.0, 1.0, 2.0, 3.0], what='all messages')
