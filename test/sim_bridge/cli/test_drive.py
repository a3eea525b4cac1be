# SPDX-License-Identifier: Apache-2.0
"""Parts of `sim-bridge drive`, without its processes."""

import argparse

from sim_bridge.cli import drive
from sim_bridge.cli.drive import _read
from sim_bridge.process import RestartLimitError


def test_status_that_is_being_shown_is_not_changed_by_the_next_line():
    simulations = [{}, {}]
    shown = simulations[1]
    _read(['{"laps": 1, "cross_track_m": 0.5}\n', '{"laps": 2}\n', '{"la'], simulations, 1)
    assert (shown, simulations) == ({}, [{}, {'laps': 2}])


class BrokenViewer:
    """A viewer that ends again and again."""

    def supervise(self, _report):
        raise RestartLimitError('the foxglove node ended for the sixth time within a minute')


def test_viewer_that_cannot_run_does_not_end_the_drive(capsys):
    parser = argparse.ArgumentParser()
    drive.configure(parser)
    one = drive._Drive(parser.parse_args([]))
    one._viewers = [BrokenViewer()]
    one._supervise_nodes()
    one._supervise_nodes()
    assert capsys.readouterr().err == (
        'the foxglove node ended for the sixth time within a minute; '
        'the drive continues without it\n'
    )
