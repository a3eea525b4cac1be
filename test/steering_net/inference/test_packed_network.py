# SPDX-License-Identifier: Apache-2.0
"""A packed network answers as the network that was packed, without its files."""

import pickle
from dataclasses import replace

import pytest

from steering_net.inference.packed_network import pack
from steering_net.inference.predictor import load_predictor
from steering_net.model_io.litert_converter import probe_frames


@pytest.mark.parametrize('camera', ['training', 'autonomous'])
def test_a_packed_network_has_the_same_answers_elsewhere(camera):
    predictor = load_predictor(camera=camera)
    packed = replace(pack(predictor), path='/nowhere')
    unpacked = pickle.loads(pickle.dumps(packed)).load()  # noqa: S301 - our own bytes.
    for frame in probe_frames():
        assert unpacked.predict(frame) == predictor.predict(frame)


def test_a_network_is_loaded_once_in_a_process():
    packed = pack(load_predictor())
    assert packed.load() is pickle.loads(pickle.dumps(packed)).load()  # noqa: S301 - our own.


def test_the_digest_depends_on_all_that_changes_an_answer():
    packed = pack(load_predictor(camera='autonomous'))
    (name, content), *others = packed.files
    changed = (name, content[:-1] + b'\0')
    profile = replace(packed.profile, steering_scale_rad=1.0)
    digests = {
        packed.digest(),
        replace(packed, files=(changed, *others)).digest(),
        replace(packed, camera='training').digest(),
        replace(packed, profile=profile).digest(),
    }
    assert len(digests) == 4
