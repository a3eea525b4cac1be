# SPDX-License-Identifier: Apache-2.0
"""Conversions of messages: the network that diagnostics name."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from sim_bridge.nodes.conversions import network_of


def status(hardware_id, **values):
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(hardware_id=hardware_id, values=pairs)


def test_network_is_that_of_the_steering_node_and_no_model_of_other_hardware():
    camera = status('camera', model='D435')
    steering = status('steering', model='a.keras', loading='b.keras')
    assert network_of(DiagnosticArray(status=[camera])) == {}
    assert network_of(DiagnosticArray(status=[camera, steering])) == {
        'network': 'a.keras',
        'network_loading': 'b.keras',
        'network_refused': '',
    }
