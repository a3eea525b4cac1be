# SPDX-License-Identifier: Apache-2.0
"""Run one node with time stamps: `python stamping.py FILE NODE [ROS arguments]`.

Functions of the node are wrapped before it starts, so the package contains no measuring code. When
the node ends, FILE holds one JSON list of [name, nanoseconds of CLOCK_MONOTONIC].
"""

from __future__ import annotations

import functools
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

STAMPS: list[tuple[str, int]] = []

HANDOVERS = {
    'bridge': (
        ('sim_bridge.server.websocket', '_QuickSocket.recv', '', 'bytes'),
        ('sim_bridge.server.eio3_adapter', 'Eio3Adapter.wait', '', 'message'),
        ('sim_bridge.server.simulator_server', 'SimulatorServer._on_telemetry', 'event', ''),
        ('sim_bridge.nodes.car_interface', 'CarInterface._publish', 'decoded', 'all published'),
        ('sim_bridge.nodes.car_interface', 'CarInterface._on_steering', 'steering taken', ''),
        ('sim_bridge.nodes.car_interface', 'CarInterface._on_throttle', 'throttle taken', ''),
        ('sim_bridge.session.car_session', 'CarSession.steering', 'on the hub', ''),
        ('sim_bridge.server.simulator_server', 'SimulatorServer.send', 'answer', ''),
        ('sim_bridge.server.eio3_adapter', 'Eio3Adapter.send', 'writing', 'written'),
    ),
    'steering': (
        ('steering_net.ros.steering_node', 'SteeringNode._on_frame', 'frame taken', ''),
        ('steering_net.ros.steering_node', 'decode_jpeg', '', 'JPEG decoded'),
        ('steering_net.vision.view', 'View.__call__', '', 'preprocessed'),
        ('steering_net.inference.predictor', 'LiteRtPredictor.predict', '', 'network'),
    ),
    'throttle': (),
}
HANDOVERS['together'] = (*HANDOVERS['bridge'], *HANDOVERS['steering'])
"""By node: module, function, and the names of the stamps before and after its call."""


def stamp(function: Callable[..., Any], before: str, after: str) -> Callable[..., Any]:
    """Return the function with a stamp before and after it, if these have a name."""
    clock = time.monotonic_ns

    @functools.wraps(function)
    def stamped(*args: Any, **kwargs: Any) -> Any:
        if before:
            STAMPS.append((before, clock()))
        result = function(*args, **kwargs)
        if after:
            STAMPS.append((after, clock()))
        return result

    return stamped


def stamp_publishers() -> None:
    """Stamp the end of each publish with the name of the topic."""
    from rclpy.publisher import Publisher

    publish, names = Publisher.publish, {}

    def stamped(publisher: Any, message: Any) -> None:
        publish(publisher, message)
        if publisher not in names:
            names[publisher] = f'{publisher.topic_name} published'
        STAMPS.append((names[publisher], time.monotonic_ns()))

    Publisher.publish = stamped


def main() -> int:
    """Run the node; return its exit code."""
    file, node, *ros_arguments = sys.argv[1:]
    for module_name, path, before, after in HANDOVERS[node]:
        owner: Any = importlib.import_module(module_name)
        *parents, name = path.split('.')
        for parent in parents:
            owner = getattr(owner, parent)
        setattr(owner, name, stamp(getattr(owner, name), before, after))
    stamp_publishers()
    try:
        from sim_bridge.cli.main import NODES

        code: int = importlib.import_module(NODES[node][0]).main([node, *ros_arguments])
    finally:
        Path(file).write_text(json.dumps(STAMPS), encoding='utf-8')
    return code


if __name__ == '__main__':
    sys.exit(main())
