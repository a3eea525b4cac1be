# SPDX-License-Identifier: Apache-2.0
"""The pages of the bridge, for browsers and scripts. They only show, unless control is on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from flask import Flask, Response, jsonify, request
from flask.json.provider import DefaultJSONProvider
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as WsgiResponse

from sim_bridge.web.car_number import car_number
from sim_bridge.web.control import (
    Access,
    CarControls,
    DriveControls,
    add_control,
    refuse_control,
)
from sim_bridge.web.live_stream import BOUNDARY, LiveFeed, StreamsFullError
from sim_bridge.web.metrics import exposition
from sim_bridge.web.wheel import OpenSocket, WsgiApp, with_wheels

_HEADERS = {
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'self'; frame-ancestors 'none'; base-uri 'none'",
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
}


class PageControls(Protocol):
    """What pages can control: the drive, and each car, which may be added later.

    `open_socket` answers requests for WebSockets. `clock` returns monotonic seconds.
    """

    access: Access
    drive: DriveControls
    open_socket: OpenSocket
    clock: Callable[[], float]

    @property
    def cars(self) -> Sequence[CarControls]:
        """The cars, by their numbers."""


class _StrictJson(DefaultJSONProvider):
    """JSON without NaN, which no browser reads: such a value is an error of the bridge."""

    def dumps(self, obj: Any, **kwargs: Any) -> str:
        return super().dumps(obj, allow_nan=False, **kwargs)


def create_app(
    status: Callable[[], dict[str, Any]],
    feeds: Sequence[LiveFeed],
    control: PageControls | None = None,
) -> Flask:
    """Return the application. `status` returns the content of /state.json; one feed per car.

    `/` is the page. `/events` and `/camera.mjpg` are its streams: of car N with `?car=N`, without
    it of the first car. `/healthz` is 200, or 503 with the fault in one line. `/metrics` is for
    Prometheus. Without `control` the routes below /control are refused.
    """
    app = Flask('sim_bridge.web')
    app.json = _StrictJson(app)
    metrics = exposition(status)

    def chosen() -> LiveFeed:
        return feeds[car_number(request.args.get('car', '1'), len(feeds)) - 1]

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response

    @app.get('/')
    def index() -> Response:
        return app.send_static_file('page.html')

    @app.get('/state.json')
    def state() -> Response:
        return jsonify(status())

    @app.get('/healthz')
    def health() -> tuple[str, int]:
        trouble = status()['trouble']
        return (f'{trouble}\n', 503) if trouble else ('ready\n', 200)

    @app.get('/metrics')
    def prometheus() -> Response:
        return Response(metrics(), content_type='text/plain; version=0.0.4; charset=utf-8')

    @app.get('/events')
    def events() -> Response:
        return Response(chosen().events(), mimetype='text/event-stream')

    @app.get('/camera.mjpg')
    def camera() -> Response | tuple[str, int]:
        live = chosen()
        if not live.has_frame:
            return 'no frame has come yet\n', 503
        mimetype = f'multipart/x-mixed-replace; boundary={BOUNDARY}'
        return Response(live.frames(), mimetype=mimetype)

    @app.errorhandler(StreamsFullError)
    def full(error: StreamsFullError) -> tuple[str, int]:
        return f'{error}\n', 503

    @app.errorhandler(HTTPException)
    def one_line(error: HTTPException) -> WsgiResponse:
        response = error.get_response()
        response.content_type = 'text/plain; charset=utf-8'
        response.set_data(f'{error.description}\n')
        return response

    def refresh() -> None:
        for feed in feeds:
            feed.refresh()

    if control is None:
        refuse_control(app)
        return app
    add_control(app, control.access, control.drive, control.cars, refresh)
    routes: WsgiApp = app.wsgi_app
    app.wsgi_app = with_wheels(  # type: ignore[method-assign, assignment]
        routes, control.access, control.cars, control.clock, control.open_socket
    )
    return app
