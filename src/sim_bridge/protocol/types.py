# SPDX-License-Identifier: Apache-2.0
"""Values that a simulator and the bridge exchange, in SI units, and the `Link` between them.

Signs follow REP-103: left is positive. A module beside this one converts the payloads of each wire
format to these values and back.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, fields
from enum import Enum
from typing import Protocol

_MAX_TRUTH_CHARS = 1000
_MAX_TRUTH = 1e6


class PacketError(ValueError):
    """A payload that breaks the protocol; the message names the field.

    speed_mps: the speed, if it can be read although another field is wrong; else None.
    """

    def __init__(self, message: str, speed_mps: float | None = None) -> None:
        super().__init__(message)
        self.speed_mps = speed_mps


class HalfCommandError(PacketError):
    """A command whose steering can be read and whose throttle cannot.

    The simulator has then already applied `steering_rad` to its wheels.
    """

    def __init__(self, message: str, steering_rad: float) -> None:
        super().__init__(message)
        self.steering_rad = steering_rad


class UnsentError(RuntimeError):
    """A request that was not sent, because its client does not read what is sent to it."""


class Control(Enum):
    """A request to a simulator."""

    RESET = 'reset'
    """Put the car back to the start, standing; forget all commands, and start the score anew."""
    PAUSE = 'pause'
    """Let the world stand still, and send no telemetry."""
    RESUME = 'resume'
    """End the pause."""
    STEP = 'step'
    """Simulate one frame of a paused world, and send its telemetry."""


@dataclass(frozen=True)
class Truth:
    """State of a car that a simulator knows and a real car would have to measure.

    The pose is that of the car's origin in the frame of the track. speed_mps and yaw_rate_radps
    are signed. cross_track_m: distance from the centre line, left positive. laps: number of
    completed laps. lap_time_s: duration of the newest of them, 0 before the first. off_road:
    whether a wheel is beside the road.
    """

    x_m: float
    y_m: float
    z_m: float
    yaw_rad: float
    pitch_up_rad: float
    speed_mps: float
    yaw_rate_radps: float
    cross_track_m: float
    laps: int
    lap_time_s: float
    off_road: bool

    def text(self) -> str:
        """Return the truth as a JSON object."""
        return json.dumps(vars(self))

    @classmethod
    def parse(cls, text: str) -> Truth | None:
        """Return the truth of a JSON object; None for an incomplete one or another text."""
        try:
            values = json.loads(text if len(text) <= _MAX_TRUTH_CHARS else '')
        except (ValueError, RecursionError):
            return None
        if not isinstance(values, dict) or values.keys() != {one.name for one in fields(cls)}:
            return None
        if not all(isinstance(value, int | float) for value in values.values()):
            return None
        if not all(abs(value) <= _MAX_TRUTH for value in values.values()) or values['laps'] < 0:
            return None
        kinds: dict[str, type] = {'laps': int, 'off_road': bool}
        return cls(**{name: kinds.get(name, float)(value) for name, value in values.items()})


@dataclass(frozen=True)
class Telemetry:
    """One frame of the simulator.

    steering_rad: present angle of the wheels, left positive. throttle: 0..1. speed_mps: magnitude.
    jpeg: the image of the camera as it was sent. run: number of resets so far; None for a
    simulator that accepts no `Control`. time_ns: simulated time; None if it is not sent. truth:
    text for `Truth.parse`, because few drives need it; None if it is not sent. waits: whether the
    simulator's world stands still until the answer.
    """

    steering_rad: float
    throttle: float
    speed_mps: float
    jpeg: bytes
    run: int | None = None
    time_ns: int | None = None
    truth: str | None = None
    waits: bool = False


@dataclass(frozen=True)
class Command:
    """Steering and throttle for the car: steering_rad left positive, throttle -1..1.

    A negative throttle brakes. Raises ValueError for a value that is not finite, so that such a
    command cannot be sent.
    """

    steering_rad: float
    throttle: float

    def __post_init__(self) -> None:
        for name in ('steering_rad', 'throttle'):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f'{name} is {getattr(self, name)}, it must be finite')


COAST = Command(steering_rad=0.0, throttle=0.0)
"""The last command to a car that is left alone: 0/0."""


class Link(Protocol):
    """The connection to one client: decodes its payloads, sends it commands.

    A link belongs to one client and one thread. It keeps the state that its format needs.
    """

    def decode(self, payload: object) -> Telemetry | None:
        """Return the telemetry in a payload; None means that a person drives.

        Raises PacketError, naming the field, for a payload that cannot be used.
        """

    def send_command(self, command: Command) -> None:
        """Send a command to the client."""

    def send_manual(self) -> None:
        """Answer a telemetry of a car that a person drives."""

    def send_control(self, control: Control) -> None:
        """Send a request to a client whose telemetry has a `run`. Raises UnsentError."""
