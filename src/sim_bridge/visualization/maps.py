# SPDX-License-Identifier: Apache-2.0
"""Maps: a path over a road seen from above, and what lies along it, as PNG bytes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sim_bridge.visualization.plots import to_png

Series = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Drawing:
    """A placed path: lines of the road and the path (N, 2) and (n, 2), m, and series along it.

    `along_m` (n,) is the place of each row along the lap, continuous over laps. Series (n,) are
    left positive; `beside_m` comes with its standard deviation and the road's edges.
    """

    title: str
    edges_m: tuple[Series, Series]
    path_m: Series
    along_m: Series
    driven_1pm: Series
    road_1pm: Series
    beside_m: Series
    beside_sigma_m: Series
    road_edges_m: tuple[Series, Series]


def draw_map(drawing: Drawing) -> bytes:
    """Return a picture: the path over the road, both curvatures, and the offset along the lap."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 12), layout='constrained')
    above, bends, offsets = figure.subplots(3, 1, height_ratios=(3, 1, 1))
    above.set(title=drawing.title, xlabel='x, m', ylabel='y, m', aspect='equal')
    road = np.vstack([drawing.edges_m[0], drawing.edges_m[1][::-1]])
    above.fill(*road.T, color='0.85', label='road')
    above.plot(*drawing.path_m.T, linewidth=1, color='tab:blue', label='path')
    above.plot(*drawing.path_m[0], 'o', color='tab:blue', label='first frame')
    above.legend(loc='upper right')
    lines = {'road': drawing.road_1pm, 'recorded steering': drawing.driven_1pm}
    _along(bends, drawing.along_m, lines, 'curvature, 1/m')
    left_m, right_m = drawing.road_edges_m
    lines = {'path': drawing.beside_m, 'left edge': left_m, 'right edge': right_m}
    _along(offsets, drawing.along_m, lines, 'left of the centre, m')
    low_m, high_m = (drawing.beside_m + side * drawing.beside_sigma_m for side in (-1.0, 1.0))
    offsets.fill_between(drawing.along_m, low_m, high_m, alpha=0.3)
    return to_png(figure)


def _along(axes: Any, along_m: Series, lines: Mapping[str, Series], label: str) -> None:
    axes.set(xlabel='place along the lap, m', ylabel=label)
    for name, values in lines.items():
        axes.plot(along_m, values, linewidth=1, label=name)
    axes.legend(loc='upper right')
