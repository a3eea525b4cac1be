"""Networks judged one after the other by the same yardstick."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from sim_bridge.errors import UsageError
from sim_bridge.evaluation.closed_loop import drive as drive_track
from sim_bridge.evaluation.closed_loop import summarise
from steering_net.data.recording import Recording
from steering_net.inference.predictor import Predictor, load_predictor
from steering_net.vision.camera_model import AUTONOMOUS
from steering_net.vision.preprocessing import decode_jpeg

Report = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """What networks are judged by: a network and its name give a report.

    `camera` takes the frames that they see.
    """

    judge: Callable[[Predictor, str], Report]
    camera: str


@dataclass(frozen=True)
class Contestant:
    """A network to judge: a file or `default`, with its profile or None to infer it."""

    model: str
    profile: str | None

    @property
    def name(self) -> str:
        """The file's stem, with its folder's name where the stem alone says little."""
        path = Path(self.model)
        is_plain = re.fullmatch(r'model|.*_model|nvidia_model', path.stem) and path.parent.name
        return f'{path.parent.name}/{path.stem}' if is_plain else path.stem


def contestants(
    model: str | None, compared: Iterable[str], profile: str | None
) -> list[Contestant]:
    """Return the networks in the order named; `FILE@PROFILE` brings its own profile."""
    named = [model] if model else []
    named += compared
    split = [_split(text) for text in named or ['default']]
    return [Contestant(name, own or profile) for name, own in split]


def _split(text: str) -> tuple[str, str]:
    """FILE and PROFILE; a path that exists is a FILE, whatever signs it has."""
    if '@' not in text or Path(text).expanduser().exists():
        return text, ''
    name, _, profile = text.rpartition('@')
    return name, profile


def judge_all(networks: Iterable[Contestant], backend: str, trial: Trial) -> dict[str, Report]:
    """Return each network's report by its name, which is made unique."""
    reports: dict[str, Report] = {}
    for network in networks:
        name = network.name
        while name in reports:
            name += "'"
        predictor = load_predictor(network.model, backend, network.profile, camera=trial.camera)
        reports[name] = trial.judge(predictor, name)
    return reports


def on_recording(recording: Recording, folder: Path | None) -> Trial:
    """Compare answers with a recorded driver's; papers go into the folder if there is one."""
    from sim_bridge.visualization.plots import write_open_loop
    from steering_net.evaluation.open_loop import open_loop

    def judge(predictor: Predictor, name: str) -> Report:
        judged = open_loop(predictor, recording)
        if folder:
            write_open_loop(_stem(folder, name), recording, judged)
        return judged.report

    return Trial(judge, recording.camera)


def on_recorded_frames(recording: Recording, yardstick: str, folder: Path | None) -> Trial:
    """Let it drive a recording's re-projected frames; the yardstick is `middle` or `way`."""
    from sim_bridge.visualization.plots import write_data_driven
    from steering_net.evaluation.data_driven import drive, recorded_way, road_middle

    # Not before the first network is loaded, which may fail at once.
    measure = {'middle': road_middle, 'way': recorded_way}[yardstick]
    line = functools.cache(functools.partial(measure, recording))

    def judge(predictor: Predictor, name: str) -> Report:
        driven = drive(predictor.predict, recording, line())
        if folder:
            write_data_driven(_stem(folder, name), recording, driven)
        return driven.report

    return Trial(judge, recording.camera)


def on_tracks(seeds: range, laps: int, speed_limit_mps: float) -> Trial:
    """Let it drive embedded tracks."""
    if laps < 1:
        raise UsageError(f'--laps is {laps}, it must be at least 1')
    if not 0.0 < speed_limit_mps <= 60.0:
        raise UsageError(f'--speed-limit is {speed_limit_mps}, it must be in 0 .. 60 m/s')

    def judge(predictor: Predictor, name: str) -> Report:
        def steer(jpeg: bytes) -> float:
            return predictor.predict(decode_jpeg(jpeg))

        tracks = tqdm(seeds, desc=f'driving {name}', unit='track', disable=None)
        drives = [drive_track(seed, laps, speed_limit_mps, steer) for seed in tracks]
        return summarise([drive.report for drive in drives])

    return Trial(judge, AUTONOMOUS)


def _stem(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name.replace('/', '_')
