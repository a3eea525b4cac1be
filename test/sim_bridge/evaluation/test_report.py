# SPDX-License-Identifier: Apache-2.0
"""Tables of reports, and what is required of them."""

import pytest

from sim_bridge.evaluation.evaluator import parse_networks
from sim_bridge.evaluation.report import parse_requirement, table, unmet

REPORT = {'frames': 10, 'rmse': 0.04, 'correlation': 0.5, 'constant_output': False,
          'latency_ms': {'p50': 1.0, 'p99': 2.0, 'max': 3.0}}  # fmt: skip


@pytest.mark.parametrize(
    ('text', 'is_met'),
    [
        ('correlation=0.5', True),
        ('correlation=0.51', False),
        ('rmse=0.04', True),
        ('rmse=0.039', False),
        ('constant_output=0', True),
    ],
)
def test_more_of_what_is_good_and_less_of_what_is_bad(text, is_met):
    assert (unmet(REPORT, dict([parse_requirement(text)])) == []) is is_met


@pytest.mark.parametrize('text', ['correlation', 'correlation=much', 'correlation=nan', ''])
def test_requirement_that_is_none_is_shown_how_it_should_be(text):
    with pytest.raises(ValueError, match='as in correlation_smoothed'):
        parse_requirement(text)


@pytest.mark.parametrize('text', ['recall_1s_percent=80', 'rmse=0.1'])
def test_a_figure_that_is_not_known_meets_no_requirement(text):
    name, wanted = parse_requirement(text)
    assert unmet({name: float('nan')}, {name: wanted})


def test_requirement_of_an_unknown_field_names_the_known():
    with pytest.raises(ValueError, match="'corelation'; the fields are frames, rmse"):
        unmet(REPORT, {'corelation': 1.0})


def test_networks_stand_side_by_side():
    lines = table({'a': REPORT, 'some network': REPORT | {'rmse': 0.0123}})
    assert lines[0].split() == ['a', 'some', 'network']
    assert lines[2].split() == ['rmse', '0.0400', '0.0123']
    assert len({len(line) for line in lines}) == 1


def test_networks_are_named_so_that_they_can_be_told_apart():
    found = parse_networks('x/model.h5', ['y/model.h5@naoki', 'default'], 'course')
    assert [c.name for c in found] == ['x/model', 'y/model', 'default']
    assert [c.profile for c in found] == ['course', 'naoki', 'course']
    assert [c.model for c in parse_networks(None, [], None)] == ['default']


def test_a_file_with_an_at_sign_is_a_file_and_the_last_one_names_the_profile(tmp_path):
    path = tmp_path / 'me@home.keras'
    path.touch()
    found = parse_networks(None, [str(path), f'{path}@naoki', 'none@home.keras@course'], None)
    assert [(c.model, c.profile) for c in found] == [
        (str(path), None), (str(path), 'naoki'), ('none@home.keras', 'course'),
    ]  # fmt: skip
