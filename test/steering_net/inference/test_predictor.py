# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import numpy as np
import pytest

from helpers.lazy import keras
from helpers.paths import SOURCE
from steering_net.errors import ImageError, ModelError
from steering_net.inference import predictor as predictor_module
from steering_net.inference.predictor import (
    KerasPredictor,
    LiteRtPredictor,
    PredictionError,
    default_model,
    load_predictor,
)
from steering_net.model_io import litert_converter as converter
from steering_net.model_io.litert_converter import convert, probe_frames
from steering_net.model_io.metadata import write_origin
from steering_net.training.pilotnet import build_pilotnet
from steering_net.vehicle import RECORDER_STEERING_RAD
from steering_net.vision.profile import PROFILES
from steering_net.vision.view import View

pytestmark = pytest.mark.slow

FRAME = np.full((160, 320, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def convert_here(monkeypatch):
    """Convert in this process, which has TensorFlow anyway, and infer profiles without measuring.

    Another process, and a search for each of these networks, would take seconds.
    """
    monkeypatch.setattr(converter, '_convert_in_subprocess', convert)
    monkeypatch.setattr(predictor_module, 'found_profile', lambda *_: None)


def mean_network(shape=(66, 200, 3), outputs=1, gain=1.0):
    """A network whose output is the gain times the mean of its input."""
    frame = keras.Input(shape)
    mean = keras.layers.GlobalAveragePooling2D()(frame)
    dense = keras.layers.Dense(outputs, use_bias=False)
    model = keras.Model(frame, dense(mean))
    dense.set_weights([np.full((shape[-1], outputs), gain / shape[-1], np.float32)])
    return model


def saved(tmp_path, model, name='net.keras'):
    model.save(tmp_path / name)
    return tmp_path / name


def test_output_is_rad_and_left_positive(tmp_path):
    path = saved(tmp_path, mean_network((160, 320, 3), gain=0.5 / 90))
    for backend in ('litert', 'keras'):
        predictor = load_predictor(path, backend, cache_dir=tmp_path)
        assert predictor.predict(FRAME) == pytest.approx(0.5 * RECORDER_STEERING_RAD, rel=1e-4)


def test_both_backends_agree_on_real_frames(tmp_path):
    path = saved(tmp_path, build_pilotnet(seed=5))
    litert = load_predictor(path, 'litert', cache_dir=tmp_path)
    keras_ = load_predictor(path, 'keras')
    assert isinstance(litert, LiteRtPredictor)
    assert isinstance(keras_, KerasPredictor)
    for frame in probe_frames():
        assert litert.predict(frame) == pytest.approx(keras_.predict(frame), abs=1e-5)


def cropping_network(tmp_path):
    """A network that drops 70 rows above and 25 below, and then sees edges."""
    keras.utils.set_random_seed(3)
    layers = keras.layers
    return saved(
        tmp_path,
        keras.Sequential(
            [
                keras.Input((160, 320, 3)),
                layers.Rescaling(1 / 127.5, -1.0),
                layers.Cropping2D(((70, 25), (0, 0))),
                layers.Conv2D(4, 5, strides=4, activation='elu'),
                layers.Flatten(),
                layers.Dense(1),
            ]
        ),
    )


@pytest.mark.parametrize('backend', ['litert', 'keras'])
def test_rows_that_a_network_crops_do_not_change_its_answer(tmp_path, monkeypatch, backend):
    def convert_and_note(source, target, profile):
        write_origin(target, convert(source, target, profile))

    monkeypatch.setattr(converter, '_convert_in_subprocess', convert_and_note)
    path = cropping_network(tmp_path)
    predictor = load_predictor(path, backend, cache_dir=tmp_path, camera='autonomous')
    answers = [predictor.predict(frame) for frame in probe_frames()]
    made = predictor.view(probe_frames()[0])
    assert made[70:135].all(axis=(1, 2)).any()
    assert not made[:70].any()
    assert not made[135:].any()
    predictor.view = View(predictor.profile, 'autonomous')
    expected = [predictor.predict(frame) for frame in probe_frames()]
    assert np.std(expected) > 1e-3
    assert answers == pytest.approx(expected, abs=1e-4)


def test_the_profile_that_is_asked_for_is_used(tmp_path):
    path = saved(tmp_path, mean_network(gain=1e-3))
    assert load_predictor(path, cache_dir=tmp_path).profile is PROFILES['course']
    naoki = load_predictor(path, profile='naoki', cache_dir=tmp_path)
    assert naoki.profile is PROFILES['naoki']
    # Grey 90 is 90, 128, 128 in YUV.
    assert naoki.predict(FRAME) == pytest.approx(0.346 / 3 * RECORDER_STEERING_RAD, rel=1e-3)


def test_name_and_hash_are_those_of_the_source(tmp_path):
    path = saved(tmp_path, mean_network())
    from_keras, from_litert = (
        load_predictor(path, backend, cache_dir=tmp_path) for backend in ('keras', 'litert')
    )
    assert from_litert.name == from_keras.name == 'net.keras'
    assert from_litert.sha256 == from_keras.sha256


def test_a_prediction_does_not_depend_on_the_one_before(tmp_path):
    predictor = load_predictor(saved(tmp_path, build_pilotnet()), cache_dir=tmp_path)
    first, second, *_ = probe_frames()
    alone = predictor.predict(first)
    assert predictor.predict(second) != alone
    assert predictor.predict(first) == alone


@pytest.mark.parametrize('backend', ['litert', 'keras'])
def test_a_non_finite_output_is_an_error(tmp_path, backend, monkeypatch):
    # Such a network is never converted by itself: its rounding errors are too large.
    monkeypatch.setattr(converter, 'MAX_DIFFERENCE', np.inf)
    path = saved(tmp_path, mean_network(gain=1e38))
    convert(path, path.with_suffix('.tflite'))
    file = path if backend == 'keras' else path.with_suffix('.tflite')
    predictor = load_predictor(file, backend, 'naoki')
    with pytest.raises(PredictionError, match='inf'):
        predictor.predict(np.full_like(FRAME, 255))


def test_a_frame_of_another_size_is_an_image_error(tmp_path):
    path = saved(tmp_path, mean_network((160, 320, 3)))
    predictor = load_predictor(path, cache_dir=tmp_path)
    with pytest.raises(ImageError):
        predictor.predict(FRAME[:100])
    assert predictor.predict(FRAME) != 0


@pytest.mark.parametrize(
    ('model', 'profile', 'message'),
    [
        (lambda: mean_network((32, 32, 3)), None, 'choose a profile, for example'),
        (lambda: mean_network((66, 200, 1)), 'course', 'choose one of the colours grey, red'),
        (lambda: mean_network((66, 200, 2)), None, 'not one frame'),
        (lambda: mean_network(outputs=7), None, 'it must be one number'),
        (lambda: mean_network(), 'ksakmann', 'profile ksakmann makes'),
    ],
    ids=['unknown size', 'grey', 'two channels', 'seven outputs', 'profile'],
)
@pytest.mark.parametrize('backend', ['litert', 'keras'])
def test_a_network_that_does_not_steer_is_refused(tmp_path, backend, model, profile, message):
    path = saved(tmp_path, model())
    with pytest.raises(ModelError, match=message):
        load_predictor(path, backend, profile, cache_dir=tmp_path)


@pytest.mark.parametrize('backend', ['litert', 'keras'])
def test_files_that_are_no_model_are_refused_in_one_line(tmp_path, backend):
    whole = saved(tmp_path, mean_network()).read_bytes()
    (tmp_path / 'short.keras').write_bytes(whole[: len(whole) // 2])
    (tmp_path / 'net.txt').write_text('hello', encoding='utf-8')
    for name in ('none.keras', 'short.keras', 'net.txt', '.'):
        with pytest.raises(ModelError, match=r'^[^\n]+$'):
            load_predictor(tmp_path / name, backend, cache_dir=tmp_path / 'cache')


def test_a_truncated_tflite_is_refused(tmp_path):
    path = tmp_path / 'net.tflite'
    convert(saved(tmp_path, mean_network()), path)
    whole = path.read_bytes()
    for length in (0, 3, len(whole) // 2):
        path.write_bytes(whole[:length])
        with pytest.raises(
            ModelError, match=r'^net\.tflite (is not a LiteRT model|cannot be loaded: its content)'
        ):
            load_predictor(path)


def test_unknown_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match='unknown backend'):
        load_predictor(tmp_path, 'torch')
    with pytest.raises(ValueError, match='unknown profile'):
        load_predictor(tmp_path, profile='coarse')


def run_python(code, *words, **environment):
    return subprocess.run(
        [sys.executable, '-c', code, *map(str, words)],
        env=os.environ | {'PYTHONPATH': str(SOURCE)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )


DRIVE = """
import sys
from steering_net.model_io.litert_converter import probe_frames
from steering_net.inference.predictor import load_predictor
predictor = load_predictor(sys.argv[1], profile='course')
print(*(predictor.predict(frame) for frame in probe_frames()))
assert not {'tensorflow', 'keras'} & set(sys.modules)
"""


def test_driving_with_a_cached_model_never_imports_tensorflow(tmp_path):
    path = saved(tmp_path, build_pilotnet())
    for _ in range(2):
        result = run_python(DRIVE, path, XDG_CACHE_HOME=str(tmp_path))
        assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob('sim_bridge/*.tflite'))) == 1


def test_the_default_network_needs_no_cache_and_no_tensorflow(tmp_path):
    result = run_python(DRIVE, 'default', XDG_CACHE_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    assert not list(tmp_path.iterdir())
    assert len(set(result.stdout.split())) == 4


def test_the_default_network_is_one_and_the_same_in_both_files():
    litert, keras_ = load_predictor(), load_predictor(backend='keras')
    assert litert.sha256 == keras_.sha256
    for frame in probe_frames():
        # The LiteRT file has weights of 8 bits.
        assert litert.predict(frame) == pytest.approx(keras_.predict(frame), abs=5e-3)
    for suffix in ('.keras', '.tflite', '.json', '.md'):
        assert default_model().with_suffix(suffix).is_file()


def test_tensorflow_stands_in_where_litert_is_not_installed():
    code = (
        'import sys; sys.modules["ai_edge_litert.interpreter"] = None\n'
        'from steering_net.inference.predictor import load_predictor\n'
        'from steering_net.model_io.litert_converter import probe_frames\n'
        'print(load_predictor().predict(probe_frames()[0])); assert "tensorflow" in sys.modules'
    )
    result = run_python(code)
    assert result.returncode == 0, result.stderr
    expected = load_predictor().predict(probe_frames()[0])
    assert float(result.stdout) == pytest.approx(expected, abs=1e-5)


def test_batch_answers_each_frame_as_it_would_be_answered_alone(tmp_path):
    predictor = KerasPredictor(saved(tmp_path, build_pilotnet(seed=5)))
    frames = probe_frames() * 9  # More than the largest batch, and no round number.
    answers = predictor.predict_batch(frames)
    expected = [predictor.predict(frame) for frame in probe_frames()] * 9
    assert answers == pytest.approx(expected, abs=1e-5)
    assert predictor.predict_batch([]) == []


def test_bad_frame_in_a_batch_spoils_no_other(tmp_path):
    predictor = load_predictor(saved(tmp_path, mean_network(gain=1e38)), 'keras', 'naoki')
    first, refused, last = predictor.predict_batch([FRAME, FRAME[:20], FRAME])
    assert isinstance(refused, ImageError)
    assert {type(first), type(last)} == {PredictionError}
