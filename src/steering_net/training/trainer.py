"""Fit the network to recorded driving and to rendered frames, and write down what came out."""

import importlib.util
import json
import logging
import math
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from steering_net.data.recording import Recording
from steering_net.model_io.litert_converter import convert
from steering_net.model_io.model_config import Sidecar, sha256_of, write_sidecar
from steering_net.model_io.reader import ModelError, load_keras
from steering_net.training.augmentation import Augmentation, augment
from steering_net.training.dataset import (
    Frames,
    LogSource,
    SampleFactory,
    recorded_frames,
    rendered_frames,
)
from steering_net.training.labels import Labelling
from steering_net.training.model_card import write_card, write_plots
from steering_net.training.pilotnet import build_pilotnet
from steering_net.vision.crop import CROP_BOTTOM, CROP_TOP
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH
from steering_net.vision.preprocessing import Profile, find_profile, preprocess

_LOG = logging.getLogger(__name__)
# Between a squared and an absolute error: a keyed pulse in a label must not pull hard.
_HUBER_DELTA = 0.1
# The network that is trained has no layer that brings pixels to a small range.
_SCALES = (1 / 1024, 1 / 64)


@dataclass(frozen=True)
class TrainConfig:
    """How to train: everything but the data.

    `rendered_share` is that of each batch; `start_from` networks of the same shape: the mean of
    their weights is what it begins with (model soups, Wortsman et al., 2022). `keep_straight` is
    the share of recorded frames that go straight on to train with; `tensorboard` a folder for
    TensorBoard's files.
    `average` is the momentum of the moving average of the weights that is judged and kept (Polyak
    and Juditsky, 1992); 0 keeps the weights themselves.
    """

    out: Path
    name: str = 'pilotnet'
    profile: str = 'course'
    epochs: int = 20
    steps_per_epoch: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    rendered_share: float = 0.5
    patience: int = 8
    seed: int = 0
    threads: int = 2
    resume: bool = False
    start_from: tuple[Path, ...] = ()
    keep_straight: float = 1.0
    average: float = 0.0
    tensorboard: Path | None = None
    labelling: Labelling = field(default_factory=Labelling)
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __post_init__(self) -> None:
        """Raise ValueError, naming the field, for a value outside its range."""
        for name in ('epochs', 'steps_per_epoch', 'batch_size', 'patience', 'threads'):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f'{name} must be at least 1, not {value}')
        if not 0 <= self.average < 1:
            raise ValueError(f'average must be 0 or more and below 1, not {self.average}')
        if not 0 < self.learning_rate < 1:
            raise ValueError(f'learning_rate must be between 0 and 1, not {self.learning_rate}')
        for name in ('rendered_share', 'keep_straight'):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f'{name} must be 0 to 1, not {getattr(self, name)}')
        _check_profile(find_profile(self.profile))

    @property
    def camera(self) -> str:
        """The camera of the frames that the network is trained on."""
        return find_profile(self.profile).camera

    @property
    def model_path(self) -> Path:
        """The `.keras` file; `.tflite`, `.json`, `.md` and the plots lie beside it."""
        return self.out / f'{self.name}.keras'


def _check_profile(profile: Profile) -> None:
    """Raise ValueError, naming the field, for a profile that training has no pixels for."""
    told = f'profile {profile.name} cannot be trained:'
    top, bottom = profile.rows or (0, FRAME_HEIGHT)
    if not CROP_TOP <= top < bottom <= CROP_BOTTOM:
        raise ValueError(
            f'{told} rows must lie within {CROP_TOP}-{CROP_BOTTOM}, not {top}-{bottom}'
        )
    if profile.columns and profile.columns[1] > FRAME_WIDTH:
        raise ValueError(f'{told} columns must lie within 0-{FRAME_WIDTH}')
    height, width, _ = profile.output_shape()
    if height > CROP_BOTTOM - CROP_TOP or width > FRAME_WIDTH:
        most = f'{FRAME_WIDTH}x{CROP_BOTTOM - CROP_TOP}'
        raise ValueError(f'{told} size must be {most} at most, not {width}x{height}')
    if profile.scale is not None and not _SCALES[0] <= profile.scale <= _SCALES[1]:
        raise ValueError(
            f'{told} scale must be 1/1024 to 1/64, such as 1/255, not {profile.scale:g}'
        )


@dataclass(frozen=True)
class Trained:
    """The trained network and its errors on held-out frames, rad; NaN where there were none."""

    model_path: Path
    sha256: str
    recorded_rmse_rad: float
    rendered_rmse_rad: float
    history: dict[str, list[float]]


def train(
    config: TrainConfig,
    logs: Sequence[LogSource] = (),
    samples: SampleFactory | None = None,
    sample_count: int | None = None,
    notes: Sequence[str] = (),
    recordings: Sequence[Recording] = (),
) -> Trained:
    """Train on logs, recordings, rendered samples or all, and write the network and its papers.

    `samples` makes an iterable of `sample_count` frames, uint8 (160, 320, 3) RGB, with their
    steering in rad; `notes` (data, licences) go into the model card. Raises LogError for bad
    data and ValueError for a config that does not fit; imports TensorFlow.
    """
    backup = config.out / f'{config.name}.resume'
    _check_backup(config, backup)
    _check_tensorboard(config)
    profile = find_profile(config.profile).below(CROP_TOP)
    pools = [
        recorded_frames(
            logs,
            config.augmentation,
            profile,
            recordings,
            labelling=config.labelling,
            keep_straight=config.keep_straight,
            seed=config.seed,
        ),
        rendered_frames(samples() if samples else (), profile, sample_count),
    ]
    if not any(len(pool) for pool in pools):
        raise ValueError('there is nothing to train on: name a log, a bag or tracks')
    use_threads(config.threads)
    model, history = fit(config, profile, pools, backup)
    return _write(config, profile, model, history, pools, notes)


def use_threads(threads: int) -> None:
    """Share the CPU between TensorFlow and OpenCV, before TensorFlow's first operation."""
    import tensorflow as tf

    # Images are prepared in TensorFlow's threads: OpenCV's own would only get in their way.
    cv2.setNumThreads(1)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
    except RuntimeError:
        _LOG.info('TensorFlow is running already: it keeps its number of threads')


def _check_backup(config: TrainConfig, backup: Path) -> None:
    if backup.exists() and not config.resume:
        raise ValueError(f'{backup} is an unfinished training: resume it or remove it')
    # Where Keras' BackupAndRestore notes down the epochs that are done.
    notes = backup / 'training_metadata.json'
    done = json.loads(notes.read_text(encoding='utf-8'))['epoch'] if notes.is_file() else 0
    if config.epochs <= done:
        raise ValueError(f'epochs is {config.epochs}, but {done} are done already: give more')


def _check_tensorboard(config: TrainConfig) -> None:
    if config.tensorboard and importlib.util.find_spec('tensorboard') is None:
        raise ValueError('TensorBoard is not installed: pip install tensorboard')


class BatchMaker:
    """Makes augmented batches; the same epoch and step always give the same batch."""

    def __init__(self, config: TrainConfig, profile: Profile, pools: Sequence[Frames]) -> None:
        self.epoch = 0
        self._config, self._profile = config, profile
        # The crops are blurred already, and augmented pictures have their size.
        self._rest = replace(profile, rows=None, columns=None, blur=0, size=None)
        # To pick from all of a pool spares a copy of what trains.
        self._pools = pools
        self._trained = recorded, rendered = [np.flatnonzero(~pool.held_out) for pool in pools]
        share = config.rendered_share if len(recorded) else 1.0
        self._rendered_count = round(config.batch_size * share) if len(rendered) else 0
        size = len(recorded) + len(rendered)
        self.steps = config.steps_per_epoch or math.ceil(size / config.batch_size)

    def batch(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return float32 (n, h, w, 3) network inputs and (n, 1) labels in network units."""
        rng = np.random.default_rng([self._config.seed, self.epoch, step])
        x = np.empty((self._config.batch_size, *self._profile.output_shape()), np.float32)
        y = np.empty((len(x), 1), np.float32)
        for i in range(len(x)):
            rendered = i < self._rendered_count
            pool, trained = self._pools[rendered], self._trained[rendered]
            choice = int(trained[rng.integers(len(trained))])
            # Rendered frames come from everywhere on the road, with exact labels.
            picture, steering_rad = augment(
                pool.crops[choice],
                float(pool.steering_rad[choice]),
                self._config.augmentation,
                self._profile,
                rng,
                move=not rendered,
            )
            preprocess(picture, self._rest, out=x[i])
            y[i] = steering_rad / self._profile.steering_scale_rad
        return x, y

    def dataset(self) -> Any:
        """Return the batches of one epoch as a `tf.data.Dataset`, prepared in parallel."""
        import tensorflow as tf

        size = self._config.batch_size
        shapes = ((size, *self._profile.output_shape()), (size, 1))

        def make(step: Any) -> Any:
            x, y = tf.numpy_function(self.batch, [step], (tf.float32, tf.float32))
            return tf.ensure_shape(x, shapes[0]), tf.ensure_shape(y, shapes[1])

        # Its thread looks round after 10, 20, 40 ... ms, and the end of an epoch waits for the
        # next time: an epoch would take 5.1, 10.2 or 20.5 s and nothing between.
        options = tf.data.Options()
        options.autotune.enabled = False
        steps = tf.data.Dataset.range(self.steps).with_options(options)
        return steps.map(make, num_parallel_calls=self._config.threads).prefetch(2)


def fit(
    config: TrainConfig,
    profile: Profile,
    pools: Sequence[Frames],
    backup: Path,
    watchers: Sequence[Any] = (),
) -> tuple[Any, dict[str, list[float]]]:
    """Return the fitted network and its history; `pools` are recorded and rendered frames.

    `watchers`: further Keras callbacks.
    """
    import keras

    batches = BatchMaker(config, profile, pools)
    model = build_pilotnet(profile.output_shape(), seed=config.seed)
    if config.start_from:
        _start_from(config.start_from, model)
    rate = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * batches.steps
    )
    compile_for(model, rate, config.average)
    validation = _validation(profile, pools)
    config.out.mkdir(parents=True, exist_ok=True)
    history = model.fit(
        batches.dataset(),
        epochs=config.epochs,
        validation_data=validation,
        verbose=0,
        shuffle=False,
        callbacks=[
            *_callbacks(config, batches, backup, 'val_loss' if validation else 'loss'),
            *watchers,
        ],
    )
    return model, history.history


def compile_for(model: Any, learning_rate: Any, average: float = 0.0) -> None:
    """Give a network its optimizer and loss; `learning_rate` is a number or a schedule.

    With `average` above 0 the optimizer also keeps a moving average of the weights.
    """
    import keras

    model.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate,
            weight_decay=1e-4,
            clipnorm=1.0,
            use_ema=average > 0,
            ema_momentum=average,
        ),
        loss=keras.losses.Huber(_HUBER_DELTA),
    )


def _start_from(paths: Sequence[Path], model: Any) -> None:
    """Give the model the mean of the weights of these networks."""
    weights = []
    for path in paths:
        source = load_keras(path)
        try:
            # Keras says best what does not fit.
            model.set_weights(source.get_weights())
        except ValueError as error:
            raise ModelError(f'{source.name} is no network to start from: {error}') from error
        weights.append(model.get_weights())
    model.set_weights([np.mean(layer, axis=0) for layer in zip(*weights, strict=True)])


def _callbacks(config: TrainConfig, batches: BatchMaker, backup: Path, judge: str) -> list[Any]:
    import keras

    bar = tqdm(total=config.epochs * batches.steps, desc='training', unit='step', disable=None)

    started_s = [0.0]

    def begin(epoch: int, logs: Any) -> None:
        batches.epoch = epoch
        started_s[0] = time.perf_counter()
        bar.n = epoch * batches.steps

    def end(epoch: int, logs: dict[str, float]) -> None:
        figures = ', '.join(f'{name} {value:.5f}' for name, value in logs.items())
        rate = batches.steps * config.batch_size / (time.perf_counter() - started_s[0])
        line = f'epoch {epoch + 1} of {config.epochs}: {figures}, {rate:.0f} images/s'
        tqdm.write(line, file=sys.stderr)

    boards = [keras.callbacks.TensorBoard(str(config.tensorboard))] if config.tensorboard else []
    averages = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if config.average else []
    return [
        *boards,
        keras.callbacks.BackupAndRestore(str(backup)),
        *averages,
        keras.callbacks.EarlyStopping(judge, patience=config.patience, restore_best_weights=True),
        keras.callbacks.LambdaCallback(
            on_epoch_begin=begin,
            on_epoch_end=end,
            on_train_batch_end=lambda batch, logs: bar.update(),
            on_train_end=lambda logs: bar.close(),
        ),
    ]


def _validation(profile: Profile, pools: Sequence[Frames]) -> Any:
    parts = [pool.part(held_out=True) for pool in pools]
    if not any(len(part) for part in parts):
        return None
    labels = np.concatenate([part.steering_rad for part in parts])
    inputs = np.concatenate([_inputs(profile, part) for part in parts])
    # Both kinds weigh the same, however many frames there are of each.
    weights = np.concatenate([np.full(len(part), 1 / max(1, len(part))) for part in parts])
    return inputs, labels[:, None] / profile.steering_scale_rad, weights / weights.mean()


def _inputs(profile: Profile, frames: Frames) -> NDArray[np.float32]:
    inputs = np.empty((len(frames), *profile.output_shape()), np.float32)
    profile = replace(profile, blur=0)
    for crop, slot in zip(frames.crops, inputs, strict=True):
        preprocess(crop, profile, out=slot)
    return inputs


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
    convert(path, path.with_suffix('.tflite'), find_profile(config.profile))
    digest = sha256_of(path)
    write_sidecar(path, Sidecar(config.profile, digest, profile.steering_scale_rad))
    judged = [_judge(load_keras(path), profile, pool.part(held_out=True)) for pool in pools]
    errors = [float(np.sqrt(np.mean((p - r) ** 2))) if len(r) else math.nan for r, p in judged]
    trained = Trained(path, digest, errors[0], errors[1], history)
    write_plots(path, history, judged)
    write_card(path, _card_facts(config, trained, pools), notes)
    return trained


def _without_optimizer(model: Any, config: TrainConfig, profile: Profile) -> Any:
    """Return a copy that was never compiled: its file is a third of the size."""
    copy = build_pilotnet(profile.output_shape(), seed=config.seed)
    copy.set_weights(model.get_weights())
    return copy


def _judge(model: Any, profile: Profile, frames: Frames) -> tuple[NDArray[Any], NDArray[Any]]:
    """(recorded, predicted) steering of frames, rad."""
    if not len(frames):
        return frames.steering_rad, frames.steering_rad
    output = model.predict(_inputs(profile, frames), batch_size=256, verbose=0)
    return frames.steering_rad, output[:, 0] * profile.steering_scale_rad


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
            yield f'RMSE on held-out {kind} frames', f'{error:.4f} rad'
    yield 'epochs run', str(len(trained.history['loss']))
    settings = asdict(config)
    shown = ('batch_size', 'learning_rate', 'rendered_share', 'keep_straight', 'average')
    for name in shown:
        yield name, str(settings[name])
    for name, chosen in (('labels', config.labelling), ('augmentation', config.augmentation)):
        yield name, ', '.join(f'{k} {v}' for k, v in asdict(chosen).items())
