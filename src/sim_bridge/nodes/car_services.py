# SPDX-License-Identifier: Apache-2.0
"""The services of one car."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from std_msgs.msg import Bool, UInt32
from std_srvs.srv import SetBool, Trigger

from sim_bridge import services, topics
from sim_bridge.nodes.server_call import ServerCall, call_on_server
from sim_bridge.protocol.types import Control
from sim_bridge.session.car_session import CarSession, ControlError
from steering_net.ros.qos import LATCHED


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
        call_soon: ServerCall,
        on_held: Callable[[], None],
    ) -> None:
        """`on_held` is called on the server's thread when the car was held or released."""
        self._session = session
        self._call_soon = call_soon
        self._on_held = on_held
        self._active = node.create_publisher(Bool, prefix + topics.HOLD_ACTIVE, LATCHED)
        self._resets = node.create_publisher(UInt32, prefix + topics.RESETS, LATCHED)
        self._publish_held()
        self._publish_resets()
        for name, kind, callback in (
            (services.HOLD, SetBool, self._hold),
            (services.RESET, Trigger, self._reset),
            (services.PAUSE, SetBool, self._pause),
            (services.STEP, Trigger, self._step),
        ):
            node.create_service(kind, prefix + name, callback)

    # Called on the executor's thread.

    def _hold(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        is_held = bool(request.data)
        # A late hold is safe; a late release would surprise a caller that was told of a failure.
        if_late = 'the car is held as soon as it does' if is_held else ''
        return self._reply(response, lambda now_s: self.set_held(now_s, is_held), if_late)

    def _reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._reply(response, lambda now_s: self.control(now_s, Control.RESET))

    def _pause(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        control = Control.PAUSE if request.data else Control.RESUME
        return self._reply(response, lambda now_s: self.control(now_s, control))

    def _step(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        return self._reply(response, lambda now_s: self.control(now_s, Control.STEP))

    def _reply(self, response: Any, action: Callable[[float], str], if_late: str = '') -> Any:
        """Let the server's thread do something; return the response with what it has done."""
        try:
            response.message = call_on_server(self._call_soon, action, if_late=if_late)
            response.success = True
        except ControlError as error:
            response.message = str(error)
        return response

    # Called on the server's thread.

    def set_held(self, now_s: float, is_held: bool) -> str:
        """Hold or release the car; return what was done."""
        self._session.set_held(now_s, is_held)
        self._on_held()
        self._publish_held()
        return 'held' if is_held else 'released; drives on at the next fresh commands'

    def control(self, now_s: float, control: Control) -> str:
        """Send a request to the simulator; return what was done. Raises ControlError."""
        self._session.control(now_s, control)
        if control is Control.RESET:
            self._publish_resets()
        return f'{control.value} sent to the simulator'

    def _publish_held(self) -> None:
        self._active.publish(Bool(data=self._session.is_held))

    def _publish_resets(self) -> None:
        self._resets.publish(UInt32(data=self._session.resets))
