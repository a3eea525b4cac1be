# SPDX-License-Identifier: Apache-2.0
"""TrainConfig: the settings of a training, and which profiles can be trained."""

from dataclasses import dataclass, field
from pathlib import Path

from steering_net.errors import check_field
from steering_net.process import cores
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

    `out` is the folder to write to, `name` the stem of the network's files. `profile` is the
    preprocessing, as `find_profile` takes it. Without `steps_per_epoch` an epoch has as many
    batches as hold every frame once. The learning rate falls from `learning_rate` to 0. After
    `patience` epochs without a smaller loss, on held-out frames if there are any, the training
    ends. `seed` is the seed of all random numbers, `threads` the number of CPU threads, by default
    one for each processor. `mixed_precision` computes in float16 on a GPU. `resume` continues an
    unfinished training.

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
    threads: int = field(default_factory=cores)
    mixed_precision: bool = False
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
            check_field(value is None or value >= 1, name, value, '1 or greater')
        check_field(0 <= self.seed < 2**32, 'seed', self.seed, '0..2**32 - 1')
        is_stem = self.name not in ('', '.', '..') and Path(self.name).name == self.name
        check_field(is_stem, 'name', repr(self.name), 'the name of a file without a folder')
        for name, is_good, allowed in (
            ('average', 0 <= self.average < 1, '0 or greater and below 1'),
            ('learning_rate', 0 < self.learning_rate < 1, 'greater than 0 and below 1'),
            ('rendered_share', 0 <= self.rendered_share <= 1, '0..1'),
            ('keep_straight', 0 <= self.keep_straight <= 1, '0..1'),
            ('rendered_light', 0.5 <= self.rendered_light <= 3, '0.5..3'),
        ):
            check_field(is_good, name, getattr(self, name), allowed)
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

    def check(is_good: bool, setting: str, value: object, allowed: str) -> None:
        name = f'profile {profile.name} cannot be trained: {setting}'
        check_field(is_good, name, value, allowed)

    top, bottom = profile.rows or (0, FRAME_HEIGHT)
    is_within = CROP_TOP <= top < bottom <= CROP_BOTTOM
    check(is_within, 'rows', f'{top}-{bottom}', f'within {CROP_TOP}-{CROP_BOTTOM}')
    first, last = profile.columns or (0, FRAME_WIDTH)
    check(last <= FRAME_WIDTH, 'columns', f'{first}-{last}', f'within 0-{FRAME_WIDTH}')
    height, width, channels = profile.output_shape()
    check(channels == 3, 'colour', profile.colour, 'one with three channels')
    highest = CROP_BOTTOM - CROP_TOP
    is_small = height <= highest and width <= FRAME_WIDTH
    check(is_small, 'size', f'{width}x{height}', f'{FRAME_WIDTH}x{highest} at most')
    is_scaled = profile.scale is None or _SCALES[0] <= profile.scale <= _SCALES[1]
    check(is_scaled, 'scale', profile.scale, '1/1024..1/64, as in 1/255')
