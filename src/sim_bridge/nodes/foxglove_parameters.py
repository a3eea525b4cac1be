# SPDX-License-Identifier: Apache-2.0
"""Parameters of all nodes of the graph, to get and set from the viewers of a Foxglove server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from rcl_interfaces.msg import Parameter as ParameterMessage
from rcl_interfaces.msg import ParameterEvent
from rcl_interfaces.srv import GetParameters, ListParameters, SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import qos_profile_parameter_events

from sim_bridge.foxglove.server import FoxgloveServer
from sim_bridge.nodes.blocking_call import reply_of

_SEPARATOR = '.'
_SERVICE = '/set_parameters'


class GraphParameters:
    """Keeps the values of all parameters; a parameter is called NODE.NAME, as in /bridge.port.

    `get` and `set` are called on threads of foxglove-sdk, all else on the executor's thread.
    """

    def __init__(self, node: Node, server: FoxgloveServer, *, can_set: bool) -> None:
        """can_set: whether viewers may set parameters."""
        self._node = node
        self._server = server
        self._can_set = can_set
        self._nodes: dict[str, _RemoteNode] = {}
        self._values: dict[str, ParameterMessage] = {}
        node.create_subscription(
            ParameterEvent, '/parameter_events', self._on_event, qos_profile_parameter_events
        )

    def update(self) -> None:
        """Read the parameters of nodes that are new, and forget those of nodes that are gone."""
        services = {name for name, _ in self._node.get_service_names_and_types()}
        nodes = {name.removesuffix(_SERVICE) for name in services if name.endswith(_SERVICE)}
        nodes.discard(self._node.get_fully_qualified_name())
        for name in set(self._nodes) - nodes:
            self._nodes.pop(name).close()
            self._values = {
                known: value
                for known, value in self._values.items()
                if known.partition(_SEPARATOR)[0] != name
            }
        for name in nodes:
            if name in self._nodes:
                self._nodes[name].read_once()
            else:
                self._nodes[name] = _RemoteNode(self._node, name, partial(self._keep, name))

    def get(self, names: Sequence[str]) -> list[Any]:
        """Return these parameters, or all for no names, as parameters of foxglove-sdk."""
        values = self._values
        return [
            self._shown(name, values[name]) for name in names or sorted(values) if name in values
        ]

    def set(self, parameters: Sequence[Any]) -> list[Any]:
        """Set parameters of foxglove-sdk; return their values afterwards.

        Viewers get a warning with the reason why a parameter was not set.
        """
        requests: dict[str, list[ParameterMessage]] = defaultdict(list)
        for parameter in parameters:
            node, _, name = parameter.name.partition(_SEPARATOR)
            try:
                message = self._message(node, name, parameter.get_value())
                requests[node].append(message)
            except (LookupError, TypeError, ValueError) as error:
                self._server.warn(f'{parameter.name} was not set: {error}')
        for node, messages in requests.items():
            self._set(node, messages)
        return self.get([parameter.name for parameter in parameters])

    def _message(self, node: str, name: str, value: Any) -> ParameterMessage:
        """Return the message that sets a parameter to a value, in the type that it has.

        Raises LookupError for an unknown parameter, TypeError or ValueError if it cannot be set.
        """
        if not self._can_set:
            raise ValueError('the parameter control of the foxglove node forbids it')
        known = self._values.get(node + _SEPARATOR + name)
        if known is None or node not in self._nodes:
            raise LookupError('there is no such parameter')
        kind = Parameter.Type(known.value.type)
        if kind is Parameter.Type.DOUBLE and not isinstance(value, bool):
            value = float(value)
        return Parameter(name, kind, value).to_parameter_msg()

    def _set(self, node: str, messages: list[ParameterMessage]) -> None:
        results = self._nodes[node].set(messages)
        if results is None:
            self._server.warn(f'{node} did not answer; its parameters may not be set')
            return
        for message, result in zip(messages, results, strict=True):
            if result.successful:
                self._values[node + _SEPARATOR + message.name] = message
            else:
                self._server.warn(f'{node}.{message.name} was not set: {result.reason}')

    def _on_event(self, event: ParameterEvent) -> None:
        if event.node in self._nodes:
            self._keep(event.node, [*event.new_parameters, *event.changed_parameters])

    def _keep(self, node: str, parameters: Sequence[ParameterMessage]) -> None:
        named = {node + _SEPARATOR + parameter.name: parameter for parameter in parameters}
        self._values = {**self._values, **named}
        if self._server.relay.viewers:
            self._server.show_parameters([self._shown(*pair) for pair in named.items()])

    def _shown(self, name: str, message: ParameterMessage) -> Any:
        value = parameter_value_to_python(message.value)
        return self._server.parameter(name, list(value) if _is_array(value) else value)


class _RemoteNode:
    """Reads and sets the parameters of another node.

    Its clients are made one update before the first call. The other node would else wait until it
    knows the client that it has to answer.
    """

    def __init__(
        self, node: Node, name: str, on_read: Callable[[Sequence[ParameterMessage]], None]
    ) -> None:
        """`on_read` is called once with all parameters."""
        self._node = node
        self._on_read = on_read
        self._is_read = False
        self._list = node.create_client(ListParameters, f'{name}/list_parameters')
        self._get = node.create_client(GetParameters, f'{name}/get_parameters')
        self._set = node.create_client(SetParameters, name + _SERVICE)

    def close(self) -> None:
        """Destroy the clients."""
        for client in (self._list, self._get, self._set):
            self._node.destroy_client(client)

    def read_once(self) -> None:
        """Ask for the parameters when the other node is ready, unless that was done."""
        if not self._is_read and self._list.service_is_ready() and self._get.service_is_ready():
            self._is_read = True
            listed = self._list.call_async(ListParameters.Request())
            listed.add_done_callback(lambda reply: self._read(reply.result().result.names))

    def _read(self, names: Sequence[str]) -> None:
        def keep(reply: Any) -> None:
            pairs = zip(names, reply.result().values, strict=True)
            self._on_read([ParameterMessage(name=name, value=value) for name, value in pairs])

        self._get.call_async(GetParameters.Request(names=names)).add_done_callback(keep)

    def set(self, messages: list[ParameterMessage]) -> Sequence[Any] | None:
        """Set parameters; return the results, or None if the node does not answer."""
        reply = reply_of(self._set, SetParameters.Request(parameters=messages))
        return None if reply is None else reply.results


def _is_array(value: Any) -> bool:
    return not isinstance(value, (bool, int, float, str, bytes, type(None)))
