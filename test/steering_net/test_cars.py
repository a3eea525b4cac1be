# SPDX-License-Identifier: Apache-2.0
"""Prefixes of the topics of one car and of several."""

from steering_net.cars import prefixes


def test_one_car_has_no_prefix_and_several_are_counted_from_1():
    assert prefixes(1) == ('',)
    assert prefixes(3) == ('car_1/', 'car_2/', 'car_3/')
