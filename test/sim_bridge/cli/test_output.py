# SPDX-License-Identifier: Apache-2.0
"""Files that verbs write."""

import json
import os
import subprocess
import sys
import threading

import pytest

from sim_bridge.cli.output import write_json
from sim_bridge.errors import UsageError


def test_a_report_is_json_and_nothing_is_left_beside_it(tmp_path):
    write_json(tmp_path / 'report.json', {'rms_m': 0.1, 'p99_ms': float('inf'), 'of': (1, 2)})
    text = (tmp_path / 'report.json').read_text(encoding='utf-8')
    assert json.loads(text) == {'rms_m': 0.1, 'p99_ms': None, 'of': [1, 2]}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_of_another_name_stays(tmp_path):
    other = tmp_path / 'report.json.part'
    other.write_text('mine', encoding='utf-8')
    write_json(tmp_path / 'report.json', {'laps': 2})
    assert other.read_text(encoding='utf-8') == 'mine'


@pytest.mark.parametrize('exists', [True, False])
def test_a_link_stays_a_link(tmp_path, exists):
    target, link = tmp_path / 'target.json', tmp_path / 'link.json'
    link.symlink_to(target)
    if exists:
        target.write_text('old', encoding='utf-8')
    write_json(link, {'laps': 2})
    assert link.is_symlink()
    assert json.loads(target.read_text(encoding='utf-8')) == {'laps': 2}


def test_a_pipe_is_written_to(tmp_path):
    pipe, heard = tmp_path / 'pipe', []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: heard.append(pipe.read_text(encoding='utf-8')))
    reader.start()
    write_json(pipe, {'laps': 2})
    reader.join(10.0)
    assert json.loads(heard[0]) == {'laps': 2}
    assert pipe.is_fifo()


@pytest.mark.parametrize('place', ['/dev/full', 'gone/report.json', 'folder'])
def test_what_cannot_be_written_is_named_and_leaves_nothing(tmp_path, place):
    (tmp_path / 'folder').mkdir()
    path = tmp_path / place
    with pytest.raises(UsageError, match=f'^{path} cannot be written: [A-Z]'):
        write_json(path, {'laps': 2})
    assert [file.name for file in tmp_path.iterdir()] == ['folder']


def test_standard_output_keeps_what_is_printed_before_and_after(tmp_path):
    program = (
        'from pathlib import Path\nfrom sim_bridge.cli.output import write_json\n'
        "print('before')\nwrite_json(Path('/dev/stdout'), {'laps': 2})\nprint('after')\n"
    )
    with (tmp_path / 'out').open('w', encoding='utf-8') as out:
        subprocess.run([sys.executable, '-c', program], stdout=out, check=True)
    text = (tmp_path / 'out').read_text(encoding='utf-8')
    assert text == 'before\n{\n  "laps": 2\n}\nafter\n'
