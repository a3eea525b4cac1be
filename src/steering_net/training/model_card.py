# SPDX-License-Identifier: Apache-2.0
"""Model card and plots of a training."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_plots(
    model_path: Path,
    history: dict[str, list[float]],
    predictions: Sequence[tuple[NDArray[Any], NDArray[Any]]],
) -> None:
    """Write `<stem>_loss.png` and `<stem>_predictions.png` beside the model.

    `predictions` holds pairs (label, prediction) of arrays (n,), rad: recorded, then rendered.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout='constrained')
    axes = figure.add_subplot(xlabel='epoch', ylabel='Huber loss', yscale='log')
    for name in ('loss', 'val_loss'):
        if name in history:
            axes.plot(range(1, len(history[name]) + 1), history[name], label=name)
    axes.legend()
    figure.savefig(model_path.with_name(f'{model_path.stem}_loss.png'))

    figure = Figure(figsize=(10, 5), layout='constrained')
    columns = figure.subplots(1, len(predictions))
    for axes, kind, (label, prediction) in zip(
        columns, ('recorded', 'rendered'), predictions, strict=True
    ):
        axes.plot(np.degrees(label), np.degrees(prediction), '.', markersize=2, alpha=0.4)
        axes.axline((0, 0), slope=1, color='grey', linewidth=1)
        axes.set(title=f'held-out {kind} frames', xlabel='label, deg', ylabel='predicted, deg')
    figure.savefig(model_path.with_name(f'{model_path.stem}_predictions.png'))


def write_card(
    model_path: Path, facts: Iterable[tuple[str, str]], notes: Sequence[str] = ()
) -> None:
    """Write the model card `<stem>.md`: a table of facts, then the notes as paragraphs."""
    lines = [
        f'# {model_path.stem}',
        '',
        'A PilotNet that turns one camera frame of a driving simulator into a steering angle.',
        '',
        '| | |',
        '|---|---|',
        *(f'| {name} | {value} |' for name, value in facts),
    ]
    for note in notes:
        lines += ['', note]
    model_path.with_suffix('.md').write_text('\n'.join(lines) + '\n', encoding='utf-8')
