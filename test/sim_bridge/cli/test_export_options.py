# SPDX-License-Identifier: Apache-2.0
"""`sim-bridge export`: options that it refuses."""

import pytest

from sim_bridge.cli.main import main


@pytest.mark.parametrize(
    ('words', 'told'),
    [
        (['--csv', 'log', '--fps', '20'], '--fps needs --mp4 or --lerobot'),
        (['--csv', 'log', '--speed-limit', '5'], '--speed-limit needs --mp4'),
        (['--mp4', 'd.mp4', '--task', 'Drive.'], '--task needs --lerobot'),
        (
            ['--mp4', 'd.mp4', '--speed-limit', 'nan'],
            '--speed-limit is nan; it must be greater than 0 and at most',
        ),
        (
            ['--mp4', 'd.mp4', '--speed-limit', '-3'],
            '--speed-limit is -3.0; it must be greater than 0 and at most',
        ),
    ],
)
def test_option_without_its_output_and_limit_that_is_none_are_refused(words, told, capsys):
    assert main(['export', 'no/bag', *words]) == 2
    assert capsys.readouterr().err.startswith(f'sim-bridge export: {told}')
