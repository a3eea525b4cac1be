# SPDX-License-Identifier: Apache-2.0
"""The faults of the embedded simulator: read from text, deterministic by seed, as promised."""

import argparse
import base64
import re

import numpy as np
import pytest

from helpers.paths import DOCS
from helpers.processes import run_verb
from helpers.tracks import TEST_SEEDS
from sim_bridge.cli.simulate import configure
from sim_bridge.protocol.types import PacketError, Telemetry
from sim_bridge.protocol.udacity import CULTURES, decode_telemetry, encode_telemetry
from sim_bridge.simulator.fault_injection import (
    CHANCES,
    JUNK_CHARS,
    SPANS,
    FaultError,
    FaultPlan,
    Span,
    Spoiler,
    describe_faults,
    parse_faults,
)
from sim_bridge.simulator.samples import samples
from steering_net.errors import ImageError
from steering_net.vision.jpeg import decode_jpeg, encode_jpeg


@pytest.fixture(scope='module')
def fields():
    """A real telemetry."""
    (sample,) = samples(TEST_SEEDS[0], 1, np.random.default_rng(1))
    jpeg = encode_jpeg(sample.rgb)
    return encode_telemetry(Telemetry(0.1, 0.3, 5.0, jpeg), CULTURES['en-US'])


def spoiled(kind, fields, times=20):
    """What a fault that always strikes makes of a telemetry, several times."""
    spoiler = Spoiler(parse_faults(f'{kind}:1'))
    return [payload for _ in range(times) for payload in spoiler.payloads(fields)]


def test_plan_is_read_from_text():
    plan = parse_faults('drop:0.05, delay:200ms, menu:10s/2s, disconnect:5s, seed:7')
    assert plan == FaultPlan(
        {'drop': 0.05}, {'menu': Span(10.0, 2.0), 'disconnect': Span(5.0, 1.0)}, 0.2, 7
    )


def test_a_grade_is_that_of_the_whole_road_or_from_places_on():
    assert parse_faults('grade:-0.08').grade(123.0) == -0.08
    plan = parse_faults('grade:0.08@50m/-0.1@150m,seed:3')
    assert [plan.grade(place) for place in (0.0, 50.0, 149.9, 150.0)] == [0.0, 0.08, 0.08, -0.1]
    assert plan.healthy
    assert parse_faults('').grade(10.0) == 0.0


@pytest.mark.parametrize('text', ['grade', 'grade:x', 'grade:0.6', 'grade:0.1@50', 'grade:0.1/'])
def test_a_grade_that_cannot_be_names_what_can(text):
    with pytest.raises(FaultError, match=r'slopes must be -0\.5\.\.0\.5, as in grade:0\.08'):
        parse_faults(text)


def test_no_text_means_no_fault():
    assert parse_faults('').healthy
    assert not parse_faults('delay:1ms').healthy


@pytest.mark.parametrize(
    ('text', 'told'),
    [
        ('dorp:0.1', "'dorp'; did you mean drop?"),
        ('xyzzy', "'xyzzy'; the kinds are drop, "),
        ('drop', 'drop:; its probability must be 0..1, as in drop:0.05'),
        ('drop:2', 'drop:2; its probability must be 0..1'),
        ('drop:nan', 'drop:nan; its probability must be 0..1'),
        ('menu:10', 'menu:10; its time must be at most 3600 s, as in menu:10s or menu:10s/2s'),
        ('menu:10s/20s', 'menu:20s; its time must be at most 10 s'),
        ('menu:0s', 'menu:0s; its time must be at most 3600 s'),
        ('delay:200', 'delay:200; its time must be at most 10 s, as in delay:200ms'),
        ('delay:11s', 'delay:11s; its time must be at most 10 s'),
        ('seed:x', 'seed:x; it must be a whole number, as in seed:7'),
    ],
)
def test_bad_text_is_told_with_the_fix(text, told):
    with pytest.raises(FaultError, match=r'^faults has') as caught:
        parse_faults(text)
    assert told in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize('verb', ['simulate', 'drive'])
def test_verbs_tell_it_in_one_line_and_exit_2(verb):
    result = run_verb(verb, '--faults', 'dorp:0.1')
    assert result.returncode == 2
    assert result.stderr.count('\n') == 1
    assert "--faults has the unknown kind 'dorp'; did you mean drop?" in result.stderr


def test_help_names_every_kind():
    parser = argparse.ArgumentParser()
    configure(parser)
    help_text = ' '.join(parser.format_help().split())
    assert all(kind in help_text for kind in [*CHANCES, *SPANS, 'delay', 'seed', 'culture'])
    assert describe_faults().count('%') == 0, 'argparse would stumble'


def test_the_table_of_the_documentation_has_a_row_for_every_kind():
    text = (DOCS / 'safety.md').read_text(encoding='utf-8')
    section = text.partition('## When the simulator or the network misbehaves')[2].partition(
        '\n## '
    )[0]
    told = re.findall(r'`([a-z-]+):', '\n'.join(re.findall(r'^\| (.*?) \|', section, re.M)))
    assert set(told) == {*CHANCES, *SPANS, 'delay', 'grade'}


def test_same_seed_same_faults(fields):
    text = ','.join(f'{kind}:0.1' for kind in CHANCES)
    runs = [
        [spoiler.payloads(fields) for _ in range(200)]
        for spoiler in (
            Spoiler(parse_faults(text)),
            Spoiler(parse_faults(text)),
            Spoiler(parse_faults(text + ',seed:1')),
        )
    ]
    assert runs[0] == runs[1] != runs[2]


def test_chance_is_how_often_it_strikes(fields):
    spoiler = Spoiler(parse_faults('drop:0.25'))
    left = sum(len(spoiler.payloads(fields)) for _ in range(4000))
    assert left == pytest.approx(3000, abs=120)


def test_drop_and_duplicate_also_strike_a_person_driving(fields):
    assert spoiled('drop', None) == []
    assert spoiled('duplicate', None, 1) == [None, None]
    assert spoiled('truncate', None, 1) == [None]
    assert spoiled('duplicate', fields, 1) == [fields, fields]


@pytest.mark.parametrize('kind', ['truncate', 'not-jpeg'])
def test_spoiled_images_are_refused_by_the_decoder(fields, kind):
    for payload in spoiled(kind, fields):
        with pytest.raises(ImageError):
            decode_jpeg(decode_telemetry(payload).jpeg)


def test_wrong_sizes_are_tiny_or_monstrous(fields):
    told = set()
    for payload in spoiled('wrong-size', fields):
        try:
            told.add(decode_jpeg(base64.b64decode(payload['image'])).shape)
        except ImageError as error:
            told.add(str(error))
    assert told == {(8, 16, 3), 'a JPEG of 65535 x 65535 pixels is refused'}


@pytest.mark.parametrize('kind', ['missing', 'nan', 'huge', 'junk'])
def test_spoiled_fields_are_refused_by_the_protocol(fields, kind):
    for payload in spoiled(kind, fields):
        with pytest.raises(PacketError):
            decode_telemetry(payload)


def test_junk_is_100_kilobytes(fields):
    (payload,) = spoiled('junk', fields, 1)
    assert len(payload) == JUNK_CHARS


def test_a_healthy_plan_changes_nothing(fields):
    assert Spoiler(FaultPlan()).payloads(fields) == [fields]


def test_span_strikes_after_one_period_for_its_length():
    span = Span(10.0, 2.0)
    assert [time for time in range(35) if span.active(time)] == [10, 11, 20, 21, 30, 31]
    assert [span.count(time) for time in (0.0, 9.9, 10.0, 25.0)] == [0, 0, 1, 2]
