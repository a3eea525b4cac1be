# SPDX-License-Identifier: Apache-2.0
"""run_isolated: runs a module that reads a user's network in the sandbox of `sandbox.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io import sandbox
from steering_net.model_io.network_files import belonging, network_path
from steering_net.process import PARENT_VARIABLE
from steering_net.tensorflow_notices import LEVEL_VARIABLE


def run_isolated(
    module: str,
    source: Path,
    arguments: Sequence[str] = (),
    *,
    more: Iterable[Path] = (),
    out: Path | None = None,
) -> None:
    """Run a module of this package as a program in a sandboxed process.

    The arguments of the program are the path `source` and `arguments`. The process can read
    `source` and the files of `more`, each with the files that belong to it, and write to the
    folder `out`. Its time and memory are limited. Raises ModelError with the last line of its
    stderr if it fails.
    """
    failure = f'{source.name} could not be read: the import process'
    files = [network_path(file.expanduser()) for file in (source, *more)]
    reads = dict.fromkeys(path for file in files for path in belonging(file))
    with tempfile.TemporaryDirectory(prefix='sim_bridge-') as scratch:
        writes = [scratch, *([] if out is None else [str(out)])]
        access = [f'--read={path}' for path in reads] + [f'--write={path}' for path in writes]
        command = [
            sys.executable,
            '-P',
            '-m',
            'steering_net.model_io.sandbox',
            *access,
            module,
            str(source),
            *arguments,
        ]
        try:
            result = subprocess.run(
                command,
                env=_environment(scratch),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=sandbox.WALL_LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f'{failure} took longer than {sandbox.WALL_LIMIT_S} s') from None
    if result.returncode < 0:
        raise ModelError(f'{failure} crashed (signal {-result.returncode})')
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines()
        raise ModelError(lines[-1] if lines else f'{failure} ended with {result.returncode}')


def _environment(scratch: str) -> dict[str, str]:
    """Return the environment of the process; its libraries may write to `scratch`."""
    source_root = str(Path(__file__).resolve().parents[2])
    paths = [source_root, os.environ.get('PYTHONPATH', '')]
    return os.environ | {
        PARENT_VARIABLE: str(os.getpid()),
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'TMPDIR': scratch,
        'KERAS_HOME': scratch,
        LEVEL_VARIABLE: '3',
        # Without a GPU, because its driver reserves more memory than the limit.
        'CUDA_VISIBLE_DEVICES': '-1',
        # Few arenas, because otherwise each thread reserves memory, and many exceed the limit.
        'MALLOC_ARENA_MAX': '4',
    }
