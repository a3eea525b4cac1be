# SPDX-License-Identifier: Apache-2.0
"""Networks judged by driving, without wire and nodes."""

import json

import pytest

from helpers.processes import REPORT_FIELDS, run_verb
from helpers.tracks import TEST_SEEDS
from sim_bridge.evaluation.closed_loop import drive, summarise
from steering_net.vehicle import MAX_STEERING_RAD

pytestmark = pytest.mark.slow


def test_shipped_network_drives_an_unseen_track(tmp_path):
    file = tmp_path / 'report.json'
    seed = TEST_SEEDS[41]
    result = run_verb(
        'evaluate', 'closed-loop', '--tracks', seed, '--speed-limit', 13.4, '--json', file
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(file.read_text(encoding='utf-8'))
    assert set(report) == REPORT_FIELDS | {'failed_tracks', 'tracks'}
    assert (report['laps'], report['lane_departures']) == (1, 0)
    assert report['autonomy_percent'] == 100.0
    assert set(report['tracks'][0]) == REPORT_FIELDS | {'track', 'weather'}
    assert 'track 41' in result.stdout


def test_a_driver_who_never_steers_is_put_back_again_and_again():
    done = drive(TEST_SEEDS[41], 1, 13.4, lambda jpeg: 0.0, longest_s=600.0)
    assert done.report['laps'] == 1
    assert done.report['interventions'] > 3
    assert done.report['lane_departures'] >= done.report['interventions']
    assert done.report['autonomy_percent'] < 90.0
    assert done.path_m.shape == (done.report['frames'], 2)


def test_wheels_turn_no_further_than_the_lock():
    """A network may put out any angle; the speed limit in curves is that of the wheels' angle."""

    def report(wanted_rad):
        done = drive(TEST_SEEDS[41], 1, 13.4, lambda jpeg: wanted_rad, longest_s=0.5)
        return {k: v for k, v in done.report.items() if k not in ('latency_ms', 'telemetry_hz')}

    assert report(1.57) == report(MAX_STEERING_RAD)
    assert report(-2.0) == report(-MAX_STEERING_RAD)


def test_summary_adds_up_and_weighs_by_duration():
    base = dict.fromkeys(REPORT_FIELDS, 0) | {'telemetry_hz': 60.0, 'track': 1}
    latency = {'p50': 1.0, 'p99': 2.0, 'max': 3.0}
    short = base | {'duration_s': 10.0, 'rms_cross_track_m': 0.3, 'latency_ms': latency}
    long = base | {
        'duration_s': 90.0,
        'rms_cross_track_m': 0.1,
        'interventions': 1,
        'telemetry_hz': 50.0,
        'latency_ms': latency | {'p99': 9.0},
    }
    total = summarise([short, long])
    assert total['duration_s'] == 100.0
    assert total['rms_cross_track_m'] == pytest.approx((0.9 * 0.01 + 0.1 * 0.09) ** 0.5)
    assert total['autonomy_percent'] == pytest.approx(94.0)
    assert total['latency_ms']['p99'] == 9.0
    assert total['telemetry_hz'] == 50.0


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (
            ['--tracks', '9-1'],
            'argument --tracks: track is 9-1; the first seed must not be above the last',
        ),
        (['--laps', '0'], '--laps is 0'),
        (['--speed-limit', '0'], '--speed-limit is 0.0'),
        (['--model', 'no.keras'], 'no.keras'),
    ],
)
def test_bad_option_is_named(words, told):
    result = run_verb('evaluate', 'closed-loop', *words)
    assert result.returncode == 2
    assert told in result.stderr
    assert 'Traceback' not in result.stderr
