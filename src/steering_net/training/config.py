# SPDX-License-Identifier: Apache-2.0
"""TrainConfig: how to train, everything but the data."""

from dataclasses import dataclass, field
from pathlib import Path

from steering_net.training.augmentation import Augmentation
from steering_net.training.labels import Labelling
from steering_net.vision.crop import CROP_BOTTOM, CROP_TOP
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH
from steering_net.vision.profile import Profile, find_profile

# Range of a pixel scale, because the trained network has no layer that scales pixels.
_SCALES = (1 / 1024, 1 / 64)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of a training, everything but the data.

    `rendered_share` is the share of rendered frames in each batch. Their light is changed
    `rendered_light` times as much as that of recorded frames. `start_from` are networks of
    the same shape: the training starts from the mean of their weights (model soups, Wortsman et
    al., 2022). `keep_straight` is the share of recorded frames with almost no steering that is
    trained on. `average` is the momentum of a moving average of the weights, which is then
    validated and saved (Polyak and Juditsky, 1992); with 0 the weights themselves are.
    `tensorboard` is a folder for TensorBoard's files.
    """

    out: Path
    name: str = 'pilotnet'
    profile: str = 'course'
    epochs: int = 20
    steps_per_epoch: int | None = None
    batch_size: int = 128
    learning_rate: float = 1e-3
    rendered_share: float = 0.5
    rendered_light: float = 1.0
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
        if not 0.5 <= self.rendered_light <= 3:
            raise ValueError(f'rendered_light must be 0.5 to 3, not {self.rendered_light}')
        _check_profile(find_profile(self.profile))

    @property
    def camera(self) -> str:
        """Camera of the frames that the network is trained on."""
        return find_profile(self.profile).camera

    @property
    def model_path(self) -> Path:
        """Path of the `.keras` file; `.tflite`, `.json`, `.md` and the plots are beside it."""
        return self.out / f'{self.name}.keras'


def _check_profile(profile: Profile) -> None:
    """Raise ValueError, naming the field, for a profile that crops cannot be made for."""
    start = f'profile {profile.name} cannot be trained:'
    top, bottom = profile.rows or (0, FRAME_HEIGHT)
    if not CROP_TOP <= top < bottom <= CROP_BOTTOM:
        raise ValueError(
            f'{start} rows must lie within {CROP_TOP}-{CROP_BOTTOM}, not {top}-{bottom}'
        )
    if profile.columns and profile.columns[1] > FRAME_WIDTH:
        raise ValueError(f'{start} columns must lie within 0-{FRAME_WIDTH}')
    height, width, channels = profile.output_shape()
    if channels != 3:
        raise ValueError(f'{start} colour must have three channels, not {profile.colour}')
    if height > CROP_BOTTOM - CROP_TOP or width > FRAME_WIDTH:
        most = f'{FRAME_WIDTH}x{CROP_BOTTOM - CROP_TOP}'
        raise ValueError(f'{start} size must be {most} at most, not {width}x{height}')
    if profile.scale is not None and not _SCALES[0] <= profile.scale <= _SCALES[1]:
        raise ValueError(
            f'{start} scale must be 1/1024 to 1/64, such as 1/255, not {profile.scale:g}'
        )
