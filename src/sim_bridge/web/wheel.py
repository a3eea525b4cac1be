# SPDX-License-Identifier: Apache-2.0
"""The wheel: a person on a page drives a car by a WebSocket while a dead-man's button is pressed.

The page sends a token first, then `{"steering": S, "throttle": T}` twenty times a second while the
key is pressed, and `{}` when it is released. The car is also given back as soon as the connection
ends, or when no message comes for the parameter `page_timeout`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qs

from werkzeug.exceptions import NotFound

from sim_bridge.web.car_number import car_number
from sim_bridge.web.control import Access, CarControls

PATH = '/control/wheel'
_HELD_S = 0.5
"""Time for which a page that has fallen silent keeps other pages from the wheel."""

WsgiApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class Socket(Protocol):
    """A WebSocket that is open."""

    def wait(self) -> str | bytes | None:
        """Return the next message; None when the connection is closed."""

    def send(self, message: str) -> None:
        """Send a message."""


OpenSocket = Callable[
    [dict[str, Any], Callable[..., Any], Callable[[Socket], None]], Iterable[bytes]
]
"""Answers a WSGI request for a WebSocket, and lets a function serve it."""


class MessageError(ValueError):
    """A message of a page that cannot be read; names the field, its value and what is allowed."""


class Wheel:
    """The wheel of one car. One page holds it: the first, until it lets go or falls silent."""

    def __init__(self, car: CarControls, clock: Callable[[], float]) -> None:
        """`clock` returns monotonic seconds."""
        self._car = car
        self._clock = clock
        self._holder: object | None = None
        self._until_s = -math.inf

    def turn(self, page: object, steering: float, throttle: float) -> bool:
        """Drive for a page; return whether it holds the wheel."""
        now_s = self._clock()
        if self._holder is not page and now_s < self._until_s:
            return False
        self._holder, self._until_s = page, now_s + _HELD_S
        self._car.drive(steering, throttle)
        return True

    def let_go(self, page: object) -> None:
        """Give the car back if this page holds the wheel."""
        if self._holder is page:
            self._holder, self._until_s = None, -math.inf
            self._car.let_go()


def serve(socket: Socket, access: Access, wheel: Wheel) -> None:
    """Serve a page until its connection ends.

    The page gets `{"wheel": W}` when W changes: `yours`, `taken` by another page, or `free`. It
    gets `{"error": LINE}` before the connection is closed because of its messages.
    """
    page, state = object(), 'free'
    try:
        first = _read(socket.wait() or '')
        if refusal := access.refusal(str(first.get('token', ''))):
            raise MessageError(refusal)
        while (message := socket.wait()) is not None:
            before, state = state, _obey(_read(message), page, wheel)
            if state != before:
                socket.send(json.dumps({'wheel': state}))
    except MessageError as error:
        socket.send(json.dumps({'error': str(error)}))
    finally:
        wheel.let_go(page)


def _obey(message: dict[str, Any], page: object, wheel: Wheel) -> str:
    """Do what a message wants; return the state of the wheel for its page."""
    if 'steering' not in message and 'throttle' not in message:
        wheel.let_go(page)
        return 'free'
    steering, throttle = _axis(message, 'steering'), _axis(message, 'throttle')
    return 'yours' if wheel.turn(page, steering, throttle) else 'taken'


def _axis(message: dict[str, Any], name: str) -> float:
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -1 <= value <= 1:
        raise MessageError(f'{name} is {json.dumps(value)}; it must be -1..1')
    return float(value)


def _read(message: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise MessageError('a message is not a JSON object')
    return value


def with_wheels(
    app: WsgiApp,
    access: Access,
    cars: Sequence[CarControls],
    clock: Callable[[], float],
    open_socket: OpenSocket,
) -> WsgiApp:
    """Return `app` with a WebSocket at PATH for each car; of car N with `?car=N`."""
    wheels: dict[int, Wheel] = {}

    def dispatch(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        is_socket = environ.get('HTTP_UPGRADE', '').lower() == 'websocket'
        if not is_socket or environ['PATH_INFO'] != PATH:
            return app(environ, start_response)
        wanted = parse_qs(environ.get('QUERY_STRING', '')).get('car', ['1'])[0]
        try:
            number = car_number(wanted, len(cars))
        except NotFound as error:
            start_response('404 Not Found', [('Connection', 'close')])
            return [f'{error.description}\n'.encode()]
        if number not in wheels:
            wheels[number] = Wheel(cars[number - 1], clock)
        wheel = wheels[number]
        return open_socket(environ, start_response, lambda socket: serve(socket, access, wheel))

    return dispatch
