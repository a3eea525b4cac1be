# SPDX-License-Identifier: Apache-2.0
"""Networks that a training starts from."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError
from steering_net.model_io.network_files import belonging, network_path
from steering_net.model_io.reader import load_keras
from steering_net.training.config import TrainConfig

_WRITTEN = ('.keras', '.tflite', '.json')


def check_not_replaced(config: TrainConfig) -> None:
    """Raise ValueError if the training would replace a file of a network that it starts from.

    Raises ModelError if such a network is missing.
    """
    written = [config.model_path.with_suffix(suffix) for suffix in _WRITTEN]
    for path in config.start_from:
        if not path.exists():
            raise ModelError(f'there is no model file {path}')
        for file in belonging(network_path(path)):
            if any(_is_same(file, other) for other in written):
                raise ValueError(
                    f'the training starts from {path} and would replace {file}: '
                    'write to another folder, or choose another name'
                )


def _is_same(file: Path, other: Path) -> bool:
    # `samefile` also knows links, and names that differ in capitals only.
    return file.exists() and other.exists() and file.samefile(other)


def set_start(paths: Sequence[Path], model: Any) -> None:
    """Set the model's weights to the mean of those of these networks; none change nothing.

    Raises ModelError for a network of another shape.
    """
    weights = []
    for path in paths:
        source = load_keras(path)
        try:
            # Its error names the layer that does not fit.
            model.set_weights(source.get_weights())
        except ValueError as error:
            raise ModelError(f'{source.name} is not a network to start from: {error}') from error
        weights.append(model.get_weights())
    if weights:
        model.set_weights([np.mean(layer, axis=0) for layer in zip(*weights, strict=True)])
