# SPDX-License-Identifier: Apache-2.0
"""Bridge, steering and throttle node in one process.

Topics and parameters are the same (`-p bridge:port:=4567` sets a parameter of one node). One
process takes half of the memory and less time, but an end of one node ends all three. One thread
serves all three nodes beside the server's thread, so a command needs no wake-up of another thread.
Frames, speeds and commands do not pass through DDS. A topic is published again as soon as another
program subscribes to it.
"""

from __future__ import annotations

from sim_bridge.errors import UsageError
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.runner import run
from sim_bridge.nodes.throttle import ThrottleNode
from steering_net.ros.steering_node import START_ERRORS, SteeringNode


def main(args: list[str] | None = None) -> int:
    """Run the nodes until SIGINT, SIGTERM or the end of the parent; return the exit code."""
    refused = (UsageError, *START_ERRORS)
    return run(BridgeNode, SteeringNode, ThrottleNode, args=args, refused=refused)
