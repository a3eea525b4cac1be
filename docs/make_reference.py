# SPDX-License-Identifier: Apache-2.0
"""Writes docs/reference.md: topics, services, parameters and diagnostics, read from running nodes.

    python docs/make_reference.py

The script creates every node, reads what it declares, and destroys it. The meaning of each topic
and service is in `sim_bridge.topics`.
"""

import importlib
import os
import time
from collections import defaultdict
from pathlib import Path

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy

from sim_bridge.nodes.annotate import AnnotateNode
from sim_bridge.nodes.bridge import BridgeNode
from sim_bridge.nodes.foxglove import FoxgloveNode
from sim_bridge.nodes.odometry import OdometryNode
from sim_bridge.nodes.throttle import ThrottleNode
from sim_bridge.services import SERVICES
from sim_bridge.topics import ACKERMANN, CLOCK, DIAGNOSTICS, STEERING_NODES, TOPICS, TRANSFORMS
from steering_net.ros.steering_node import SteeringNode

PAGE = Path(__file__).with_name('reference.md')
OF_ROS = ('/rosout', '/parameter_events')
NODES = (BridgeNode, SteeringNode, ThrottleNode, AnnotateNode, OdometryNode, FoxgloveNode)
LISTENING_S = 20.0
HEAD = """# Topics, services and parameters

Names are relative, units are SI, left is positive. Quality of service: reliable, depth 1, because
only the newest value counts; `vehicle/twist`, `driver/command` and `ground_truth/odom` have depth
100, because each of their values counts. A latched topic is also transient local.
`docs/make_reference.py` writes this page from what the nodes declare.
"""


def render() -> str:
    """The text of docs/reference.md."""
    os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    rclpy.init(args=['--ros-args', '--log-level', 'error', '-p', 'port:=0'])
    nodes: list[Node] = []
    try:
        nodes += [kind() for kind in NODES]
        tables = [line for node in nodes for line in parameters(node)]
        return '\n'.join([HEAD, *topics(nodes), *services(nodes), *tables, *diagnostics(nodes)])
    finally:
        for node in nodes:
            node.destroy_node()
        rclpy.shutdown()


def topics(nodes: list[Node]) -> list[str]:
    """Table of all topics: type, publishers, subscriptions and meaning."""
    kinds: dict[str, str] = {}
    latched: set[str] = set()
    ends: dict[str, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
    for node in nodes:
        for side, endpoints in enumerate((node.publishers, node.subscriptions)):
            for endpoint in endpoints:
                name = endpoint.topic_name
                if name not in OF_ROS:
                    module, kind = type_of(endpoint)
                    kinds[name] = f'{module}/{kind}'
                    ends[name][side].append(node.get_name())
                    if endpoint.qos_profile.durability is DurabilityPolicy.TRANSIENT_LOCAL:
                        latched.add(name)
    for name in (CLOCK, TRANSFORMS):  # Published only with use_sim_time, or with tf2_msgs.
        if not ends[name][0]:
            kinds[name] = TOPICS[name].type.replace('/msg/', '/')
            ends[name][0].extend(TOPICS[name].publishers)
    if f'/{ACKERMANN}' not in kinds:  # The bridge subscribes to it where ackermann_msgs is.
        kinds[f'/{ACKERMANN}'] = TOPICS[ACKERMANN].type.replace('/msg/', '/')
        ends[f'/{ACKERMANN}'][1].append('bridge')
    if f'/{STEERING_NODES}' not in kinds:  # Only with the parameter shared.
        kinds[f'/{STEERING_NODES}'] = TOPICS[STEERING_NODES].type.replace('/msg/', '/')
        for side in ends[f'/{STEERING_NODES}']:
            side.append('steering')
    lines = ['## Topics', '', '| topic | type | from | to | what |', '|---|---|---|---|---|']
    for name in sorted(kinds):
        senders, takers = (', '.join(sorted(names)) or 'anyone' for names in ends[name])
        relative = name.removeprefix('/')
        topic = TOPICS.get(relative) or TOPICS[name]
        meaning = topic.meaning + (' Latched.' if name in latched else '')
        lines.append(f'| {relative} | {kinds[name]} | {senders} | {takers} | {meaning} |')
    return [*lines, '']


def services(nodes: list[Node]) -> list[str]:
    """Table of the services of this package: type, node and meaning."""
    lines = ['## Services', '', '| service | type | node | what |', '|---|---|---|---|']
    for node in nodes:
        for service in node.services:
            name = service.srv_name
            if name in SERVICES:
                module, kind = name_of(service.srv_type)
                meaning = SERVICES[name].meaning
                lines.append(f'| {name} | {module}/{kind} | {node.get_name()} | {meaning} |')
    return [*lines, '']


def type_of(endpoint) -> tuple[str, str]:
    """Package and name of the message type of a publisher or subscription."""
    return name_of(endpoint.msg_type)


def name_of(kind) -> tuple[str, str]:
    """Package and name of a message or service type."""
    return kind.__module__.split('.')[0], kind.__name__


def parameters(node: Node) -> list[str]:
    """Table of one node's parameters."""
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
    """Default value of a parameter as text. Only ports are overridden by this script."""
    if name == 'port':
        declared = importlib.import_module(f'sim_bridge.nodes.{node.get_name()}').PARAMETERS
        return str(next(one.default for one in declared if one.name == name))
    value = node.get_parameter(name).value
    return f'`{value}`' if value != '' else 'empty'


def range_of(descriptor) -> str:
    """Allowed values of a parameter as text: the range of a number, or the declared constraint."""
    for bounds in (*descriptor.integer_range, *descriptor.floating_point_range):
        return f'{bounds.from_value:g} to {bounds.to_value:g}'
    return descriptor.additional_constraints


def diagnostics(nodes: list[Node]) -> list[str]:
    """Table of the diagnostics that the nodes publish."""
    lines = ['## Diagnostics', '', '| name | hardware_id | values |', '|---|---|---|']
    for status in heard_from(nodes):
        keys = ', '.join(pair.key for pair in status.values)
        lines.append(f'| {status.name} | {status.hardware_id} | {keys} |')
    return [*lines, '']


def heard_from(nodes: list[Node]) -> list[DiagnosticStatus]:
    """One status of each node, sorted by name."""
    heard: dict[str, DiagnosticStatus] = {}

    def keep(message: DiagnosticArray) -> None:
        heard.update({status.name: status for status in message.status})

    nodes[0].create_subscription(DiagnosticArray, DIAGNOSTICS, keep, 10)
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
