# SPDX-License-Identifier: Apache-2.0
"""Holding several cars, of which some do not answer."""

import time

import pytest
import rclpy
from std_srvs.srv import SetBool

from helpers.ros import spinning_node
from sim_bridge.nodes import hold_client

pytestmark = pytest.mark.real_time


@pytest.fixture
def held():
    """What car 2 was asked. It answers; the services of four other cars are frozen."""
    asked = []

    def hold(request, response):
        asked.append(request.data)
        response.success, response.message = True, 'held'
        return response

    with spinning_node('alive') as alive:
        frozen = rclpy.create_node('frozen', context=alive.context)
        for number in (1, 3, 4, 5):
            frozen.create_service(SetBool, f'car_{number}/hold', hold)
        alive.create_service(SetBool, 'car_2/hold', hold)
        yield asked


def test_frozen_bridge_delays_the_hold_of_no_other_car(held, monkeypatch):
    monkeypatch.setattr(hold_client, '_REPLY_S', 1.0)
    outcomes = hold_client.set_held(True)
    assert next(outcomes) == ('/car_2/hold', True, 'held')
    assert held == [True]
    started_s = time.monotonic()
    assert sorted(outcomes) == [
        (f'/car_{number}/hold', False, 'the bridge does not answer') for number in (1, 3, 4, 5)
    ]
    assert time.monotonic() - started_s < 2.5, 'they wait at the same time'
