# SPDX-License-Identifier: Apache-2.0
import subprocess
import sys

import numpy as np
import pytest

from helpers.paths import SOURCE

pytestmark = pytest.mark.slow


def test_pilotnet_maps_one_frame_to_one_number():
    from steering_net.training.pilotnet import INPUT_SHAPE, build_pilotnet

    model = build_pilotnet()
    assert model.count_params() == 252_219
    output = np.asarray(model(np.zeros((2, *INPUT_SHAPE), np.float32), training=False))
    assert output.shape == (2, 1)
    assert output[0] == output[1]


def test_the_seed_decides_the_weights():
    from steering_net.training.pilotnet import build_pilotnet

    first, same, other = (build_pilotnet(seed=seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_importing_the_module_does_not_import_keras():
    code = 'import sys, steering_net.training.pilotnet; sys.exit("keras" in sys.modules)'
    assert subprocess.run([sys.executable, '-c', code], cwd=SOURCE, check=False).returncode == 0
