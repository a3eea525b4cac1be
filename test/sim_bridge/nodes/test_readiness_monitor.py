# SPDX-License-Identifier: Apache-2.0
"""Which nodes of a car are ready: reasons that another thread asks for."""

import itertools

from sim_bridge.nodes.readiness_monitor import MISSING, READY, ReadinessMonitor


def test_reasons_are_those_of_one_moment_while_the_nodes_change(ros_node, monkeypatch):
    monitor = ReadinessMonitor(ros_node, '', lambda: None)
    missing = {'steering': MISSING, 'throttle': MISSING}
    ready = {'steering': READY, 'throttle': READY}
    states = itertools.chain([missing], itertools.repeat(ready))
    monkeypatch.setattr(ReadinessMonitor, 'nodes', property(lambda _: next(states)), raising=False)
    assert monitor.reasons == [
        'no node publishes cmd/steering',
        'no node publishes cmd/throttle',
    ]
    assert monitor.reasons == []
