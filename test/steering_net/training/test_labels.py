# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from steering_net.data.driving_log import read_log
from steering_net.data.recording import from_log
from steering_net.training.labels import Labelling, of_log, of_recording

PULSES = [0, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 0, 0] * 4


@pytest.mark.parametrize('delay_s', [0.0, 0.5])
def test_a_log_without_times_has_the_labels_of_its_recording(delay_s, tmp_path, logged):
    path = tmp_path / 'driving_log.csv'
    rows = [f'IMG/frame_{i:05}.jpg,,,{pulse},0.5,0,20' for i, pulse in enumerate(PULSES)]
    path.write_text('\n'.join(rows), encoding='utf-8')
    log, labelling = read_log(path), Labelling(delay_s=delay_s)
    labels = of_log(log, labelling, [None] * len(rows), {})
    assert logged.messages == [f'{path}: some rows have no time; they are treated as 0.1 s apart']
    inside = slice(12, -12)
    expected = of_recording(from_log(log), labelling)
    np.testing.assert_allclose(labels[inside], expected[inside], atol=1e-9)
