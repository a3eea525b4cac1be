# SPDX-License-Identifier: Apache-2.0
"""Plots and sheets of frames, as PNG bytes. Pure."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from sim_bridge.visualization import overlay
from steering_net.vision.camera_model import Pinhole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLUMNS = 3


def line_plot(
    times_s: npt.NDArray[np.float64], lines: Mapping[str, npt.NDArray[np.float64]], label: str
) -> bytes:
    """Return a plot of series (n,) over time; `label` names the vertical axis and its unit."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.5), layout='constrained')
    axes = figure.add_subplot(xlabel='time, s', ylabel=label)
    for name, numbers in lines.items():
        axes.plot(times_s, numbers, linewidth=1, label=name)
    axes.legend(loc='upper right')
    return to_png(figure)


def histogram(values: Mapping[str, npt.NDArray[np.float64]], label: str) -> bytes:
    """Return the histograms of several series on common bins; the counts have a log scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout='constrained')
    axes = figure.add_subplot(xlabel=label, ylabel='frames', yscale='log')
    bins = np.histogram_bin_edges(np.concatenate(list(values.values())), 51).tolist()
    for name, numbers in values.items():
        axes.hist(numbers, bins, histtype='step', label=name)
    axes.legend()
    return to_png(figure)


def sheet(
    readings: Iterable[tuple[npt.NDArray[np.uint8], overlay.Reading]], camera: Pinhole
) -> bytes:
    """Return a picture of frames of `camera` with their overlays, three in a row.

    A frame is uint8 (160, 320, 3) RGB.
    """
    tiles = [overlay.draw(rgb, reading, camera) for rgb, reading in readings]
    blank = np.zeros_like(tiles[0])
    tiles += [blank] * (-len(tiles) % _COLUMNS)
    rows = [np.hstack(tiles[i : i + _COLUMNS]) for i in range(0, len(tiles), _COLUMNS)]
    _, png = cv2.imencode('.png', cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))
    return png.tobytes()


def to_png(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    stream = io.BytesIO()
    figure.savefig(stream, format='png')
    return stream.getvalue()
