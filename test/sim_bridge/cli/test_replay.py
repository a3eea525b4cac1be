# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge replay` on bad input, and when it is interrupted."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.recordings import write_bag
from helpers.ros import started_rclpy
from sim_bridge.cli import replay
from sim_bridge.cli.main import main
from sim_bridge.errors import UsageError


def test_folder_that_cannot_be_read_is_told(tmp_path, monkeypatch, capsys):
    def refuse(path):
        raise PermissionError(13, 'Permission denied', str(path))

    monkeypatch.setattr(Path, 'iterdir', refuse)
    assert main(['replay', str(tmp_path)]) == 2
    told = f"sim-bridge replay: [Errno 13] Permission denied: '{tmp_path}'\n"
    assert capsys.readouterr() == ('', told)


def test_check_that_is_interrupted_while_it_waits_is_told(tmp_path):
    bag = replay.Bag(write_bag(tmp_path / 'bag', numbers=range(1)))
    with started_rclpy(), pytest.raises(UsageError, match='the check was interrupted'):
        replay._steer(bag, {}, '/replay_test', SimpleNamespace(exit_code=None), lambda: False)


def test_steering_node_that_ended_is_told(tmp_path):
    bag = replay.Bag(write_bag(tmp_path / 'bag', numbers=range(1)))
    with started_rclpy(), pytest.raises(UsageError, match='the steering node did not start'):
        replay._steer(bag, {}, '/replay_test', SimpleNamespace(exit_code=2), lambda: True)
