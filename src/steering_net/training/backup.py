# SPDX-License-Identifier: Apache-2.0
"""Backup of an unfinished training, by which it is resumed as if it had not been interrupted.

A training is finished when its network is written, so the caller removes the folder after that.
"""

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import one_line

_FILE = 'progress.npz'


@dataclass(frozen=True)
class Progress:
    """State after an epoch.

    `variables` are those of network and optimizer. `best_weights` are the weights of the epoch
    with the smallest loss `best`, and `wait` is the number of epochs since then. `history` has a
    list for each loss, with a value for each epoch.
    """

    variables: list[NDArray[Any]]
    best_weights: list[NDArray[Any]]
    best: float
    best_epoch: int
    wait: int
    history: dict[str, list[float]]

    @property
    def epochs(self) -> int:
        """Number of epochs that are done."""
        return len(self.history['loss'])


def read_progress(folder: Path) -> Progress | None:
    """Return the progress in the folder of a backup; None without any.

    Raises ValueError, with what to do, if it cannot be read.
    """
    path = folder / _FILE
    if not path.exists():
        return None
    try:
        with np.load(path) as stored:
            facts = json.loads(str(stored['facts']))
            variables, best_weights = (
                [stored[f'{name}_{index}'] for index in range(facts.pop(name))]
                for name in ('variables', 'best_weights')
            )
            return Progress(variables, best_weights, **facts)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'the unfinished training {folder} cannot be read ({one_line(error)}): '
            'remove that folder and train again'
        ) from error


def _write_progress(folder: Path, progress: Progress) -> None:
    """Write the progress; a program that ends meanwhile leaves the file of the epoch before."""
    facts: dict[str, Any] = dict(vars(progress))
    arrays: dict[str, Any] = {}
    for name in ('variables', 'best_weights'):
        values = facts[name]
        facts[name] = len(values)
        arrays |= {f'{name}_{index}': value for index, value in enumerate(values)}
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f'new_{_FILE}'
    np.savez(unfinished, facts=np.array(json.dumps(facts)), **arrays)
    os.replace(unfinished, folder / _FILE)


class Backup:
    """Keeps a training in a folder after each epoch, and puts it back into a new `model.fit`.

    `stopping` and `history` are callbacks of the training: Keras' EarlyStopping and History.
    """

    def __init__(self, folder: Path, model: Any, stopping: Any, history: Any) -> None:
        """Raise ValueError if the folder has a training of another network or cannot be read."""
        self._folder, self._model = folder, model
        self._stopping, self._history = stopping, history
        self._variables: list[NDArray[Any]] = []
        self._progress = read_progress(folder)
        if self._progress:
            self._put_back(self._progress)

    @property
    def epochs(self) -> int:
        """Number of epochs that were done before."""
        return self._progress.epochs if self._progress else 0

    @property
    def had_ended_early(self) -> bool:
        """Whether the training of before had ended because the loss no longer decreased."""
        found = self._progress
        # EarlyStopping does not end a training after its first epoch.
        return found is not None and found.epochs > 1 and found.wait >= self._stopping.patience

    def callbacks(self, inner: list[Any]) -> list[Any]:
        """Return the callbacks of a training, of which `inner` may exchange the weights."""
        import keras

        first = keras.callbacks.LambdaCallback(on_epoch_end=self._take)
        last = keras.callbacks.LambdaCallback(on_train_begin=self._begin, on_epoch_end=self._write)
        return [first, *inner, self._stopping, self._history, last]

    def _all_variables(self) -> list[Any]:
        optimizer = self._model.optimizer
        if not optimizer.built:
            optimizer.build(self._model.trainable_variables)
        return [*self._model.variables, *optimizer.variables]

    def _put_back(self, progress: Progress) -> None:
        variables = self._all_variables()
        shapes = [tuple(variable.shape) for variable in variables]
        if shapes != [value.shape for value in progress.variables]:
            raise ValueError(
                f'the unfinished training {self._folder} is one of another network: '
                'resume it with its own options, or remove that folder'
            )
        for variable, value in zip(variables, progress.variables, strict=True):
            variable.assign(value)
        self._history.history.update(progress.history)

    def _begin(self, logs: Any) -> None:
        # EarlyStopping has forgotten everything when it began.
        if found := self._progress:
            self._stopping.best, self._stopping.best_epoch = found.best, found.best_epoch
            self._stopping.wait, self._stopping.best_weights = found.wait, found.best_weights

    def _take(self, epoch: int, logs: Any) -> None:
        self._variables = [variable.numpy() for variable in self._all_variables()]

    def _write(self, epoch: int, logs: Any) -> None:
        stopping = self._stopping
        progress = Progress(
            self._variables,
            stopping.best_weights,
            float(stopping.best),
            stopping.best_epoch,
            stopping.wait,
            {name: [*map(float, values)] for name, values in self._history.history.items()},
        )
        _write_progress(self._folder, progress)
