# SPDX-License-Identifier: Apache-2.0
"""Rendering of training frames, a function of a track, so that workers can share the tracks.

This module imports no TensorFlow, because each worker imports it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_bridge.simulator.samples import Sample, samples
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.training.visits import visited
from sim_bridge.workers.spread import Workers
from steering_net.inference.packed_network import PackedNetwork
from steering_net.vision.camera_model import AUTONOMOUS_CAMERA, Rgb, find_camera, turned


class Place(NamedTuple):
    """A track, and its place in the list of tracks, which its random numbers depend on."""

    number: int
    track: TrackName

    def __str__(self) -> str:
        """Return the name of the track, for messages."""
        return f'track {self.track}'


class Rendered(NamedTuple):
    """Frames of a track, uint8 (n, 160, 320, 3) RGB, and their steering, rad, (n,)."""

    frames: NDArray[np.uint8]
    steering_rad: NDArray[np.float64]


@dataclass(frozen=True)
class AtRandom:
    """Function that renders `count` frames of a track at random places for a camera."""

    count: int
    seed: int
    camera: str

    def __call__(self, place: Place) -> Rendered:
        """Render."""
        rng = np.random.default_rng([self.seed, place.number])
        return _stacked(samples(place.track, self.count, rng, find_camera(self.camera)))


@dataclass(frozen=True)
class Driven:
    """Function that renders `count` frames of where a network drives, as a camera sees them.

    The expert steers in the share 0.5 ** `number`, which halves with each round, because the first
    networks leave the road often.
    """

    network: PackedNetwork
    number: int
    count: int
    seed: int
    camera: str

    def __call__(self, place: Place) -> Rendered:
        """Render."""
        rng = np.random.default_rng([self.seed, self.number, place.number])
        steer, seen_by = self.network.load().predict, find_camera(self.camera)
        share = 0.5**self.number
        return _stacked(
            Sample(turned(sample.rgb, AUTONOMOUS_CAMERA, seen_by), sample.steering_rad)
            for sample in visited(place.track, self.count, steer, share, rng)
        )


def rendered(
    function: AtRandom | Driven, tracks: Iterable[TrackName], workers: Workers
) -> Iterator[tuple[Rgb, float]]:
    """Yield the frames of all tracks with their steering, rad, track by track.

    Raises WorkError, which names the track, if one cannot be rendered.
    """
    places = [Place(number, track) for number, track in enumerate(tracks)]
    for frames, steering_rad in workers.in_order(function, places):
        yield from zip(frames, steering_rad.tolist(), strict=True)


def _stacked(found: Iterable[Sample]) -> Rendered:
    listed = list(found)
    steering_rad = np.array([sample.steering_rad for sample in listed])
    frames = np.stack([sample.rgb for sample in listed])
    return Rendered(frames, steering_rad)
