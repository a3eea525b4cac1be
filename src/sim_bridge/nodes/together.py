"""The bridge, the network and the throttle as three nodes in one process.

Topics and parameters are the same (`-p bridge:port:=4567` sets one of a single node). It takes
half of the memory and a shorter way, but what ends one of the nodes ends all three.
"""

from __future__ import annotations

import signal
import sys
import threading
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node

from sim_bridge.errors import StartError
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.running import end_with_parent, settle
from sim_bridge.nodes.throttle import ThrottleNode
from steering_net.executor import QuickExecutor
from steering_net.node import SteeringNode


def main(args: list[str] | None = None) -> int:
    """Run the nodes until SIGINT, SIGTERM or the end of the parent; the exit code."""
    rclpy.init(args=args)
    nodes: list[Node] = []
    beside: threading.Thread | None = None
    try:
        nodes.append(BridgeNode())
        nodes.append(ThrottleNode())
        nodes.append(SteeringNode())
        nodes[0].create_timer(1.0, end_with_parent)
        settle()
        # The network has a thread of its own: what it computes must not keep commands waiting.
        beside = threading.Thread(target=_spin, args=(nodes[2],), name='steering')
        beside.start()
        QuickExecutor(*nodes[:2]).spin()
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except (StartError, ValueError) as error:
        print(f'sim_bridge: {error}', file=sys.stderr)
        return 2
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if nodes:
            nodes[0].destroy_node()  # It says farewell to the car, while the others still live.
        rclpy.try_shutdown()
        if beside:
            beside.join()
        for node in nodes[1:]:
            node.destroy_node()
    return 0


def _spin(node: Node) -> None:
    """Spin until ROS ends, and have ROS end if a callback fails."""
    try:
        with suppress(ExternalShutdownException):
            QuickExecutor(node).spin()
    finally:
        rclpy.try_shutdown()
