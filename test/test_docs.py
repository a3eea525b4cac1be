# SPDX-License-Identifier: Apache-2.0
"""The documentation agrees with the code."""

import argparse
import importlib
import re
import subprocess
import sys

import pytest

from helpers.echo import STEER
from helpers.paths import DOCS, ROOT
from helpers.waiting import wait_for
from sim_bridge.cli.main import NODES, VERBS
from sim_bridge.protocol.udacity import decode_telemetry

PAGES = sorted(DOCS.glob('*.md'))


def test_reference_is_what_the_nodes_declare():
    words = [sys.executable, '-c', 'import make_reference as m; print(m.render(), end="")']
    result = subprocess.run(words, cwd=DOCS, capture_output=True, text=True, check=True)
    written = (DOCS / 'reference.md').read_text(encoding='utf-8')
    assert result.stdout == written, 'run: python docs/make_reference.py'


def commands():
    """Every `sim-bridge ...` that the pages tell people to type."""
    for page in PAGES:
        for block in re.findall(r'```\n(.*?)```', page.read_text(encoding='utf-8'), re.S):
            for line in block.splitlines():
                words = line.split('#')[0].split('&')[0].split()
                if words and words[0].endswith('sim-bridge'):
                    yield pytest.param(words[1:], id=f'{page.stem}: {" ".join(words[1:])}')


@pytest.mark.parametrize('words', list(commands()))
def test_command_in_the_docs_is_one_that_can_be_typed(words):
    verb, *options = words
    if verb in NODES:
        return
    parser = argparse.ArgumentParser(exit_on_error=False)
    importlib.import_module(VERBS[verb][0]).configure(parser)
    if '--help' not in options:
        parser.parse_args(options)


def test_simulator_in_the_docs_is_answered_frame_after_frame(echo):
    text = (DOCS / 'simulators.md').read_text(encoding='utf-8')
    program = re.search(r'```python\n(.*?)```', text, re.S)[1]
    assert ':4567' in program
    words = [sys.executable, '-c', program.replace(':4567', f':{echo.server.port}')]
    with subprocess.Popen(words, cwd=DOCS.parent, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            wait_for(lambda: len(echo.payloads) > 10)
        finally:
            simulator.kill()
        told = simulator.stdout.readline()
    assert decode_telemetry(echo.payloads[-1]).jpeg.startswith(b'\xff\xd8')
    assert told == f'steering {float(STEER["steering_angle"]):+.3f}, throttle +0.500\n'


def test_every_page_is_in_the_table_of_contents():
    contents = (DOCS.parent / 'mkdocs.yml').read_text(encoding='utf-8')
    assert [page.name for page in PAGES if page.name not in contents] == []


def test_site_builds_without_a_broken_link(tmp_path):
    pytest.importorskip('mkdocs', reason='needs mkdocs: pip install -r requirements/docs.txt')
    words = [
        sys.executable,
        '-m',
        'mkdocs',
        'build',
        '--strict',
        '--quiet',
        '--site-dir',
        tmp_path,
    ]
    result = subprocess.run(
        words, cwd=DOCS.parent, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert (tmp_path / 'index.html').is_file()
    assert not re.search(r'(?:src|href)="https?://[^"]*\.(?:js|css)', read_all(tmp_path)), 'CDN'


def test_test_files_that_the_pages_name_are_there():
    pages = [*PAGES, *(ROOT / f'{name}.md' for name in ('README', 'CONTRIBUTING'))]
    texts = [page.read_text(encoding='utf-8') for page in pages]
    named = {name for text in texts for name in re.findall(r'test/[a-z_/]*\.py', text)}
    assert len(named) > 5
    assert not {name for name in named if not (ROOT / name).is_file()}


def read_all(site):
    return ''.join(page.read_text(encoding='utf-8') for page in site.rglob('*.html'))
