# SPDX-License-Identifier: Apache-2.0
"""Names of tracks: a seed of a flat track, a named world, or a family of worlds and a seed.

A program that only reads its options imports this and needs no NumPy; `tracks` opens the tracks.
"""

from __future__ import annotations

from sim_bridge.simulator.worlds.registry import NAMED, PROCEDURAL

TrackName = int | str
"""A seed of a flat track, or the name of a world."""

_MAX_SEEDS = 100_000
_ALLOWED = ', '.join(['a seed such as 7', *NAMED, *(f'{family}:SEED' for family in PROCEDURAL)])


def parse_track(text: str) -> TrackName:
    """Return the track that a text names; ValueError that lists what is allowed otherwise."""
    names = parse_tracks(text)
    if len(names) != 1:
        raise ValueError(f'track is {text}; it must be one of: {_ALLOWED}')
    return names[0]


def parse_tracks(text: str) -> list[TrackName]:
    """Return the tracks of a list such as `lake,0-19,hills:3-5`; ValueError if one is unknown."""
    names: list[TrackName] = []
    for part in text.split(','):
        family, colon, seeds = part.partition(':')
        if part in NAMED:
            names.append(part)
        elif colon and family in PROCEDURAL:
            names += [f'{family}:{seed}' for seed in _seeds(seeds, text)]
        else:
            names += _seeds(part, text)
    return names


def _seeds(text: str, whole: str) -> list[int]:
    first, dash, last = text.partition('-')
    if not first.isdecimal() or not (last if dash else '0').isdecimal():
        raise ValueError(f'track is {whole}; it must be one of: {_ALLOWED}')
    seeds = range(int(first), int(last if dash else first) + 1)
    if not seeds:
        raise ValueError(f'track is {whole}; the first seed must not be above the last')
    if len(seeds) > _MAX_SEEDS:
        raise ValueError(f'track is {whole}; a range must have at most {_MAX_SEEDS} seeds')
    return list(seeds)
