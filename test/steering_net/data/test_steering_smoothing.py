# SPDX-License-Identifier: Apache-2.0
import numpy as np

from steering_net.data.driving_log import read_log
from steering_net.data.steering_smoothing import smooth, smoothed_steering_rad
from steering_net.vehicle import RECORDER_STEERING_RAD


def test_smoothing_is_a_centred_mean_over_time_not_over_rows():
    times = np.array([0.0, 0.4, 0.5, 1.0, 5.0])
    values = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(smooth(times, values), [2.0, 2.0, 2.5, 3.5, 9.0])
    shuffled = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(
        smooth(times[shuffled], values[shuffled]), smooth(times, values)[shuffled]
    )


def test_a_delayed_mean_is_unknown_where_no_row_is_so_early():
    times, values = np.array([0.0, 0.2, 0.4, 1.2]), np.array([1.0, 2.0, 3.0, 4.0])
    expected = [np.nan, np.nan, 1.0, 2.0]
    np.testing.assert_allclose(smooth(times, values, delay_s=0.8), expected)


def test_a_run_without_times_has_the_period_of_the_recorder(tmp_path):
    path = tmp_path / 'driving_log.csv'
    lines = [f'{folder}/{i}.jpg,,,{float(i == 9)},0,0,1' for folder in 'ab' for i in range(10)]
    path.write_text('\n'.join(lines), encoding='utf-8')
    found = smoothed_steering_rad(read_log(path).rows) / RECORDER_STEERING_RAD
    # The last row is alone with up to five rows before it.
    expected = [0, 0, 0, 0, 1 / 10, 1 / 10, 1 / 9, 1 / 8, 1 / 7, 1 / 6]
    np.testing.assert_allclose(found, [*expected, *expected], atol=1e-9)


def test_rows_without_a_time_keep_their_steering(tmp_path):
    path = tmp_path / 'driving_log.csv'
    timed = 'center_2020_10_17_20_17_02_162.jpg'
    path.write_text(f'{timed},,,0.5,0,0,1\na.jpg,,,0.2,0,0,1\n', encoding='utf-8')
    np.testing.assert_allclose(
        smoothed_steering_rad(read_log(path).rows), np.array([0.5, 0.2]) * RECORDER_STEERING_RAD
    )


def test_runs_of_one_log_whose_clock_restarts_are_smoothed_apart(tmp_path):
    path = tmp_path / 'driving_log.csv'
    lines = [f'{run}_{i}.jpg,{i * 50},{run}' for run in (0, 1) for i in range(20)]
    path.write_text('\n'.join(['image,time_ms,steering', *lines]), encoding='utf-8')
    found = smoothed_steering_rad(read_log(path).rows) / RECORDER_STEERING_RAD
    np.testing.assert_allclose(found, [0.0] * 20 + [1.0] * 20, atol=1e-9)
