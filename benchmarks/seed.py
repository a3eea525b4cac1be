# SPDX-License-Identifier: Apache-2.0
"""Baseline: the design of the well-known `drive.py`, written anew from its description.

    python benchmarks/seed.py --port 4567

One process with one thread runs Flask and Socket.IO under eventlet. PIL decodes the frame, and the
event handler calls `model.predict`. A command on connect adds a third token. Today's Socket.IO
cannot read the simulator's older protocol version, so this server uses our adapter for it. It does
not use our other changes to the socket: quick acknowledgements and quick unmasking.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import warnings

os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')

import engineio  # noqa: E402
import eventlet  # noqa: E402
import eventlet.wsgi  # noqa: E402
import flask  # noqa: E402
import keras  # noqa: E402
import numpy as np  # noqa: E402
import socketio  # noqa: E402
from engineio.async_drivers.eventlet import WebSocketWSGI  # noqa: E402
from PIL import Image  # noqa: E402

from sim_bridge.server.eio3_adapter import Eio3Adapter  # noqa: E402
from steering_net.inference.predictor import default_model  # noqa: E402
from steering_net.vision.preprocessing import preprocess  # noqa: E402
from steering_net.vision.profile import COURSE  # noqa: E402

SET_SPEED_MPH = 9.0
KP, KI = 0.1, 0.002


class UnderstandingWebSocket(WebSocketWSGI):
    """A WebSocket as it comes, with the simulator's dialect translated."""

    def __init__(self, handler, server) -> None:
        super().__init__(lambda ws: handler(Eio3Adapter(ws, lambda: None)), server)


class UnderstandingEngine(engineio.Server):
    """Engine.IO with that WebSocket."""

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self._async = {**self._async, 'websocket': UnderstandingWebSocket}


class UnderstandingServer(socketio.Server):
    """Socket.IO on that engine."""

    def _engineio_server_class(self):
        return UnderstandingEngine


def application(greet: bool) -> socketio.WSGIApp:
    """Return the server with its three handlers."""
    sio = UnderstandingServer(async_mode='eventlet')
    model = keras.models.load_model(default_model())
    model.predict(np.zeros((1, *COURSE.output_shape()), np.float32), batch_size=1, verbose=0)
    integral = 0.0

    def send(steering_angle: float, throttle: float) -> None:
        values = {'steering_angle': str(steering_angle), 'throttle': str(throttle)}
        sio.emit('steer', data=values)

    @sio.on('connect')
    def connect(_sid, _environ) -> None:
        if greet:
            send(0.0, 0.0)

    @sio.on('telemetry')
    def telemetry(_sid, data) -> None:
        nonlocal integral
        if not data:
            sio.emit('manual', data={})
            return
        image = np.asarray(Image.open(io.BytesIO(base64.b64decode(data['image']))))
        batch = preprocess(image, COURSE)[None]
        steering_angle = model.predict(batch, batch_size=1, verbose=0).item()
        error = SET_SPEED_MPH - float(data['speed'])
        integral += error
        send(steering_angle, KP * error + KI * integral)

    return socketio.WSGIApp(sio, flask.Flask(__name__))


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=(__doc__ or '').split('\n')[0])
    parser.add_argument('--port', type=int, default=4567)
    parser.add_argument('--no-greeting', action='store_true', help='no command on connect')
    args = parser.parse_args()
    app = application(greet=not args.no_greeting)
    listener = eventlet.listen(('127.0.0.1', args.port))
    eventlet.wsgi.server(listener, app, log_output=False)


if __name__ == '__main__':
    main()
