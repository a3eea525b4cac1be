# SPDX-License-Identifier: Apache-2.0
"""The report of a drive, from what simulators and bridge say."""

import pytest

from sim_bridge.cli.drive_report import drive_report, summary

SIMULATION = {
    'laps': 2, 'distance_m': 800.0, 'duration_s': 120.0, 'lane_departures': 1, 'interventions': 1,
    'autonomy_percent': 95.0, 'frames': 7200, 'answers': 7199, 'telemetry_hz': 60.0,
    'latency_ms': {'p50': 4.0, 'p99': 6.0, 'max': 9.0},
}  # fmt: skip
BRIDGE = {'timeouts': 3, 'late_commands': 1, 'takeovers': 0, 'cars': []}


def test_takeovers_cost_autonomy_as_interventions_do():
    report = drive_report([SIMULATION], BRIDGE | {'takeovers': 9}, 1)
    assert (report['takeovers'], report['interventions']) == (9, 1)
    assert report['autonomy_percent'] == pytest.approx(50.0)
    assert '9 takeovers, 2 laps, 800 m, 1 lane departure, 50.0 % autonomous' in summary(report)


def test_drive_without_a_takeover_has_the_autonomy_of_its_simulator():
    report = drive_report([SIMULATION], BRIDGE, 1)
    assert report == SIMULATION | {'timeouts': 3, 'late_commands': 1, 'takeovers': 0}


def test_autonomy_is_never_negative():
    assert drive_report([SIMULATION], BRIDGE | {'takeovers': 99}, 1)['autonomy_percent'] == 0.0


def test_autonomy_of_several_cars_is_that_of_all_together():
    report = drive_report([SIMULATION] * 2, BRIDGE | {'takeovers': 2}, 2)
    assert report['autonomy_percent'] == pytest.approx(90.0)
    assert [one['autonomy_percent'] for one in report['cars']] == [95.0, 95.0]


def test_external_simulator_has_takeovers_and_no_autonomy():
    report = drive_report([], BRIDGE | {'takeovers': 4, 'telemetry': 60, 'answers': 60}, 1)
    assert report['takeovers'] == 4
    assert 'autonomy_percent' not in report
    assert summary(report).endswith('4 takeovers')


@pytest.mark.parametrize(
    ('rate_hz', 'words'), [(59.94, '60 frames at 59.9 Hz,'), (0.0, '60 frames,')]
)
def test_external_simulator_that_has_left_has_no_rate(rate_hz, words):
    bridge = BRIDGE | {'telemetry': 60, 'answers': 60, 'telemetry_hz': rate_hz}
    assert summary(drive_report([], bridge, 1)).startswith(words)


def test_simulator_that_was_killed_leaves_no_report():
    report = drive_report([{'laps': 1, 'interventions': 0, 'frames': 9}], BRIDGE, 1)
    assert 'autonomy_percent' not in report
    assert summary(report).endswith('0 takeovers')
