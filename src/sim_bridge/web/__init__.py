"""Pages beside the socket: what the bridge is doing, for people and for scripts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flask import Flask, Response, jsonify

GREETING = (
    'sim_bridge is listening.\n'
    'Point the simulator here and choose autonomous mode. State: /state.json\n'
)


def create_app(status: Callable[[], dict[str, Any]]) -> Flask:
    """A read-only application; `status` returns what /state.json shows."""
    app = Flask('sim_bridge.web')

    @app.get('/')
    def greeting() -> Response:
        return Response(GREETING, mimetype='text/plain')

    @app.get('/state.json')
    def state() -> Response:
        return jsonify(status())

    @app.get('/healthz')
    def health() -> tuple[str, int]:
        return ('ready\n', 200) if status()['ready'] else ('not ready\n', 503)

    return app
