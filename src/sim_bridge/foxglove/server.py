# SPDX-License-Identifier: Apache-2.0
"""FoxgloveServer: the server of foxglove-sdk, reached by viewers through a relay."""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Iterable
from typing import Any

from sim_bridge.errors import UsageError
from sim_bridge.foxglove.handshake import ViewerCheck
from sim_bridge.foxglove.relay import Relay

ENCODING = 'cdr'
_SCHEMA_ENCODING = 'ros2msg'


def foxglove_sdk() -> Any:
    """Return the module of foxglove-sdk. Raises UsageError if it is not installed."""
    try:
        import foxglove
    except ImportError as error:
        raise UsageError(
            'Foxglove needs the package foxglove-sdk, the extra `foxglove` of sim_bridge; '
            f'install it with: pip install foxglove-sdk ({error})'
        ) from error
    return foxglove


class FoxgloveServer:
    """Offers topics as channels, services and parameters to viewers.

    Its methods are thread-safe; those of foxglove-sdk's server are not.
    """

    def __init__(self, host: str, port: int, allowed_hosts: Iterable[str], name: str) -> None:
        """Bind at once. `name` is what viewers show.

        Raises UsageError if the port cannot be opened.
        """
        self._name = name
        self.relay = Relay(host, port, ViewerCheck(host, allowed_hosts))
        self._sdk: Any = None
        self._context: Any = None
        self._server: Any = None
        self._lock = threading.Lock()

    def start(self, listener: object, *, can_control: bool) -> None:
        """Accept viewers; `listener` is a ServerListener of foxglove-sdk.

        Its methods are called on threads of foxglove-sdk. can_control: whether viewers may publish
        and call services. Raises UsageError if foxglove-sdk is not installed.
        """
        self._sdk = foxglove_sdk()
        # It calls every viewer that leaves without a closing handshake an error.
        logging.getLogger('foxglove').setLevel(logging.CRITICAL)
        self._context = self._sdk.Context()
        address = _unguessable_address()
        offered = self._sdk.Capability
        control = [offered.ClientPublish, offered.Services] if can_control else []
        self._server = self._sdk.start_server(
            name=self._name,
            host=address,
            port=0,
            capabilities=[offered.Parameters, *control],
            server_listener=listener,
            supported_encodings=[ENCODING],
            context=self._context,
        )
        self.relay.start((address, self._server.port))

    def stop(self) -> None:
        """Disconnect all viewers and close the port."""
        self.relay.stop()
        if self._server is not None:
            self._server.stop()

    def add_channel(self, topic: str, kind: str, definition: str) -> Any:
        """Return a new channel for messages in CDR; `definition` is that of the type `kind`."""
        return self._sdk.Channel(
            topic,
            message_encoding=ENCODING,
            schema=self._schema(kind, definition),
            context=self._context,
        )

    def add_service(
        self, name: str, kind: str, definitions: tuple[str, str], handler: Any
    ) -> None:
        """Offer a service; `definitions` of request and response, `handler` of a ServiceRequest.

        The handler returns the response in CDR, on a thread of foxglove-sdk. What it raises is
        shown to the viewer.
        """
        request, response = (
            self._sdk.MessageSchema(
                encoding=ENCODING, schema=self._schema(f'{kind}_{part}', definition)
            )
            for part, definition in zip(('Request', 'Response'), definitions, strict=True)
        )
        schema = self._sdk.ServiceSchema(name=kind, request=request, response=response)
        service = self._sdk.Service(name=name, schema=schema, handler=handler)
        with self._lock:
            self._server.add_services([service])

    def remove_service(self, name: str) -> None:
        """Withdraw a service."""
        with self._lock:
            self._server.remove_services([name])

    def parameter(self, name: str, value: Any) -> Any:
        """Return a parameter of foxglove-sdk; `value`: a bool, number or text, or a list."""
        return self._sdk.websocket.Parameter(name, value=value)

    def show_parameters(self, parameters: list[Any]) -> None:
        """Send new values to the viewers that want to know them."""
        with self._lock:
            self._server.publish_parameter_values(parameters)

    def warn(self, message: str) -> None:
        """Show a warning in all viewers."""
        with self._lock:
            self._server.publish_status(message, self._sdk.websocket.StatusLevel.Warning)

    def _schema(self, kind: str, definition: str) -> Any:
        return self._sdk.Schema(name=kind, encoding=_SCHEMA_ENCODING, data=definition.encode())


def _unguessable_address() -> str:
    """Return one of 16 million loopback addresses, so that a web page cannot try them all."""
    return '127.' + '.'.join(str(1 + secrets.randbelow(254)) for _ in range(3))
