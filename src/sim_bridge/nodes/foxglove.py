# SPDX-License-Identifier: Apache-2.0
"""The foxglove node: shows the graph to the Foxglove app and to Lichtblick, and takes commands.

The methods of `_Viewers` are called on threads of foxglove-sdk. They leave all but parameters to
the executor's thread, which also passes the messages of topics on, 30 times a second.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node

from sim_bridge.errors import UsageError
from sim_bridge.foxglove import DEFAULT_PORT
from sim_bridge.foxglove.server import FoxgloveServer
from sim_bridge.nodes import conversions
from sim_bridge.nodes.diagnostics import Health, publish_health
from sim_bridge.nodes.executor_calls import ExecutorCalls, Pace
from sim_bridge.nodes.foxglove_car import CarChannels
from sim_bridge.nodes.foxglove_commands import ServiceCalls, ViewerTopics
from sim_bridge.nodes.foxglove_parameters import GraphParameters
from sim_bridge.nodes.foxglove_topics import TopicChannels
from sim_bridge.nodes.message_batches import MessageBatches
from sim_bridge.nodes.runner import run_viewer
from steering_net.ros.parameters import Parameter, declare
from steering_net.ros.timers import steady_timer

PARAMETERS = (
    Parameter(
        'host', '127.0.0.1', 'Address to listen on. If it is not loopback, any machine can watch.'
    ),
    Parameter('port', DEFAULT_PORT, 'TCP port that Foxglove connects to; 0: any.', 0, 65535),
    Parameter(
        'control',
        'local',
        'When viewers may hold, publish and set parameters; local: if host is loopback.',
        choices=('local', 'always', 'never'),
    ),
    Parameter(
        'allowed_hosts', '', 'Names of further pages that may connect, such as a.lan,b.lan.'
    ),
)

_UPDATE_S = 0.5
_TAKE_S = 1 / 30
_WAITING_AT_MOST = 1000
"""Requests of viewers that wait for the executor at most before messages are dropped."""


class FoxgloveNode(Node):
    """Offers topics, parameters and services to viewers of the Foxglove WebSocket protocol."""

    def __init__(self) -> None:
        """Raises UsageError if the port cannot be opened."""
        super().__init__('foxglove')
        values = declare(self, PARAMETERS)
        self._host: str = values['host']
        self._server = FoxgloveServer(
            self._host, values['port'], values['allowed_hosts'].split(','), 'sim_bridge'
        )
        is_local = self._server.relay.is_local
        self._can_control = values['control'] == 'always' or (
            values['control'] == 'local' and is_local
        )
        self._batches = MessageBatches(self)
        self._channels = TopicChannels(self, self._server, self._batches)
        self._cars = CarChannels(self, self._server, self._batches)
        self._viewer_topics = ViewerTopics(self, self._server)
        self._service_calls = ServiceCalls(self, self._server)
        self._graph_parameters = GraphParameters(self, self._server, can_set=self._can_control)
        self._pace: Pace | None = None
        publish_health(self, conversions.FOXGLOVE_STATUS, self._health)

    def start(self) -> None:
        """Accept viewers. Raises UsageError without foxglove-sdk."""
        calls = ExecutorCalls(self)
        viewers = _Viewers(
            calls,
            self._channels,
            self._cars,
            self._viewer_topics,
            self._graph_parameters,
        )
        self._server.start(viewers, can_control=self._can_control)
        steady_timer(self, _UPDATE_S, self._update)
        batches = self._batches
        self._pace = Pace(calls, _TAKE_S, batches.take, batches.has_subscriptions)
        self.get_logger().info(f'listening on {self._host}:{self.port}')
        if not self._server.relay.is_local:
            can = 'watch and drive' if self._can_control else 'watch'
            self.get_logger().warning(
                f'host {self._host}: all machines on the network can {can}; '
                'host 127.0.0.1 keeps them out'
            )

    @property
    def port(self) -> int:
        """TCP port that viewers connect to."""
        return self._server.relay.port

    def _update(self) -> None:
        """Offer what is new in the graph."""
        self._channels.update()
        self._cars.update()
        if self._can_control:
            self._service_calls.update()
        self._graph_parameters.update()

    def _health(self) -> Health:
        relay = self._server.relay
        values = {
            'viewers': relay.viewers,
            'channels': self._channels.offered,
            'subscribed': self._channels.subscribed,
            'relayed': relay.relayed,
            'dropped': relay.dropped,
            'lost': self._channels.lost,
            'published': self._viewer_topics.published,
            'bad_messages': self._viewer_topics.bad,
            'dropped_commands': self._viewer_topics.dropped,
        }
        is_bad = bool(relay.dropped or self._channels.lost or self._viewer_topics.bad)
        level = DiagnosticStatus.WARN if is_bad else DiagnosticStatus.OK
        return level, f'{relay.viewers} viewers', values

    def destroy_node(self) -> None:
        """Disconnect all viewers."""
        if self._pace is not None:
            self._pace.end()
        self._server.stop()
        super().destroy_node()


class _Viewers:
    """The ServerListener of foxglove-sdk: passes what viewers ask for to the part that does it."""

    def __init__(
        self,
        calls: ExecutorCalls,
        topics: TopicChannels,
        cars: CarChannels,
        commands: ViewerTopics,
        parameters: GraphParameters,
    ) -> None:
        self._calls = calls
        self._topics = topics
        self._cars = cars
        self._commands = commands
        self._parameters = parameters

    def on_subscribe(self, client: Any, channel: Any) -> None:
        """A viewer wants the messages of a channel."""
        self._topics.subscribe(channel.topic, client.id)
        self._calls.call_soon(self._topics.settle)
        self._calls.call_soon(partial(self._cars.subscribe, channel.topic))

    def on_unsubscribe(self, client: Any, channel: Any) -> None:
        """A viewer no longer wants the messages of a channel, or is gone."""
        self._topics.unsubscribe(channel.topic, client.id)
        self._calls.call_soon(self._topics.settle)
        self._calls.call_soon(partial(self._cars.unsubscribe, channel.topic))

    def on_client_advertise(self, client: Any, channel: Any) -> None:
        """A viewer is going to publish on a topic."""
        words = channel.topic, channel.schema_name, channel.encoding
        self._calls.call_soon(partial(self._commands.advertise, (client.id, channel.id), *words))

    def on_client_unadvertise(self, client: Any, client_channel_id: int) -> None:
        """A viewer no longer publishes on a topic, or is gone."""
        self._calls.call_soon(partial(self._commands.unadvertise, (client.id, client_channel_id)))

    def on_message_data(self, client: Any, client_channel_id: int, data: bytes) -> None:
        """A viewer publishes a message, which is dropped if too many wait."""
        if self._calls.waiting >= _WAITING_AT_MOST:
            self._commands.dropped += 1
            return
        self._calls.call_soon(
            partial(self._commands.publish, (client.id, client_channel_id), data)
        )

    def on_get_parameters(
        self, _client: Any, param_names: list[str], _request_id: str | None = None
    ) -> list[Any]:
        """A viewer asks for parameters; no names: for all."""
        return self._parameters.get(param_names)

    def on_set_parameters(
        self, _client: Any, parameters: list[Any], _request_id: str | None = None
    ) -> list[Any]:
        """A viewer sets parameters."""
        return self._parameters.set(parameters)

    def on_parameters_subscribe(self, _param_names: list[str]) -> None:
        """All changes are sent to foxglove-sdk, which knows the viewers that want them."""

    def on_parameters_unsubscribe(self, _param_names: list[str]) -> None:
        """See `on_parameters_subscribe`."""

    def on_connection_graph_subscribe(self) -> None:
        """The graph of connections is not offered."""

    def on_connection_graph_unsubscribe(self) -> None:
        """The graph of connections is not offered."""


def main(args: list[str] | None = None) -> int:
    """Run the node; return the exit code."""
    return run_viewer(_started, args)


def _started() -> FoxgloveNode:
    node = FoxgloveNode()
    try:
        node.start()
    except UsageError:
        node.destroy_node()
        raise
    return node
