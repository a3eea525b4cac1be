"""Reads the networks of users in a process of its own, in a sandbox (`sandbox.py`)."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io import sandbox
from steering_net.process import PARENT_VARIABLE

_BESIDE = ('.json', '.keras', '.h5', '.hdf5', '.tflite', '.origin.json', '.weights.h5')
_BESIDE_A_SAVED_MODEL = ('variables', 'assets')


def run_isolated(
    module: str, *words: str, more: Iterable[Path] = (), out: Path | None = None
) -> None:
    """Run a module of this package in a process of its own; ModelError with its last line.

    The first word is the file that it reads; it can read what belongs to that file and to those of
    `more`, and write to the folder `out`. Its time and memory are bounded.
    """
    reads = [
        path for source in (Path(words[0]), *more) for path in _belonging(source.expanduser())
    ]
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
                timeout=sandbox.LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            raise ModelError(f'{Path(words[0]).name} takes too long to be read') from None
    if result.returncode < 0:
        raise ModelError(f'{Path(words[0]).name} is broken: reading it ended the reader')
    if result.returncode != 0:
        lines = result.stderr.strip().splitlines() or ['it ended without a word']
        raise ModelError(lines[-1])


def _belonging(source: Path) -> Iterable[Path]:
    """A network's file or folder, and what may lie beside it: its other half, its sidecar."""
    yield source
    if source.name == 'saved_model.pb':
        yield from (source.parent / name for name in _BESIDE_A_SAVED_MODEL)
    for stem in (source.stem, source.stem.removesuffix('.weights')):
        yield from (source.parent / (stem + suffix) for suffix in _BESIDE)


def _environment(scratch: str) -> dict[str, str]:
    """The environment of the process; `scratch` is for what its libraries want to write."""
    source_root = str(Path(__file__).resolve().parents[2])
    paths = [source_root, os.environ.get('PYTHONPATH', '')]
    return os.environ | {
        PARENT_VARIABLE: str(os.getpid()),
        'PYTHONPATH': os.pathsep.join(filter(None, paths)),
        'TMPDIR': scratch,
        'KERAS_HOME': scratch,
        'TF_CPP_MIN_LOG_LEVEL': '3',
        # A graphics card brings nothing here and claims more memory than the bound.
        'CUDA_VISIBLE_DEVICES': '-1',
        # Else each thread reserves memory of its own, and many processors exceed the bound.
        'MALLOC_ARENA_MAX': '4',
    }
