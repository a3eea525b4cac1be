# SPDX-License-Identifier: Apache-2.0
"""The middle of the road by the map, as the reference line of a real lap."""

import pytest

from sim_bridge.mapping.reference import on_map
from steering_net.data.recording import read_folder
from steering_net.evaluation.data_driven import drive
from steering_net.inference.predictor import load_predictor


@pytest.mark.slow
def test_the_shipped_network_drives_a_real_lap_within_a_metre_of_the_middle(shared_data):
    lap = read_folder(shared_data / 'lake_lap_a')
    line, see = on_map(lap)
    driven = drive(load_predictor('default').predict, lap, line, see=see)
    assert (driven.report['reference'], driven.report['frames']) == ('map', 999)
    assert driven.report['interventions'] == 0
    assert driven.report['max_cross_track_m'] < 1.0
    assert driven.report['rms_cross_track_m'] < 0.3
