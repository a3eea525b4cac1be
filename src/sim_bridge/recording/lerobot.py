# SPDX-License-Identifier: Apache-2.0
"""Export of a recording as a LeRobot dataset, version 3.0: Parquet, MP4 and JSON. No ROS.

A dataset has one camera, a state, an action, and a constant frame rate. LeRobot itself is not
needed to write it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim_bridge.recording.bag import Bag
from sim_bridge.recording.frame_folder import check_empty
from sim_bridge.recording.frames import Frame, Frames
from sim_bridge.recording.storage import BagError
from sim_bridge.recording.video import VideoFile
from sim_bridge.recording.whole_output import whole_folder
from steering_net.data.trajectory import LONGEST_STEP_S
from steering_net.vision.camera_model import Rgb
from steering_net.vision.frame_size import FRAME_SHAPE

_LOG = logging.getLogger(__name__)

CAMERA, STATE, ACTION = 'observation.images.front', 'observation.state', 'action'
TASK = 'Drive along the road.'

_NAMES = {STATE: ('speed_mps', 'steering_rad'), ACTION: ('steering_rad', 'throttle')}
_FILE = 'chunk-{chunk_index:03d}/file-{file_index:03d}'
_FIRST_FILE = _FILE.format(chunk_index=0, file_index=0)
_SAMPLED_EVERY = 20
"""Frames of which one gives the statistics of the images."""
_QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)

Decoded = tuple[Frame, Rgb]


class Size(NamedTuple):
    """What a dataset holds."""

    frames: int
    episodes: int
    rate_hz: int


class _Colours:
    """Statistics of the colours of images, 0..1, by a histogram: no image is kept."""

    def __init__(self) -> None:
        self.images = 0
        self._counts = np.zeros((3, 256), np.int64)

    def add(self, rgb: Rgb) -> None:
        """Count the pixels of an image, uint8 (H, W, 3) RGB."""
        self.images += 1
        for counts, channel in zip(self._counts, np.moveaxis(rgb, -1, 0), strict=True):
            counts += np.bincount(channel.ravel(), minlength=256)

    def spread(self) -> dict[str, list[float]]:
        """Return what `_spread` returns of all pixels, a row each."""
        values = np.arange(256) / 255.0
        pixels = self._counts[0].sum()
        means = self._counts @ values / pixels
        squares = (values - means[:, None]) ** 2
        return {
            'min': self._quantiles(0.0),
            'max': self._quantiles(1.0),
            'mean': means.tolist(),
            'std': np.sqrt((self._counts * squares).sum(axis=1) / pixels).tolist(),
            **{_name_of(q): self._quantiles(q) for q in _QUANTILES},
        }

    def _quantiles(self, quantile: float) -> list[float]:
        """Return a quantile of each colour, between two pixels in proportion."""
        found = []
        for sums in self._counts.cumsum(axis=1):
            rank = quantile * (sums[-1] - 1)
            low, high = np.searchsorted(sums, [np.floor(rank), np.ceil(rank)], side='right')
            found.append(float(low + (rank % 1.0) * (high - low)) / 255.0)
        return found


class _Columns:
    """Values of the dataset, one row for each frame, and the colours of sampled images."""

    def __init__(self) -> None:
        self.episode: list[int] = []
        self.numbers: dict[str, list[tuple[float, float]]] = {STATE: [], ACTION: []}
        self.colours = _Colours()

    def add(self, episode: int, frame: Frame, rgb: Rgb) -> None:
        """Append a row. Values that the recording lacks are 0."""
        wheels_rad = frame.steering_rad or 0.0
        wanted_rad = wheels_rad if frame.commanded_rad is None else frame.commanded_rad
        if len(self.episode) % _SAMPLED_EVERY == 0:
            self.colours.add(rgb)
        self.episode.append(episode)
        self.numbers[STATE].append((frame.speed_mps or 0.0, wheels_rad))
        self.numbers[ACTION].append((wanted_rad, frame.throttle or 0.0))

    def arrays(self, rate_hz: int) -> dict[str, NDArray[Any]]:
        """Return the columns of the data: (N, 2) float32 and (N,)."""
        episode = np.array(self.episode, np.int64)
        index = np.arange(len(episode), dtype=np.int64)
        first = np.searchsorted(episode, episode)
        return {
            **{name: np.array(rows, np.float32) for name, rows in self.numbers.items()},
            'timestamp': ((index - first) / rate_hz).astype(np.float32),
            'frame_index': index - first,
            'episode_index': episode,
            'index': index,
            'task_index': np.zeros(len(episode), np.int64),
        }


def export_lerobot(bag: Bag, folder: Path, task: str = TASK, rate_hz: int | None = None) -> Size:
    """Write a LeRobot dataset into a new or empty folder; return its size.

    The state is the measured speed and steering of the wheels; the action is the steering that was
    commanded, or else measured, and the measured throttle. SI units, left is positive. `rate_hz`
    is the frame rate, by default the mean one: for each tick the frame nearest in time is taken. A
    pause of more than 0.5 s, or a stamp that goes back, ends an episode. `task` describes it.
    Frames that cannot be decoded are left out with a warning. Raises BagError if there is no frame
    or no steering, if the video cannot be written completely, or if pyarrow is not installed.
    """
    check_pyarrow()
    check_empty(folder)
    frames = Frames(bag)
    frames.check_steering()
    rate_hz = rate_hz or max(1, round(frames.rate_hz))
    columns = _Columns()
    with whole_folder(folder) as part:
        path = part / 'videos' / CAMERA / f'{_FIRST_FILE}.mp4'
        path.parent.mkdir(parents=True)
        with VideoFile(path, rate_hz) as video:
            for episode, (frame, rgb) in _ticks(frames.decoded(), rate_hz):
                video.write(rgb)
                columns.add(episode, frame, rgb)
        data = columns.arrays(rate_hz)
        _write_tables(part, data, task, rate_hz)
        _write_json(part / 'meta/stats.json', _statistics(data, columns.colours))
        size = Size(len(columns.episode), columns.episode[-1] + 1, rate_hz)
        _write_json(part / 'meta/info.json', _info(size))
    return size


def check_pyarrow() -> None:
    """Raise BagError, which names the extra, if pyarrow is not installed."""
    try:
        import pyarrow  # noqa: F401
    except ImportError as error:
        raise BagError(
            "a LeRobot dataset needs pyarrow: pip install 'sim_bridge[lerobot]'"
        ) from error


def _ticks(found: Iterable[Decoded], rate_hz: int) -> Iterator[tuple[int, Decoded]]:
    """Yield for each tick of a constant rate the number of its episode and the nearest frame.

    Of frames with one stamp the first is taken; the others are counted in a warning.
    """
    period_ns = 1e9 / rate_hz
    repeated = 0
    episode, tick, start_ns = 0, 0, 0
    last: Decoded | None = None
    for one in found:
        stamp_ns = one[0].stamp_ns
        if last is None:
            start_ns = stamp_ns
        elif stamp_ns <= last[0].stamp_ns:
            repeated += 1
            continue
        else:
            is_pause = stamp_ns - last[0].stamp_ns > 1e9 * LONGEST_STEP_S
            until_ns = last[0].stamp_ns + (
                period_ns / 2 if is_pause else (stamp_ns - last[0].stamp_ns) / 2
            )
            while start_ns + tick * period_ns < until_ns:
                yield episode, last
                tick += 1
            if is_pause:
                episode, tick, start_ns = episode + 1, 0, stamp_ns
        last = one
    while last and start_ns + tick * period_ns < last[0].stamp_ns + period_ns / 2:
        yield episode, last
        tick += 1
    if repeated:
        _LOG.warning('%d frames with the stamp of the frame before left out', repeated)


def _write_tables(folder: Path, data: dict[str, NDArray[Any]], task: str, rate_hz: int) -> None:
    import pyarrow as pa

    columns = {
        name: pa.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1])
        if values.ndim == 2
        else pa.array(values)
        for name, values in data.items()
    }
    _write_table(folder / f'data/{_FIRST_FILE}.parquet', pa.table(columns))
    # The name of the task is the index of a pandas table.
    index = {'index_columns': ['task'], 'column_indexes': [], 'columns': [
        {'name': 'task', 'field_name': 'task', 'pandas_type': 'unicode', 'numpy_type': 'object',
         'metadata': None}
    ]}  # fmt: skip
    tasks = pa.table({'task_index': pa.array([0], pa.int64()), 'task': [task]})
    _write_table(
        folder / 'meta/tasks.parquet', tasks.replace_schema_metadata({'pandas': json.dumps(index)})
    )
    episode = data['episode_index']
    starts = np.flatnonzero(np.diff(episode, prepend=-1))
    ends = np.append(starts[1:], len(episode))
    in_first_file = {
        f'{place}/{kind}_index': [0] * len(starts)
        for place in ('data', f'videos/{CAMERA}', 'meta/episodes')
        for kind in ('chunk', 'file')
    }
    episodes = {
        'episode_index': episode[starts],
        'tasks': [[task]] * len(starts),
        'length': ends - starts,
        'dataset_from_index': starts,
        'dataset_to_index': ends,
        **in_first_file,
        f'videos/{CAMERA}/from_timestamp': starts / rate_hz,
        f'videos/{CAMERA}/to_timestamp': ends / rate_hz,
    }
    _write_table(folder / f'meta/episodes/{_FIRST_FILE}.parquet', pa.table(episodes))


def _write_table(path: Path, table: Any) -> None:
    from pyarrow import parquet

    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(table, path)


def _statistics(data: dict[str, NDArray[Any]], seen: _Colours) -> dict[str, dict[str, list[Any]]]:
    """Return the statistics of each feature; those of images are for each colour, 0..1."""
    colours = {name: [[[value]] for value in values] for name, values in seen.spread().items()}
    return {
        **{name: {**_spread(values), 'count': [len(values)]} for name, values in data.items()},
        CAMERA: {**colours, 'count': [seen.images]},
    }


def _spread(values: NDArray[Any]) -> dict[str, list[float]]:
    """Return min, max, mean, standard deviation and quantiles of each column."""
    rows = values.reshape(len(values), -1).astype(np.float64)
    found = {
        'min': rows.min(axis=0),
        'max': rows.max(axis=0),
        'mean': rows.mean(axis=0),
        'std': rows.std(axis=0),
        **{_name_of(q): np.quantile(rows, q, axis=0) for q in _QUANTILES},
    }
    return {name: column.tolist() for name, column in found.items()}


def _name_of(quantile: float) -> str:
    return f'q{round(100 * quantile):02d}'


def _info(size: Size) -> dict[str, Any]:
    height, width, channels = FRAME_SHAPE
    video = {
        'video.height': height,
        'video.width': width,
        'video.codec': 'mpeg4',
        'video.pix_fmt': 'yuv420p',
        'video.is_depth_map': False,
        'video.fps': size.rate_hz,
        'video.channels': channels,
        'has_audio': False,
    }
    integers = ('frame_index', 'episode_index', 'index', 'task_index')
    return {
        'codebase_version': 'v3.0',
        'robot_type': 'sim_bridge',
        'total_episodes': size.episodes,
        'total_frames': size.frames,
        'total_tasks': 1,
        'chunks_size': 1000,
        'data_files_size_in_mb': 100,
        'video_files_size_in_mb': 500,
        'fps': size.rate_hz,
        'splits': {'train': f'0:{size.episodes}'},
        'data_path': f'data/{_FILE}.parquet',
        'video_path': f'videos/{{video_key}}/{_FILE}.mp4',
        'features': {
            CAMERA: {
                'dtype': 'video',
                'shape': [height, width, channels],
                'names': ['height', 'width', 'channels'],
                'info': video,
            },
            **{
                name: {'dtype': 'float32', 'shape': [len(names)], 'names': list(names)}
                for name, names in _NAMES.items()
            },
            'timestamp': {'dtype': 'float32', 'shape': [1], 'names': None},
            **{name: {'dtype': 'int64', 'shape': [1], 'names': None} for name in integers},
        },
    }


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=4) + '\n', encoding='utf-8')
