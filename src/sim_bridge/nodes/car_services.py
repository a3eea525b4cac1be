"""The services of one car."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future

from rclpy.node import Node
from std_msgs.msg import Bool
from std_srvs.srv import SetBool

from sim_bridge import topics
from sim_bridge.nodes.car_interface import CallSoon
from sim_bridge.nodes.qos import LATCHED
from sim_bridge.session.car_session import CarSession

_SERVER_S = 1.0
"""Longest wait for the server's thread, which owns the session."""


class CarServices:
    """Services of one car, whose names begin with `prefix`.

    Requests come on the executor's thread. The server's thread carries them out, in microseconds,
    and the executor's thread waits for it, so that a reply says what has happened.
    """

    def __init__(
        self,
        node: Node,
        prefix: str,
        session: CarSession,
        *,
        call_soon: CallSoon,
        on_held: Callable[[], None],
    ) -> None:
        """`on_held` is called on the server's thread when the car was held or released."""
        self._session = session
        self._call_soon = call_soon
        self._on_held = on_held
        self._active = node.create_publisher(Bool, prefix + topics.HOLD_ACTIVE, LATCHED)
        self._publish_held()
        node.create_service(SetBool, prefix + topics.HOLD, self._hold)

    def _hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        is_held = bool(request.data)
        outcome: Future[str] = Future()
        self._call_soon(lambda now_s: outcome.set_result(self._set_held(now_s, is_held)))
        try:
            response.message = outcome.result(_SERVER_S)
            response.success = True
        except TimeoutError:
            response.message = 'the server of the bridge does not react'
        return response

    def _set_held(self, now_s: float, is_held: bool) -> str:
        self._session.set_held(now_s, is_held)
        self._on_held()
        self._publish_held()
        return 'held' if is_held else 'released; drives on at the next fresh commands'

    def _publish_held(self) -> None:
        self._active.publish(Bool(data=self._session.is_held))
