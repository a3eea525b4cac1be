"""Writes docs/reference.md: topics, parameters and diagnostics as the nodes themselves give them.

    python docs/make_reference.py

The nodes are made, asked, and ended again; only what a topic is for is written here.
"""

import os
import time
from collections import defaultdict
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from sim_bridge.nodes.annotate import AnnotateNode
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.odometry import OdometryNode
from sim_bridge.nodes.throttle import ThrottleNode
from steering_net.ros.steering_node import SteeringNode

PAGE = Path(__file__).with_name('reference.md')
OF_ROS = ('/rosout', '/parameter_events')
NODES = (BridgeNode, SteeringNode, ThrottleNode, AnnotateNode, OdometryNode)
PURPOSES = {
    'camera/image_raw/compressed': "The simulator's JPEG, bytes untouched.",
    'camera/image_raw': 'The frame, rgb8; decoded only while somebody subscribes.',
    'camera/image_annotated/compressed': 'The frame with path and figures drawn in.',
    'camera/camera_info': 'Pinhole camera from the field of view.',
    'vehicle/speed': 'm/s.',
    'vehicle/steering_angle': 'What the wheels do, rad, left positive.',
    'vehicle/throttle': '0 to 1.',
    'cmd/steering': 'Joint `steering`, rad, left positive; stamp of the frame it belongs to.',
    'cmd/throttle': '-1 to 1, negative brakes.',
    'steering': 'The commanded angle once more, rad, for plots.',
    'speed_limit': 'm/s; overrides the parameter at run time.',
    'speed_limit/active': 'm/s; the limit that the car keeps to. Latched.',
    'ready/steering': 'Whether the node is matched with the bridge. Latched.',
    'ready/throttle': 'Whether the node is matched with the bridge. Latched.',
    'ready/recorder': 'Whether the recorder hears every node of the drive. Latched.',
    'odom': 'Dead reckoning, in m and rad: it drifts.',
    'path': 'The way driven so far, frame odom.',
    'predicted_path': 'Where the commanded steering leads, frame base_link.',
    'tf': 'odom to base_link.',
    'diagnostics': 'State, rates, latency, drops and their reasons, once a second.',
}
LISTENING_S = 20.0
HEAD = """# Topics and parameters

Names are relative, units SI, left is positive. Quality of service: reliable, depth 1; only the
newest value counts. Latched topics are transient local too. Written by `docs/make_reference.py`
from what the nodes declare.
"""


def render() -> str:
    """The page."""
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    rclpy.init(args=['--ros-args', '--log-level', 'error', '-p', 'port:=0'])
    nodes: list[Node] = []
    try:
        nodes += [kind() for kind in NODES]
        tables = [line for node in nodes for line in parameters(node)]
        return '\n'.join([HEAD, *topics(nodes), *tables, *diagnostics(nodes)])
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.shutdown()


def topics(nodes: list[Node]) -> list[str]:
    """A table of who publishes and who takes what."""
    kinds: dict[str, str] = {}
    ends: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for node in nodes:
        for side, endpoints in enumerate((node.publishers, node.subscriptions)):
            for endpoint in endpoints:
                name = endpoint.topic_name
                if name not in OF_ROS:
                    module, kind = type_of(endpoint)
                    kinds[name] = f'{module}/{kind}'
                    ends[name][side].append(node.get_name())
    lines = ['## Topics', '', '| topic | type | from | to | what |', '|---|---|---|---|---|']
    for name in sorted(kinds):
        senders, takers = (', '.join(sorted(names)) or 'anyone' for names in ends[name])
        topic = name.lstrip('/')
        lines.append(f'| {topic} | {kinds[name]} | {senders} | {takers} | {PURPOSES[topic]} |')
    return [*lines, '']


def type_of(endpoint) -> tuple[str, str]:
    """Package and name of an endpoint's message type."""
    kind = endpoint.msg_type
    return kind.__module__.split('.')[0], kind.__name__


def parameters(node: Node) -> list[str]:
    """A table of one node's parameters."""
    names = [name for name in node._parameters if name not in ('use_sim_time',)]
    own = [name for name in names if not name.startswith(('qos_overrides', 'start_type'))]
    lines = [f'## Parameters of {node.get_name()}', '']
    lines += ['| name | default | range | what |', '|---|---|---|---|']
    for name in own:
        descriptor = node.describe_parameter(name)
        default = default_of(node, name)
        what = descriptor.description + (
            '' if descriptor.read_only else ' Can be set while it runs.'
        )
        lines.append(f'| {name} | {default} | {range_of(descriptor)} | {what} |')
    return [*lines, '']


def default_of(node: Node, name: str) -> str:
    """The value without overrides; the only one that is overridden here is the port."""
    if (node.get_name(), name) == ('bridge', 'port'):
        from sim_bridge.nodes import bridge

        return str(next(p.default for p in bridge.PARAMETERS if p.name == name))
    value = node.get_parameter(name).value
    return f'`{value}`' if value != '' else 'empty'


def range_of(descriptor) -> str:
    """The range of a number, or what else is said about its values."""
    for bounds in (*descriptor.integer_range, *descriptor.floating_point_range):
        return f'{bounds.from_value:g} to {bounds.to_value:g}'
    return descriptor.additional_constraints


def diagnostics(nodes: list[Node]) -> list[str]:
    """A table of what the nodes say about themselves."""
    lines = ['## Diagnostics', '', '| name | hardware_id | values |', '|---|---|---|']
    for status in heard_from(nodes):
        keys = ', '.join(pair.key for pair in status.values)
        lines.append(f'| {status.name} | {status.hardware_id} | {keys} |')
    return [*lines, '']


def heard_from(nodes: list[Node]) -> list[DiagnosticStatus]:
    """A status of each node, by name."""
    heard: dict[str, DiagnosticStatus] = {}

    def keep(message: DiagnosticArray) -> None:
        heard.update({status.name: status for status in message.status})

    nodes[0].create_subscription(DiagnosticArray, 'diagnostics', keep, 10)
    executor = SingleThreadedExecutor()
    for node in nodes:
        executor.add_node(node)
    deadline_s = time.monotonic() + LISTENING_S
    while len(heard) < len(nodes) and time.monotonic() < deadline_s:
        executor.spin_once(timeout_sec=0.1)
    executor.shutdown()
    return [heard[name] for name in sorted(heard)]


if __name__ == '__main__':
    PAGE.write_text(render(), encoding='utf-8')
