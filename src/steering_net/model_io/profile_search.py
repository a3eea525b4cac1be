# SPDX-License-Identifier: Apache-2.0
"""Search for a network's profile: its outputs on frames with known labels are measured.

A network that gets frames as in its training steers much like the expert. With other crops,
colours or scales its outputs have little to do with the road. The score of a profile is the
correlation of outputs and labels, the mean over the looks of the frames.
"""

import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from steering_net.errors import ModelError
from steering_net.model_io.labelled_frames import LabelledFrames, labelled_frames
from steering_net.statistics import correlation
from steering_net.vision.colours import colours_of
from steering_net.vision.frame_size import FRAME_HEIGHT, FRAME_WIDTH
from steering_net.vision.preprocessing import Tensor, preprocess
from steering_net.vision.profile import PROFILES, Profile, find_profile, format_profile

Predict = Callable[[Tensor], float]
"""A network: from a frame, float32 (h, w, c), to its output."""

CLEAR = 0.65
"""An inferred profile with this score is taken without a search."""

POOR = 0.5
"""A profile with a lower score does not steer."""

_CONVINCING, _FAR_AHEAD = 0.8, 0.5
"""A profile with a lower score, or a smaller lead, that replaces the inferred one is uncertain."""

_AHEAD = 0.25
"""Another profile replaces an inferred one that is neither clear nor poor with this lead."""

_CLOSE = 0.05
"""Two profiles whose scores differ by less cannot be told apart."""

_CLOSE_TO_UNUSUAL = 0.15
"""The same if the better one has colours that few networks take."""

_LIKE_ROWS = 0.75
"""Two crops with a smaller share of their rows in common are different ones."""

_GAINS = (0.03, 5.0)
"""Range of the slope of outputs over labels; a network that steers has about 1."""

_ODD_BIAS, _MOST_BIAS_RAD = 0.05, 0.1
_ODD_GAIN, _MOST_DOUBLINGS = 0.02, 2.0
"""Subtracted from the score when outputs lean to one side, or are too small or too large."""

_USUAL_ROWS, _ODD_ROW = 75, 0.0003
"""Subtracted for each row of a crop above 75, because most networks do not see the sky."""

_ROWS = (
    (60, 135), (60, 140), (70, 136), (50, 140), (55, 135), (40, 140), (50, 130), (70, 140),
    (60, 160), (30, 135), (20, 140),
)  # fmt: skip
_BOTTOMS = (135, 140, 136, 130, 145, 150, 160)
_COLUMNS = (None, (20, 300))
_SCALES = ((1 / 255, 0.0), (1 / 127.5, -1.0), (1 / 255, -0.5), (1.0, 0.0))
_INTERPOLATIONS: tuple[Literal['area', 'nearest'], ...] = ('area', 'nearest')
_FIRST_STEP, _SECOND_STEP = 4, 2
"""The first round uses every 4th frame, the second every 2nd, the last all."""

_VARIED, _LEAST_VARIED, _FINALISTS = 6, 4, 8
"""One of so many profiles is varied after the first round, 4 at least; the last round has 8."""

_SLOW_S, _TOO_SLOW_S = 0.01, 0.025
"""Processor time for a frame of a network that is measured on every other frame, and of one that
is not searched, because a search would reach the time limit of its process."""


@dataclass(frozen=True)
class Candidate:
    """A profile, its score -1..1, and slope and mean (rad) of its outputs over the labels."""

    profile: Profile
    score: float
    gain: float
    bias_rad: float

    @property
    def rank(self) -> float:
        """The score, less a little for unusual steps and outputs.

        With equal scores the usual profile is right, and the one whose outputs are those of a car
        that turns as much as the road does, and to both sides alike.
        """
        odd = _oddity(self.profile) + _ODD_BIAS * min(1.0, abs(self.bias_rad) / _MOST_BIAS_RAD)
        if self.gain > 0.0:
            odd += _ODD_GAIN * min(_MOST_DOUBLINGS, abs(math.log2(self.gain)))
        return self.score - odd

    def __str__(self) -> str:
        """Return a line for people."""
        return f'{self.score:5.2f}  gain {self.gain:5.2f}  {described(self.profile)}'


@dataclass(frozen=True)
class FoundProfile:
    """The profile of a network as it was measured.

    `candidates` are the best ones of a search, and `doubt` says why the profile may be wrong, ''
    without doubt.
    """

    profile: Profile
    reason: str
    doubt: str = ''
    candidates: tuple[Candidate, ...] = ()

    def to_json(self) -> str:
        """Return it as JSON, with profiles as texts."""
        return json.dumps(
            asdict(self)
            | {
                'profile': format_profile(self.profile),
                'candidates': [
                    asdict(candidate) | {'profile': format_profile(candidate.profile)}
                    for candidate in self.candidates
                ],
            },
            indent=2,
        )

    @classmethod
    def from_json(cls, text: str) -> 'FoundProfile':
        """Return what `to_json` wrote; one of READ_ERRORS for other text."""
        fields = json.loads(text)
        candidates = tuple(
            Candidate(
                find_profile(candidate['profile']),
                *(float(candidate[key]) for key in ('score', 'gain', 'bias_rad')),
            )
            for candidate in fields['candidates']
        )
        profile = find_profile(fields['profile'])
        return cls(profile, str(fields['reason']), str(fields['doubt']), candidates)


def find(
    predict: Predict,
    shape: tuple[int, int, int],
    scales_pixels: bool | None,
    guess: Profile | None,
    search: bool = False,
    clock: Callable[[], float] = time.process_time,
) -> FoundProfile:
    """Return the profile of a network with an input of `shape` (h, w, c).

    `guess` is the inferred profile, None if there is none. If its score is clear, it is taken
    without a search, unless `search` asks for one. `scales_pixels` is whether the layers scale
    0..255 to a small range. `clock` returns the processor time in s. Raises ModelError for a
    network that is too slow for a search that it needs.
    """
    empty = np.zeros(shape, np.float32)
    # The first time takes longer.
    predict(empty)
    start = clock()
    predict(empty)
    frame_s = clock() - start
    # No fewer frames, because the first round needs several of each look.
    frames = labelled_frames().part(2 if frame_s >= _SLOW_S else 1)
    guessed = _measured(predict, guess, frames) if guess is not None else None
    if guessed is not None and guessed.score >= CLEAR and not search:
        return FoundProfile(guessed.profile, _reason_alone(guessed))
    if frame_s >= _TOO_SLOW_S:
        return _without_search(guessed if not search else None, frame_s)
    profiles = list(_profiles(shape, scales_pixels))
    best = _searched(predict, profiles, frames)
    if guessed is not None:
        best = sorted({guessed, *best}, key=lambda c: -c.rank)
    chosen = best[0]
    is_poor = chosen.score < POOR
    if guessed is not None and (
        is_poor or (guessed.score >= POOR and chosen.score < guessed.score + _AHEAD)
    ):
        chosen = guessed
    others = [c for c in best if c.profile != chosen.profile]
    tried = len(profiles)
    reason = f'score {chosen.score:.2f}, the best of {tried} by a search'
    if chosen is guessed:
        reason = f'score {chosen.score:.2f}, kept after a search of {tried}'
    doubt = _doubt(chosen, guessed, others, tried)
    return FoundProfile(chosen.profile, reason, doubt, tuple(best))


def _without_search(guessed: Candidate | None, frame_s: float) -> FoundProfile:
    """Return the inferred profile; ModelError if there is none, or if it is not wanted."""
    slow = f'the network takes {frame_s * 1e3:.0f} ms for a frame, too long for a search'
    if guessed is None:
        raise ModelError(slow)
    doubt = f'profile uncertain: score {guessed.score:.2f}; {slow}; give --profile'
    return FoundProfile(guessed.profile, _reason_alone(guessed), doubt)


def _reason_alone(guessed: Candidate) -> str:
    return f'score {guessed.score:.2f} on frames with known labels'


def _doubt(
    chosen: Candidate, guessed: Candidate | None, others: Sequence[Candidate], tried: int
) -> str:
    if chosen.score < POOR:
        best = max(candidate.score for candidate in (chosen, *others))
        return (
            f'profile uncertain: best score {best:.2f} of {tried}; give --profile, or the '
            'network steers poorly'
        )
    if (
        guessed is not None
        and chosen is not guessed
        and chosen.score < max(_CONVINCING, guessed.score + _FAR_AHEAD)
    ):
        return (
            f'profile uncertain: score {chosen.score:.2f}; {described(guessed.profile)} is usual '
            f'for its size, but scores {guessed.score:.2f}; give --profile if it drives badly'
        )
    close = _CLOSE if chosen.profile.colour not in _UNUSUAL_COLOURS else _CLOSE_TO_UNUSUAL
    rival = next((c for c in others if _is_another(c.profile, chosen.profile)), None)
    if rival is not None and rival.score > chosen.score - close:
        return (
            f'profile uncertain: score {chosen.score:.2f}, but {rival.score:.2f} with '
            f'{described(rival.profile)}; give --profile if it drives badly'
        )
    return ''


def _is_another(one: Profile, other: Profile) -> bool:
    """Whether two profiles have other colours, or crops with few rows in common."""
    (top, bottom), (first, last) = (p.rows or (0, FRAME_HEIGHT) for p in (one, other))
    shared = max(0, min(bottom, last) - max(top, first))
    either = max(bottom, last) - min(top, first)
    return one.colour != other.colour or shared < _LIKE_ROWS * either


def _searched(
    predict: Predict, profiles: Sequence[Profile], frames: LabelledFrames
) -> list[Candidate]:
    """Return the best candidates, measured on all frames; most are measured on a part only."""
    part = frames.part(_FIRST_STEP)
    first = _ranked(predict, profiles, part)
    if first[0].score <= 0.0:
        # It may take another range of values, in which all its outputs are alike.
        whole = [replace(p, scale=1.0, offset=0.0) for p in profiles if p.scale != 1.0]
        first = _ranked(predict, whole, part) or first
    if first[0].score <= 0.0:
        # No profile makes it steer, so their variants would not either.
        return first[:_FINALISTS]
    best = first[: max(_LEAST_VARIED, len(first) // _VARIED)]
    varied = [other for candidate in best for other in _variants(candidate.profile)]
    second = _ranked(predict, varied, frames.part(_SECOND_STEP))
    return _ranked(predict, [candidate.profile for candidate in second[:_FINALISTS]], frames)


def _ranked(
    predict: Predict, profiles: Iterable[Profile], frames: LabelledFrames
) -> list[Candidate]:
    measured = (_measured(predict, profile, frames) for profile in profiles)
    return sorted(measured, key=lambda candidate: -candidate.rank)


def _measured(predict: Predict, profile: Profile, frames: LabelledFrames) -> Candidate:
    outputs = np.array([predict(preprocess(frame, profile)) for frame in frames.frames])
    outputs_rad = outputs * profile.steering_scale_rad
    return Candidate(profile, *_score(outputs_rad, frames))


def _score(outputs_rad: NDArray[np.float64], frames: LabelledFrames) -> tuple[float, float, float]:
    """Return score, gain and bias; all 0 for outputs that are constant, or that are no numbers."""
    labels = frames.steering_rad
    if not np.isfinite(outputs_rad).all() or np.ptp(outputs_rad) < 1e-6:
        return 0.0, 0.0, 0.0
    gain, bias_rad = map(float, np.polyfit(labels, outputs_rad, 1))
    if not _GAINS[0] <= abs(gain) <= _GAINS[1]:
        return 0.0, gain, bias_rad
    looks = [frames.looks == look for look in np.unique(frames.looks)]
    score = float(np.mean([correlation(outputs_rad[k], labels[k]) or 0.0 for k in looks]))
    return score, gain, bias_rad


def _profiles(shape: tuple[int, int, int], scales_pixels: bool | None) -> Iterator[Profile]:
    """Yield all combinations of crops and colours that fit an input of (h, w, c)."""
    height, width, count = shape
    scale, offset = (1.0, 0.0) if scales_pixels else _SCALES[0]
    for rows, columns in _crops(height, width):
        for colour in colours_of(count):
            yield Profile(
                'custom', rows, columns, colour, 0, (width, height), scale=scale, offset=offset
            )


def _crops(
    height: int, width: int
) -> Iterator[tuple[tuple[int, int] | None, tuple[int, int] | None]]:
    yield None, None
    if (height, width) == (FRAME_HEIGHT, FRAME_WIDTH):
        return
    if width == FRAME_WIDTH and height < FRAME_HEIGHT:
        # Nothing was resized, so the height is that of the crop.
        yield from (((last - height, last), None) for last in _BOTTOMS if last >= height)
        return
    yield None, _COLUMNS[1]
    yield from ((rows, columns) for rows in _ROWS for columns in _COLUMNS)


def _variants(profile: Profile) -> Iterator[Profile]:
    """Yield the profile with other scales, blurs and interpolations."""
    yield profile
    if profile.scale != 1.0:
        yield from (replace(profile, scale=s, offset=offset) for s, offset in _SCALES[1:])
    if profile.output_shape() != replace(profile, size=None).output_shape():
        yield from (replace(profile, interpolation=name) for name in _INTERPOLATIONS)
    yield replace(profile, blur=3)


_USUAL_COLOURS = ('rgb', 'yuv', 'grey')
_UNUSUAL_COLOURS = ('hsv', 'hls', 'hue')


def _oddity(profile: Profile) -> float:
    """Return how unusual a profile is, as a part of its score."""
    odd = 0.01 * (profile.colour not in _USUAL_COLOURS)
    odd += 0.01 * (profile.colour in _UNUSUAL_COLOURS)
    odd += 0.01 * (profile.columns is not None)
    odd += 0.01 * (profile.rows not in _ROWS[:2])
    top, bottom = profile.rows or (0, FRAME_HEIGHT)
    odd += _ODD_ROW * max(0, bottom - top - _USUAL_ROWS)
    odd += 0.02 * (profile.interpolation != 'linear') + 0.02 * (profile.blur > 0)
    return odd + 0.02 * (profile.offset != 0.0)


def described(profile: Profile) -> str:
    """Return the name of a known profile, or the steps that differ from `custom`."""
    known = next(
        (name for name, other in PROFILES.items() if replace(other, name=profile.name) == profile),
        '',
    )
    if known:
        return known
    fields, usual = (
        format_profile(replace(whole, name='whole')).partition(':')[2].split(',')
        for whole in (profile, PROFILES['custom'])
    )
    return 'custom:' + ','.join(field for field in fields if field not in usual)
