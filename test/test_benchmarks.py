# SPDX-License-Identifier: Apache-2.0
"""The benchmarks: the functions that they time exist, and they refuse to measure nothing."""

import importlib
import runpy
import sys

import pytest

from helpers.paths import ROOT

HANDOVERS = runpy.run_path(str(ROOT / 'benchmarks' / 'stamping.py'))['HANDOVERS']


@pytest.mark.parametrize(
    ('module', 'function'),
    sorted({(module, function) for steps in HANDOVERS.values() for module, function, *_ in steps}),
)
def test_function_that_is_timed_exists(module, function):
    found = importlib.import_module(module)
    for name in function.split('.'):
        found = getattr(found, name)
    assert callable(found)


@pytest.mark.parametrize(
    ('benchmark', 'option', 'value'),
    [
        ('attack', '--seconds', '0'),
        ('bench', '--rounds', '0'),
        ('bench', '--starts', '0'),
        ('environment', '--steps', '0'),
        ('fleet', '--cars', '0'),
        ('fleet', '--cars', '33'),
        ('fleet', '--seconds', 'nan'),
        ('laps', '--laps', '0'),
        ('laps', '--port', '99999'),
        ('monitor', '--rounds', '0'),
        ('scale', '--rounds', '0'),
        ('scale', '--seconds', '-1'),
        ('soak', '--minutes', '0'),
        ('watching', '--pages', '9'),
        ('watching', '--rounds', '0'),
        ('waterfall', '--hz', '0'),
        ('worlds', '--rounds', '0'),
    ],
)
def test_options_that_measure_nothing_are_refused(benchmark, option, value, monkeypatch, capsys):
    if benchmark == 'environment':
        pytest.importorskip('gymnasium')
    monkeypatch.syspath_prepend(str(ROOT / 'benchmarks'))
    path = str(ROOT / 'benchmarks' / f'{benchmark}.py')
    monkeypatch.setattr(sys, 'argv', [path, option, value])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(path, run_name='__main__')
    assert ended.value.code == 2
    assert f'argument {option}: {value} is given; it must be ' in capsys.readouterr().err
