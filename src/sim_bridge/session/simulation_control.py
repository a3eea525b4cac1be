# SPDX-License-Identifier: Apache-2.0
"""Controls the simulators of all cars together, as the package simulation_interfaces defines it.

The numbers are those of simulation_interfaces. Pure: the package is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum

from sim_bridge.protocol.types import Control
from sim_bridge.session.car_session import CarSession, ControlError
from sim_bridge.session.status import State

_LOOK_PERIOD_S = 0.005
_STEP_S = 2.0
"""Longest wait for the frame of a step."""


class Result(IntEnum):
    """Numbers of simulation_interfaces/msg/Result."""

    UNSUPPORTED = 0
    OK = 1
    NOT_FOUND = 2
    INCORRECT_STATE = 3
    OPERATION_FAILED = 4
    ALREADY_IN_TARGET_STATE = 101
    """Of SetSimulationState only."""


class World(IntEnum):
    """Numbers of simulation_interfaces/msg/SimulationState that occur here."""

    STOPPED = 0
    PLAYING = 1
    PAUSED = 2
    NO_WORLD = 4


class Feature(IntEnum):
    """Numbers of simulation_interfaces/msg/SimulatorFeatures that simulators here can have."""

    ENTITY_STATE_GETTING = 10
    SIMULATION_RESET = 20
    SIMULATION_RESET_STATE = 22
    SIMULATION_STATE_GETTING = 24
    SIMULATION_STATE_SETTING = 25
    SIMULATION_STATE_PAUSE = 26
    STEP_SIMULATION_SINGLE = 31
    STEP_SIMULATION_MULTIPLE = 32


SCOPE_STATE = 2
"""Bit of the scope of a reset: poses and speeds. A scope of 0 stands for all bits."""

NO_SIMULATOR = 'no simulator is connected'
_CONTROLLED = (
    Feature.SIMULATION_RESET,
    Feature.SIMULATION_RESET_STATE,
    Feature.SIMULATION_STATE_SETTING,
    Feature.SIMULATION_STATE_PAUSE,
    Feature.STEP_SIMULATION_SINGLE,
    Feature.STEP_SIMULATION_MULTIPLE,
)


@dataclass(frozen=True)
class Reply:
    """Result of a request, with the reason if it is not OK."""

    result: Result = Result.OK
    message: str = ''


class SimulationControl:
    """Resets, pauses and steps the simulators of all cars. Call it from one thread of its own."""

    def __init__(
        self,
        cars: Mapping[CarSession, Callable[[float, Control], object]],
        on_server: Callable[[Callable[[float], Reply]], Reply],
        sleep: Callable[[float], object],
    ) -> None:
        """`cars`: of each session the function that sends a control to its simulator.

        `on_server` lets the thread of the sessions call a function with the time, and returns its
        result. `sleep` waits for seconds.
        """
        self._cars = cars
        self._on_server = on_server
        self._sleep = sleep

    @property
    def _connected(self) -> list[CarSession]:
        return [session for session in self._cars if session.client is not None]

    def features(self, *, has_truth: bool) -> list[Feature]:
        """Return what all connected simulators can do. `has_truth`: they tell where cars are."""
        clients = [client for session in self._cars if (client := session.client) is not None]
        is_controlled = bool(clients) and all(client.resets.run is not None for client in clients)
        found = [Feature.SIMULATION_STATE_GETTING, *(_CONTROLLED if is_controlled else ())]
        tells_pose = bool(clients) and has_truth
        return sorted([*found, *([Feature.ENTITY_STATE_GETTING] if tells_pose else ())])

    def world(self) -> World:
        """Return whether the simulators run; with several, PAUSED means that all are paused."""
        states = [session.state for session in self._connected]
        if not states:
            return World.NO_WORLD
        return World.PAUSED if all(one is State.PAUSED for one in states) else World.PLAYING

    def reset(self, scope: int) -> Reply:
        """Put all cars back to the start. The simulated time goes on."""
        if scope and not scope & SCOPE_STATE:
            return Reply(Result.UNSUPPORTED, f'scope is {scope}; it must contain SCOPE_STATE (2)')
        return self._send(Control.RESET)

    def set_world(self, wanted: int) -> Reply:
        """Pause the simulators or let them go on."""
        if wanted not in (World.PLAYING, World.PAUSED):
            return Reply(
                Result.UNSUPPORTED, f'state is {wanted}; it must be PLAYING (1) or PAUSED (2)'
            )
        is_pause = wanted == World.PAUSED
        # Each one, because with several the world is PLAYING while only some are paused.
        are_paused = {session.state is State.PAUSED for session in self._connected}
        if are_paused == {is_pause}:
            return Reply(Result.ALREADY_IN_TARGET_STATE)
        return self._send(Control.PAUSE if is_pause else Control.RESUME)

    def step(self, steps: int) -> Reply:
        """Simulate this number of frames; return when the last one has come."""
        if self.world() is World.PLAYING:
            return Reply(Result.OPERATION_FAILED, 'the simulation is not paused')
        for _ in range(steps):
            before = {session: session.counters.telemetry for session in self._connected}
            reply = self._send(Control.STEP)
            if reply.result is not Result.OK:
                return reply
            if not self._wait_for_frames(before):
                return Reply(Result.OPERATION_FAILED, f'no frame came within {_STEP_S:g} s')
        return Reply()

    def _wait_for_frames(self, before: Mapping[CarSession, int]) -> bool:
        for _ in range(round(_STEP_S / _LOOK_PERIOD_S)):
            if all(session.counters.telemetry > count for session, count in before.items()):
                return True
            self._sleep(_LOOK_PERIOD_S)
        return False

    def _send(self, control: Control) -> Reply:
        return self._on_server(lambda now_s: self._send_now(now_s, control))

    def _send_now(self, now_s: float, control: Control) -> Reply:
        """Send a control to all simulators, or to none if one of them cannot do it."""
        connected = self._connected
        if not connected:
            return Reply(Result.INCORRECT_STATE, NO_SIMULATOR)
        if Feature.SIMULATION_RESET not in self.features(has_truth=False):
            return Reply(Result.UNSUPPORTED, f'this simulator has no {control.value}')
        try:
            for session in connected:
                self._cars[session](now_s, control)
        except ControlError as error:
            return Reply(Result.OPERATION_FAILED, str(error))
        return Reply()
