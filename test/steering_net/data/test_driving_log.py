# SPDX-License-Identifier: Apache-2.0
import cv2
import numpy as np
import pytest

from helpers.paths import SHARED_DATA
from steering_net.data.driving_log import (
    LogError,
    find_image,
    name_time,
    read_image,
    read_log,
    smooth,
    smoothed_steering_rad,
)
from steering_net.errors import ImageError
from steering_net.vision.preprocessing import RECORDER_STEERING_RAD

STAMP = '2020_10_17_20_17_02_162'
NAMES = f'center_{STAMP}.jpg,left_{STAMP}.jpg,right_{STAMP}.jpg'
shared = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason='no shared data beside the checkout')


def log(tmp_path, *lines):
    path = tmp_path / 'driving_log.csv'
    path.write_text('\n'.join(lines) + '\n', encoding='utf-8')
    return read_log(path)


def only_row(tmp_path, *lines):
    found = log(tmp_path, *lines)
    assert not found.bad_rows
    assert len(found.rows) == 1
    return found.rows[0]


@pytest.mark.parametrize(
    'line',
    [
        f'{NAMES},-0.25,0.5,0,30.19',
        f'{NAMES.replace(",", ", ")}, -0.25, 0.5, 0, 30.19',
        f'{NAMES.replace(",", ";")};-0,25;0,5;0;30,19',
        f'{NAMES.replace(",", ", ")}, -0,25, 0,5, 0, 30,19',
        f'{NAMES},-0,25,0,5,0,30,19',
        f'{NAMES},-2.5E-01,5e-1,0,3.019E+01',
    ],
    ids=['comma', 'comma space', 'semicolon', 'decimal, space', 'decimal comma', 'scientific'],
)
def test_separators_and_numbers_of_all_cultures(tmp_path, line):
    row = only_row(tmp_path, line)
    assert row.steering_rad == pytest.approx(-0.25 * RECORDER_STEERING_RAD)
    assert (row.throttle, row.brake) == (0.5, 0)
    assert row.speed_mps == pytest.approx(13.496, abs=1e-3)


def test_decimal_commas_beside_tiny_numbers(tmp_path):
    row = only_row(tmp_path, f'{NAMES},0,0,5,0,7,35E-05')
    assert (row.steering_rad, row.throttle) == (0, 0.5)
    assert row.speed_mps == pytest.approx(7.35e-5 * 0.44704)


def test_a_space_after_the_separator_settles_what_a_comma_means(tmp_path):
    row = only_row(tmp_path, f'{NAMES.replace(",", ", ")}, 0, 0,5, 0,7, 35')
    assert (row.throttle, row.brake) == (0.5, 0.7)
    assert row.speed_mps == pytest.approx(35 * 0.44704)


def test_decimal_commas_with_two_readings_are_reported(tmp_path):
    found = log(tmp_path, f'{NAMES},0,0,0,7.5', f'{NAMES},0,1,0,1,0')
    assert [bad.line for bad in found.bad_rows] == [2]
    assert 'ways to read' in found.bad_rows[0].reason


def test_header_columns_are_found_by_name(tmp_path):
    row = only_row(
        tmp_path, 'frame,timestamp_s,steering,source', 'center_1.jpg,12.5,0.5,someone/else'
    )
    assert (row.center, row.timestamp_s, row.source) == ('center_1.jpg', 12.5, 'someone/else')
    assert row.left is None
    assert row.steering_rad == pytest.approx(0.5 * RECORDER_STEERING_RAD)


def test_bad_rows_are_reported_with_line_and_reason(tmp_path):
    found = log(
        tmp_path,
        'center,left,right,steering,throttle,brake,speed',
        f'{NAMES},0,0,0,1',
        f'{NAMES},zero,0,0,1',
        '',
        f'{NAMES},nan,0,0,1',
        f'{NAMES},1.5,0,0,1',
        'center.jpg,0',
        ',left.jpg,right.jpg,0,0,0,1',
    )
    assert len(found.rows) == 1
    assert [bad.line for bad in found.bad_rows] == [3, 5, 6, 7, 8]
    reasons = ['no number', 'out of range', 'out of range', '2 fields', 'no centre image']
    for bad, reason in zip(found.bad_rows, reasons, strict=True):
        assert reason in bad.reason


@pytest.mark.parametrize('content', ['', 'center,left,right,steering\n', 'a,b\n'])
def test_a_log_without_rows_is_an_error(tmp_path, content):
    path = tmp_path / 'driving_log.csv'
    path.write_text(content, encoding='utf-8')
    with pytest.raises(LogError, match='no usable row'):
        read_log(path)


def test_a_line_that_no_csv_reader_takes_is_a_bad_row(tmp_path):
    endless = f'center.jpg,,,0,0,0,{"0" * 140_000}'
    path = tmp_path / 'driving_log.csv'
    for lines in ([endless, 'center.jpg,,,0.5,0,0,30'], ['center.jpg,,,0.5,0,0,30', endless]):
        path.write_text('\n'.join(lines), encoding='utf-8')
        read = read_log(path)
        assert len(read.rows) == 1
        assert [bad.line for bad in read.bad_rows] == [lines.index(endless) + 1]
        assert read.bad_rows[0].reason.startswith('it cannot be split: field larger than')
    path.write_text(endless, encoding='utf-8')
    with pytest.raises(LogError, match='no usable row: line 1: it cannot be split'):
        read_log(path)


def test_a_missing_log_is_an_error(tmp_path):
    with pytest.raises(LogError, match='cannot read the log'):
        read_log(tmp_path / 'driving_log.csv')


@pytest.mark.parametrize(
    'name',
    [
        'center_1.jpg',
        'IMG/center_1.jpg',
        r'D:\car sim\data\IMG\center_1.jpg',
        '/home/some one/data/IMG/center_1.jpg',
    ],
)
def test_images_are_found_by_their_base_name(tmp_path, name):
    (tmp_path / 'IMG').mkdir()
    (tmp_path / 'IMG' / 'center_1.jpg').touch()
    assert find_image(name, tmp_path) == tmp_path / 'IMG' / 'center_1.jpg'


def test_a_relative_path_that_exists_is_taken_as_it_is(tmp_path):
    (tmp_path / 'IMG' / 'run').mkdir(parents=True)
    (tmp_path / 'IMG' / 'run' / 'center_1.jpg').touch()
    expected = tmp_path / 'IMG' / 'run' / 'center_1.jpg'
    assert find_image(r'IMG\run\center_1.jpg', tmp_path) == expected


def test_missing_and_broken_images_are_image_errors(tmp_path):
    with pytest.raises(ImageError, match='no image'):
        read_image('center_1.jpg', tmp_path)
    (tmp_path / 'center_1.jpg').write_bytes(b'no jpeg')
    with pytest.raises(ImageError):
        read_image('center_1.jpg', tmp_path)
    flat = np.full((160, 320, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / 'center_1.jpg'), flat)
    assert read_image('center_1.jpg', tmp_path).shape == (160, 320, 3)


def test_time_in_a_file_name():
    later = name_time('IMG/center_2020_10_17_20_18_02_062.jpg')
    assert later - name_time(f'C:\\center_{STAMP}.jpg') == pytest.approx(59.9)
    assert name_time('center_1.jpg') is None
    assert name_time('center_2020_13_17_20_18_02_062.jpg') is None


def test_smoothing_is_a_centred_mean_over_time_not_over_rows():
    times = np.array([0.0, 0.4, 0.5, 1.0, 5.0])
    values = np.array([1.0, 2.0, 3.0, 4.0, 9.0])
    np.testing.assert_allclose(smooth(times, values), [2.0, 2.0, 2.5, 3.5, 9.0])
    shuffled = [3, 0, 4, 2, 1]
    np.testing.assert_allclose(
        smooth(times[shuffled], values[shuffled]), smooth(times, values)[shuffled]
    )


def test_rows_without_a_time_keep_their_steering(tmp_path):
    found = log(tmp_path, f'{NAMES},0.5,0,0,1', 'a.jpg,b.jpg,c.jpg,0.2,0,0,1')
    np.testing.assert_allclose(
        smoothed_steering_rad(found.rows), np.array([0.5, 0.2]) * RECORDER_STEERING_RAD
    )


@shared
@pytest.mark.parametrize(
    'name',
    [
        'bare_names_comma',
        'linux_abs_comma_space',
        'mac_abs_space_in_path',
        'relative_comma_space',
        'udacity_sample_with_header',
        'windows_abs_comma',
        'windows_abs_comma_space',
    ],
)
def test_logs_that_people_have(name):
    path = SHARED_DATA / 'raw_driving_logs' / f'{name}.csv'
    lines = len(path.read_text(encoding='utf-8').splitlines()) - ('header' in name)
    found = read_log(path)
    assert (len(found.rows), found.bad_rows) == (lines, [])
    assert all(row.timestamp_s is not None for row in found.rows)
    assert max(abs(row.steering_rad) for row in found.rows) <= abs(RECORDER_STEERING_RAD)
    assert {row.center.rpartition('center_')[1] for row in found.rows} == {'center_'}


@shared
@pytest.mark.parametrize(
    ('path', 'rows'),
    [
        ('lake_lap_a/frames.csv', 1000),
        ('train/train.csv', 2230),
        ('train_more/train_more.csv', 3694),
    ],
)
def test_prepared_recordings(path, rows):
    found = read_log(SHARED_DATA / path)
    assert (len(found.rows), found.bad_rows) == (rows, [])
    last = found.rows[-1].center
    assert find_image(last, (SHARED_DATA / path).parent).name == last.rpartition('/')[2]
