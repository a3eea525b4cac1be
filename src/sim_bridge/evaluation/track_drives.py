# SPDX-License-Identifier: Apache-2.0
"""Drives of one network on many embedded tracks, which several workers share."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sim_bridge.evaluation.closed_loop import drive, summarise
from sim_bridge.evaluation.partial_results import PartialResults, program_digest
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import Weather
from sim_bridge.workers.attempt import Failure
from sim_bridge.workers.spread import Workers
from steering_net.inference.packed_network import PackedNetwork
from steering_net.vision.jpeg import decode_jpeg

Report = dict[str, Any]


@dataclass(frozen=True)
class TrackDrives:
    """Function from a track to the report of a drive there; the fields are those of `drive`."""

    network: PackedNetwork
    laps: int
    speed_limit_mps: float
    weather: Weather
    longest_s: float

    def __call__(self, track: TrackName) -> Report:
        """Drive."""
        predictor = self.network.load()

        def steer(jpeg: bytes) -> float:
            return predictor.predict(decode_jpeg(jpeg))

        return drive(
            track, self.laps, self.speed_limit_mps, steer, self.longest_s, self.weather
        ).report

    def key(self) -> str:
        """Return a text that is another one when the reports could differ."""
        conditions = self.laps, self.speed_limit_mps, str(self.weather), self.longest_s
        return f'{self.network.digest()} {conditions} {program_digest()}'


def drive_tracks(
    drives: TrackDrives,
    tracks: Sequence[TrackName],
    workers: Workers,
    kept: Path | None,
    title: str,
) -> Report:
    """Return the summary of drives on all tracks, and show the progress as `title`.

    Tracks with a result in the file `kept` are not driven again. A track that fails has a report
    with the field `error`. Raises WorkError if every track fails.
    """
    results = PartialResults(kept, drives.key() if kept else '')
    found = results.found
    wanted = list(dict.fromkeys(tracks))
    missing = [track for track in wanted if track not in found]
    kept_count = len(wanted) - len(missing)
    if kept_count:
        print(f'{kept}: {kept_count} of {len(wanted)} tracks have a result', file=sys.stderr)
    progress = tqdm(desc=title, total=len(wanted), initial=kept_count, unit='track', disable=None)
    with progress, results, closing(workers.each(drives, missing)) as finished:
        for index, outcome in finished:
            track = missing[index]
            if isinstance(outcome, Failure):
                found[track] = {
                    'track': track, 'weather': str(drives.weather), 'error': outcome.reason,
                }  # fmt: skip
            else:
                results.add(track, outcome)
            progress.update()
    return summarise([found[track] for track in tracks])
