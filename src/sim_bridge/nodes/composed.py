"""The bridge, the network and the throttle as three nodes in one process.

Topics and parameters are the same (`-p bridge:port:=4567` sets one of a single node). It takes
half of the memory and a shorter way, but what ends one of the nodes ends all three. One thread
serves them all beside the server's: a command of the network is taken without waking anybody.
"""

from __future__ import annotations

from sim_bridge.errors import UsageError
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.runner import run
from sim_bridge.nodes.throttle import ThrottleNode
from steering_net.ros.steering_node import REFUSED, SteeringNode


def main(args: list[str] | None = None) -> int:
    """Run the nodes until SIGINT, SIGTERM or the end of the parent; the exit code."""
    refused = (UsageError, *REFUSED)
    return run(BridgeNode, SteeringNode, ThrottleNode, args=args, refused=refused)
