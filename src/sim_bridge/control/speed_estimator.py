# SPDX-License-Identifier: Apache-2.0
"""Signed speed of the car and slope of the road, estimated from a speed without a sign. Pure.

The simulator reports the speed of its car without the direction. So the estimator keeps two
hypotheses, one per sign. Each predicts the next speed from the throttle commands and corrects its
estimate of the slope by the error, as a Kalman filter whose speed is measured exactly. Its log
likelihood is the sum over these errors (Bar-Shalom, Li and Kirubarajan, Estimation with
Applications to Tracking and Navigation, sections 5.2 and 11.6). Each sign keeps the likelier of
its two pasts, because a car that slows down, stands and rolls back changes its sign.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from steering_net.vehicle import (
    BRAKE_GRIP_MPS2,
    BRAKE_MPS2,
    DRAG_1PS,
    DRIVE_MPS2,
    PHYSICS_STEP_S,
    REVERSE_BELOW_MPS,
    REVERSE_MPS2,
    TOP_SPEED_MPS,
)

_STEEPEST_MPS2 = 4.0
"""Largest acceleration by a slope: that of 45 %."""
_SLOPE_MPS2 = 1.5
"""Standard deviation of the acceleration by an unknown slope."""
_SLOPE_CHANGE = 0.3
"""Variance of its change within a metre of road, (m/s^2)^2/m."""
_SLOPE_DRIFT = 0.005
"""The same within a second of a standing car, for other errors of the model, (m/s^2)^2/s."""
_PEDAL_ERROR = 0.15
"""Relative standard deviation of the acceleration by the pedals."""
_BRAKE_ERROR = 0.3
"""The same for the brake, because its torque and grip are known less well."""
_REVERSAL_MPS2 = 10.0
"""Largest acceleration at a change of direction."""
_STEP_NOISE_S = 0.008
"""Standard deviation of the age of a report, because a frame consists of whole physics steps."""
_RESOLUTION_MPS = 0.005
"""Standard deviation of a reported speed."""
_SHARES = (1.0, 0.5, 0.25, 0.0)
"""Possible shares of a period in which the newer command acted, see `_Pair`."""
_MISFIT_KEPT = 0.95
"""Factor of a pair's misfit per report, so that some 20 reports count."""
_PLAUSIBLE = 3.0
"""A pair is plausible if its misfit exceeds that of the best pair by less than this."""
_AGREES = 2.0
"""Difference of log probabilities by which a plausible pair has to agree on the direction."""
_MISFIT_AT_MOST = 60.0
"""Misfit above which no hypothesis fits, so that the estimator starts again."""
_SURELY_BRAKED_MPS = REVERSE_BELOW_MPS + 1.5
"""Speed above which a negative throttle brakes, even if it arrives late."""
_CONTRADICTIONS = 3
"""Number of reports in a row against driving forward that rule it out."""
_LONGEST_STEP_S = 1.0
"""Longest time step; a longer pause of the simulator counts as this."""
_CERTAIN = 4.0
"""Difference of log probabilities above which the direction counts as certain: 55 to 1."""
_SETTLED = 6.0
"""The same above which the other direction is ruled out."""


def acceleration_mps2(speed_mps: float, throttle: float, slope_mps2: float) -> float:
    """Return the acceleration of the simulator's car at a signed speed, for a throttle -1..1.

    `slope_mps2` is the part of gravity along the car, positive downhill. The brake acts on a car
    that drives forward faster than `REVERSE_BELOW_MPS`; otherwise a negative throttle pulls
    backwards.
    """
    coasting_mps2 = slope_mps2 - DRAG_1PS * speed_mps
    if throttle >= 0.0:
        return coasting_mps2 + DRIVE_MPS2 * throttle
    if speed_mps > REVERSE_BELOW_MPS:
        return coasting_mps2 - min(-throttle * BRAKE_MPS2, BRAKE_GRIP_MPS2)
    return coasting_mps2 + REVERSE_MPS2 * throttle


def predicted_mps(speed_mps: float, throttle: float, slope_mps2: float, dt_s: float) -> float:
    """Return the signed speed after `dt_s` under one throttle, in the simulator's steps."""
    while dt_s > 0.0:
        step_s = min(dt_s, PHYSICS_STEP_S)
        speed_mps += step_s * acceleration_mps2(speed_mps, throttle, slope_mps2)
        dt_s -= PHYSICS_STEP_S
    return max(-TOP_SPEED_MPS, min(TOP_SPEED_MPS, speed_mps))


class Interval(NamedTuple):
    """Time between two measurements, and the throttles that acted in it, the older one first.

    share: of this time, in which the newer throttle acted. brake_held: whether a brake may have
    been held in this time.
    """

    dt_s: float
    throttles: tuple[float, float]
    share: float
    brake_held: bool


class Hypothesis(NamedTuple):
    """One explanation of all speeds so far.

    speed_mps: signed, positive forward. slope_mps2: acceleration by the slope, positive
    downhill, and its variance.
    """

    speed_mps: float
    slope_mps2: float = 0.0
    slope_variance: float = _SLOPE_MPS2**2
    log_likelihood: float = 0.0

    @property
    def log_probability(self) -> float:
        """Log likelihood of the speeds plus that of the slope, without a constant."""
        return self.log_likelihood - 0.5 * (self.slope_mps2 / _SLOPE_MPS2) ** 2

    def predict(self, interval: Interval) -> Prediction:
        """Return the signed speed after an interval."""
        dt_s, (older, newer) = interval.dt_s, interval.throttles
        newer_s = interval.share * dt_s
        speed_mps = predicted_mps(self.speed_mps, older, self.slope_mps2, dt_s - newer_s)
        speed_mps = predicted_mps(speed_mps, newer, self.slope_mps2, newer_s)
        change_mps = speed_mps - self.speed_mps
        pedals_mps = change_mps - dt_s * self.slope_mps2
        is_braking = min(older, newer) < 0.0 and self.speed_mps > REVERSE_BELOW_MPS
        drift = _SLOPE_DRIFT + _SLOPE_CHANGE * abs(self.speed_mps)
        slope_variance = self.slope_variance + dt_s * drift
        variance = (
            _RESOLUTION_MPS**2
            + (dt_s**2 + _STEP_NOISE_S**2) * slope_variance
            + ((_BRAKE_ERROR if is_braking else _PEDAL_ERROR) * pedals_mps) ** 2
            + (_STEP_NOISE_S * change_mps / dt_s) ** 2
            + (PHYSICS_STEP_S * DRIVE_MPS2 * (newer - older)) ** 2
        )
        brake = (BRAKE_GRIP_MPS2 * dt_s) ** 2 if interval.brake_held else 0.0
        return Prediction(self, dt_s, speed_mps, variance + brake, variance, slope_variance)


class Prediction(NamedTuple):
    """Signed speed that a hypothesis expects, and its variance.

    reversal_variance: the variance without the brake, which cannot reverse the direction.
    """

    past: Hypothesis
    dt_s: float
    speed_mps: float
    variance: float
    reversal_variance: float
    slope_variance: float

    def log_likelihood(self, speed_mps: float, common_variance: float) -> float:
        """Return the log likelihood of a signed speed, without a constant.

        A speed in the same direction is compared by the variance of the vaguest prediction,
        because a vague prediction is not a wrong one.
        """
        error_mps = speed_mps - self.speed_mps
        if speed_mps * self.past.speed_mps >= 0.0:
            return self.past.log_likelihood - 0.5 * error_mps**2 / common_variance
        if abs(speed_mps - self.past.speed_mps) > _REVERSAL_MPS2 * self.dt_s:
            return -math.inf
        return self.past.log_likelihood - 0.5 * error_mps**2 / self.reversal_variance

    def corrected(self, speed_mps: float, log_likelihood: float) -> Hypothesis:
        """Return the hypothesis after the measurement of this signed speed."""
        gain = self.dt_s * self.slope_variance / self.variance
        slope_mps2 = self.past.slope_mps2 + gain * (speed_mps - self.speed_mps)
        return Hypothesis(
            speed_mps=speed_mps,
            slope_mps2=max(-_STEEPEST_MPS2, min(_STEEPEST_MPS2, slope_mps2)),
            slope_variance=self.slope_variance * (1.0 - gain * self.dt_s),
            log_likelihood=log_likelihood,
        )


class _Pair:
    """Likeliest hypothesis of each direction, if a new throttle acts for `share` of a period.

    A simulator applies the older throttle until the next answer arrives.
    """

    def __init__(self, share: float, speed_mps: float) -> None:
        self.share = share
        self.forward = Hypothesis(speed_mps)
        self.backward = Hypothesis(-speed_mps)
        self.misfit = 0.0

    @property
    def lead(self) -> float:
        """Log probability of moving forward less that of moving backwards."""
        return self.forward.log_probability - self.backward.log_probability

    @property
    def best(self) -> Hypothesis:
        """The likelier of the two."""
        return self.forward if self.lead >= 0.0 else self.backward

    def measure(self, interval: Interval, speed_mps: float) -> None:
        """Take a speed; each sign of it keeps the likelier of the two pasts."""
        predictions = [past.predict(interval) for past in (self.forward, self.backward)]
        variance = max(prediction.variance for prediction in predictions)
        explained = []
        for signed_mps in (speed_mps, -speed_mps):
            likelihoods = [one.log_likelihood(signed_mps, variance) for one in predictions]
            likelihood = max(likelihoods)
            explained.append((predictions[likelihoods.index(likelihood)], signed_mps, likelihood))
        best = max(likelihood for _, _, likelihood in explained)
        self.misfit = _MISFIT_KEPT * self.misfit - best
        self.forward, self.backward = (
            prediction.corrected(signed_mps, likelihood - best)
            for prediction, signed_mps, likelihood in explained
        )

    def rule_out(self, *, forward: bool) -> None:
        """Rule one direction out."""
        self.forward, self.backward = (
            one._replace(log_likelihood=-math.inf if out else 0.0)
            for one, out in ((self.forward, forward), (self.backward, not forward))
        )


class SpeedEstimator:
    """Estimates signed speed and slope of one car. Times are seconds of a monotonic clock."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start again, as for an unknown car."""
        self._pairs: list[_Pair] = []
        self._throttles = (0.0, 0.0)
        self._brake_held = False
        self._measured_s = 0.0
        self._contradictions = 0
        self.period_s = 0.0
        """Time between the newest two measurements."""
        self.was_certain = False
        """Whether the direction has been certain at any time."""

    def command(self, throttle: float, *, brake_held: bool) -> None:
        """Take the throttle that is sent to the car, and whether its brake may be held."""
        self._throttles = (self._throttles[1], throttle)
        self._brake_held = brake_held

    def measure(self, now_s: float, speed_mps: float) -> None:
        """Take a reported speed, 0 or more."""
        if not self._pairs:
            self._pairs = [_Pair(share, speed_mps) for share in _SHARES]
        else:
            self.period_s = max(1e-3, min(now_s - self._measured_s, _LONGEST_STEP_S))
            contradicts = self._contradicts_forward(speed_mps)
            for pair in self._pairs:
                interval = Interval(self.period_s, self._throttles, pair.share, self._brake_held)
                pair.measure(interval, speed_mps)
            self._pairs.sort(key=lambda pair: pair.misfit)
            self._contradictions = self._contradictions + 1 if contradicts else 0
            self._settle_direction()
        self._measured_s = now_s

    def _contradicts_forward(self, speed_mps: float) -> bool:
        """Whether the car gained speed although a car that drives forward would be braked."""
        before_mps = abs(self.speed_mps)
        return speed_mps > before_mps > _SURELY_BRAKED_MPS and all(
            acceleration_mps2(before_mps, throttle, _STEEPEST_MPS2) < -_RESOLUTION_MPS
            for throttle in self._throttles
        )

    def _settle_direction(self) -> None:
        """Rule out the direction that has become impossible, or start anew if nothing fits.

        It becomes possible again when the car is slow enough to have turned around.
        """
        self.was_certain = self.was_certain or self.is_certain
        if self._contradictions >= _CONTRADICTIONS:
            for pair in self._pairs:
                pair.rule_out(forward=True)
        elif self._pairs[0].misfit > _MISFIT_AT_MOST:
            self.forget()
        elif abs(self._lead) > _SETTLED:
            for pair in self._pairs:
                pair.rule_out(forward=self._lead < 0.0)

    def assume_forward(self) -> bool:
        """Rule out that the car moves backwards, unless that is likelier; return whether."""
        if self._pairs and self._pairs[0].lead < 0.0:
            return False
        for pair in self._pairs:
            pair.rule_out(forward=False)
        return True

    @property
    def is_forward(self) -> bool:
        """Whether the car certainly moves forward."""
        return self._lead > _CERTAIN

    @property
    def is_backward(self) -> bool:
        """Whether the car certainly moves backwards."""
        return self._lead < -_CERTAIN

    @property
    def is_certain(self) -> bool:
        """Whether the direction is certain."""
        return abs(self._lead) > _CERTAIN

    @property
    def _lead(self) -> float:
        """Lead of the best pair; 0 while a plausible pair does not agree."""
        if not self._pairs:
            return 0.0
        best, most = self._pairs[0].lead, self._pairs[0].misfit + _PLAUSIBLE
        others = (pair.lead for pair in self._pairs if pair.misfit <= most)
        agree = all(math.copysign(lead, lead * best) > _AGREES for lead in others)
        return best if agree else 0.0

    @property
    def speed_mps(self) -> float:
        """Newest speed with its likeliest sign."""
        return self._pairs[0].best.speed_mps if self._pairs else 0.0

    @property
    def slope_mps2(self) -> float:
        """Likeliest acceleration by the slope, positive downhill."""
        return self._pairs[0].best.slope_mps2 if self._pairs else 0.0

    def next_speed_mps(self, now_s: float) -> float:
        """Return the likeliest signed speed at the time when a command sent now begins to act."""
        if not self._pairs:
            return 0.0
        waits_s = (1.0 - self._pairs[0].share) * self.period_s
        dt_s = min(max(waits_s, now_s - self._measured_s), _LONGEST_STEP_S)
        return predicted_mps(self.speed_mps, self._throttles[1], self.slope_mps2, dt_s)
