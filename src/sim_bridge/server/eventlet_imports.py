# SPDX-License-Identifier: Apache-2.0
"""eventlet, Engine.IO and Socket.IO, imported without warnings and without unused parts.

Other modules import them from here, so that this module runs first.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any

warnings.filterwarnings('ignore', message=r'\s*Eventlet is deprecated')
# Names are never resolved here, and its own resolver takes a fifth of a second to import.
os.environ.setdefault('EVENTLET_NO_GREENDNS', 'yes')


class _Later(ModuleType):
    """A module that is imported at the first use of one of its attributes."""

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module(self.__name__), name)


# Only Engine.IO's client needs it, and half of the time to import Engine.IO goes to it.
_requests = sys.modules.setdefault('requests', _Later('requests'))

import engineio  # noqa: E402
import eventlet  # noqa: E402
import eventlet.hubs  # noqa: E402
import eventlet.wsgi  # noqa: E402
import socketio  # noqa: E402
from engineio.async_drivers.eventlet import WebSocketWSGI  # noqa: E402
from eventlet.websocket import FailedConnectionError, RFC6455WebSocket  # noqa: E402

if isinstance(_requests, _Later):
    del sys.modules['requests']

__all__ = [
    'FailedConnectionError',
    'RFC6455WebSocket',
    'WebSocketWSGI',
    'engineio',
    'eventlet',
    'socketio',
]
