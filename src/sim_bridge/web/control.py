# SPDX-License-Identifier: Apache-2.0
"""Control of a drive from a page: hold, reset, speed limit, network, recording. Off by default.

Each request is a POST with a JSON object, and is answered with one line of text. The server checks
the Origin header of each request. If pages are served to other machines, a request also needs the
token that the terminal shows.
"""

from __future__ import annotations

import hmac
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from flask import Blueprint, Flask, Response, jsonify, request

from sim_bridge.web.car_number import car_number

OFF = (
    'control from pages is off; sim-bridge drive --control turns it on, or the parameter control '
    'of the bridge'
)
WRONG_TOKEN = (
    'the token is missing or wrong; open the page by the address with #token= that the bridge '
    'shows on its terminal'
)
_MAX_BYTES = 4096


class RefusedError(RuntimeError):
    """A request that cannot be carried out; the message says why and what to do."""


class CarControls(Protocol):
    """What pages can do with one car.

    All but the wheel return what was done in one line, or raise RefusedError.
    """

    def hold(self, is_held: bool) -> str:
        """Hold or release the car."""

    def reset(self) -> str:
        """Put the car of the embedded simulator back to the start."""

    def limit_speed(self, limit_mps: float) -> str:
        """Set the speed limit, m/s."""

    def drive(self, steering: float, throttle: float) -> None:
        """Drive for a moment. steering: -1..1 of full lock, left positive; throttle: -1..1."""

    def let_go(self) -> None:
        """Give the car back."""


@dataclass(frozen=True)
class DriveControls:
    """What pages can do with all cars together; all but `networks` as `CarControls`.

    networks: returns the names of the networks that can be chosen. start_recording: records to a
    new bag of this name; without a name it is named after the time.
    """

    networks: Callable[[], list[str]]
    choose_network: Callable[[str], str]
    start_recording: Callable[[str], str]
    stop_recording: Callable[[], str]


@dataclass(frozen=True)
class Access:
    """The token that a request needs to control the drive; an empty one is not needed."""

    token: str = ''

    def refusal(self, given: str) -> str:
        """Return why a request with this token is refused; '' if it is allowed."""
        given_bytes = given.encode(errors='backslashreplace')
        is_right = hmac.compare_digest(given_bytes, self.token.encode())
        return '' if is_right or not self.token else WRONG_TOKEN


class FieldError(ValueError):
    """A field of a request that is missing or not allowed."""


def refuse_control(app: Flask) -> None:
    """Answer every request below /control with 403 and the way to turn control on."""

    @app.route('/control/', defaults={'_rest': ''}, methods=['GET', 'POST'])
    @app.route('/control/<path:_rest>', methods=['GET', 'POST'])
    @app.route('/control/wheel', defaults={'_rest': ''}, websocket=True)
    def refuse(_rest: str) -> tuple[str, int]:
        return f'{OFF}\n', 403


def add_control(
    app: Flask,
    access: Access,
    drive: DriveControls,
    cars: Sequence[CarControls],
    on_change: Callable[[], None],
) -> None:
    """Add the routes below /control. `on_change` is called after each request."""
    routes = Blueprint('control', __name__, url_prefix='/control')
    app.config['MAX_CONTENT_LENGTH'] = _MAX_BYTES

    @routes.before_request
    def check() -> tuple[str, int] | None:
        given = request.headers.get('Authorization', '').removeprefix('Bearer ')
        if refusal := access.refusal(given):
            return f'{refusal}\n', 403
        # A form of another site cannot send this type, even where a browser sends no Origin.
        if request.method == 'POST' and not request.is_json:
            return 'the Content-Type must be application/json\n', 415
        return None

    @routes.after_request
    def show(response: Response) -> Response:
        on_change()
        return response

    def car() -> CarControls:
        return cars[car_number(request.args.get('car', '1'), len(cars)) - 1]

    @routes.post('/hold')
    def hold() -> str:
        return car().hold(_field('held', bool, 'true or false')) + '\n'

    @routes.post('/reset')
    def reset() -> str:
        return car().reset() + '\n'

    @routes.post('/speed_limit')
    def limit_speed() -> str:
        limit_mps = _field('mps', (int, float), 'a number of m/s')
        try:
            limit_mps = float(limit_mps)
        except OverflowError:
            limit_mps = math.inf if limit_mps > 0 else -math.inf
        return car().limit_speed(limit_mps) + '\n'

    @routes.get('/networks')
    def networks() -> Response:
        return jsonify(drive.networks())

    @routes.post('/network')
    def choose_network() -> str:
        return drive.choose_network(_field('name', str, 'the name of a network')) + '\n'

    @routes.post('/recording')
    def record() -> str:
        if not _field('on', bool, 'true or false'):
            return drive.stop_recording() + '\n'
        return drive.start_recording(_field('name', str, 'a name, or empty')) + '\n'

    @routes.errorhandler(RefusedError)
    def refused(error: RefusedError) -> tuple[str, int]:
        return f'{error}\n', 409

    @routes.errorhandler(FieldError)
    def wrong(error: FieldError) -> tuple[str, int]:
        return f'{error}\n', 400

    app.register_blueprint(routes)


def _field(name: str, kind: type | tuple[type, ...], allowed: str) -> Any:
    """Return a field of the request's JSON object. Raises FieldError for another type."""
    try:
        body = request.get_json(silent=True)
    except RecursionError:
        body = None
    value = body.get(name) if isinstance(body, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise FieldError(f'{name} is {json.dumps(value)}; it must be {allowed}')
    return value
