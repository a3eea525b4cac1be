# SPDX-License-Identifier: Apache-2.0
"""The profile of a network without a sidecar is measured once, and kept in the cache."""

import json

import pytest

from helpers.lazy import keras
from steering_net.errors import ModelError
from steering_net.inference import hot_reload
from steering_net.inference.predictor import load_predictor
from steering_net.model_io import found_profile as module
from steering_net.model_io import litert_converter
from steering_net.model_io.files import sha256_of
from steering_net.model_io.found_profile import found_profile, main, prepare
from steering_net.model_io.litert_converter import convert
from steering_net.model_io.metadata import write_origin
from steering_net.model_io.model_config import Sidecar, write_sidecar
from steering_net.model_io.profile_search import Candidate, FoundProfile
from steering_net.vision.profile import find_profile, format_profile

pytestmark = pytest.mark.slow

FOUND = find_profile('custom:rows=60-140,columns=all,colour=bgr,blur=0,size=16x8')

TEXT = format_profile(FOUND)


@pytest.fixture
def network(tmp_path):
    """A network of an unusual size, whose output is the mean of the frame."""
    frame = keras.Input((8, 16, 3))
    mean = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(frame))
    keras.Model(frame, mean).save(tmp_path / 'net.keras')
    return tmp_path / 'net.keras'


@pytest.fixture
def asked(monkeypatch):
    """The searches that were asked for; networks are converted here, as in other tests."""
    searches = []

    def measure(_litert, search, _name):
        searches.append(search)
        return FoundProfile(FOUND, 'score 0.90, the best of 144 by a search', 'some doubt', ())

    def convert_here(source, target, profile):
        write_origin(target, convert(source, target, profile))

    monkeypatch.setattr(module, 'measure', measure)
    monkeypatch.setattr(litert_converter, '_convert_in_subprocess', convert_here)
    return searches


def test_a_network_is_measured_once_and_again_only_for_a_search(network, tmp_path, asked):
    for _ in range(2):
        assert format_profile(found_profile(network, tmp_path / 'cache').profile) == TEXT
    assert asked == [False]
    for _ in range(2):
        found_profile(network, tmp_path / 'cache', 'search')
    assert asked == [False, True]


def test_a_profile_that_is_given_or_in_the_sidecar_is_not_measured(network, tmp_path, asked):
    assert found_profile(network, tmp_path / 'cache', 'custom:colour=bgr') is None
    write_sidecar(network, Sidecar('custom:colour=bgr', sha256_of(network), -0.4))
    assert found_profile(network, tmp_path / 'cache') is None
    assert asked == []
    found_profile(network, tmp_path / 'cache', 'search')
    assert asked == [True]


@pytest.mark.parametrize('backend', ['litert', 'keras'])
def test_both_backends_drive_with_the_measured_profile(network, tmp_path, asked, backend):
    profile = load_predictor(network, backend, cache_dir=tmp_path / 'cache').profile
    assert (profile.rows, profile.colour, profile.size) == ((60, 140), 'bgr', (16, 8))
    hot_reload.check(hot_reload.Request(str(network), 'search'))


def test_the_lines_for_people_have_origin_profile_and_doubt(network, tmp_path, asked):
    first, doubt = prepare(network, '', tmp_path / 'cache')
    assert first.startswith('net.keras, saved by Keras 3')
    assert 'profile custom:rows=60-140,colour=bgr,size=16x8, score 0.90, the best' in first
    assert doubt == 'some doubt'
    (line,) = prepare(network, 'custom:colour=bgr', tmp_path / 'cache')
    assert line.endswith(', as given')


def test_a_sidecar_of_the_network_before_is_told_and_not_used(network, tmp_path, asked):
    write_sidecar(network, Sidecar('custom:colour=bgr', '0' * 64, -0.4))
    first, _, told = prepare(network, '', tmp_path / 'cache')
    assert f'profile {TEXT.partition(":")[0]}:rows=60-140' in first
    assert told.startswith('net.json is not used, because its sha256 is not that of net.keras')
    assert load_predictor(network, cache_dir=tmp_path / 'cache').profile.colour == 'bgr'
    assert asked == [False]


def test_the_program_measures_and_calls_a_poor_network_poor(network, tmp_path, capsys):
    litert = tmp_path / 'net.tflite'
    write_origin(litert, convert(network, litert))
    assert main([str(litert), '--out', str(tmp_path / 'found.json')]) == 0
    found = module._read(tmp_path / 'found.json')
    assert found.doubt.startswith('profile uncertain: best score ')
    assert len(found.candidates) >= 4
    assert main([str(tmp_path / 'none.tflite'), '--out', str(tmp_path / 'x.json')]) == 2
    assert capsys.readouterr().err.startswith('none.tflite is not a LiteRT model')


def test_a_found_profile_is_read_back(tmp_path):
    candidate = Candidate(find_profile(TEXT), 0.9, 1 / 3, -0.01)
    found = FoundProfile(find_profile(TEXT), 'score 0.90', 'some doubt', (candidate,))
    path = tmp_path / 'found.json'
    path.write_text(found.to_json(), encoding='utf-8')
    assert module._read(path) == found
    # As the version before wrote it, with a line for each candidate.
    path.write_text(
        json.dumps({'profile': TEXT, 'reason': '', 'doubt': '', 'candidates': [str(candidate)]})
    )
    assert module._read(path) is None


def test_a_measurement_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(module, 'run_isolated', lambda *_, **__: None)
    with pytest.raises(ModelError, match=r'net\.h5: its profile could not be measured'):
        module.measure(tmp_path / 'net.tflite', False, 'net.h5')

    def fail(*_, **__):
        raise ModelError('too slow')

    monkeypatch.setattr(module, 'run_isolated', fail)
    with pytest.raises(ModelError, match=r'^net\.h5: its .* \(too slow\); give --profile$'):
        module.measure(tmp_path / 'net.tflite', False, 'net.h5')


def test_a_cache_that_cannot_be_written_does_not_keep_a_network_from_driving(
    network, tmp_path, asked, monkeypatch
):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(module, 'write_atomically', full)
    assert format_profile(found_profile(network, tmp_path / 'cache').profile) == TEXT
