# SPDX-License-Identifier: Apache-2.0
"""The wire, literally: what the real simulator sends and what it makes of an answer."""

import base64
import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim_bridge.protocol import udacity
from sim_bridge.protocol.types import Command, HalfCommandError, PacketError, Telemetry, Truth
from sim_bridge.protocol.udacity import (
    CULTURES,
    Culture,
    UdacityLink,
    decimal_of,
    decode_command,
    decode_telemetry,
    encode_command,
    encode_telemetry,
)

JPEG = b'\xff\xd8\xff\xe0'
GOOD = {
    'steering_angle': '12.5000',
    'throttle': '0.3000',
    'speed': '30.0000',
    'image': base64.b64encode(JPEG).decode(),
}


def test_decode_telemetry_converts_to_si_and_left_positive():
    frame = decode_telemetry(GOOD)
    assert frame.steering_rad == pytest.approx(-0.2181662)
    assert frame.speed_mps == pytest.approx(13.4112)
    assert frame.throttle == 0.3
    assert frame.jpeg == JPEG
    assert decimal_of(GOOD) == '.'


def test_null_telemetry_is_manual_driving():
    assert decode_telemetry(None) is None


@pytest.mark.parametrize(
    ('text', 'mps', 'decimal'),
    [
        ('10,0000', 4.4704, ','),
        ('0.0000', 0.0, '.'),
        ('1.0000', 0.44704, '.'),
        ('\u00a01,0000', 0.44704, ','),
        ('7.9E-05', 3.53e-05, '.'),
        ('10', 4.4704, '.'),
        (10, 4.4704, '.'),
        (10.0, 4.4704, '.'),
        ('-10.0000', 4.4704, '.'),
    ],
)
def test_speed_is_read_in_every_notation(text, mps, decimal):
    payload = {**GOOD, 'speed': text}
    assert decode_telemetry(payload).speed_mps == pytest.approx(mps, rel=1e-2, abs=1e-9)
    assert decimal_of(payload) == decimal


@pytest.mark.parametrize('text', ['900,0000', '0.900,0000', '0,900.0000', '0 900.0000'])
def test_thousands_separators_are_skipped(text):
    assert decode_telemetry({**GOOD, 'speed': text}).speed_mps == pytest.approx(402.336)


@pytest.mark.parametrize(
    ('field', 'value'),
    [
        ('speed', 'nan'),
        ('speed', 'Infinity'),
        ('speed', float('nan')),
        ('speed', True),
        ('speed', None),
        ('speed', ''),
        ('speed', '1e999'),
        ('speed', 10**400),
        ('speed', '1' * 190),
        ('speed', '\u0664'),
        ('steering_angle', '181.0000'),
        ('throttle', '1.5'),
        ('throttle', []),
        ('image', None),
        ('image', 'no base64!'),
        ('image', 'AAA'),
        ('image', 7),
    ],
)
def test_bad_field_is_named(field, value):
    with pytest.raises(PacketError, match=field):
        decode_telemetry({**GOOD, field: value})


@pytest.mark.parametrize('payload', [[], 'text', 7, True, b'x'])
def test_telemetry_of_another_type_is_refused(payload):
    with pytest.raises(PacketError, match='telemetry'):
        decode_telemetry(payload)


def test_missing_field_is_named():
    with pytest.raises(PacketError, match='image'):
        decode_telemetry({key: GOOD[key] for key in ('steering_angle', 'throttle', 'speed')})


def test_encode_telemetry_is_what_the_simulator_prints():
    frame = Telemetry(steering_rad=-0.2181662, throttle=0.3, speed_mps=13.4112, jpeg=JPEG)
    assert encode_telemetry(frame, CULTURES['en-US']) == GOOD
    assert list(encode_telemetry(frame, CULTURES['en-US'])) == list(GOOD)
    german = encode_telemetry(Telemetry(0.0, 0.0, 1000 * 0.44704, b''), CULTURES['de-DE'])
    assert german['speed'] == '1.000,0000'


TRUTH = Truth(1.5, -2.5, 0.25, 0.3, 0.01, -1.0, 0.2, 0.7, 2, 61.5, True)


def test_truth_of_the_embedded_simulator_is_one_more_field():
    payload = encode_telemetry(
        Telemetry(0.0, 0.0, 1.0, JPEG, truth=TRUTH.text()), CULTURES['de-DE']
    )
    assert Truth.parse(decode_telemetry(payload).truth) == TRUTH
    assert decode_telemetry(GOOD).truth is None


@pytest.mark.parametrize(
    'text',
    [
        '', '{', '[' * 900, 'x' * 2000, '[]', '{}',
        json.dumps(vars(TRUTH) | {'x_m': 'a'}), json.dumps(vars(TRUTH) | {'x_m': math.nan}),
        json.dumps(vars(TRUTH) | {'x_m': 10**300}), json.dumps(vars(TRUTH) | {'laps': -1}),
        json.dumps(vars(TRUTH) | {'more': 1}),
    ],
)  # fmt: skip
def test_truth_that_cannot_be_used_is_left_out(text):
    assert Truth.parse(text) is None


def test_truth_that_is_no_text_is_left_out():
    assert decode_telemetry(GOOD | {'truth': 7}).truth is None


def test_run_of_the_embedded_simulator_is_one_more_field():
    frame = Telemetry(0.0, 0.0, 1.0, JPEG, run=12)
    payload = encode_telemetry(frame, CULTURES['de-DE'])
    assert (list(payload), payload['run']) == ([*GOOD, 'run'], '12')
    assert decode_telemetry(payload).run == 12


@pytest.mark.parametrize('waits', [False, True])
def test_world_that_waits_for_the_answer_is_one_more_field(waits):
    frame = Telemetry(0.0, 0.0, 1.0, JPEG, waits=waits)
    payload = encode_telemetry(frame, CULTURES['de-DE'])
    assert list(payload) == [*GOOD, *['waits'] * waits]
    assert decode_telemetry(payload).waits is waits


@pytest.mark.parametrize('run', [None, 3, -1, '', '-1', 'x', '\u0663', '1' * 19, [], {'a': 1}])
def test_other_field_of_that_name_is_ignored(run):
    assert decode_telemetry({**GOOD, 'run': run}).run is None


def test_encode_command_is_literal():
    command = Command(steering_rad=udacity.MAX_STEERING_RAD / 20, throttle=0.3)
    assert encode_command(command, '.') == {
        'steering_angle': '-0.050000',
        'throttle': '0.300000',
    }
    assert encode_command(command, ',')['steering_angle'] == '-0,050000'
    assert encode_command(Command(0.0, 0.0), '.')['steering_angle'] == '0.000000'


def test_before_the_culture_is_known_only_zero_is_sent():
    assert encode_command(Command(0.1, 0.5), None) == {'steering_angle': '0', 'throttle': '0'}


@given(st.floats(-10, 10), st.floats(-10, 10), st.sampled_from(list(CULTURES)))
def test_command_survives_the_wire_in_every_culture(steering, throttle, name):
    culture = CULTURES[name]
    got = decode_command(encode_command(Command(steering, throttle), culture.decimal), culture)
    limit = udacity.MAX_STEERING_RAD
    assert got.steering_rad == pytest.approx(max(-limit, min(limit, steering)), abs=1e-6)
    assert got.throttle == pytest.approx(max(-1, min(1, throttle)), abs=1e-6)


@given(
    st.floats(-0.43, 0.43),
    st.floats(0, 1),
    st.floats(0, 400),
    st.binary(max_size=100),
    st.sampled_from(list(CULTURES)),
)
def test_telemetry_survives_the_wire_in_every_culture(steering, throttle, speed, jpeg, name):
    culture = CULTURES[name]
    payload = encode_telemetry(Telemetry(steering, throttle, speed, jpeg), culture)
    got = decode_telemetry(payload)
    assert got.steering_rad == pytest.approx(steering, abs=1e-5)
    assert got.throttle == pytest.approx(throttle, abs=1e-4)
    assert got.speed_mps == pytest.approx(speed, abs=1e-4)
    assert (got.jpeg, decimal_of(payload)) == (jpeg, culture.decimal)


VALUES = (-12.3456, 0.0, 1.0, 29.9876, -0.00001, 25.0, 1234.5678)
# What mono prints for these with ToString("N4"), one culture of each way of writing numbers.
PRINTED = {
    'en-US': '-12.3456|0.0000|1.0000|29.9876|0.0000|25.0000|1,234.5680',
    'de-DE': '-12,3456|0,0000|1,0000|29,9876|0,0000|25,0000|1.234,5680',
    'af-ZA': '-12,3456|0,0000|1,0000|29,9876|0,0000|25,0000|1\u00a0234,5680',
    'ar-SA': '12.3456-|0.0000|1.0000|29.9876|0.0000|25.0000|1,234.5680',
    'fa-IR': '12/3456-|0/0000|1/0000|29/9876|0/0000|25/0000|1,234/5680',
    'hr-HR': '- 12,3456|0,0000|1,0000|29,9876|0,0000|25,0000|1.234,5680',
    'km-KH': '- 12.3456|0.0000|1.0000|29.9876|0.0000|25.0000|1,234.5680',
    'de-CH': "-12.3456|0.0000|1.0000|29.9876|0.0000|25.0000|1'234.5680",
    'it-CH': '-12.3456|0.0000|1.0000|29.9876|0.0000|25.0000|1\u2019234.5680',
}


def check_culture(texts):
    """What a culture prints is read, and it reads what it is answered."""
    for value, text in zip(VALUES, texts, strict=True):
        number, decimal = udacity._parse_any_culture(text, 'speed')
        assert number == pytest.approx(value, abs=2e-4)
        assert decimal in text
    below, *_, above = texts
    culture = Culture(
        decimal=decimal,
        group=above[1],
        negative=below.replace(f'12{decimal}3456', '{}'),
    )
    for steering in (-0.3, -1e-7, 0.0, 0.3):
        command = Command(steering, -steering)
        got = decode_command(encode_command(command, decimal), culture)
        assert (got.steering_rad, got.throttle) == pytest.approx((steering, -steering), abs=1e-6)
    sent = encode_telemetry(Telemetry(0.1, 0.0, 10.0, b''), culture)
    assert sent['steering_angle'] == culture.negative.format(f'5{decimal}7296')
    assert decode_telemetry(sent).steering_rad == pytest.approx(0.1, abs=1e-5)


@pytest.mark.parametrize('name', PRINTED)
def test_every_way_of_writing_numbers_is_read_and_answered(name):
    check_culture(PRINTED[name].split('|'))


def test_every_culture_is_read_and_answered(shared_data):
    lines = (shared_data / 'cultures.jsonl').read_text(encoding='utf-8').splitlines()
    for line in lines:
        check_culture(json.loads(line)['n4'])
    assert len(lines) == 207


@pytest.mark.parametrize('name', CULTURES)
def test_embedded_simulator_prints_as_its_culture_does(name):
    printed = PRINTED.get(name, PRINTED['af-ZA']).split('|')
    assert [udacity._n4(value, CULTURES[name]) for value in VALUES[:-1]] == printed[:-1]


@pytest.mark.parametrize(
    ('text', 'value'),
    [('-0.0000', 0.0), ('0.0000-', 0.0), ('\u221212.5000', -12.5), ('\u200f-12,5000', -12.5),
     ('12.5000\u200e-', -12.5), ('+1.5000', 1.5)],
)  # fmt: skip
def test_signs_of_other_runtimes_are_read(text, value):
    assert udacity._parse_any_culture(text, 'speed')[0] == value


@pytest.mark.parametrize('text', ['--1.0000', '-1.0000-', '-', '1.0-e5', '1-2'])
def test_signs_that_make_no_number_are_refused(text):
    with pytest.raises(PacketError, match='it must be a number'):
        decode_telemetry({**GOOD, 'speed': text})


def test_the_speed_is_kept_where_another_field_is_wrong():
    for field, value in (('image', None), ('throttle', 'x')):
        with pytest.raises(PacketError) as caught:
            decode_telemetry({**GOOD, field: value})
        assert caught.value.speed_mps == pytest.approx(13.4112)
    with pytest.raises(PacketError) as caught:
        decode_telemetry({**GOOD, 'speed': None})
    assert caught.value.speed_mps is None


def test_a_link_answers_in_the_culture_of_the_newest_speed_that_could_be_read():
    sent = []
    link = UdacityLink(lambda *what: sent.append(what))
    link.send_command(Command(0.0, 0.5))
    with pytest.raises(PacketError, match='image is null'):
        link.decode({**GOOD, 'speed': '1,0000', 'image': None})
    link.send_command(Command(0.0, 0.5))
    with pytest.raises(PacketError, match='speed is null'):
        link.decode({**GOOD, 'speed': None})
    link.send_command(Command(0.0, 0.5))
    assert link.decode(None) is None
    link.send_manual()
    link.decode(GOOD)
    link.send_command(Command(0.0, 0.5))
    told = [data.get('throttle') for _, data in sent]
    assert told == ['0', '0,500000', '0,500000', None, '0.500000']
    assert [event for event, _ in sent] == ['steer', 'steer', 'steer', 'manual', 'steer']


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_a_command_that_is_not_finite_cannot_exist(value):
    with pytest.raises(ValueError, match='throttle'):
        Command(0.0, value)
    with pytest.raises(ValueError, match='steering_rad'):
        Command(value, 0.0)


def test_german_simulator_reads_a_point_as_thousands():
    wrong = {'steering_angle': '-0.050000', 'throttle': '0.300000'}
    got = decode_command(wrong, CULTURES['de-DE'])
    assert got == Command(udacity.MAX_STEERING_RAD, 1.0)
    with pytest.raises(PacketError):
        decode_command(wrong, CULTURES['fr-FR'])


@pytest.mark.parametrize('angle', ['nan', 0.1, None, '', '0x1'])
def test_simulator_swallows_a_bad_angle(angle):
    with pytest.raises(PacketError):
        decode_command({'steering_angle': angle, 'throttle': '0'}, CULTURES['en-US'])


def test_simulator_applies_a_good_angle_before_a_bad_throttle():
    with pytest.raises(HalfCommandError) as caught:
        decode_command({'steering_angle': '1', 'throttle': 'x'}, CULTURES['en-US'])
    assert caught.value.steering_rad == -udacity.MAX_STEERING_RAD


@pytest.mark.parametrize(
    ('text', 'value'), [('1e-05', 1e-05), (' 0.1 ', 0.1), ('Infinity', 1.0), ('-Infinity', -1.0)]
)
def test_simulator_accepts_what_float_parse_accepts(text, value):
    got = decode_command({'steering_angle': '0', 'throttle': text}, CULTURES['en-US'])
    assert got.throttle == pytest.approx(value)


@pytest.mark.slow
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_raises_nothing_but_packet_errors(payload):
    with contextlib.suppress(PacketError):
        decode_telemetry(payload)


@given(st.sampled_from(['steering_angle', 'throttle', 'speed']), st.text(max_size=60))
def test_any_text_that_is_accepted_is_finite(field, text):
    with contextlib.suppress(PacketError):
        frame = decode_telemetry({**GOOD, field: text})
        assert all(map(math.isfinite, (frame.steering_rad, frame.throttle, frame.speed_mps)))
