# SPDX-License-Identifier: Apache-2.0
import errno
import os
import struct

import cv2
import numpy as np
import pytest

from helpers.paths import SHARED_DATA
from steering_net.data.driving_log import (
    LogError,
    name_time,
    read_log,
    recorder_row,
    troubles,
)
from steering_net.data.frame_files import LeftOut, find_image, read_image
from steering_net.errors import ImageError
from steering_net.vehicle import RECORDER_STEERING_RAD

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


def test_images_of_side_cameras_are_named_where_there_are_any(tmp_path):
    row = only_row(tmp_path, f'{NAMES},0,0,0,1')
    assert [row.center, row.left, row.right] == NAMES.split(',')
    row = only_row(tmp_path, f'center_{STAMP}.jpg,none,,0,0,0,1')
    assert (row.left, row.right) == (None, None)


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


IN_A_FOLDER_WITH_A_COMMA = ',D:\\lake, 1\\IMG\\'.join(['', *NAMES.split(',')])[1:]
HEADER = 'center,left,right,steering,throttle,brake,speed'


@pytest.mark.parametrize(
    'text',
    [
        f'{NAMES},-0.25,0.5,0,30.19'.replace(',', '\t'),
        f'{NAMES.replace(",", chr(9))}\t-0,25\t0,5\t0\t30,19',
        f'{NAMES},-0.25,0.5,0,30.19'.replace(',', '|'),
        '"' + f'{NAMES},-0.25,0.5,0,30.19'.replace(',', '","') + '"',
        f'"{NAMES},-0.25,0.5,0,30.19"',
        f'{IN_A_FOLDER_WITH_A_COMMA},-0.25,0.5,0,30.19',
        f'{IN_A_FOLDER_WITH_A_COMMA},-0,25,0,5,0,30,19',
        f'{NAMES},-0.25,0.5,0,30.19,1,2,-0.07',
        f'{NAMES},-0.25,0.5,0,30.19,lake,',
        f'{HEADER},lap,sector,cte\n{NAMES},-0.25,0.5,0,30.19,1,2,-0.07',
        f'sep=;\n{NAMES.replace(",", ";")};-0,25;0,5;0;30,19',
        f'Lap,Brake,Speed (mph),Steering Angle,Image Path,Throttle\n'
        f'1,0,30.19,-0.25,center_{STAMP}.jpg,0.5',
        f',center,left,right,steering,throttle,reverse,speed\n7,{NAMES},-0.25,0.5,0,30.19',
        f'frame,image_path,steering_angle,throttle,speed [km/h]\n'
        f'7,center_{STAMP}.jpg,-0.25,0.5,48.586',
        f'{HEADER}\n{NAMES},-0.25,0.5,0,30.19\n{HEADER}',
        f' {HEADER} \n {NAMES} , -0.25 , 0.5 , 0 , 30.19 , ',
        f'center_{STAMP}.jpg,none,None,-0.25,0.5,0,30.19',
        f'{NAMES},-0.25,0.5,0,30.19\r,,,,,,',
        f'My drive on the lake\n# of Monday\n#{HEADER},done\n{NAMES},-0.25,0.5,False,30.19,True',
        f'{HEADER},time\n{NAMES},-0.25,0.5,0,30.19,Monday',
    ],
)
@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-le'])
def test_tables_that_other_programs_write(tmp_path, text, encoding):
    path = tmp_path / 'driving_log.csv'
    path.write_bytes(text.encode(encoding))
    found = read_log(path)
    assert (len(found.rows), found.bad_rows) == (1, [])
    row = found.rows[0]
    assert row.steering_rad == pytest.approx(-0.25 * RECORDER_STEERING_RAD)
    assert (row.throttle, row.brake) == (0.5, 0)
    assert row.speed_mps == pytest.approx(13.496, abs=1e-3)
    assert row.center.endswith(f'center_{STAMP}.jpg')
    assert row.timestamp_s == name_time(STAMP)


@pytest.mark.parametrize(
    'text',
    [
        '0.jpg,-0.25\n1.jpg,0.5',
        '0.jpg;-0,25\n1.jpg;0,5',
        '0.jpg -0.25\n1.jpg 0.5',
        '0.jpg -0.25,2018-07-01 17:09:44:912\n1.jpg 0.5,2018-07-01 17:09:44:946',
        'steering,img\n-0.25,0.jpg\n0.5,1.jpg',
        'user/angle,cam/image_array\n-0.25,0.jpg\n0.5,1.jpg',
        '0.jpg,-0,25\n1.jpg,0,5',
    ],
)
def test_logs_of_two_columns(tmp_path, text):
    found = log(tmp_path, text)
    assert found.bad_rows == []
    assert [(row.center, row.steering_rad / RECORDER_STEERING_RAD) for row in found.rows] == [
        ('0.jpg', -0.25),
        ('1.jpg', 0.5),
    ]


def test_path_in_windows_1252_is_read(tmp_path):
    (tmp_path / 'driving_log.csv').write_bytes(f'/Jürgen/{NAMES},0,0,0,1'.encode('cp1252'))
    assert read_log(tmp_path / 'driving_log.csv').rows[0].center.startswith('/Jürgen/center_')


@pytest.mark.parametrize(
    ('line', 'told'),
    [
        (f'{NAMES},0,0,0,17793', 'speed is out of range: 17793; it must be -200..200'),
        (f'{NAMES},0,40,0,1', 'throttle is out of range: 40; it must be -1..1'),
        (f'{NAMES},0,0,7,1', 'brake is out of range: 7; it must be -1..1'),
        (f'{NAMES},1.5,0,0,1', 'steering is out of range: 1.5; it must be -1..1'),
        (f'{NAMES},inf,0,0,1', 'steering is out of range: inf; it must be -1..1'),
        (f'{NAMES},,0,0,1', "steering is not a number: ''"),
        (NAMES[:50], 'wrong number of fields: 2 instead of 7'),
    ],
)
def test_wrong_numbers_are_bad_rows_of_one_kind(tmp_path, line, told):
    found = log(tmp_path, f'{NAMES},0.5,0.1,0,7.5', line, f'{NAMES},0.5,0.1,0,7.5', line)
    assert len(found.rows) == 2
    assert [(bad.line, bad.reason) for bad in found.bad_rows] == [(2, told), (4, told)]
    assert troubles(found.bad_rows) == [f'2 rows left out, the first is line 2: {told}']


def test_lines_with_other_numbers_in_their_reasons_are_of_one_kind(tmp_path):
    good = f'{NAMES},0.5,0.1,0,7.5'
    found = log(tmp_path, good, 'a.jpg,0,0', 'a.jpg,b.jpg,0,0', good)
    assert troubles(found.bad_rows) == [
        '2 rows left out, the first is line 2: wrong number of fields: 3 instead of 7'
    ]
    found = log(tmp_path, good, f'{NAMES},0,1,0,1,0', f'{NAMES},9,9,9,9,9,9')
    assert {bad.line for bad in found.bad_rows} == {2, 3}
    assert len(troubles(found.bad_rows)) == 1


@pytest.mark.parametrize('start', [0, 1000])
def test_time_that_jumps_and_returns_is_a_bad_row_and_a_pause_is_none(tmp_path, start):
    times = [start + t for t in (0.0, 0.1, 9999.0, 0.3, -7.0, -7.1, 0.6, 60.0, 60.1)]
    found = log(tmp_path, 'image,time_s,steering', *(f'{t}.jpg,{t},0' for t in times))
    assert [row.timestamp_s for row in found.rows] == [*times[:2], times[3], *times[6:]]
    assert troubles(found.bad_rows) == [
        '3 rows left out, the first is line 4: the time jumps by +9998.900 s and back'
    ]


@pytest.mark.parametrize(
    'times', [np.random.default_rng(1).permutation(60) / 20, [10, 50, 11, 90, 30, 12, 51]]
)
def test_rows_in_another_order_than_their_times_are_kept(tmp_path, times):
    found = log(tmp_path, 'image,time_s,steering', *(f'{t}.jpg,{t},0' for t in times))
    assert (len(found.rows), found.bad_rows) == (len(times), [])


def test_runs_whose_clock_restarts_follow_each_other(tmp_path):
    run = np.arange(40) * 0.05
    for name, per_s in (('time_ms', 1000), ('time', 1)):
        lines = [f'{i}.jpg,{t * per_s:g},0' for i, t in enumerate(np.tile(run, 3))]
        found = log(tmp_path, f'image,{name},steering', *lines)
        assert not found.bad_rows
        # A run is 1.95 s long.
        assert [row.timestamp_s for row in found.rows] == pytest.approx(
            np.concatenate([run, run + 6.95, run + 13.9])
        )


def test_swapped_rows_begin_no_run(tmp_path):
    times = [0.0, 0.1, 0.2, 0.4, 0.3, *np.arange(5, 20) / 10]
    found = log(tmp_path, 'image,time_s,steering', *(f'{t}.jpg,{t},0' for t in times))
    assert [row.timestamp_s for row in found.rows] == times


@pytest.mark.parametrize(('step', 'name'), [(0.1, 'time'), (100, 'time'), (1e8, 'timestamp')])
def test_unit_of_times_follows_from_their_step(tmp_path, step, name):
    lines = [f'{i}.jpg,{i * step},0' for i in range(5)]
    times = [row.timestamp_s for row in log(tmp_path, f'image,{name},steering', *lines).rows]
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])


@pytest.mark.parametrize(
    ('unit', 'seconds'), [('s', 1.0), ('ms', 1e-3), ('us', 1e-6), ('ns', 1e-9)]
)
def test_unit_of_times_that_the_header_names_is_that_of_any_step(tmp_path, unit, seconds):
    found = log(tmp_path, f'image,time_{unit},steering', *(f'{t}.jpg,{t},0' for t in (0, 40, 80)))
    assert [row.timestamp_s for row in found.rows] == pytest.approx(
        [0.0, 40 * seconds, 80 * seconds]
    )


@pytest.mark.parametrize(
    ('column', 'mps'), [('speed', 0.44704), ('speed_mps', 1.0), ('speed [km/h]', 1 / 3.6)]
)
def test_unit_of_the_speed_is_mph_unless_the_header_names_it(tmp_path, column, mps):
    row = only_row(tmp_path, f'image,steering,{column}', '0.jpg,0,18')
    assert row.speed_mps == pytest.approx(18 * mps)


def test_dates_are_times(tmp_path):
    lines = [f'{i}.jpg,0,2018-07-01 17:0{i}:44.9{i}2' for i in range(3)]
    first, *others = (row.timestamp_s for row in log(tmp_path, 'image,steering,time', *lines).rows)
    assert [time_s - first for time_s in others] == pytest.approx([60.01, 120.02])


def test_text_among_the_times_is_a_bad_row(tmp_path):
    times = (0.0, 0.1, 'soon', 0.3)
    found = log(tmp_path, 'image,time_s,steering', *(f'{t}.jpg,{t},0' for t in times))
    assert [row.timestamp_s for row in found.rows] == [0.0, 0.1, 0.3]
    assert [bad.reason for bad in found.bad_rows] == ["timestamp is not a time: 'soon'"]


@pytest.mark.parametrize('text', ['nan', 'inf', '-inf'])
@pytest.mark.parametrize('first', [0.0, 1.7e9])
def test_time_that_is_not_finite_does_not_change_the_unit_of_the_others(tmp_path, first, text):
    times = [first, first + 1, first + 2, text, first + 4]
    found = log(tmp_path, 'image,time,steering', *(f'{i}.jpg,{t},0' for i, t in enumerate(times)))
    assert [row.timestamp_s for row in found.rows] == [first, first + 1, first + 2, first + 4]
    assert troubles(found.bad_rows) == [
        f"1 row left out, line 5: timestamp is not a time: '{text}'"
    ]


@pytest.mark.parametrize('per_s', [1, 1000])
@pytest.mark.parametrize('runs', [1, 40])
def test_unit_of_times_does_not_depend_on_the_order_of_the_rows(tmp_path, runs, per_s):
    """Also if the clock begins at 0 in each of many runs."""
    times = np.tile(np.arange(1600 // runs) * 0.05, runs)
    for order in (np.arange(1600), np.random.default_rng(1).permutation(1600)):
        lines = [f'{i}.jpg,{times[i] * per_s:.6g},0' for i in order]
        found = log(tmp_path, 'image,time,steering', *lines)
        assert found.rows[9].timestamp_s == pytest.approx(times[order[9]])


@pytest.mark.parametrize('per_s', [1, 1e3, 1e6, 1e9])
def test_unit_of_times_since_1970_follows_from_their_size(tmp_path, per_s):
    lines = [f'{i}.jpg,{(1.7e9 + 20 * i) * per_s:.0f},0' for i in range(3)]
    times = [row.timestamp_s for row in log(tmp_path, 'image,time,steering', *lines).rows]
    assert times == pytest.approx([1.7e9, 1.7e9 + 20, 1.7e9 + 40], abs=1.0)


DEGREES = ['image,steering', *(f'{i}.jpg,{angle}' for i, angle in enumerate([-6.25, 5, 0, 2.5]))]


def test_degrees_are_asked_for_and_read_when_they_are_named(tmp_path):
    with pytest.raises(LogError) as caught:
        log(tmp_path, *DEGREES)
    assert 'the steering is up to 6.25 in 3 of 4 rows, and the recorder writes -1..1' in str(
        caught.value
    )
    assert '--steering-unit degrees or radians if right is positive' in str(caught.value)
    path = tmp_path / 'driving_log.csv'
    for unit, factor in (('degrees', 1), ('degrees-left', -1)):
        rows = read_log(path, unit).rows
        assert rows[0].steering_rad == pytest.approx(factor * np.radians(6.25))
    found = read_log(path, 'recorder')
    assert (len(found.rows), len(found.bad_rows)) == (1, 3)


@pytest.mark.parametrize(('unit', 'left'), [('radians', -1), ('radians-left', 1)])
def test_radians_are_read_when_they_are_named(tmp_path, unit, left):
    path = tmp_path / 'driving_log.csv'
    path.write_text('image,steering\n0.jpg,0.2\n', encoding='utf-8')
    assert read_log(path, unit).rows[0].steering_rad == pytest.approx(0.2 * left)


@pytest.mark.parametrize('column', ['steering_deg', 'Steering Angle (degrees)', 'angle_rad'])
def test_unit_in_the_header_is_asked_for(tmp_path, column):
    with pytest.raises(LogError, match='the header says that the steering is in '):
        log(tmp_path, f'image,{column}', '0.jpg,0.1')
    unit = 'radians' if 'rad' in column else 'degrees'
    assert read_log(tmp_path / 'driving_log.csv', unit).rows[0].steering_rad < 0


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('frame,colour\n0.jpg,red', 'line 1: the header names no column steering: frame, colour'),
        ('steering,throttle\n0.1,0', 'line 2: it names no centre image'),
    ],
)
def test_what_is_no_log_is_told(tmp_path, text, told):
    with pytest.raises(LogError, match=f'holds no usable row: {told}'):
        log(tmp_path, text)


@pytest.mark.parametrize(
    ('content', 'told'),
    [
        (b'PK\x03\x04\x14', 'is an archive: unpack it, and give the log or its folder'),
        (b'\x89HDF\r\n\x1a\n\0\0\0\0\0\x08\x08\0', 'is not text'),
    ],
)
def test_a_file_of_another_kind_is_told(tmp_path, content, told):
    (tmp_path / 'file').write_bytes(content)
    with pytest.raises(LogError, match=told):
        read_log(tmp_path / 'file')


def test_a_log_without_brake_or_throttle_has_the_speed_last(tmp_path):
    for numbers in ('0.5,0.9,', '0.5,'):
        found = log(tmp_path, f'{NAMES},{numbers}0.3', *[f'{NAMES},{numbers}30.2'] * 3)
        assert [row.speed_mps for row in found.rows] == pytest.approx(
            [0.134, *[13.5] * 3], abs=0.01
        )
        assert {row.steering_rad for row in found.rows} == {0.5 * RECORDER_STEERING_RAD}
    found = log(tmp_path, *[f'{NAMES},0.5,0.9,1'] * 3)
    assert [row.speed_mps for row in found.rows] == [0.0] * 3


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
    reasons = [
        'not a number',
        'out of range',
        'out of range',
        'number of fields',
        'no centre image',
    ]
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


@pytest.mark.parametrize(
    ('file', 'name'),
    [
        ('img/CENTER_1.JPG', 'IMG/center_1.jpg'),
        ('Img/center_1.jpg', r'C:\data\IMG\center_1.jpg'),
        ('IMG/center_1.png', 'IMG/center_1.jpg'),
        ('lake/IMG/center_1.jpg', '/home/me/data/lake/IMG/center_1.jpg'),
        ('Lake/img/Center_1.jpeg', '/home/me/data/lake/IMG/center_1.jpg'),
        ('center_1.JPG', 'IMG/center_1.jpg'),
    ],
)
def test_capitals_suffix_and_folder_of_an_image_may_differ(tmp_path, file, name):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).touch()
    assert find_image(name, tmp_path) == tmp_path / file


def test_images_in_folders_of_img_and_absolute_paths_are_found(tmp_path):
    for folder in ('log/IMG/center', 'elsewhere'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / f'{folder[-4:]}.jpg').touch()
    root = tmp_path / 'log'
    assert find_image('center/nter.jpg', root) == root / 'IMG' / 'center' / 'nter.jpg'
    far = tmp_path / 'elsewhere' / 'here.jpg'
    assert find_image(str(far), root) == far


@pytest.mark.parametrize('folder', ['/' + 'x' * 300, 'x' * 300, '/closed'])
def test_place_that_cannot_be_looked_at_is_none_of_the_image(tmp_path, folder, monkeypatch):
    (tmp_path / 'IMG').mkdir()
    (tmp_path / 'IMG' / 'center_1.jpg').touch()
    plain_stat = os.stat

    def stat(path, **options):
        if str(path).startswith('/closed'):
            raise PermissionError(errno.EACCES, 'Permission denied', str(path))
        return plain_stat(path, **options)

    monkeypatch.setattr(os, 'stat', stat)
    assert find_image(f'{folder}/center_1.jpg', tmp_path) == tmp_path / 'IMG' / 'center_1.jpg'


def test_image_of_a_size_that_opencv_refuses_is_an_error_of_that_image(tmp_path):
    head = struct.pack('<IiiHHIIiiII', 40, 200_000, 200_000, 1, 24, 0, 0, 0, 0, 0, 0)
    (tmp_path / '1.bmp').write_bytes(
        b'BM' + struct.pack('<IHHI', 954, 0, 0, 54) + head + b' ' * 900
    )
    with pytest.raises(ImageError, match=r'1\.bmp cannot be decoded'):
        read_image('1.bmp', tmp_path)


def test_png_is_read(tmp_path):
    grey = np.full((160, 320, 3), 90, np.uint8)
    cv2.imwrite(str(tmp_path / '1.png'), grey)
    np.testing.assert_allclose(read_image('1.png', tmp_path), grey, atol=1)
    (tmp_path / '2.png').write_bytes((tmp_path / '1.png').read_bytes()[:60])
    with pytest.raises(ImageError, match='cannot be decoded'):
        read_image('2.png', tmp_path)


def test_images_that_are_left_out_give_one_line_for_each_kind(tmp_path, logged):
    (tmp_path / 'torn.jpg').write_bytes(b'no jpeg')
    left_out = LeftOut('a log')
    for name in ('1.jpg', 'torn.jpg', '2.jpg', '3.jpg'):
        try:
            read_image(name, tmp_path)
        except ImageError as error:
            left_out.add(name, error)
    left_out.warn()
    assert logged.messages == [
        f'a log: 1.jpg left out: there is no image 1.jpg in {tmp_path}/IMG; 3 frames in all',
        'a log: torn.jpg left out: not a JPEG',
    ]


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


def test_a_row_that_is_written_can_be_read(tmp_path):
    """Also of a node that commands more than the car can do."""
    path = tmp_path / 'driving_log.csv'
    commands = [(0.2, 0.5), (0.43, -0.25), (0.5, 1.5), (-3.0, -2.0)]
    rows = [
        recorder_row(f'{i}.jpg', rad, throttle, 5.0) for i, (rad, throttle) in enumerate(commands)
    ]
    path.write_text(''.join(rows), encoding='utf-8')
    log = read_log(path)
    assert not log.bad_rows
    largest_rad = abs(RECORDER_STEERING_RAD)
    expected = [(0.2, 0.5, 0), (0.43, 0, 0.25), (largest_rad, 1, 0), (-largest_rad, 0, 1)]
    found = [(row.steering_rad, row.throttle, row.brake) for row in log.rows]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert log.rows[0].speed_mps == pytest.approx(5.0)
