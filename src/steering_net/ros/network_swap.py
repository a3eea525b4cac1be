# SPDX-License-Identifier: Apache-2.0
"""NetworkSwap: exchanges the network of a node when its parameters name another one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter

from steering_net.errors import ModelError
from steering_net.inference.hot_reload import Loader, Request
from steering_net.inference.predictor import Predictor
from steering_net.ros.timers import steady_timer

_PERIOD_S = 0.05


class NetworkSwap:
    """The network that drives, the one that is being loaded, and the one that was refused last.

    `refused` is the file that was refused and the reason; '' without one.
    """

    def __init__(
        self,
        node: Node,
        driving: Request,
        loader: Loader,
        check: Callable[[Request], None],
        take_over: Callable[[Request, Predictor], None],
    ) -> None:
        """`check` raises ValueError for what cannot be loaded; it loads nothing.

        `take_over` lets a network drive from now on; it runs between two frames, and raises
        ModelError if this network must not drive.
        """
        self._node = node
        self._driving = self._wanted = driving
        self._loader = loader
        self._check = check
        self._take_over = take_over
        self.refused = ''
        self._is_restoring = False
        self._timer = steady_timer(node, _PERIOD_S, self._poll)
        self._timer.cancel()

    @property
    def loading(self) -> str:
        """The file that is being loaded; '' if there is none."""
        return '' if self._loader.idle else self._wanted.model

    def change(self, changed: dict[str, Any]) -> None:
        """Begin to load what the parameters name now. Raises ValueError if it cannot be loaded."""
        wanted = replace(self._wanted, **changed)
        if not self._is_restoring:
            self._check(wanted)
            self._loader.request(wanted)
            self._timer.reset()
        self._wanted = wanted

    def _poll(self) -> None:
        """Let the network drive that was being loaded, if it is ready."""
        outcome = self._loader.poll()
        if outcome is not None and outcome.predictor is not None:
            self._accept(outcome.request, outcome.predictor)
        elif outcome is not None:
            self._refuse(outcome.request, outcome.reason)
        if self._loader.idle:
            self._timer.cancel()

    def _accept(self, request: Request, predictor: Predictor) -> None:
        try:
            self._take_over(request, predictor)
        except ModelError as error:
            self._refuse(request, str(error))
        else:
            self._driving, self.refused = request, ''

    def _refuse(self, request: Request, reason: str) -> None:
        """Reset the parameters, because they must name the network that drives."""
        self.refused = f'{request.model}: {reason}'
        self._node.get_logger().error(
            f'the new network is refused, and the one before drives on: {reason}'
        )
        self._is_restoring = True
        self._node.set_parameters(
            [RosParameter(name, value=value) for name, value in asdict(self._driving).items()]
        )
        self._is_restoring = False
