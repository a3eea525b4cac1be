# SPDX-License-Identifier: Apache-2.0
"""run_isolated: runs a module that reads a user's network in the sandbox of `sandbox.py`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io import sandbox
from steering_net.model_io.network_files import belonging
from steering_net.process import PARENT_VARIABLE


def run_isolated(
    module: str, *words: str, more: Iterable[Path] = (), out: Path | None = None
) -> None:
    """Run a module of this package as a program in a sandboxed process.

    The first of `words` is the file that it reads. The process can read that file and those of
    `more`, each with the files that belong to it, and write to the folder `out`. Its time and
    memory are limited. Raises ModelError with the last line of its stderr if it fails.
    """
    name = Path(words[0]).name
    reads = [path for source in (Path(words[0]), *more) for path in belonging(source.expanduser())]
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
            *words,
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
            reason = f'the import process took longer than {sandbox.WALL_LIMIT_S} s'
            raise ModelError(f'{name} could not be read: {reason}') from None
    if result.returncode < 0:
        reason = f'the import process crashed (signal {-result.returncode})'
        raise ModelError(f'{name} could not be read: {reason}')
    if result.returncode != 0:
        ended = f'{name} could not be read: the import process ended with {result.returncode}'
        raise ModelError((result.stderr.strip().splitlines() or [ended])[-1])


def _environment(scratch: str) -> dict[str, str]:
    """The environment of the process; its libraries may write to `scratch`."""
    source_root = str(Path(__file__).resolve().parents[2])
    paths = [source_root, os.environ.get('PYTHONPATH', '')]
    return os.environ | {
        PARENT_VARIABLE: str(os.getpid()),
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'TMPDIR': scratch,
        'KERAS_HOME': scratch,
        'TF_CPP_MIN_LOG_LEVEL': '3',
        # Without a GPU, because its driver reserves more memory than the limit.
        'CUDA_VISIBLE_DEVICES': '-1',
        # Few arenas, because otherwise each thread reserves memory, and many exceed the limit.
        'MALLOC_ARENA_MAX': '4',
    }
