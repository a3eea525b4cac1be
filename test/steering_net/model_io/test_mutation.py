# SPDX-License-Identifier: Apache-2.0
"""Mutated networks: what each kind changes, and the files of `sim-bridge mutate`."""

from types import SimpleNamespace

import numpy as np
import pytest

from sim_bridge.cli.main import main
from steering_net.inference.predictor import load_predictor
from steering_net.model_io import mutation
from steering_net.model_io.litert_converter import probe_frames
from steering_net.model_io.mutation import KINDS, Mutation, mutate, parse_mutations
from steering_net.model_io.profile_search import FoundProfile
from steering_net.vision.profile import find_profile


def small_network():
    import keras

    keras.utils.set_random_seed(3)
    frame = keras.Input((16, 32, 3))
    x = keras.layers.Conv2D(8, 3, strides=4, activation='relu')(frame)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(10, activation='elu')(x)
    return keras.Model(frame, keras.layers.Dense(1)(x))


AMOUNTS = {'linear': 1.0, 'bias': 0.1, 'scale': 2.0}


@pytest.mark.parametrize('text', ['noise', 'noise:0', 'zero:2', 'hail:1', 'bias:x', ''])
def test_what_is_no_mutation_is_named_with_what_is_allowed(text):
    with pytest.raises(ValueError, match=f"mutations has '{text}'; .*noise:0.01..10"):
        parse_mutations(f'scale:2,{text}')


def test_a_mutation_that_is_named_twice_is_made_once():
    assert parse_mutations('noise:0.4,zero:0.1,noise:0.40') == [
        Mutation('noise', 0.4),
        Mutation('zero', 0.1),
    ]


@pytest.mark.slow
@pytest.mark.parametrize('kind', KINDS)
def test_a_mutation_changes_the_outputs_and_depends_on_its_seed_alone(kind):
    frames = np.random.default_rng(0).random((4, 16, 32, 3), np.float32) - 0.5
    before = small_network()(frames).numpy()

    def outputs(seed):
        network = small_network()
        mutate(network, Mutation(kind, AMOUNTS.get(kind, 0.3)), seed)
        return network(frames).numpy()

    once, again = outputs(1), outputs(1)
    assert np.array_equal(once, again)
    assert not np.allclose(once, before, atol=1e-4)
    if kind == 'bias':
        assert np.allclose(once, before + 0.1, atol=1e-6)
    if kind == 'scale':
        assert np.allclose(once, 2.0 * before, atol=1e-6)


def test_zeroed_neurons_have_no_input_and_their_share_is_the_amount():
    network = small_network()
    mutate(network, Mutation('zero', 0.5), 2)
    kernels = [layer.kernel.numpy() for layer in network.layers if hasattr(layer, 'kernel')]
    dead = [int((np.abs(k).reshape(-1, k.shape[-1]).sum(axis=0) == 0.0).sum()) for k in kernels]
    assert sum(dead[:-1]) == 9
    assert dead[-1] == 0


def test_mutants_have_the_profile_that_was_measured(monkeypatch, tmp_path):
    measured = find_profile('custom:rows=60-140,colour=bgr,size=16x8')
    found = FoundProfile(measured, 'score 0.90')
    monkeypatch.setattr(mutation, 'found_profile', lambda _: found)
    monkeypatch.setattr(mutation, 'ensure_litert', lambda _: tmp_path / 'net.tflite')
    monkeypatch.setattr(
        mutation, 'LiteRtModel', lambda *_: SimpleNamespace(input_shape=(8, 16, 3))
    )
    profile = mutation._profile_of(tmp_path / 'net.h5')
    assert (profile.rows, profile.colour, profile.size) == ((60, 140), 'bgr', (16, 8))


def test_a_bad_mutation_ends_the_verb_with_one_line(capfd, tmp_path):
    assert main(['mutate', '--out', str(tmp_path), '--mutations', 'hail:1']) == 2
    assert main(['mutate', '--out', str(tmp_path), '--model', 'none.keras']) == 2
    assert main(['mutate', '--out', str(tmp_path), '--seed', '-1']) == 2
    lines = capfd.readouterr().err.splitlines()
    options = ('--mutations', '--model', '--seed')
    assert all(option in line for option, line in zip(options, lines, strict=True))


@pytest.mark.faults
def test_mutants_are_networks_that_can_drive(tmp_path):
    words = ['mutate', '--out', str(tmp_path), '--mutations', 'scale:0.5,bias:0.2', '--seed', '4']
    assert main(words) == 0
    written = {path.name for path in tmp_path.iterdir()}
    suffixes = ('.keras', '.tflite', '.json')
    assert written == {name + suffix for name in ('scale_0.5', 'bias_0.2') for suffix in suffixes}
    (rgb, *_) = probe_frames()
    shipped = load_predictor().predict(rgb)
    halved = load_predictor(tmp_path / 'scale_0.5.keras')
    assert halved.predict(rgb) == pytest.approx(0.5 * shipped, abs=1e-4)
    assert halved.profile == load_predictor().profile
