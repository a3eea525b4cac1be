# SPDX-License-Identifier: Apache-2.0
"""Predictors: loaded networks that compute a steering angle from a frame."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import cv2
import numpy as np

from steering_net.errors import ImageError, ModelError
from steering_net.model_io.files import sha256_of
from steering_net.model_io.found_profile import found_profile, wished_profile
from steering_net.model_io.litert_converter import ensure_litert
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import read_origin
from steering_net.model_io.network_files import network_path
from steering_net.model_io.profiles import choose_profile
from steering_net.model_io.reader import check_frame_shape, read_network
from steering_net.tensorflow_notices import without_notices
from steering_net.vision.camera_model import Rgb, find_camera
from steering_net.vision.camera_names import AS_TRAINED
from steering_net.vision.frame_size import FRAME_SHAPE
from steering_net.vision.preprocessing import Tensor
from steering_net.vision.profile import Profile
from steering_net.vision.view import Maps, View

BACKENDS = ('litert', 'keras')
_WARM_UPS = 3
_BATCH_SIZES = (1, 2, 4, 8, 16, 32)


class PredictionError(RuntimeError):
    """The output of the network is not a finite number."""


class Predictor(Protocol):
    """A network as the steering node and the evaluation use it; `path` is the file it runs."""

    path: Path
    name: str
    sha256: str
    backend: str
    profile: Profile
    view: View

    def predict(self, rgb: Rgb) -> float:
        """Return the steering angle in rad, left positive, for a frame uint8 (H, W, 3) RGB.

        Raises ImageError for a frame that does not fit and PredictionError for a non-finite
        output. Not safe to call from two threads at once.
        """

    def predict_changed(self, changes: Sequence[Maps]) -> Sequence[float]:
        """Return the steering angles for the frame of the newest `predict`, changed.

        A change is maps of `cv2.remap` for the input of the network. Raises as `predict` does.
        It can be called once for a frame.
        """


@runtime_checkable
class BatchPredictor(Predictor, Protocol):
    """A predictor for which one batch is faster than single frames."""

    def predict_batch(
        self, frames: Sequence[Rgb]
    ) -> Sequence[float | ImageError | PredictionError]:
        """Return for each frame the result of `predict`, or the error that it would raise."""


class LiteRtPredictor:
    """Runs a `.tflite` file; TensorFlow is not imported.

    One frame at a time, because on a CPU a batch of 4 or 8 takes 4 or 8 times as long (1.13 ms per
    frame alone, 1.10 ms in a batch), and its first frame would wait for the last.
    """

    backend = 'litert'

    def __init__(
        self,
        path: Path,
        profile: Profile | None = None,
        threads: int = 1,
        source: Path | None = None,
        camera: str = AS_TRAINED,
    ) -> None:
        """Load `path`. `source` is the file that it was converted from, by default `path` itself.

        Name, hash and sidecar are those of `source`. `camera` is the camera of the frames, as
        `View` takes it. Raises ModelError if the file is not a network from one float frame to one
        number.
        """
        source = source or path
        self.path = path
        self.name, self.sha256 = source.name, sha256_of(source)
        self._model = LiteRtModel(path, self.name, threads)
        origin = read_origin(path)
        shape = self._model.input_shape
        self.profile = choose_profile(profile, shape, source, origin).profile
        self.view = View(self.profile, camera, origin.rows)

    def predict(self, rgb: Rgb) -> float:
        """See `Predictor.predict`."""
        self.view(rgb, out=self._model.input())
        return _to_rad(self._model.run(), self.profile)

    def predict_changed(self, changes: Sequence[Maps]) -> Sequence[float]:
        """See `Predictor.predict_changed`."""
        frames = [_resampled(self._model.input(), maps) for maps in changes]
        return [_to_rad(self._model.predict(frame), self.profile) for frame in frames]


class KerasPredictor:
    """Runs a network in TensorFlow, as one traced function."""

    backend = 'keras'

    def __init__(
        self,
        path: Path,
        profile: Profile | None = None,
        threads: int = 1,
        camera: str = AS_TRAINED,
    ) -> None:
        """Load `path`. `camera` is the camera of the frames, as `View` takes it.

        Raises ModelError if the file is not a network from one frame to one number.
        """
        self.path, self.name, self.sha256 = path, path.name, sha256_of(path)
        is_first = 'tensorflow' not in sys.modules
        with without_notices():
            import tensorflow as tf

        # TensorFlow accepts a number of threads only before its first operation.
        if is_first:
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        network = read_network(path)
        model = network.model
        shape = check_frame_shape(tuple(model.inputs[0].shape), path.name)
        self.profile = choose_profile(profile, shape, path, network.origin).profile
        self.view = View(self.profile, camera, network.origin.rows)
        self._inputs = np.zeros((_BATCH_SIZES[-1], *shape), np.float32)
        signature = [tf.TensorSpec((None, *shape), tf.float32)]
        self._forward = tf.function(
            lambda frames: model(frames, training=False), input_signature=signature
        )

    def predict(self, rgb: Rgb) -> float:
        """See `Predictor.predict`."""
        self.view(rgb, out=self._inputs[0])
        return _to_rad(self._forward(self._inputs[:1]).numpy().item(0), self.profile)

    def predict_changed(self, changes: Sequence[Maps]) -> Sequence[float]:
        """See `Predictor.predict_changed`."""
        frames = np.stack([_resampled(self._inputs[0], maps) for maps in changes])
        outputs = self._forward(frames).numpy().ravel()
        return [_to_rad(float(output), self.profile) for output in outputs]

    def predict_batch(
        self, frames: Sequence[Rgb]
    ) -> Sequence[float | ImageError | PredictionError]:
        """See `BatchPredictor.predict_batch`."""
        answers: list[float | ImageError | PredictionError] = []
        for start in range(0, len(frames), _BATCH_SIZES[-1]):
            answers += self._predict_some(frames[start : start + _BATCH_SIZES[-1]])
        return answers

    def _predict_some(
        self, frames: Sequence[Rgb]
    ) -> Iterator[float | ImageError | PredictionError]:
        errors: list[ImageError | None] = []
        for rgb, out in zip(frames, self._inputs, strict=False):
            try:
                self.view(rgb, out=out)
                errors.append(None)
            except ImageError as error:
                out[:] = 0.0
                errors.append(error)
        # Only a few sizes, because a GPU takes long for the first batch of each size.
        size = next(size for size in _BATCH_SIZES if size >= len(frames))
        outputs = self._forward(self._inputs[:size]).numpy()
        for refused, output in zip(errors, outputs.ravel(), strict=False):
            yield _to_rad_or_error(float(output), self.profile) if refused is None else refused


def _resampled(frame: Tensor, maps: Maps) -> Tensor:
    changed = cv2.remap(frame, *maps, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # OpenCV drops the axis of a single channel.
    return cast(Tensor, changed.reshape(frame.shape))


def _to_rad(output: float, profile: Profile) -> float:
    steering_rad = output * profile.steering_scale_rad
    if not np.isfinite(steering_rad):
        raise PredictionError(f'the output of the network is {output}')
    return steering_rad


def _to_rad_or_error(output: float, profile: Profile) -> float | PredictionError:
    try:
        return _to_rad(output, profile)
    except PredictionError as error:
        return error


def default_model() -> Path:
    """Return the path of the network that comes with the package."""
    return Path(str(resources.files('steering_net') / 'models' / 'pilotnet.keras'))


def model_path(model: str | Path) -> Path:
    """Return the path of a network by its file or `default`."""
    if str(model) == 'default':
        return default_model()
    return network_path(Path(model).expanduser())


def load_predictor(
    model: str | Path = 'default',
    backend: str = 'litert',
    profile: str | None = None,
    threads: int = 1,
    cache_dir: Path | None = None,
    camera: str = AS_TRAINED,
) -> LiteRtPredictor | KerasPredictor:
    """Load a network and run it a few times, so that the first frame takes no longer than others.

    `model` is 'default' or a file that `read_network` reads. Without `profile` the profile is that
    of the sidecar, or a measured one (`found_profile`); `search` measures in any case. `camera` is
    the camera of the frames, as `find_camera` takes it; frames are turned if the profile has
    another camera. Raises ModelError for an unusable model, ValueError for another argument.
    """
    if camera != AS_TRAINED:
        find_camera(camera)
    if backend not in BACKENDS:
        raise ValueError(f'unknown backend {backend!r}; known: {", ".join(BACKENDS)}')
    path = model_path(model)
    chosen = wished_profile(profile) or measured_profile(path, backend, profile, cache_dir)
    predictor: LiteRtPredictor | KerasPredictor
    if backend == 'keras':
        predictor = KerasPredictor(path, chosen, threads, camera)
    else:
        litert = ensure_litert(path, cache_dir, chosen)
        predictor = LiteRtPredictor(litert, chosen, threads, path, camera)
    warm_up(predictor)
    return predictor


def measured_profile(
    path: Path, backend: str, wish: str | None, cache_dir: Path | None = None
) -> Profile | None:
    """Return the measured profile of a network, None if `wish` or its sidecar names one."""
    try:
        found = found_profile(path, cache_dir, wish)
    except (ModelError, OSError):
        if backend == 'keras':
            # It may drive in Keras, although it cannot be converted.
            return None
        raise
    return found.profile if found else None


def warm_up(predictor: Predictor) -> None:
    """Predict on a grey frame, so that memory and threads are allocated; ignore the output."""
    grey = np.full(FRAME_SHAPE, 128, np.uint8)
    for _ in range(_WARM_UPS):
        with contextlib.suppress(PredictionError):
            predictor.predict(grey)
    if isinstance(predictor, BatchPredictor):
        for size in _BATCH_SIZES:
            predictor.predict_batch([grey] * size)
