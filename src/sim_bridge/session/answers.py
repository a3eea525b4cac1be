# SPDX-License-Identifier: Apache-2.0
"""Values of the response scheduler: a telemetry that waits, and the answer to it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from sim_bridge.protocol.types import Command


class Kind(Enum):
    """Kind of a telemetry: it is answered with commands, `manual`, or the last steering."""

    FRAME = 'frame'
    MANUAL = 'manual'
    UNREADABLE = 'unreadable'


@dataclass
class Waiting:
    """A telemetry that waits. Its answer may be sent at `earliest_s` or later.

    nodes_were_ready: at the time of its arrival. steering_rad: command that was computed from it.
    """

    kind: Kind
    received_s: float
    earliest_s: float
    nodes_were_ready: bool
    stamp_ns: int | None = None
    steering_rad: float | None = None


@dataclass(frozen=True)
class Answer:
    """An answer to send now: a command, or None for `manual`.

    latency_s: time since the frame came; None for an answer that did not need the nodes.
    person_stamp_ns: stamp of the frame, if the command is that of a person or planner.
    """

    command: Command | None
    latency_s: float | None = None
    person_stamp_ns: int | None = None
