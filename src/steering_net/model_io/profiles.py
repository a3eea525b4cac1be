# SPDX-License-Identifier: Apache-2.0
"""Choice of a network's profile: the given one, that of the sidecar, or an inferred one."""

from dataclasses import dataclass, replace
from pathlib import Path

from steering_net.errors import ModelError
from steering_net.model_io.metadata import UNKNOWN, Origin
from steering_net.model_io.model_config import read_sidecar
from steering_net.vision.colours import colours_of
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH
from steering_net.vision.profile import Profile, find_profile, format_profile


@dataclass(frozen=True)
class ProfileChoice:
    """The profile of a network, and the reason for it."""

    profile: Profile
    reason: str

    def __str__(self) -> str:
        """Return both, for people."""
        return f'{format_profile(self.profile)}, {self.reason}'


def choose_profile(
    profile: Profile | None,
    input_shape: tuple[int, int, int],
    model_path: Path,
    origin: Origin = UNKNOWN,
) -> ProfileChoice:
    """Return `profile`, or that of the sidecar, or an inferred one, for an input of (h, w, c).

    Fields that the profile leaves to the network are filled in. Raises ModelError if none can be
    inferred, or if the profile makes frames of another shape or crops outside of the frame.
    """
    choice = ProfileChoice(profile, 'as given') if profile else from_sidecar(model_path)
    if choice is None:
        try:
            found, reason = infer_profile(input_shape, origin)
            choice = ProfileChoice(found, f'because {reason}')
        except ModelError as error:
            raise ModelError(f'{model_path.name}: {error}') from error
    whole = complete(choice.profile, input_shape, origin)
    _check_crop(whole)
    made = whole.output_shape()
    if made != input_shape:
        takes = f'{model_path.name} takes {input_shape}'
        ways = f': choose one of the colours {", ".join(colours_of(input_shape[2]))}'
        hint = ways if made[2] != input_shape[2] else ''
        raise ModelError(f'{takes}, but profile {whole.name} makes {made}{hint}')
    return ProfileChoice(whole, choice.reason)


def _check_crop(profile: Profile) -> None:
    for field, span, limit in (
        ('rows', profile.rows, FRAME_HEIGHT),
        ('columns', profile.columns, FRAME_WIDTH),
    ):
        if span is not None and span[1] > limit:
            raise ModelError(
                f'profile {profile.name} has the {field} {span[0]}-{span[1]}; '
                f'a frame has the {field} 0-{limit}'
            )


def from_sidecar(model_path: Path) -> ProfileChoice | None:
    """Return the profile that a network's sidecar names; None where it has no sidecar.

    A sidecar with the hash of another file is not that of the network. Raises ModelError for a
    profile that does not exist.
    """
    sidecar, name = read_sidecar(model_path), model_path.with_suffix('.json').name
    if sidecar is None or not sidecar.is_of(model_path):
        return None
    try:
        profile = find_profile(sidecar.profile)
        if sidecar.steering_scale_rad is not None:
            profile = replace(profile, steering_scale_rad=sidecar.steering_scale_rad)
        return ProfileChoice(profile, f'from {name}')
    except ValueError as error:
        raise ModelError(f'{name}: {error}') from error


def infer_profile(shape: tuple[int, int, int], origin: Origin) -> tuple[Profile, str]:
    """Return the usual profile of a network with an input of (h, w, 3), and the reason.

    Raises ModelError for an unusual size.
    """
    size = f'it takes {shape[1]} x {shape[0]}'
    if shape[2] != 3:
        raise ModelError(f'{size}, one channel: choose a profile, such as custom:colour=grey')
    inside = 'and brings 0..255 to a small range itself'
    if shape[:2] == (160, 320):
        return find_profile('carnd_raw_rgb'), f'{size}, a whole frame'
    if shape[:2] == (64, 64):
        name = 'ksakmann' if origin.scales_pixels is not False else 'ksakmann:scale=1/255'
        return find_profile(name), size
    if shape[:2] != (66, 200):
        raise ModelError(
            f'{size}, which is not a usual size: choose a profile, '
            'for example custom:rows=60-136,colour=rgb'
        )
    if origin.scales_pixels is None:
        reason = f'{size}; its layers are not known, so it is assumed not to scale pixels itself'
        return find_profile('course'), reason
    if not origin.scales_pixels:
        return find_profile('course'), f'{size} and does not scale pixels itself'
    if origin.is_keras_1:
        reason = f'{size} {inside}, and is of the days of OpenCV before 3.2'
        return find_profile('naoki_legacy_yuv'), reason
    return find_profile('naoki'), f'{size} {inside}'


def complete(profile: Profile, shape: tuple[int, int, int], origin: Origin) -> Profile:
    """Return the profile with size and scale filled in if it leaves them to the network."""
    if profile.size is None and profile.output_shape() != shape:
        profile = replace(profile, size=(shape[1], shape[0]))
    if profile.scale is None:
        profile = replace(profile, scale=1.0 if origin.scales_pixels else 1 / 255)
    return profile
