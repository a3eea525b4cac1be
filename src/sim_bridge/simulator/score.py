# SPDX-License-Identifier: Apache-2.0
"""Score of a drive: laps, lane departures, interventions, offsets and steering rates. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim_bridge.simulator.track import Projection, Track
from sim_bridge.simulator.vehicle_dynamics import CarState
from steering_net.statistics import autonomy_percent
from steering_net.vehicle import TRACK_M

INTERVENTION_BEYOND_M = 1.0
"""A car whose middle is farther than this beside the road is lost."""


@dataclass
class _Sums:
    time_s: float = 0.0
    cross_track_m2s: float = 0.0
    steering_rate_rad2ps: float = 0.0


@dataclass(frozen=True)
class _Seen:
    t_s: float
    s_m: float
    steering_rad: float


class Score:
    """Score of one drive on one track; call `update` after every frame, then `report`.

    `off_road`: whether a wheel is beside the road. `lap_time_s`: duration of the newest completed
    lap, 0 before the first.
    """

    def __init__(self, track: Track) -> None:
        self._length_m = track.length_m
        self._sums = _Sums()
        self._last: _Seen | None = None
        self._forward_m = 0.0
        self._furthest_m = 0.0
        self._distance_m = 0.0
        self.off_road = False
        self.lap_time_s = 0.0
        self._lap_start_s = 0.0
        self._max_cross_track_m = 0.0
        self._max_speed_mps = 0.0
        self.lane_departures = 0
        self.interventions = 0

    @property
    def laps(self) -> int:
        """Completed laps; driving back and forth adds nothing."""
        return int(self._furthest_m / self._length_m + 1e-9)

    def update(
        self, t_s: float, state: CarState, projection: Projection, steering_rad: float
    ) -> bool:
        """Add one frame; return whether the car is so far off the road that it must be put back.

        `t_s` never decreases. If the result is true, the caller puts the car back on the centre
        line and calls `put_back`.
        """
        cross_track_m = abs(projection.cross_track_m)
        beyond_m = cross_track_m - projection.half_width_m
        off_road = beyond_m + TRACK_M / 2 > 0.0
        self.lane_departures += off_road and not self.off_road
        self.off_road = off_road
        self._max_cross_track_m = max(self._max_cross_track_m, cross_track_m)
        self._max_speed_mps = max(self._max_speed_mps, abs(state.speed_mps))
        self._integrate(_Seen(t_s, projection.s_m, steering_rad), cross_track_m, state.speed_mps)
        return beyond_m > INTERVENTION_BEYOND_M

    def put_back(self, projection: Projection) -> None:
        """Count an intervention; the jump to `projection` is neither driving nor steering."""
        self.interventions += 1
        self.off_road = False
        if self._last is not None:
            self._last = _Seen(self._last.t_s, projection.s_m, math.nan)

    def report(self) -> dict[str, float | int]:
        """Return the figures of the drive, SI; `duration_s` counts from the first update."""
        time_s = self._sums.time_s
        span_s = max(time_s, 1e-9)
        return {
            'laps': self.laps,
            'distance_m': self._distance_m,
            'duration_s': time_s,
            'lane_departures': self.lane_departures,
            'interventions': self.interventions,
            'autonomy_percent': autonomy_percent(self.interventions, span_s),
            'rms_cross_track_m': math.sqrt(self._sums.cross_track_m2s / span_s),
            'max_cross_track_m': self._max_cross_track_m,
            'max_speed_mps': self._max_speed_mps,
            'steering_rms_rate_radps': math.sqrt(self._sums.steering_rate_rad2ps / span_s),
        }

    def _integrate(self, now: _Seen, cross_track_m: float, speed_mps: float) -> None:
        last, self._last = self._last, now
        if last is None:
            self._lap_start_s = now.t_s
            return
        dt_s = now.t_s - last.t_s
        self._forward_m += math.remainder(now.s_m - last.s_m, self._length_m)
        laps = self.laps
        self._furthest_m = max(self._furthest_m, self._forward_m)
        if self.laps > laps:
            self.lap_time_s, self._lap_start_s = now.t_s - self._lap_start_s, now.t_s
        self._distance_m += abs(speed_mps) * dt_s
        self._sums.time_s += dt_s
        self._sums.cross_track_m2s += cross_track_m**2 * dt_s
        if dt_s > 0.0 and not math.isnan(last.steering_rad):
            turned_rad = now.steering_rad - last.steering_rad
            self._sums.steering_rate_rad2ps += turned_rad * turned_rad / dt_s
