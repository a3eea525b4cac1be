# SPDX-License-Identifier: Apache-2.0
"""Lets a page choose the network that drives, from a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rcl_interfaces.srv import SetParametersAtomically
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from sim_bridge.limits import NETWORK_SUFFIXES
from sim_bridge.web.control import FieldError, RefusedError

DEFAULT = 'default'
_REPLY_S = 2.0
_LOOK_S = 0.02


class PageNetworks:
    """Sets the parameter `model` of the steering node to a network of a folder."""

    def __init__(
        self,
        node: Node,
        folder: str,
        *,
        sleep: Callable[[float], None],
        clock: Callable[[], float],
    ) -> None:
        """`folder`: path, or '' for none. `sleep` pauses one request and no other."""
        self._folder = Path(folder).expanduser() if folder else None
        self._sleep = sleep
        self._clock = clock
        self._steering = node.create_client(
            SetParametersAtomically, 'steering/set_parameters_atomically'
        )

    def names(self) -> list[str]:
        """Return `default` and the networks of the folder. Raises RefusedError if unreadable."""
        return [DEFAULT, *sorted(self._paths())]

    def choose(self, name: str) -> str:
        """Let the steering node load a network; the present one drives meanwhile.

        Raises FieldError if there is no such network, RefusedError if the node refuses it.
        """
        paths = self._paths()
        if name != DEFAULT and name not in paths:
            raise FieldError(f'name is {name!r}; it must be one of {", ".join(self.names())}')
        model = DEFAULT if name == DEFAULT else str(paths[name])
        if not self._steering.service_is_ready():
            raise RefusedError('no steering node runs, so no network can be loaded')
        values = (RosParameter('model', value=model), RosParameter('profile', value=''))
        # Together, because the profile must stay if the node refuses the network.
        request = SetParametersAtomically.Request(
            parameters=[one.to_parameter_msg() for one in values]
        )
        reply = self._steering.call_async(request)
        until_s = self._clock() + _REPLY_S
        while not reply.done():
            if self._clock() > until_s:
                self._steering.remove_pending_request(reply)
                raise RefusedError('the steering node does not answer')
            self._sleep(_LOOK_S)
        result = reply.result().result
        if not result.successful:
            raise RefusedError(str(result.reason))
        return f'{name} is being loaded'

    def _paths(self) -> dict[str, Path]:
        if self._folder is None:
            return {}
        try:
            return {path.name: path for path in self._folder.iterdir() if _is_network(path)}
        except OSError as error:
            raise RefusedError(
                f'the folder {self._folder} cannot be read: {error.strerror}'
            ) from error


def _is_network(path: Path) -> bool:
    return path.suffix in NETWORK_SUFFIXES or (path / 'saved_model.pb').is_file()
