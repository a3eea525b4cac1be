# SPDX-License-Identifier: Apache-2.0
"""Summary of training data: figures, rows that cannot be read, and pictures."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sim_bridge.recording.sources import know_camera, open_recording, render_track
from sim_bridge.recording.storage import is_bag, storage_kind
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.visualization.overlay import Reading, Rgb
from sim_bridge.visualization.plots import histogram, sheet
from steering_net.data.driving_log import BadRow, Log, read_log, troubles
from steering_net.data.frame_files import find_image
from steering_net.data.recording import Recording, find_log, from_log
from steering_net.data.trajectory import frame_rate_hz
from steering_net.errors import ImageError
from steering_net.vision.camera_model import find_camera
from steering_net.vision.crop import CROP_BOTTOM, CROP_SHAPE, CROP_TOP
from steering_net.vision.frame_size import FRAME_SHAPE, as_frame

_SHOWN_FRAMES = 12


@dataclass(frozen=True)
class Source:
    """A recording with the format, cameras, unreadable rows and missing images of its file."""

    recording: Recording
    form: str
    cameras: tuple[str, ...] = ('center',)
    bad_rows: list[BadRow] = field(default_factory=list)
    missing_images: int = 0


def open_source(
    path: Path, recorded_with: str = '', steering_unit: str = '', car: int | str = 0
) -> Source:
    """Open a log, a folder with a log, or a bag; LogError or BagError if it cannot be read.

    The options are those of `open_recording`.
    """
    if is_bag(path):
        recording = open_recording(path, recorded_with, car=car)
        return Source(recording, f'a bag ({storage_kind(path)})')
    log = read_log(find_log(path), steering_unit)
    cameras = tuple(
        side for side in ('center', 'left', 'right') if any(getattr(row, side) for row in log.rows)
    )
    missing = sum(not _exists(log, row_image) for row_image in _images(log, cameras))
    recording = know_camera(from_log(log), recorded_with)
    return Source(recording, f'a log with {log.form}', cameras, log.bad_rows, missing)


def open_track(name: TrackName, count: int) -> Source:
    """Render labelled frames of an embedded track, at places that depend on its name alone."""
    recording = render_track(name, count, np.random.default_rng([*str(name).encode()]))
    return Source(recording, 'an embedded track, labelled by its expert')


def figures(source: Source) -> dict[str, Any]:
    """Return the figures of a source, SI, left positive; `hz` is None without time stamps."""
    recording = source.recording
    return {
        'source': recording.name,
        'format': source.form,
        'rows': len(recording),
        'bad_rows': [asdict(bad) for bad in source.bad_rows],
        'cameras': list(source.cameras),
        'missing_images': source.missing_images,
        'camera': recording.camera,
        'camera_reason': recording.camera_reason,
        'zero_share': float(np.mean(recording.steering_rad == 0.0)),
        'steering_rad': _range(recording.steering_rad),
        'speed_mps': _range(recording.speed_mps),
        'hz': frame_rate_hz(recording.times_s),
    }


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Yield a report as lines of text, with the line and reason of each unreadable row."""
    low, high = np.degrees(report['steering_rad'])
    yield report['source']
    yield f'  format    {report["format"]}'
    yield f'  rows      {report["rows"]} good, {len(report["bad_rows"])} bad'
    for trouble in troubles([BadRow(**bad) for bad in report['bad_rows']]):
        yield f'            {trouble}'
    yield f'  cameras   {", ".join(report["cameras"])}; {report["missing_images"]} images missing'
    reason = report['camera_reason']
    yield f'  seen by   the camera {report["camera"]}{f", {reason}" if reason else ""}'
    zeros = 100 * report['zero_share']
    yield f'  steering  {low:.1f} to {high:.1f} degrees, left positive; {zeros:.1f} % exact zeros'
    slow, fast = report['speed_mps']
    rate = '' if report['hz'] is None else f'; {report["hz"]:.1f} rows/s'
    yield f'  speed     {slow:.1f} to {fast:.1f} m/s{rate}'


def stems_of(recordings: Sequence[Recording]) -> list[str]:
    """Return the beginning of the names of files about each recording; no two are the same."""
    stems: list[str] = []
    for recording in recordings:
        name = recording.name
        if not name.strip('./'):  # Dots would make hidden files.
            name = str(Path(name).resolve())
        stem = '_'.join(re.split(r'[\\/ ]+', name.removesuffix('.csv'))[-2:])
        numbered = (f'{stem}_{number}' for number in itertools.count(2))
        stems.append(stem if stem not in stems else next(n for n in numbered if n not in stems))
    return stems


def write_pictures(source: Source, folder: Path, stem: str) -> list[Path]:
    """Write a histogram of the steering, and sample frames if there are any; return the paths.

    Their names begin with `stem`.
    """
    recording = source.recording
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f'{stem}_histogram.png']
    steering = {'recorded': recording.steering_rad, 'smoothed': recording.target_rad}
    degrees = {name: np.degrees(rad) for name, rad in steering.items()}
    files[0].write_bytes(histogram(degrees, 'steering, °'))
    readings = list(_samples(recording))
    if readings:
        files.append(folder / f'{stem}_frames.png')
        files[-1].write_bytes(sheet(readings, find_camera(recording.camera)))
    return files


def _samples(recording: Recording) -> Iterator[tuple[Rgb, Reading]]:
    """Yield frames spread over the recording, with their steering; missing frames are left out."""
    for index in np.linspace(0, len(recording) - 1, _SHOWN_FRAMES).astype(int):
        try:
            rgb = _whole(recording.frame(index))
        except ImageError:
            continue
        speed_mps = float(recording.speed_mps[index])
        yield rgb, Reading(float(recording.steering_rad[index]), speed_mps=speed_mps)


def _whole(rgb: Rgb) -> Rgb:
    """Return a frame unchanged, or a stored crop at its place in a black frame."""
    if rgb.shape != CROP_SHAPE:
        return as_frame(rgb)
    frame = np.zeros(FRAME_SHAPE, np.uint8)
    frame[CROP_TOP:CROP_BOTTOM] = rgb
    return frame


def _images(log: Log, cameras: tuple[str, ...]) -> Iterator[str]:
    for row in log.rows:
        yield from (name for side in cameras if (name := getattr(row, side)))


def _exists(log: Log, name: str) -> bool:
    try:
        return find_image(name, log.path.parent).is_file()
    except ImageError:
        return False


def _range(values: np.ndarray[Any, Any]) -> list[float]:
    return [float(np.min(values)) + 0.0, float(np.max(values)) + 0.0]
