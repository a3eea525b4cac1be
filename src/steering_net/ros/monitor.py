# SPDX-License-Identifier: Apache-2.0
"""Monitor: publishes how unsure the network of the steering node is, and slows or holds the cars.

After each command the network sees the same frame twice more, changed (`inference.self_check`). So
the monitor delays no command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.task import Future
from std_msgs.msg import Bool, Float32
from std_srvs.srv import SetBool

from steering_net.errors import ModelError
from steering_net.inference.caution import MODES, SLOW_FACTOR, UNSURE, Action, Caution
from steering_net.inference.predictor import PredictionError, Predictor
from steering_net.inference.self_check import SelfCheck, calibration_of
from steering_net.ros.parameters import Parameter
from steering_net.ros.qos import LATCHED, NEWEST

PARAMETER = Parameter(
    'monitor',
    'warn',
    'What happens when the network is unsure. warn: a warning; slow: also a lower speed; hold: '
    'also an emergency stop; off: nothing is measured.',
    choices=MODES,
)
_PERIOD_S = 0.04
"""Frames of a car that follow each other faster are not judged, which saves processor time."""
_PERIOD_OF_ALL_S = 0.02
"""The same for all cars together, so that the monitor of many cars does not slow the network."""
_WARNING_PERIOD_S = 5.0
_HOLD_AGAIN_S = 0.5
"""Time after which the bridge is asked again for a hold that it has not confirmed."""


class Monitor:
    """Watches the network for the cars of a node."""

    def __init__(self, node: Node, mode: str) -> None:
        self.mode = mode
        self._node = node
        self._cars: dict[str, _CarMonitor] = {}
        self._new_check: Callable[[], SelfCheck] | None = None

    def begin(self, prefix: str) -> None:
        """Judge the frames of the car whose topics begin with `prefix`."""
        if self.mode != 'off':
            self._cars[prefix] = _CarMonitor(self._node, prefix, self.mode)
            self._cars[prefix].check = self._check()

    def cease(self, prefix: str) -> None:
        """Judge no more frames of this car; its speed factor ends."""
        if self.mode != 'off':
            self._cars.pop(prefix).close()

    def check(self, model: str) -> None:
        """Raise ModelError if the monitor must act, but has no calibration of this network.

        A calibration that cannot be read is refused in every mode but `off`.
        """
        if self.mode == 'off' or calibration_of(model) is not None:
            return
        if self.mode in ('slow', 'hold'):
            raise ModelError(
                f'monitor is {self.mode}, but the network {model} is not calibrated: set it to '
                f'warn, or run `sim-bridge evaluate monitor --calibrate --model {model}`'
            )

    def watch(self, model: str, predictor: Predictor) -> None:
        """Watch this network from now on; without a calibration nothing is measured.

        Raises ModelError, and goes on as before, for a calibration that cannot be read.
        """
        calibration = None if self.mode == 'off' else calibration_of(model)
        self._new_check = partial(SelfCheck, predictor, calibration) if calibration else None
        for car in self._cars.values():
            car.check = self._check()
            # What was said of the network before says nothing of this one.
            car.uncertainty = 0.0

    def add(self, prefix: str, steering_rad: float, now_s: float, is_faulty: bool) -> None:
        """Judge the newest frame of a car, for which the network has answered `steering_rad`.

        `is_faulty`: the outputs alone show that the network does not work.
        """
        period_s = max(_PERIOD_S, len(self._cars) * _PERIOD_OF_ALL_S)
        if (car := self._cars.get(prefix)) and car.is_due(now_s, period_s):
            car.add(steering_rad, now_s, is_faulty)

    def tell(self) -> None:
        """Publish the speed factors again: another node may have published one for a car."""
        for car in self._cars.values():
            car.tell_factor()

    @property
    def is_watching(self) -> bool:
        """Whether frames are judged."""
        return self._new_check is not None

    @property
    def trouble(self) -> str:
        """In one line, why the network is not trusted; '' if it is sure."""
        is_unsure = self._worst() >= UNSURE
        return 'the network is unsure: it does not know this world' if is_unsure else ''

    def values(self) -> dict[str, str]:
        """Return the values for diagnostics."""
        if self.mode == 'off':
            return {'monitor': 'off'}
        if not self.is_watching:
            return {'monitor': f'{self.mode}, but the network is not calibrated'}
        return {'monitor': self.mode, 'uncertainty': f'{self._worst():.2f}'}

    def _check(self) -> SelfCheck | None:
        return None if self._new_check is None else self._new_check()

    def _worst(self) -> float:
        return max((car.uncertainty for car in self._cars.values()), default=0.0)


class _CarMonitor:
    """The monitor of one car: its topics, and what it does."""

    def __init__(self, node: Node, prefix: str, mode: str) -> None:
        self.check: SelfCheck | None = None
        self.uncertainty = 0.0
        self._node = node
        self._name = prefix.rstrip('/') or 'the car'
        self._caution = Caution(mode)
        self._action = Action.DRIVE
        self._judged_s = float('-inf')
        self._message = Float32()
        self._uncertainties = node.create_publisher(Float32, f'{prefix}uncertainty', NEWEST)
        self._factors = node.create_publisher(Float32, f'{prefix}speed_factor', LATCHED)
        self.tell_factor()
        self._is_held = False
        self._wants_hold = False
        self._asked_s = float('-inf')
        self._can_hold = mode == 'hold'
        self._request: Future[Any] | None = None
        if self._can_hold:
            self._hold = node.create_client(SetBool, f'{prefix}hold')
            self._held = node.create_subscription(
                Bool, f'{prefix}hold/active', self._on_held, LATCHED
            )

    def close(self) -> None:
        """Destroy the publishers and what belongs to the hold."""
        self._node.destroy_publisher(self._uncertainties)
        self._node.destroy_publisher(self._factors)
        if self._can_hold:
            self._node.destroy_client(self._hold)
            self._node.destroy_subscription(self._held)

    def is_due(self, now_s: float, period_s: float) -> bool:
        """Whether a frame is judged now, if that happens once in `period_s`."""
        return self.check is not None and not 0.0 <= now_s - self._judged_s < period_s

    def add(self, steering_rad: float, now_s: float, is_faulty: bool) -> None:
        assert self.check is not None
        self._judged_s = now_s
        self.uncertainty = 1.0
        if not is_faulty:
            with contextlib.suppress(PredictionError):
                self.uncertainty = self.check.uncertainty(steering_rad, now_s)
        self._message.data = self.uncertainty
        self._uncertainties.publish(self._message)
        action = self._caution.add(self.uncertainty, now_s)
        if self.uncertainty >= UNSURE:
            self._node.get_logger().warning(
                f'{self._name}: the network is unsure', throttle_duration_sec=_WARNING_PERIOD_S
            )
        if action is not self._action:
            self._act(action)
        if self._wants_hold and not 0.0 <= now_s - self._asked_s < _HOLD_AGAIN_S:
            self._asked_s = now_s
            self._ask_for_hold()

    def _ask_for_hold(self) -> None:
        """Ask the bridge to hold the car, and forget a request that it has not answered."""
        if self._request is not None:
            self._hold.remove_pending_request(self._request)
        self._request = self._hold.call_async(SetBool.Request(data=True))

    def tell_factor(self) -> None:
        """Publish the share of the speed limit that the action allows."""
        factor = 1.0 if self._action is Action.DRIVE else SLOW_FACTOR
        self._factors.publish(Float32(data=factor))

    def _act(self, action: Action) -> None:
        was_driving, self._action = self._action is Action.DRIVE, action
        if was_driving or action is Action.DRIVE:
            self.tell_factor()
        if action is Action.HOLD:
            self._node.get_logger().error(f'{self._name} is held: the network is unsure')
        self._wants_hold = action is Action.HOLD and not self._is_held

    def _on_held(self, message: Bool) -> None:
        """Note that the bridge holds the car: until then it may die with the request."""
        self._is_held = bool(message.data)
        self._wants_hold = self._wants_hold and not self._is_held
