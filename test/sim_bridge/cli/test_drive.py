# SPDX-License-Identifier: Apache-2.0
"""Parts of `sim-bridge drive`, without its processes."""

from sim_bridge.cli.drive import _read


def test_status_that_is_being_shown_is_not_changed_by_the_next_line():
    simulations = [{}, {}]
    shown = simulations[1]
    _read(['{"laps": 1, "cross_track_m": 0.5}\n', '{"laps": 2}\n', '{"la'], simulations, 1)
    assert (shown, simulations) == ({}, [{}, {'laps': 2}])
