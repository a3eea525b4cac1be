# SPDX-License-Identifier: Apache-2.0
"""Figures of recorded against new steering."""

import pytest

from sim_bridge.evaluation.metrics import compare


def test_equal_series_are_equal():
    result = compare([0.1, -0.2, 0.3], [0.1, -0.2, 0.3])
    assert (result.frames, result.mae_rad, result.max_rad) == (3, 0.0, 0.0)
    assert result.correlation == pytest.approx(1.0)


def test_difference_is_the_mean_of_its_sizes_not_of_its_signs():
    result = compare([0.0, 0.0, 1.0], [0.1, -0.3, 1.0])
    assert result.mae_rad == pytest.approx(0.4 / 3)
    assert result.max_rad == pytest.approx(0.3)


def test_opposite_steering_is_anticorrelated_and_constant_steering_not_at_all():
    assert compare([1.0, 2.0], [2.0, 1.0]).correlation == pytest.approx(-1.0)
    assert compare([1.0, 2.0], [0.5, 0.5]).correlation is None


def test_nothing_cannot_be_compared():
    with pytest.raises(ValueError, match='nothing to compare'):
        compare([], [])
