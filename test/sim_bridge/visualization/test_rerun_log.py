# SPDX-License-Identifier: Apache-2.0
"""The log for Rerun: how large it becomes."""

import pytest

from sim_bridge.visualization.overlay import Reading
from sim_bridge.visualization.rerun_log import RerunLog

pytest.importorskip('rerun', reason="needs rerun-sdk: pip install '.[rerun]'")
_FRAME_NS = 500_000_000


def size_after(frames, path):
    log = RerunLog(path)
    for number in range(frames):
        log.add(number * _FRAME_NS, b'', Reading(recorded_rad=0.05, speed_mps=13.4))
    log.close()
    return path.stat().st_size


def test_log_of_a_drive_twice_as_long_is_twice_as_large(tmp_path):
    half, whole = (size_after(n, tmp_path / f'{n}.rrd') for n in (3000, 6000))
    assert whole < 2.5 * half


def test_path_is_logged_in_pieces(tmp_path):
    path = tmp_path / 'd.rrd'
    size_after(1000, path)
    content = path.read_bytes()
    assert all(b'world/path/%d' % number in content for number in range(3))
