# SPDX-License-Identifier: Apache-2.0
"""The description of a car, a URDF: its file, prefixes of its links, its joints as transforms."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

Quaternion = tuple[float, float, float, float]
"""x, y, z, w."""

_NO_ROTATION: Quaternion = (0.0, 0.0, 0.0, 1.0)
_FILE = 'urdf/car.urdf'


@dataclass(frozen=True)
class Transform:
    """Pose of the frame `child` in the frame `parent`, m."""

    parent: str
    child: str
    place_m: tuple[float, float, float]
    rotation: Quaternion


@dataclass(frozen=True)
class Joint:
    """A joint: its transform at the position 0, and its axis; None for a fixed joint."""

    name: str
    rest: Transform
    axis: tuple[float, float, float] | None

    def at(self, position_rad: float) -> Transform:
        """Return the transform of a joint that is turned about its axis."""
        if self.axis is None:
            return self.rest
        half = 0.5 * position_rad
        x, y, z = (math.sin(half) * part for part in self.axis)
        turned = _product(self.rest.rotation, (x, y, z, math.cos(half)))
        return Transform(self.rest.parent, self.rest.child, self.rest.place_m, turned)


def car_urdf() -> str:
    """Return the URDF of the car, from the checkout or from where the package is installed."""
    folders = Path(__file__).resolve().parents
    # This file is in CHECKOUT/src/sim_bridge/foxglove, or somewhere below PREFIX.
    for share in (folders[3], *(folder / 'share' / 'sim_bridge' for folder in folders)):
        if (share / _FILE).is_file():
            return (share / _FILE).read_text(encoding='utf-8')
    raise FileNotFoundError(f'{_FILE} of sim_bridge is not installed')


def with_link_prefix(urdf: str, prefix: str) -> str:
    """Return a URDF whose links, which are the transform frames of a car, begin with `prefix`.

    Then a viewer shows any car, because it finds the frames by the names of the links.
    """
    return re.sub(r'(<link name=|link=)"', rf'\g<1>"{prefix}', urdf)


def joints_of(urdf: str) -> list[Joint]:
    """Return the joints of a URDF."""
    return [_joint(element) for element in ElementTree.fromstring(urdf).iter('joint')]


def _joint(element: ElementTree.Element) -> Joint:
    origin = element.find('origin')
    place_m = _numbers(origin, 'xyz')
    rest = Transform(
        _link(element, 'parent'),
        _link(element, 'child'),
        place_m,
        _rotation(_numbers(origin, 'rpy')),
    )
    is_fixed = element.get('type') == 'fixed'
    return Joint(
        str(element.get('name')), rest, None if is_fixed else _numbers(element.find('axis'), 'xyz')
    )


def _link(joint: ElementTree.Element, end: str) -> str:
    found = joint.find(end)
    assert found is not None, f'a joint without {end}'
    return str(found.get('link'))


def _numbers(element: ElementTree.Element | None, name: str) -> tuple[float, float, float]:
    text = '0 0 0' if element is None else element.get(name, '0 0 0')
    x, y, z = map(float, text.split())
    return x, y, z


def _rotation(rpy_rad: tuple[float, float, float]) -> Quaternion:
    """Return the rotation by roll, then pitch, then yaw, about fixed axes."""
    turned = _NO_ROTATION
    for axis, angle_rad in enumerate(rpy_rad):
        parts = [0.0, 0.0, 0.0]
        parts[axis] = math.sin(0.5 * angle_rad)
        turned = _product((parts[0], parts[1], parts[2], math.cos(0.5 * angle_rad)), turned)
    return turned


def _product(left: Quaternion, right: Quaternion) -> Quaternion:
    """Return the rotation `right`, followed by `left`."""
    ax, ay, az, aw = left
    bx, by, bz, bw = right
    return (
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
        aw * bw - ax * bx - ay * by - az * bz,
    )
