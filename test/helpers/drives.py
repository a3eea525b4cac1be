# SPDX-License-Identifier: Apache-2.0
"""Computed drives along a course, without frames."""

import numpy as np

from steering_net.data.recording import Recording
from steering_net.errors import ImageError
from steering_net.vehicle import REAR_AXLE_M, WHEELBASE_M

STEP_S, SPEED_MPS = 0.1, 9.0


def driven(course, start_m, length_m, noise_rad=0.01, offset_m=0.6, seed=0):
    """A drive beside a course: its recording, and the true places of the rear axle."""
    rng = np.random.default_rng(seed)
    s_m = start_m + np.arange(0.0, length_m, SPEED_MPS * STEP_S)
    left_m = offset_m * np.sin(s_m / 60.0)
    x_m, y_m = course.beside(s_m, left_m)
    yaw_rad = headings(course, s_m, left_m)
    steps_m = np.hypot(np.diff(x_m), np.diff(y_m)) / course.at(course.level, s_m[:-1])
    turn_1pm = np.gradient(yaw_rad) / np.append(steps_m, steps_m[-1])
    steering_rad = np.arctan(WHEELBASE_M * turn_1pm) + rng.normal(0.0, noise_rad, len(s_m))
    speed_mps = np.append(steps_m, steps_m[-1]) / STEP_S
    speed_mps *= np.hypot(1.0, REAR_AXLE_M * turn_1pm)
    return recording_of(steering_rad, speed_mps), s_m, left_m


def recording_of(steering_rad, speed_mps):
    count = len(steering_rad)

    def load(index):
        raise ImageError(f'there is no frame {index}')

    times_s = STEP_S * np.arange(count)
    names = [f'{index}.jpg' for index in range(count)]
    return Recording('drawn', times_s, steering_rad, steering_rad, speed_mps, names, load)


def edges_seen(course, s_m, left_m):
    """The road's edges, 4 m beside its middle, in a frame at each place of the rear axle."""
    yaw_rad = headings(course, s_m, left_m)
    x_m, y_m = course.beside(s_m, left_m)
    ahead_m = np.arange(5.0, 13.0, 2.0)
    for place_m, yaw, x, y in zip(s_m, yaw_rad, x_m, y_m, strict=True):
        there_x, there_y = course.beside(place_m + REAR_AXLE_M + ahead_m, np.zeros(4))
        middle = (there_y - y) * np.cos(yaw) - (there_x - x) * np.sin(yaw)
        yield np.stack([ahead_m, middle + 4.0, middle - 4.0], axis=1)


def headings(course, s_m, left_m):
    """The headings, rad, of a car whose rear axle moves through these places."""
    x_m, y_m = course.beside(s_m, left_m)
    return np.unwrap(np.arctan2(np.gradient(y_m), np.gradient(x_m)))
