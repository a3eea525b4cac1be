# SPDX-License-Identifier: Apache-2.0
"""The benchmarks name functions of the nodes from outside: each of these functions exists."""

import importlib
import runpy

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
