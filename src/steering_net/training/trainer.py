# SPDX-License-Identifier: Apache-2.0
"""Training: fit PilotNet to recorded and rendered frames, and write the network and its files."""

import importlib.util
import logging
import math
import shutil
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.data.recording import Recording
from steering_net.model_io.files import sha256_of
from steering_net.model_io.litert_converter import convert, keep_converted
from steering_net.model_io.model_config import sidecar_of_pair, write_sidecar
from steering_net.model_io.reader import load_keras
from steering_net.tensorflow_notices import without_notices
from steering_net.training.backup import Backup, read_progress
from steering_net.training.batch_workers import BatchWorkers
from steering_net.training.batches import (
    VALIDATION_BATCH,
    BatchMaker,
    BatchSource,
    dataset,
    network_inputs,
    validation_data,
)
from steering_net.training.config import TrainConfig
from steering_net.training.devices import all_devices, check_mixed_precision, compile_for
from steering_net.training.frames import Frames, rendered_frames
from steering_net.training.labels import OnMap
from steering_net.training.model_card import write_card, write_plots
from steering_net.training.pilotnet import build_pilotnet
from steering_net.training.recorded_frames import LogSource, recorded_frames
from steering_net.training.start import check_not_replaced, set_start
from steering_net.vision.camera_model import Rgb
from steering_net.vision.crop import CROP_TOP
from steering_net.vision.profile import Profile, find_profile

_LOG = logging.getLogger(__name__)
# The network of so few takes longer than this process needs for its batches.
_MOST_WITHOUT_WORKERS = 2


@dataclass(frozen=True)
class Trained:
    """A trained network and its errors on held-out frames, rad; NaN without such frames."""

    model_path: Path
    sha256: str
    recorded_rmse_rad: float
    rendered_rmse_rad: float
    history: dict[str, list[float]]


def check_output(config: TrainConfig) -> None:
    """Raise ValueError if the training could not begin, or would replace what it may not.

    That is an unfinished training, or a network that it starts from. Raises ModelError if such a
    network is missing, MemoryError if there is no room for a batch.
    """
    check_not_replaced(config)
    _check_backup(config)
    _check_tensorboard(config)
    _check_memory(config)


def check_start(config: TrainConfig) -> None:
    """Raise ModelError if a network to start from cannot be read or has another shape.

    Raises ValueError for mixed precision without a GPU. Imports TensorFlow for either.
    """
    if config.start_from or config.mixed_precision:
        use_threads(config.threads)
    if config.mixed_precision:
        check_mixed_precision()
    if config.start_from:
        set_start(config.start_from, build_pilotnet(_below_crop(config).output_shape()))


def recorded_for(
    config: TrainConfig,
    logs: Sequence[LogSource],
    recordings: Sequence[Recording],
    on_map: OnMap | None = None,
) -> Frames:
    """Return the frames of logs and recordings for a training with this config.

    `on_map` is needed for labels of the kind `map`. Raises LogError for unusable data.
    """
    return recorded_frames(
        logs,
        config.augmentation,
        _below_crop(config),
        recordings,
        labelling=config.labelling,
        on_map=on_map,
        keep_straight=config.keep_straight,
        seed=config.seed,
    )


def rendered_for(
    config: TrainConfig, samples: Iterable[tuple[Rgb, float]], count: int | None = None
) -> Frames:
    """Return the frames of `count` samples for a training with this config.

    A sample is a frame, uint8 (160, 320, 3) RGB, and its steering, rad, left positive.
    """
    return rendered_frames(samples, _below_crop(config), count)


def train_on(
    config: TrainConfig, recorded: Frames, rendered: Frames, notes: Sequence[str] = ()
) -> Trained:
    """Train on frames in memory; write the network, its model card and its plots.

    `notes` (data, licences) are added to the model card. Raises ValueError if there is no frame to
    train on. Imports TensorFlow.
    """
    pools = [recorded, rendered]
    if not any(len(pool) for pool in pools):
        raise ValueError('there is nothing to train on: name a log, a bag or tracks')
    if all(pool.held_out.all() for pool in pools):
        raise ValueError(
            'there is nothing to train on: all frames that are left are held out to validate; '
            'add data or keep more straight frames'
        )
    use_threads(config.threads)
    profile = _below_crop(config)
    backup = backup_of(config)
    model, history = fit(config, profile, pools, backup)
    trained = _write(config, profile, model, history, pools, notes)
    shutil.rmtree(backup, ignore_errors=True)
    return trained


def _below_crop(config: TrainConfig) -> Profile:
    return find_profile(config.profile).below(CROP_TOP)


def backup_of(config: TrainConfig) -> Path:
    """Return the folder that an unfinished training has left, by which it is resumed."""
    return config.out / f'{config.name}.resume'


def use_threads(threads: int) -> None:
    """Set the threads of TensorFlow and OpenCV; call it before TensorFlow's first operation."""
    with without_notices():
        import tensorflow as tf

    # One, because images are prepared in TensorFlow's threads, which OpenCV's would slow down.
    cv2.setNumThreads(1)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        _LOG.info('TensorFlow was started before: its number of threads cannot be changed')


def _check_backup(config: TrainConfig) -> None:
    backup = backup_of(config)
    if backup.exists() and not config.resume:
        raise ValueError(f'{backup} is an unfinished training: resume it or remove it')
    progress = read_progress(backup)
    if backup.exists() and progress is None:
        _LOG.warning('%s has no finished epoch: the training begins anew', backup)
    done = progress.epochs if progress else 0
    if config.epochs < done:
        raise ValueError(
            f'epochs is {config.epochs}, but {done} are done already: give {done} or more'
        )


def _check_memory(config: TrainConfig) -> None:
    # TensorFlow would need half a minute, and some gigabytes, to find it.
    try:
        np.empty((config.batch_size, *_below_crop(config).output_shape()), np.float32)
    except (MemoryError, ValueError) as error:
        raise _too_large(config) from error


def _too_large(config: TrainConfig) -> MemoryError:
    return MemoryError(f'batch_size is {config.batch_size}; make it smaller')


def _check_tensorboard(config: TrainConfig) -> None:
    if config.tensorboard and importlib.util.find_spec('tensorboard') is None:
        raise ValueError('TensorBoard is not installed: pip install tensorboard')


def fit(
    config: TrainConfig,
    profile: Profile,
    pools: Sequence[Frames],
    backup: Path,
    watchers: Sequence[Any] = (),
) -> tuple[Any, dict[str, list[float]]]:
    """Return the fitted network and its history; `pools` are recorded and rendered frames.

    The folder `backup` stays, so that the training is not lost if its network cannot be written.
    `watchers` are additional Keras callbacks. Raises MemoryError if a batch is too large, OSError
    if a process that prepares batches was killed.
    """
    import keras
    import tensorflow as tf

    maker = BatchMaker(config, profile, pools)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * maker.steps
    )
    validation = validation_data(profile, pools)
    metric = 'val_loss' if validation else 'loss'
    stopping = keras.callbacks.EarlyStopping(
        metric, patience=config.patience, restore_best_weights=True
    )
    averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if config.average else []
    config.out.mkdir(parents=True, exist_ok=True)
    try:
        with _source(config, maker) as source, all_devices(config.batch_size).scope():
            model = build_pilotnet(
                profile.output_shape(), seed=config.seed, mixed_precision=config.mixed_precision
            )
            set_start(config.start_from, model)
            compile_for(model, rate, config.average, config.mixed_precision)
            kept = Backup(backup, model, stopping, keras.callbacks.History())
            history = model.fit(
                dataset(source, kept.epochs, maker.shape),
                steps_per_epoch=maker.steps,
                initial_epoch=kept.epochs,
                epochs=kept.epochs if kept.had_ended_early else config.epochs,
                validation_data=validation,
                validation_batch_size=VALIDATION_BATCH,
                verbose=0,
                shuffle=False,
                callbacks=[*kept.callbacks(averages), *_reports(config, maker.steps), *watchers],
            )
    except tf.errors.ResourceExhaustedError as error:
        raise _too_large(config) from error
    except tf.errors.OpError as error:
        # TensorFlow keeps only the text of what ended the batches.
        if BrokenProcessPool.__name__ not in str(error):
            raise
        raise OSError(
            'a process that prepares batches was killed; is there enough memory? '
            'Resume the training'
        ) from error
    return model, history.history


def _source(config: TrainConfig, maker: BatchMaker) -> AbstractContextManager[BatchSource]:
    """Return what makes the batches: a process for each thread, or this one if they are few."""
    if config.threads > _MOST_WITHOUT_WORKERS:
        return BatchWorkers(maker, config.threads)
    return nullcontext(maker)


def _reports(config: TrainConfig, steps: int) -> list[Any]:
    """Return the callbacks that show the progress."""
    import keras

    bar = tqdm(total=config.epochs * steps, desc='training', unit='step', disable=None)

    started_s = [0.0]

    def begin(epoch: int, logs: Any) -> None:
        started_s[0] = time.perf_counter()
        bar.n = epoch * steps

    def end(epoch: int, logs: dict[str, float]) -> None:
        figures = ', '.join(f'{name} {value:.5f}' for name, value in logs.items())
        rate = steps * config.batch_size / (time.perf_counter() - started_s[0])
        line = f'epoch {epoch + 1} of {config.epochs}: {figures}, {rate:.0f} images/s'
        tqdm.write(line, file=sys.stderr)

    boards = [keras.callbacks.TensorBoard(str(config.tensorboard))] if config.tensorboard else []
    return [
        *boards,
        keras.callbacks.LambdaCallback(
            on_epoch_begin=begin,
            on_epoch_end=end,
            on_train_batch_end=lambda batch, logs: bar.update(),
            on_train_end=lambda logs: bar.close(),
        ),
    ]


def _write(
    config: TrainConfig,
    profile: Profile,
    model: Any,
    history: dict[str, list[float]],
    pools: Sequence[Frames],
    notes: Sequence[str],
) -> Trained:
    path = config.model_path
    _without_optimizer(model, config, profile).save(path)
    litert = path.with_suffix('.tflite')
    keep_converted(litert, convert(path, litert, find_profile(config.profile)))
    sidecar = sidecar_of_pair(path, config.profile, profile.steering_scale_rad)
    write_sidecar(path, sidecar)
    saved = load_keras(path)
    predictions = [_predict(saved, profile, pool.part(held_out=True)) for pool in pools]
    errors = [_rmse(*pair) for pair in predictions]
    trained = Trained(path, sidecar.sha256, errors[0], errors[1], history)
    write_plots(path, history, predictions)
    write_card(path, _card_facts(config, trained, pools), notes)
    return trained


def _without_optimizer(model: Any, config: TrainConfig, profile: Profile) -> Any:
    """Return a copy that was never compiled, because its file is a third of the size."""
    copy = build_pilotnet(profile.output_shape(), seed=config.seed)
    copy.set_weights(model.get_weights())
    return copy


def _predict(model: Any, profile: Profile, frames: Frames) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return label and prediction of frames, (n,) each, rad."""
    if not len(frames):
        return frames.steering_rad, frames.steering_rad
    output = model.predict(network_inputs(profile, frames), batch_size=256, verbose=0)
    return frames.steering_rad, output[:, 0] * profile.steering_scale_rad


def _rmse(label: NDArray[Any], prediction: NDArray[Any]) -> float:
    return float(np.sqrt(np.mean((prediction - label) ** 2))) if len(label) else math.nan


def _card_facts(
    config: TrainConfig, trained: Trained, pools: Sequence[Frames]
) -> Iterator[tuple[str, str]]:
    yield 'sha256 of the .keras file', trained.sha256
    yield 'profile', config.profile
    if config.start_from:
        yield 'started from', ', '.join(map(sha256_of, config.start_from))
    yield 'seed', str(config.seed)
    for kind, pool, error in zip(
        ('recorded', 'rendered'),
        pools,
        (trained.recorded_rmse_rad, trained.rendered_rmse_rad),
        strict=True,
    ):
        if len(pool):
            held = int(pool.held_out.sum())
            yield f'{kind} frames', f'{len(pool) - held} trained on, {held} held out'
            shown = f'{error:.4f} rad' if held else 'unknown'
            yield f'RMSE on held-out {kind} frames', shown
    yield 'epochs run', str(len(trained.history['loss']))
    settings = asdict(config)
    names = (
        'batch_size',
        'learning_rate',
        'rendered_share',
        'rendered_light',
        'keep_straight',
        'average',
    )
    for name in names:
        yield name, str(settings[name])
    for name, chosen in (('labels', config.labelling), ('augmentation', config.augmentation)):
        yield name, ', '.join(f'{k} {v}' for k, v in asdict(chosen).items())
