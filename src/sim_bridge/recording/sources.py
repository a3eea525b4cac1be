# SPDX-License-Identifier: Apache-2.0
"""Recordings from folders, logs, bags and embedded tracks, opened by one function. No ROS."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np

from sim_bridge.recording.bag import Bag
from sim_bridge.recording.corrections import times_to_train
from sim_bridge.recording.frames import Frames
from sim_bridge.recording.log_source import LogSource
from sim_bridge.recording.storage import BagError, Storage, is_bag
from sim_bridge.simulator.samples import samples
from sim_bridge.simulator.track_names import TrackName
from sim_bridge.topics import STEERING_ANGLE
from steering_net.data.driving_log import LogError, read_log
from steering_net.data.frame_files import images_in
from steering_net.data.horizon import with_camera
from steering_net.data.recording import Recording, camera_of, find_log, from_log, read_folder
from steering_net.data.steering_smoothing import smooth
from steering_net.vision.camera_model import find_camera, turned
from steering_net.vision.camera_names import AUTONOMOUS
from steering_net.vision.frame_size import as_frame
from steering_net.vision.jpeg import JPEG_QUALITY, encode_jpeg

_LOG = logging.getLogger(__name__)
_QUALITY = 92
"""JPEG quality, 1..100, of turned frames, which are compressed a second time; chosen."""


def open_recording(
    path: Path,
    recorded_with: str = '',
    steering_unit: str = '',
    car: int | str = 0,
    corrections: int = 1,
) -> Recording:
    """Open a bag, a log, or a folder with IMG/ and a log.

    `recorded_with` is the camera of its frames, in the notation of `find_camera`; see
    `know_camera` for an empty one. `steering_unit` is the unit of a log, as `read_log` takes it.
    `car` is the number or the namespace of the car of a bag with several; 0: the only one.
    `corrections` is how often to train on a frame of a bag that a person drove in place of the
    network. Raises LogError or BagError if there is no recording.
    """
    if is_bag(path):
        reason = 'as given' if recorded_with else 'because it is a bag'
        recording = read_bag(path, recorded_with or AUTONOMOUS, car, corrections)
        return replace(recording, camera_reason=reason)
    return know_camera(read_folder(path, steering_unit=steering_unit), recorded_with)


def know_camera(recording: Recording, recorded_with: str) -> Recording:
    """Return the recording of a log with the given camera, or with the one of its horizon.

    The recording's own camera is the one that the names of its frames tell. It is assumed if
    the horizon tells none.
    """
    if recorded_with:
        return replace(recording, camera=recorded_with, camera_reason='as given')
    return with_camera(recording)


def log_camera(path: Path, steering_unit: str = '') -> str:
    """Return the camera of a log, found by its horizon; LogError if there is no log."""
    log = read_log(find_log(path), steering_unit)
    return with_camera(from_log(log)).camera


def usual_camera(path: Path, steering_unit: str = '') -> str:
    """Return the camera of a recording for which the user names none.

    That of frames without a log is told by their names. LogError if there is no recording.
    """
    if is_bag(path):
        return AUTONOMOUS
    try:
        find_log(path)
    except LogError:
        names = images_in(path)
        if not names:
            raise
        return camera_of(names)
    return log_camera(path, steering_unit)


def open_bag(path: Path, car: int | str = 0, steering_unit: str = '') -> Bag:
    """Open a bag, or a log or a folder of frames as a bag; see `open_recording`."""
    if is_bag(path):
        return Bag(Storage(path), car)
    if not path.exists():
        raise BagError(f'there is no bag {path}, and no log and no folder of this name')
    return Bag(LogSource(path, steering_unit), car)


def turned_down(recording: Recording, angle_rad: float) -> Recording:
    """Return the recording as seen by a camera that looks `angle_rad` further down.

    The frames are re-projected and compressed again. The recording keeps the name of its camera.
    """
    camera = find_camera(recording.camera)
    seen_by = replace(camera, pitch_down_rad=camera.pitch_down_rad + angle_rad)

    def load(index: int) -> bytes:
        return encode_jpeg(turned(as_frame(recording.frame(index)), camera, seen_by), _QUALITY)

    return replace(recording, load=load)


def read_bag(
    path: Path, camera: str = AUTONOMOUS, car: int | str = 0, corrections: int = 1
) -> Recording:
    """Read the frames of a bag, each with the command that carries its stamp.

    While a person or planner drove, it is the command that was sent, not that of the network. Its
    target is the centred one-second mean of such commands alone, because a person steers in
    jumps. A bag without commands is one of manual driving: the steering is the wheels' angle at
    each frame, and the target is such a mean too. Frames without steering are left out with a
    warning. The JPEG bytes are kept in memory, about 10 kB per frame. `camera` took the frames.
    `car` is the car, as `open_recording` takes it. With `corrections` above 1 see
    `times_to_train`.
    """
    bag = Bag(Storage(path), car)
    found = list(Frames(bag))
    if bag.trouble:
        _LOG.warning('%s', bag.trouble)
    is_commanded = any(frame.commanded_rad is not None for frame in found)
    steered = [
        (frame, rad)
        for frame in found
        if (rad := frame.commanded_rad if is_commanded else frame.steering_rad) is not None
    ]
    if not steered:
        raise BagError(f'{path} holds neither commands nor {STEERING_ANGLE}')
    if len(steered) < len(found):
        _LOG.warning('%s: %d frames without steering left out', path, len(found) - len(steered))
    times_s = np.array([frame.stamp_ns for frame, _ in steered], np.float64) * 1e-9
    steering_rad = np.array([rad for _, rad in steered], np.float64)
    by_hand = np.array([frame.is_by_person or not is_commanded for frame, _ in steered])
    target_rad = steering_rad.copy()
    # A mean spans at most 0.5 s without rows, and such a break belongs to the same takeover.
    target_rad[by_hand] = smooth(times_s[by_hand], steering_rad[by_hand])
    jpegs = [frame.jpeg for frame, _ in steered]
    times = None
    if corrections > 1:
        is_by_person = np.array([frame.is_by_person for frame, _ in steered])
        times = times_to_train(times_s, is_by_person, corrections)
    return Recording(
        name=str(path),
        times_s=times_s,
        steering_rad=steering_rad,
        target_rad=target_rad,
        speed_mps=np.array([frame.speed_mps or 0.0 for frame, _ in steered]),
        frame_names=[str(frame.stamp_ns) for frame, _ in steered],
        load=jpegs.__getitem__,
        camera=camera,
        times_to_train=times,
    )


def render_track(name: TrackName, count: int, rng: np.random.Generator) -> Recording:
    """Render `count` labelled frames of an embedded track at random places, without speed."""
    rendered = [
        (encode_jpeg(sample.rgb, JPEG_QUALITY), sample.steering_rad)
        for sample in samples(name, count, rng)
    ]
    steering_rad = np.array([rad for _, rad in rendered])
    return Recording(
        name=f'track {name}',
        times_s=np.arange(count, dtype=np.float64),
        steering_rad=steering_rad,
        target_rad=steering_rad,
        speed_mps=np.zeros(count),
        frame_names=[str(index) for index in range(count)],
        load=[jpeg for jpeg, _ in rendered].__getitem__,
    )
