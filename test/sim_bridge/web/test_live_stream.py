# SPDX-License-Identifier: Apache-2.0
"""The streams of the live page, with a clock that stands still until somebody sleeps."""

import json
import math

import pytest

from sim_bridge.web.app import create_app
from sim_bridge.web.live_stream import (
    STREAMS_AT_MOST,
    LiveFeed,
    Moment,
    StreamLimit,
    StreamsFullError,
)


class Clock:
    """Time passes only while somebody sleeps."""

    def __init__(self):
        self.now_s = 100.0

    def __call__(self):
        return self.now_s

    def sleep(self, seconds):
        self.now_s += seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def live(clock, asked):
    def status():
        asked.append(clock.now_s)
        return {'state': 'driving'}

    return LiveFeed(status, StreamLimit(), clock=clock, sleep=clock.sleep)


def moment(at_s, **values):
    fields = {
        'recorded_rad': 0.0, 'commanded_rad': 0.0, 'speed_mps': 5.0,
        'limit_mps': None, 'throttle': 0.0, 'latency_ms': None,
    }  # fmt: skip
    return Moment(at_s=at_s, **(fields | values))


def events(chunk):
    """(name, data) of each server-sent event in a chunk."""
    for block in chunk.decode().strip().split('\n\n'):
        name, data = block.split('\n')
        yield name.removeprefix('event: '), json.loads(data.removeprefix('data: '))


def test_page_that_opens_late_gets_the_last_minute(live):
    for tenth in range(700):
        live.add(moment(tenth / 10, speed_mps=1.23456))
    ((name, history),) = events(next(iter(live.events())))
    assert name == 'history'
    assert (history[0]['at_s'], history[-1]['at_s']) == (10.0, 69.9)
    assert history[0]['speed_mps'] == 1.2346
    assert history[0]['limit_mps'] is None


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_value_that_no_browser_reads_is_never_sent(live, value):
    with pytest.raises(ValueError, match='not JSON compliant'):
        live.add(moment(0.0, speed_mps=value))
    app = create_app(lambda: {'uncertainty': value}, [live])
    assert app.test_client().get('/state.json').status_code == 500


def test_moments_come_as_they_are_added_and_the_status_once_a_second(live, clock):
    stream = iter(live.events())
    next(stream)
    told = []
    for tenth in range(30):
        live.add(moment(clock.now_s, throttle=tenth / 100))
        told += events(next(stream))
    assert [data['throttle'] for name, data in told if name == 'moment'] == [
        tenth / 100 for tenth in range(30)
    ]
    statuses = [data['now_s'] for name, data in told if name == 'status']
    assert statuses == pytest.approx([100.0, 101.0, 102.0], abs=0.25)


def test_status_is_sent_at_once_when_something_else_drives(live):
    def names_after(driver):
        live.add(moment(0.0, driver=driver))
        return [name for name, _ in events(next(stream))]

    stream = iter(live.events())
    next(stream)
    assert names_after('hold') == ['moment', 'status']
    assert names_after('hold') == ['moment']
    assert names_after('network') == ['moment', 'status']


def test_silent_simulator_leaves_the_status_alone(live, clock):
    stream = iter(live.events())
    next(stream)
    assert [name for name, _ in events(next(stream))] == ['status']
    assert [name for name, _ in events(next(stream))] == ['status']
    assert clock.now_s == pytest.approx(101.0, abs=0.11)


def test_status_is_read_once_for_all_pages(live, asked):
    pages = [iter(live.events()) for _ in range(4)]
    for page in pages:
        next(page), next(page)
    assert len(asked) == 1


def test_slow_page_gets_the_newest_frame_and_misses_the_others(live):
    live.keep(b'first')
    parts = iter(live.frames())
    assert next(parts) == b'--frame\r\n'
    assert b'first' in next(parts)
    for jpeg in (b'second', b'third', b'fourth'):
        live.keep(jpeg)
    part = next(parts)
    assert part == (b'Content-Type: image/jpeg\r\nContent-Length: 6\r\n\r\nfourth\r\n--frame\r\n')


def test_frames_are_at_most_ten_a_second(live, clock):
    parts = iter(live.frames())
    next(parts)
    times = []
    for _ in range(20):
        live.keep(b'new')
        next(parts)
        times.append(clock.now_s)
    assert times[-1] - times[0] == pytest.approx(1.9)


def test_frame_that_stays_is_sent_again_so_that_a_closed_page_is_noticed(live, clock):
    live.keep(b'still')
    parts = iter(live.frames())
    next(parts), next(parts)
    assert b'still' in next(parts)
    assert clock.now_s == pytest.approx(102.0, abs=0.11)


@pytest.mark.parametrize('hz', [8, 20, 24, 30, 60])
def test_moments_are_due_ten_times_a_second_at_any_frame_rate(live, clock, hz):
    due = 0
    for _ in range(10 * hz):
        clock.sleep(1 / hz)
        if live.keep(b'frame'):
            live.add(moment(clock.now_s))
            due += 1
    assert min(10, hz) * 10 * 0.8 <= due <= 125


def test_number_of_streams_is_bounded_and_a_place_is_given_back_once(live):
    streams = [live.events() for _ in range(STREAMS_AT_MOST)]
    with pytest.raises(StreamsFullError, match=f'{STREAMS_AT_MOST} streams are open'):
        live.frames()
    streams[0].close()
    streams[0].close()
    live.frames()
    with pytest.raises(StreamsFullError):
        live.events()
