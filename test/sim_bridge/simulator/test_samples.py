# SPDX-License-Identifier: Apache-2.0
"""The labelled frames."""

import numpy as np

from sim_bridge.simulator.samples import samples
from steering_net.vehicle import MAX_STEERING_RAD


def test_samples_are_labelled_pictures_that_the_generator_decides() -> None:
    first = list(samples(1000, 30, np.random.default_rng(4)))
    again = list(samples(1000, 30, np.random.default_rng(4)))
    assert [s.steering_rad for s in first] == [s.steering_rad for s in again]
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert {(s.rgb.shape, s.rgb.dtype.name) for s in first} == {((160, 320, 3), 'uint8')}
    labels = [s.steering_rad for s in first]
    assert max(map(abs, labels)) <= MAX_STEERING_RAD
    assert min(labels) < -0.05 < 0.05 < max(labels)
