# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge replay` on bad input, and when it is interrupted."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.recordings import simulated_drives, write_bag, write_messages
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
    bag = replay.open_bag(write_bag(tmp_path / 'bag', numbers=range(1)))
    with started_rclpy(), pytest.raises(UsageError, match='the check was interrupted'):
        replay._steer(bag, {}, '/replay_test', SimpleNamespace(exit_code=None), lambda: False)


@pytest.mark.parametrize(('others', 'code'), [((), 2), (('camera/image_raw/compressed',), 0)])
def test_topic_that_the_bag_lacks_is_named(tmp_path, capsys, others, code):
    """The launch file names topics that not every bag has, such as /tf_static."""
    path = write_bag(tmp_path / 'bag', numbers=range(2))
    assert main(['replay', str(path), '--topics', 'nonsense', *others, '/odd']) == code
    shown = capsys.readouterr()
    told = f'sim-bridge replay: --topics: {path} holds no nonsense and no odd; it holds /camera/'
    assert shown.err.startswith(told)
    assert ('2 messages published' in shown.out) == (code == 0)


def test_each_of_two_drives_in_simulated_time_is_compared_with_its_own_commands(tmp_path):
    bag = replay.open_bag(write_messages(tmp_path / 'bag', [*simulated_drives(2, frames=3)]))
    recorded = replay._recorded_steering(bag)
    angles = [recorded[key] for _, key in replay._frames(bag)]
    assert angles == [pytest.approx(0.1)] * 3 + [pytest.approx(0.2)] * 3


def test_steering_node_that_ended_is_told(tmp_path):
    bag = replay.open_bag(write_bag(tmp_path / 'bag', numbers=range(1)))
    with started_rclpy(), pytest.raises(UsageError, match='the steering node did not start'):
        replay._steer(bag, {}, '/replay_test', SimpleNamespace(exit_code=2), lambda: True)


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--json', 'figures.json'], '--json needs --check'),
        (['--profile', 'course'], '--profile needs --check'),
        (['--threshold', '0.1'], '--threshold needs --check'),
        (['--recorded-with', 'training'], '--recorded-with needs --check'),
        (['--check', '--clock'], '--clock cannot be used with --check'),
        (['--check', '--topics', 'odom'], '--topics cannot be used with --check'),
        (['--check', '--rate', '2'], '--rate cannot be used with --check'),
        (['--check', '--when-subscribed'], '--when-subscribed cannot be used with --check'),
        (
            ['--check', '--threshold', 'nan'],
            '--threshold is nan; it must be 0 rad or greater',
        ),
        (['--rate', 'nan'], '--rate is nan; it must be greater than 0'),
    ],
)
def test_option_of_the_other_mode_and_value_that_is_not_allowed_are_refused(words, told, capsys):
    assert main(['replay', 'no/bag', *words]) == 2
    assert capsys.readouterr().err == f'sim-bridge replay: {told}\n'
