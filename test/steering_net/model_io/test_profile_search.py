# SPDX-License-Identifier: Apache-2.0
"""A profile is found by measuring a network, here a matrix that was fitted to the same frames."""

import math
import re

import numpy as np
import pytest

from steering_net.errors import ModelError
from steering_net.model_io.found_profile import found_profile
from steering_net.model_io.labelled_frames import labelled_frames
from steering_net.model_io.profile_search import (
    Candidate,
    FoundProfile,
    _doubt,
    _profiles,
    described,
    find,
)
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import Profile, find_profile

SHAPE = (8, 16, 3)


def fitted(profile):
    """A network that steers as the expert does on frames with this profile, and a count."""
    labelled = labelled_frames()
    inputs = np.stack([preprocess(frame, profile).ravel() for frame in labelled.frames])
    mean = inputs.mean(axis=0)
    centred = inputs - mean
    kernel = centred @ centred.T + 1e-3 * np.trace(centred @ centred.T) * np.eye(len(inputs)) / 96
    labels = labelled.steering_rad / profile.steering_scale_rad
    weights = centred.T @ np.linalg.solve(kernel, labels)
    calls = []

    def predict(frame):
        calls.append(1)
        return float((frame.ravel() - mean) @ weights)

    return predict, calls


def profile(text, size='16x8'):
    return find_profile(f'custom:size={size},{text}')


def test_the_frames_are_of_three_looks_and_as_many_of_each_in_every_part():
    for labelled in (labelled_frames(), labelled_frames().part(4)):
        assert {frame.shape for frame in labelled.frames} == {(160, 320, 3)}
        looks, counts = np.unique(labelled.looks, return_counts=True)
        assert list(looks) == ['flat', 'jungle', 'lake']
        assert len(set(counts)) == 1
        assert len(labelled.steering_rad) == len(labelled.frames)
    steering = labelled_frames().steering_rad
    assert np.abs(steering).max() < 0.44
    assert min(steering) < -0.1 < 0.1 < max(steering)


@pytest.mark.slow
@pytest.mark.parametrize(
    ('right', 'shape', 'fields'),
    [
        (
            'rows=40-140,columns=20-300,colour=hsv,scale=1/127.5,offset=-1',
            SHAPE,
            ('rows', 'columns', 'colour', 'offset'),
        ),
        ('rows=60-135,colour=saturation,scale=1/255', (8, 16, 1), ('colour', 'scale')),
    ],
)
def test_crop_colours_and_scale_are_found(right, shape, fields):
    wanted = profile(right)
    predict, _ = fitted(wanted)
    guess = profile('rows=all,colour=bgr,scale=1/255') if shape[2] == 3 else None
    found = find(predict, shape, False, guess)
    for field in fields:
        assert getattr(found.profile, field) == getattr(wanted, field), described(found.profile)
    assert len(found.candidates) > 4
    assert found.candidates[0].score > 0.9


def test_a_crop_without_resizing_is_found_by_its_height():
    wanted = Profile('custom', (128, 150), None, 'green', 0, (320, 22), scale=1.0)
    predict, _ = fitted(wanted)
    found = find(predict, (22, 320, 1), True, None)
    assert found.profile.rows == (128, 150)
    assert (found.profile.colour, found.profile.scale) == ('green', 1.0)


@pytest.mark.slow
def test_a_good_guess_is_taken_without_a_search_unless_one_is_asked_for():
    guess = profile('rows=60-135,scale=1/255')
    predict, calls = fitted(guess)
    found = find(predict, SHAPE, False, guess)
    assert found.profile == guess
    assert (found.candidates, found.doubt) == ((), '')
    assert len(calls) == len(labelled_frames().frames) + 2
    searched = find(predict, SHAPE, False, guess, search=True)
    assert searched.profile.rows == guess.rows
    assert len(searched.candidates) > 4


def test_a_network_that_does_not_steer_keeps_its_guess_and_is_called_uncertain():
    guess = profile('rows=60-135,scale=1/255')
    found = find(lambda frame: 0.1, SHAPE, False, guess)
    assert found.profile == guess
    tried = len(list(_profiles(SHAPE, False)))
    assert found.doubt == (
        f'profile uncertain: best score 0.00 of {tried}; give --profile, or the network steers '
        'poorly'
    )


def test_outputs_that_are_no_numbers_have_no_score():
    found = find(lambda frame: float('nan'), SHAPE, False, None)
    assert isinstance(found, FoundProfile)
    assert {candidate.score for candidate in found.candidates} == {0.0}


def test_colours_that_cannot_be_told_apart_are_a_doubt():
    wanted = profile('rows=60-135,colour=grey,scale=1/255')
    grey, _ = fitted(wanted)
    # Its three channels are treated alike, so RGB and BGR are the same to it.
    found = find(lambda frame: grey(frame.mean(axis=2)), SHAPE, False, None)
    assert found.doubt.startswith('profile uncertain: score 0.9')
    assert 'give --profile if it drives badly' in found.doubt


@pytest.mark.parametrize(
    ('best', 'other', 'score', 'is_doubtful'),
    [
        ('rows=60-135', 'rows=all', 0.88, True),
        ('rows=60-135', 'rows=all', 0.80, False),
        ('rows=60-135', 'rows=60-140', 0.88, False),
        ('rows=60-135', 'rows=60-135,blur=3', 0.88, False),
        ('rows=60-135', 'rows=60-135,colour=bgr', 0.80, False),
        # Few networks take these colours.
        ('colour=hsv', 'colour=bgr', 0.80, True),
        ('colour=hsv', 'colour=bgr', 0.70, False),
    ],
)
def test_another_crop_or_colour_with_nearly_the_same_score_is_a_doubt(
    best, other, score, is_doubtful
):
    chosen, rival = (
        Candidate(profile(text), s, 1.0, 0.0) for text, s in ((best, 0.9), (other, score))
    )
    doubt = _doubt(chosen, None, [rival], 144)
    assert bool(doubt) == is_doubtful
    if is_doubtful:
        assert f'score 0.90, but {score:.2f} with custom:' in doubt


@pytest.mark.parametrize(
    ('score', 'usual_score', 'is_doubtful'),
    [(0.9, 0.3, False), (0.9, 0.45, True), (0.7, 0.0, True)],
)
def test_the_usual_profile_is_named_unless_another_one_is_far_ahead(
    score, usual_score, is_doubtful
):
    chosen = Candidate(profile('rows=all,colour=yuv'), score, 1.0, 0.0)
    usual = Candidate(find_profile('course'), usual_score, 1.0, 0.0)
    doubt = _doubt(chosen, usual, [usual], 144)
    assert ('course is usual for its size' in doubt) == is_doubtful


@pytest.mark.slow
def test_a_moderate_score_in_place_of_the_usual_profile_is_a_doubt():
    right, _ = fitted(profile('rows=70-140,colour=hsv,scale=1/255'))
    usual = find_profile('ksakmann:size=16x8,scale=1/255')

    def noisy(frame):
        return right(frame) + 0.6 * math.sin(1e4 * float(frame.sum()))

    sure, doubtful = (find(net, SHAPE, False, usual) for net in (right, noisy))
    assert (sure.profile.colour, sure.doubt) == ('hsv', '')
    assert doubtful.profile.colour == 'hsv'
    assert 0.5 <= doubtful.candidates[0].score < 0.8
    assert 'is usual for its size, but scores ' in doubtful.doubt


@pytest.mark.parametrize('seconds', [0.02, 5.0])
def test_a_slow_network_is_measured_on_fewer_frames(seconds):
    guess = profile('rows=60-135,scale=1/255')
    predict, calls = fitted(guess)
    times = iter([0.0, seconds])
    find(predict, SHAPE, False, guess, clock=lambda: next(times))
    assert len(calls) == len(labelled_frames().frames) // 2 + 2


def test_a_slow_network_is_searched_with_several_frames_of_each_look():
    wanted = profile('rows=60-140,colour=rgb,scale=1/255')
    predict, _ = fitted(wanted)
    times = iter([0.0, 0.024])
    found = find(predict, SHAPE, False, None, clock=lambda: next(times))
    assert (found.profile.rows, found.profile.colour) == ((60, 140), 'rgb')


def test_a_network_that_is_too_slow_for_a_search_keeps_its_guess():
    predict, _ = fitted(profile('rows=60-140,colour=hsv,scale=1/127.5,offset=-1'))
    guess = profile('rows=all,colour=bgr,scale=1/255')
    times = iter([0.0, 0.2, 0.0, 0.2, 0.0, 0.2])
    found = find(predict, SHAPE, False, guess, clock=lambda: next(times))
    assert found.profile == guess
    assert '200 ms for a frame, too long for a search' in found.doubt
    for inferred, search in ((None, False), (guess, True)):
        with pytest.raises(ModelError, match='200 ms for a frame, too long'):
            find(predict, SHAPE, False, inferred, search, clock=lambda: next(times))


def test_a_network_that_takes_0_to_255_is_found_where_its_layers_are_unknown():
    wanted = profile('rows=60-140,colour=rgb,scale=1')
    predict, _ = fitted(wanted)
    found = find(predict, SHAPE, None, None)
    assert (found.profile.rows, found.profile.scale) == ((60, 140), 1.0)
    assert found.candidates[0].score > 0.9


# Folder, the colour that the network's owner uses, and the least score.
PUBLIC = {
    'bobondemon__behavioral-cloning': ('rgb', 0.9),
    'kkufieta__CarND-BehavioralCloning': ('rgb', 0.7),
    'wkhattak__Behavioural-Cloning': ('rgb', 0.75),
}


@pytest.mark.faults
@pytest.mark.parametrize('folder', PUBLIC)
def test_public_networks_find_colours_with_which_they_steer(tmp_path, shared_data, folder):
    colour, score = PUBLIC[folder]
    path = shared_data / 'models_more' / folder / 'model.h5'
    found = found_profile(path, tmp_path)
    assert found.profile.colour == colour
    assert float(re.search(r'score (\d\.\d+)', found.reason)[1]) >= score
    assert 'the best of 144 by a search' in found.reason
    kept = found_profile(path, tmp_path)
    assert kept == found
