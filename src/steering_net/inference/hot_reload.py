# SPDX-License-Identifier: Apache-2.0
"""Hot reload: load another network while one drives, and hand it over when it is ready.

The network is first converted and tried in separate processes at low priority, because a
conversion takes seconds and a broken file can crash the interpreter. Then it is loaded and warmed
up on a thread.

As a program this module tries a network:
`python -m steering_net.inference.hot_reload MODEL [--profile P] [--backend B]`.
"""

import argparse
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from steering_net.errors import ModelError, one_line
from steering_net.inference.predictor import (
    BACKENDS,
    Predictor,
    load_predictor,
    measured_profile,
)
from steering_net.model_io.found_profile import wished_profile
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_converter import ensure_litert
from steering_net.model_io.network_files import SUFFIXES
from steering_net.vision.camera_names import AS_TRAINED
from steering_net.vision.profile import format_profile


@dataclass(frozen=True)
class Request:
    """The network to load, as the parameters `model` and `profile` name it."""

    model: str
    profile: str = ''


@dataclass(frozen=True)
class Outcome:
    """The result of a request: a network that is warmed up, or the reason why there is none."""

    request: Request
    predictor: Predictor | None
    reason: str = ''


def check(request: Request) -> None:
    """Raise ValueError for an unknown profile or file type or a missing file; loads nothing."""
    wished_profile(request.profile)
    if request.model == 'default':
        return
    path = Path(request.model).expanduser()
    if not path.exists():
        raise ModelError(f'there is no model file {path}')
    if path.is_file() and path.suffix not in SUFFIXES and path.name != 'saved_model.pb':
        raise ModelError(f'{path.name} is none of {", ".join(SUFFIXES)} and no SavedModel')


class Loader:
    """Loads networks on a thread, with given backend, number of threads and camera of the frames.

    `request` and `poll` must be called from the thread that drives.
    """

    def __init__(self, backend: str, threads: int, camera: str = AS_TRAINED) -> None:
        self._backend = backend
        self._threads = threads
        self._camera = camera
        self._wanted: Request | None = None
        self._thread: threading.Thread | None = None
        self._outcome: Outcome | None = None

    def request(self, request: Request) -> None:
        """Load this network at the next idle `poll`; replaces a request that is still waiting."""
        self._wanted = request

    @property
    def idle(self) -> bool:
        """Whether no request is waiting or in progress."""
        return self._wanted is None and self._thread is None

    def poll(self) -> Outcome | None:
        """Start the next load; return the outcome of the newest request once, when it is ready."""
        outcome = None
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None
            # A newer request makes this outcome obsolete.
            outcome = self._outcome if self._wanted is None else None
            self._outcome = None
        if self._thread is None and self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            self._outcome = Outcome(wanted, None, 'loading it was interrupted')
            self._thread = threading.Thread(
                target=self._load, args=(wanted,), name='network-loader', daemon=True
            )
            self._thread.start()
        return outcome

    def _load(self, request: Request) -> None:
        backend, threads = self._backend, self._threads
        try:
            try_out(request, backend, threads)
            predictor = load_predictor(
                request.model, backend, request.profile or None, threads, camera=self._camera
            )
            self._outcome = Outcome(request, predictor)
        except (OSError, ValueError, RuntimeError, MemoryError) as error:
            self._outcome = Outcome(request, None, one_line(error))


def try_out(request: Request, backend: str, threads: int) -> None:
    """Convert, load and run a network in a sandboxed process; ModelError if that fails."""
    arguments = ['--backend', backend, '--threads', str(threads)]
    converted, profile = [], wished_profile(request.profile)
    if request.model != 'default':
        path = Path(request.model).expanduser()
        # Before the trial, because the sandboxed process cannot start another one.
        profile = profile or measured_profile(path, backend, request.profile)
        if backend == 'litert':
            converted.append(ensure_litert(path, profile=profile))
    arguments += ['--profile', format_profile(profile)] if profile else []
    run_isolated(
        'steering_net.inference.hot_reload', Path(request.model), arguments, more=converted
    )


def main(arguments: list[str] | None = None) -> int:
    """Try one network; return 0 if it can drive, 2 with one line on stderr if it cannot."""
    parser = argparse.ArgumentParser(description='Load and run a network once.')
    parser.add_argument('model', help='a model file, or `default`')
    parser.add_argument('--profile', help='preprocessing profile (default: inferred)')
    parser.add_argument('--backend', choices=BACKENDS, default='litert', help='runs the network')
    parser.add_argument('--threads', type=int, default=1, help='threads of the network')
    options = parser.parse_args(arguments)
    try:
        load_predictor(options.model, options.backend, options.profile, options.threads)
    except (OSError, ValueError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
