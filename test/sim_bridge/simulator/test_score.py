# SPDX-License-Identifier: Apache-2.0
"""What counts as a lap, a departure and an intervention."""

import math

import pytest

from helpers.lazy import Lazy
from sim_bridge.simulator.score import Score
from sim_bridge.simulator.track import Projection, make_track
from sim_bridge.simulator.vehicle_dynamics import CarState

TRACK = Lazy(lambda: make_track(0))
KEYS = [
    'laps',
    'distance_m',
    'duration_s',
    'lane_departures',
    'interventions',
    'autonomy_percent',
    'rms_cross_track_m',
    'max_cross_track_m',
    'max_speed_mps',
    'steering_rms_rate_radps',
]


def at(s_m: float, cross_track_m: float = 0.0) -> Projection:
    return Projection(s_m % TRACK.length_m, cross_track_m, 4.0, 0.0, 0.0)


def moving(speed_mps: float = 10.0) -> CarState:
    return CarState(0.0, 0.0, 0.0, speed_mps)


def travel(score: Score, places_m: list[float], start_s: float = 0.0) -> None:
    for i, s_m in enumerate(places_m):
        score.update(start_s + i * 0.1, moving(), at(s_m), 0.0)


def test_report_has_exactly_the_promised_keys_even_before_the_start() -> None:
    report = Score(TRACK).report()
    assert list(report) == KEYS
    assert report == dict.fromkeys(KEYS, 0) | {'autonomy_percent': 100.0}


def test_a_lap_is_one_length_travelled_forward() -> None:
    score = Score(TRACK)
    travel(score, [TRACK.length_m * k / 100 for k in range(251)])
    assert score.laps == 2


def test_time_of_a_lap_is_that_of_the_newest_one() -> None:
    score = Score(TRACK)
    travel(score, [TRACK.length_m * k / 100 for k in range(100)], 5.0)
    assert score.lap_time_s == 0.0
    travel(score, [0.0], 15.0)
    assert score.lap_time_s == pytest.approx(10.0)
    travel(score, [TRACK.length_m * k / 50 for k in range(50, 111)], 15.0)
    assert score.laps == 2
    assert score.lap_time_s == pytest.approx(5.0)


def test_wobbling_over_the_line_counts_nothing() -> None:
    score = Score(TRACK)
    travel(score, [2.0 * math.sin(k) for k in range(500)])
    assert score.laps == 0
    travel(score, [TRACK.length_m * k / 100 + math.sin(k) for k in range(106)], 60.0)
    travel(score, [TRACK.length_m + 2.0 * math.sin(k) for k in range(500)], 80.0)
    assert score.laps == 1


def test_going_backwards_counts_nothing() -> None:
    score = Score(TRACK)
    travel(score, [-TRACK.length_m * k / 100 for k in range(301)])
    assert score.laps == 0


def test_being_put_back_counts_no_travel() -> None:
    score = Score(TRACK)
    travel(score, [0.0, 5.0])
    score.put_back(at(TRACK.length_m * 0.4))
    travel(score, [TRACK.length_m * (0.4 + k / 100) for k in range(70)], 1.0)
    assert score.laps == 0


def test_being_put_back_is_no_steering() -> None:
    score = Score(TRACK)
    for k in range(3):
        score.update(0.1 * k, moving(), at(5.0 * k), 0.3)
    score.put_back(at(10.0))
    for k in range(3, 6):
        score.update(0.1 * k, moving(), at(5.0 * k), -0.1)
    assert score.report()['steering_rms_rate_radps'] == 0.0


def test_one_departure_for_each_excursion() -> None:
    score = Score(TRACK)
    for i, cross_track_m in enumerate([0.0, 2.9, 3.1, 3.5, 3.3, 3.1, 2.9, -3.2]):
        assert not score.update(i * 0.1, moving(), at(0.0, cross_track_m), 0.0)
    assert score.report()['lane_departures'] == 2
    assert score.report()['max_cross_track_m'] == 3.5
    score.put_back(at(0.0))
    assert not score.off_road
    score.update(0.9, moving(), at(0.0, 3.2), 0.0)
    assert score.report()['lane_departures'] == 3


def test_a_metre_beyond_the_edge_asks_for_an_intervention() -> None:
    score = Score(TRACK)
    assert not score.update(0.0, moving(), at(0.0, 4.99), 0.0)
    assert score.update(0.1, moving(), at(0.0, -5.01), 0.0)
    score.put_back(at(0.0))
    assert score.report()['interventions'] == 1


def test_an_intervention_costs_six_seconds_of_autonomy() -> None:
    score = Score(TRACK)
    score.update(0.0, moving(), at(0.0), 0.0)
    score.put_back(at(0.0))
    score.update(60.0, moving(), at(0.0), 0.0)
    assert score.report()['autonomy_percent'] == pytest.approx(90.0)
    for _ in range(20):
        score.put_back(at(0.0))
    assert score.report()['autonomy_percent'] == 0.0


def test_means_are_over_time() -> None:
    score = Score(TRACK)
    score.update(0.0, moving(), at(0.0), 0.0)
    score.update(2.0, moving(4.0), at(8.0, 2.0), 0.5)
    score.update(2.0, moving(4.0), at(8.0, 2.0), 0.1)
    score.update(8.0, moving(-2.0), at(-4.0, 0.0), 0.1)
    report = score.report()
    assert report['duration_s'] == 8.0
    assert report['distance_m'] == pytest.approx(20.0), 'backwards counts too'
    assert report['rms_cross_track_m'] == pytest.approx(1.0)
    assert report['steering_rms_rate_radps'] == pytest.approx(0.125)
    assert report['max_speed_mps'] == 10.0
