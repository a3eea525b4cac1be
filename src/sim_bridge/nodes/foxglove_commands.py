# SPDX-License-Identifier: Apache-2.0
"""What viewers of a Foxglove server can do: publish on the topics of people, call services."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.client import Client
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.serialization import deserialize_message, serialize_message

from sim_bridge.errors import UsageError
from sim_bridge.foxglove.server import ENCODING, FoxgloveServer
from sim_bridge.nodes.blocking_call import REPLY_S, reply_of
from sim_bridge.nodes.found_topics import message_class
from sim_bridge.nodes.foxglove_topics import cars_of, relative_name
from sim_bridge.services import SERVICES
from sim_bridge.topics import ACKERMANN, CMD_VEL, CMD_VEL_STAMPED, TOPICS
from steering_net.ros.qos import NEWEST

PUBLISHABLE = tuple(name for name, topic in TOPICS.items() if not topic.publishers)
"""Topics on which viewers may publish: those that no node of a drive publishes."""

_CLICKS = ('clicked_point', 'initialpose', 'move_base_simple/goal')
"""Topics that every 3D panel announces, for clicks that most people never make."""
_OF_PLANNERS = (CMD_VEL, CMD_VEL_STAMPED, ACKERMANN)
"""A car counts as ready while one of them has a publisher, so an open panel must not be one."""
_IDL_TYPES = {'boolean': 'bool', 'float': 'float32', 'double': 'float64', 'octet': 'byte'}


class ServiceError(RuntimeError):
    """A service that did not answer; the message is shown to the viewer."""


class ViewerTopics:
    """Publishes what viewers publish."""

    def __init__(self, node: Node, server: FoxgloveServer) -> None:
        self._node = node
        self._server = server
        self._publishers: dict[tuple[int, int], Publisher] = {}
        self._later: dict[tuple[int, int], Callable[[], Publisher]] = {}
        self.published = 0
        self.bad = 0
        self.dropped = 0

    def advertise(self, key: tuple[int, int], topic: str, kind: str, encoding: str) -> None:
        """Prepare to publish for a viewer; warn it if it wants to publish what it may not.

        A publisher of commands is created with the first one: they come again and again.
        `key` has the numbers of the viewer and of its channel.
        """
        name = relative_name(topic, cars_of(self._node))
        try:
            message_type = _publishable_class(name, kind, encoding)
        except UsageError as error:
            if name not in _CLICKS:
                self._server.warn(f'{topic} is not published: {error}')
        else:
            create = partial(self._node.create_publisher, message_type, topic, NEWEST)
            if name in _OF_PLANNERS:
                self._later[key] = create
            else:
                self._publishers[key] = create()

    def publish(self, key: tuple[int, int], cdr: bytes) -> None:
        """Publish a message, unless it cannot be decoded, which would end its subscribers."""
        if key in self._later:
            self._publishers[key] = self._later.pop(key)()
        publisher = self._publishers.get(key)
        if publisher is None:
            return
        try:
            message = deserialize_message(cdr, publisher.msg_type)
        except Exception as error:  # noqa: BLE001 - rclpy's error for bad bytes is not public
            self.bad += 1
            self._server.warn(f'{publisher.topic_name}: a message cannot be decoded: {error}')
            return
        publisher.publish(message)
        self.published += 1

    def unadvertise(self, key: tuple[int, int]) -> None:
        """End the publisher of a viewer, which it asked for or whose connection ended."""
        self._later.pop(key, None)
        if publisher := self._publishers.pop(key, None):
            self._node.destroy_publisher(publisher)


def _publishable_class(name: str, kind: str, encoding: str) -> type:
    """Return the message class of a viewer's topic. Raises UsageError if it is not allowed."""
    if name not in PUBLISHABLE:
        raise UsageError(f'it must be one of {", ".join(PUBLISHABLE)}')
    expected = TOPICS[name].type
    if kind not in (expected, expected.replace('/msg/', '/')):
        raise UsageError(f'its type is {kind}; it must be {expected}')
    if encoding != ENCODING:
        raise UsageError(f'its encoding is {encoding}; it must be {ENCODING}')
    return message_class(expected)


class ServiceCalls:
    """Offers the services of this package to viewers."""

    def __init__(self, node: Node, server: FoxgloveServer) -> None:
        self._node = node
        self._server = server
        self._clients: dict[str, Client] = {}

    def update(self) -> None:
        """Offer the services that are new, and withdraw those that are gone."""
        cars = cars_of(self._node)
        found = {
            name: kinds[0]
            for name, kinds in self._node.get_service_names_and_types()
            if _is_ours(relative_name(name, cars), kinds)
        }
        for name in set(self._clients) - set(found):
            self._server.remove_service(name)
            self._node.destroy_client(self._clients.pop(name))
        for name in set(found) - set(self._clients):
            kind = _service_class(found[name])
            self._clients[name] = client = self._node.create_client(kind, name)
            definitions = (flat_definition(kind.Request), flat_definition(kind.Response))
            self._server.add_service(name, found[name], definitions, partial(_call, client))


def _is_ours(name: str, kinds: list[str]) -> bool:
    service = SERVICES.get(name)
    return service is not None and kinds == [service.type]


def _service_class(kind: str) -> Any:
    package, _, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.srv'), name)


def flat_definition(kind: Any) -> str:
    """Return the definition of a request or response without nested messages."""
    fields = kind.get_fields_and_field_types()
    return '\n'.join(f'{_IDL_TYPES.get(type_, type_)} {name}' for name, type_ in fields.items())


def _call(client: Client, request: Any) -> bytes:
    """Call a service on a thread of foxglove-sdk; return the response in CDR."""
    kind = client.srv_type
    is_empty = not kind.Request.get_fields_and_field_types()
    message = kind.Request() if is_empty else deserialize_message(request.payload, kind.Request)
    reply = reply_of(client, message)
    if reply is None:
        raise ServiceError(f'{client.srv_name} did not answer within {REPLY_S:g} s')
    return bytes(serialize_message(reply))
