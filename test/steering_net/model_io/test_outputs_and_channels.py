# SPDX-License-Identifier: Apache-2.0
"""Networks with one channel, with several outputs, and with probabilities of angles."""

import json

import numpy as np
import pytest

from helpers.lazy import keras
from helpers.lazy import layers as L
from steering_net.errors import ModelError
from steering_net.inference.predictor import LiteRtPredictor
from steering_net.model_io.litert_converter import convert
from steering_net.model_io.reader import load_keras, read_network
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.colours import COLOURS, channels, converted
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import find_profile

pytestmark = pytest.mark.slow
SHAPE = (4, 6, 3)


def saved(path, *heads):
    """A network whose heads see the same mean of each channel, and that mean."""
    frame = keras.Input(SHAPE)
    mean = L.GlobalAveragePooling2D()(frame)
    model = keras.Model(frame, [head(mean) for head in heads])
    model.save(path)
    return model


def answers(path, output=''):
    frames = np.random.default_rng(2).random((3, *SHAPE), np.float32)
    return frames, np.asarray(read_network(path, output=output).model(frames))


@pytest.mark.parametrize(
    ('output', 'column'),
    [('', 0), ('0', 0), ('1', 1), ('out', 0)],
)
def test_steering_is_the_first_of_two_numbers_or_the_one_that_is_asked_for(
    tmp_path, output, column
):
    model = saved(tmp_path / 'net.keras', L.Dense(2, name='out'))
    frames, found = answers(tmp_path / 'net.keras', output)
    assert found.shape == (3, 1)
    np.testing.assert_allclose(found[:, 0], model(frames)[:, column], rtol=1e-5)


@pytest.mark.parametrize(
    ('names', 'output', 'head'),
    [
        (('first', 'second'), '', 0),
        (('first', 'second'), 'second', 1),
        (('first', 'second'), '1', 1),
        (('throttle_out', 'angle_out'), '', 1),
        (('n_outputs0', 'n_outputs1'), '', 0),
    ],
)
def test_steering_is_one_of_two_heads(tmp_path, names, output, head):
    path = tmp_path / ('net.h5' if output else 'net.keras')
    model = saved(path, *(L.Dense(1, name=name) for name in names))
    frames, found = answers(path, output)
    np.testing.assert_allclose(found, model(frames)[head], rtol=1e-5)


def test_probabilities_of_angles_become_their_mean(tmp_path):
    saved(
        tmp_path / 'net.h5',
        L.Dense(15, activation='softmax', name='angle_out'),
        L.Dense(20, activation='softmax', name='throttle_out'),
    )
    model = load_keras(tmp_path / 'net.h5')
    frame = keras.Input((15,))
    last = model.layers[-1]
    steps = keras.Model(frame, last(frame))
    for place, angle in ((0, -1.0), (7, 0.0), (14, 1.0)):
        probable = np.eye(15, dtype=np.float32)[None, place]
        assert float(steps(probable)[0, 0]) == pytest.approx(angle, abs=1e-6)


@pytest.mark.parametrize(
    ('heads', 'output', 'message'),
    [
        ({'many': 7}, '', 'many of 7 values; .* choose one with .*--output NUMBER'),
        ({'a': 1, 'b': 1}, 'c', 'has no output c; it has a, b'),
        ({'a': 2}, '2', 'has 2 values, none with the number 2'),
    ],
)
def test_a_refusal_names_the_way_out(tmp_path, heads, output, message):
    saved(tmp_path / 'net.keras', *(L.Dense(size, name=name) for name, size in heads.items()))
    with pytest.raises(ModelError, match=message):
        read_network(tmp_path / 'net.keras', output=output)


def test_two_inputs_are_refused(tmp_path):
    frame, speed = keras.Input(SHAPE), keras.Input((1,))
    both = L.Concatenate()([L.Flatten()(frame), speed])
    keras.Model([frame, speed], L.Dense(1)(both)).save(tmp_path / 'net.keras')
    with pytest.raises(ModelError, match='has 2 inputs'):
        load_keras(tmp_path / 'net.keras')


def test_a_network_of_two_outputs_is_converted_and_read_again(tmp_path):
    model = saved(tmp_path / 'net.keras', L.Dense(1, name='throttle'), L.Dense(2, name='steering'))
    convert(tmp_path / 'net.keras', tmp_path / 'net.tflite', keras_target=tmp_path / 'clean.keras')
    frames, found = answers(tmp_path / 'clean.keras')
    np.testing.assert_allclose(found[:, 0], model(frames)[1][:, 0], rtol=1e-5)


def test_saturation_of_the_network_of_63_parameters(tmp_path):
    """The layers of that network, as Keras 1 describes them, and weights in a second file."""
    rng = np.random.default_rng(6)
    clean = keras.Sequential(
        [
            keras.Input((16, 32, 1)),
            L.Rescaling(1 / 127.5, -1.0, name='lambda_5'),
            L.Conv2D(2, 3, activation='relu', name='convolution2d_5'),
            L.MaxPooling2D(4, name='maxpooling2d_5'),
            L.Dropout(0.25, name='dropout_5'),
            L.Flatten(name='flatten_5'),
            L.Dense(1, name='dense_5'),
        ]
    )
    clean.set_weights([rng.normal(size=w.shape) for w in clean.get_weights()])
    clean.save(tmp_path / 'net.keras')
    convert(tmp_path / 'net.keras', tmp_path / 'net.tflite')
    profile = find_profile('custom:colour=saturation,size=32x16,scale=1')
    frame = rng.integers(0, 256, (160, 320, 3), np.uint8)
    predictor = LiteRtPredictor(tmp_path / 'net.tflite', profile)
    seen = preprocess(frame, profile)
    assert seen.shape == (16, 32, 1)
    expected = float(clean(seen[None])[0, 0]) * RECORDER_STEERING_RAD
    assert predictor.predict(frame) == pytest.approx(expected, rel=1e-4)
    assert clean.count_params() == 63
    assert json.loads(clean.to_json())['class_name'] == 'Sequential'
    # Turned to another camera, the one channel takes the same steps.
    turned = LiteRtPredictor(tmp_path / 'net.tflite', profile, camera='autonomous')
    assert turned.view.turns
    assert np.isfinite(turned.predict(frame))


@pytest.mark.parametrize('colour', COLOURS)
def test_each_colour_has_its_channels(colour):
    red = np.full((2, 3, 3), (200, 100, 50), np.uint8)
    image = converted(red, colour)
    assert image.shape == ((2, 3, 3) if channels(colour) == 3 else (2, 3))
    expected = {'red': 200, 'green': 100, 'blue': 50, 'value': 200, 'saturation': 191, 'hue': 10}
    if colour in expected:
        assert image[0, 0] == expected[colour]
