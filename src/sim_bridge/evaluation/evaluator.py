# SPDX-License-Identifier: Apache-2.0
"""Evaluation of several networks, one after the other, by the same trial."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim_bridge.simulator.track_names import TrackName
from sim_bridge.simulator.weather import Weather
from sim_bridge.workers.spread import Workers
from steering_net.data.recording import Recording
from steering_net.evaluation.data_driven import ReferenceLine, See
from steering_net.inference.predictor import Predictor, load_predictor
from steering_net.vision.camera_names import AUTONOMOUS

Report = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """A way to evaluate a network: `evaluate` makes a report from a network and its name.

    `camera` takes the frames that the network gets.
    """

    evaluate: Callable[[Predictor, str], Report]
    camera: str


@dataclass(frozen=True)
class NetworkChoice:
    """A network to evaluate: a file or `default`, and its profile, or None to infer it."""

    model: str
    profile: str | None

    @property
    def name(self) -> str:
        """Stem of the file, with the folder's name before a stem such as `model`."""
        path = Path(self.model)
        is_plain = re.fullmatch(r'model|.*_model|nvidia_model', path.stem) and path.parent.name
        return f'{path.parent.name}/{path.stem}' if is_plain else path.stem


def parse_networks(
    model: str | None, compared: Iterable[str], profile: str | None
) -> list[NetworkChoice]:
    """Return the networks in the given order; `FILE@PROFILE` has its own profile.

    Without any, it is the shipped network.
    """
    named = [model] if model else []
    named += compared
    split = [_split(text) for text in named or ['default']]
    return [NetworkChoice(name, own or profile) for name, own in split]


def _split(text: str) -> tuple[str, str]:
    """Return FILE and PROFILE of a text; an existing path is a FILE even with an @ in it."""
    if '@' not in text or Path(text).expanduser().exists():
        return text, ''
    name, _, profile = text.rpartition('@')
    return name, profile


def evaluate_all(
    networks: Iterable[NetworkChoice], backend: str, trial: Trial
) -> dict[str, Report]:
    """Return each network's report by its name, which is made unique with apostrophes."""
    reports: dict[str, Report] = {}
    for network in networks:
        name = network.name
        while name in reports:
            name += "'"
        predictor = load_predictor(network.model, backend, network.profile, camera=trial.camera)
        reports[name] = trial.evaluate(predictor, name)
    return reports


def on_recording(recording: Recording, folder: Path | None) -> Trial:
    """Return the trial that compares with a recorded driver; it writes files into `folder`."""
    from sim_bridge.evaluation.result_files import write_open_loop
    from steering_net.evaluation.open_loop import open_loop

    def evaluate(predictor: Predictor, name: str) -> Report:
        result = open_loop(predictor, recording)
        if folder:
            write_open_loop(folder, name, recording, result)
        return {'camera': str(predictor.view), **result.report}

    return Trial(evaluate, recording.camera)


def on_recorded_frames(recording: Recording, reference: str, folder: Path | None) -> Trial:
    """Return the trial that drives a recorded lap with re-projected frames.

    `reference` is the line that offsets are measured from: `middle` of the road, that of the
    `map`, or the path of the `driver`. The trial writes files into `folder`.
    """
    from sim_bridge.evaluation.result_files import write_data_driven
    from steering_net.evaluation.data_driven import drive

    # Measured when the first network has been loaded, because loading may fail at once.
    scene = functools.cache(functools.partial(_scene, recording, reference))

    def evaluate(predictor: Predictor, name: str) -> Report:
        line, see = scene()
        driven = drive(predictor.predict, recording, line, see=see)
        if folder:
            write_data_driven(folder, name, recording, driven)
        return {'camera': str(predictor.view), **driven.report}

    return Trial(evaluate, recording.camera)


def _scene(recording: Recording, reference: str) -> tuple[ReferenceLine, See]:
    """Return a reference line, and the function that re-projects the frames."""
    from sim_bridge.mapping.reference import on_map
    from steering_net.evaluation.data_driven import over_plane, recorded_way, road_middle

    if reference == 'map':
        return on_map(recording)
    line = {'middle': road_middle, 'driver': recorded_way}[reference](recording)
    return line, over_plane(recording)


def on_tracks(
    names: Sequence[TrackName],
    laps: int,
    speed_limit_mps: float,
    weather: Weather,
    longest_s: float,
    workers: Workers,
    kept: Path | None = None,
) -> Trial:
    """Return the trial that drives `laps` laps of each embedded track in this weather.

    A drive ends after `longest_s` simulated seconds. The workers share the tracks. Results of
    finished tracks are in the file `kept` until the caller removes it; a later trial of the same
    kind does not drive these tracks again.
    """
    from sim_bridge.evaluation.track_drives import TrackDrives, drive_tracks
    from steering_net.inference.packed_network import pack

    def evaluate(predictor: Predictor, name: str) -> Report:
        drives = TrackDrives(pack(predictor), laps, speed_limit_mps, weather, longest_s)
        return drive_tracks(drives, names, workers, kept, f'driving {name}')

    return Trial(evaluate, AUTONOMOUS)
