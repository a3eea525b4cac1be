# SPDX-License-Identifier: Apache-2.0
"""reply_of: calls a service on a thread that is not the executor's, and waits for the reply."""

from __future__ import annotations

import threading
from typing import Any

from rclpy.client import Client

REPLY_S = 3.0
"""Longest wait for a reply, s."""


def reply_of(client: Client, request: Any) -> Any | None:
    """Return the reply to a request; None if it does not come within `REPLY_S`.

    The executor must run on another thread, because it receives the reply.
    """
    answered = threading.Event()
    future = client.call_async(request)
    future.add_done_callback(lambda _: answered.set())
    if not answered.wait(REPLY_S):
        client.remove_pending_request(future)
        return None
    return future.result()
