# SPDX-License-Identifier: Apache-2.0
"""Which steering node steers which car, when several share the cars of a bridge. Pure.

No node decides for the others. Each node publishes several times a second which cars it steers,
and counts the nodes that it hears. From their names every node computes the same owner for each
car. A node takes its cars at once, and releases a car when its new owner steers it. So a car that
moves between two living nodes has a steering all the time, and a car of a dead node has one again
as soon as the others no longer hear that node.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass

PERIOD_S = 0.1
"""Time between two messages of a node."""

LEASE_S = 0.4
"""A node that is not heard for this time counts as dead."""


def owners(cars: int, nodes: Iterable[str]) -> list[str]:
    """Return the owner of each car: every node gets an equal number of cars, or one more.

    Each car prefers the nodes in an order of its own (rendezvous hashing), so that few cars move
    when a node comes or goes.
    """
    names = sorted(nodes)
    least, rest = divmod(cars, len(names))
    owned = dict.fromkeys(names, 0)
    chosen = []
    for car in range(cars):
        most = least + (rest > 0)
        owner = min(
            (name for name in names if owned[name] < most),
            key=lambda name: hashlib.sha256(f'{car} {name}'.encode()).digest(),
        )
        owned[owner] += 1
        rest -= owned[owner] > least
        chosen.append(owner)
    return chosen


@dataclass(frozen=True)
class Changes:
    """Numbers of the cars, counted from 0, that a node begins and ceases to steer."""

    take: Sequence[int] = ()
    release: Sequence[int] = ()


class CarSharing:
    """The view of one node, whose name is `own`, of all nodes that share `cars` cars.

    Times are seconds of any monotonic clock of the caller.
    """

    def __init__(self, own: str, cars: int, started_s: float) -> None:
        self._own = own
        self._cars = cars
        self._heard: dict[str, tuple[float, Set[int]]] = {}
        self._asked_s = started_s
        self._decides_from_s = started_s + LEASE_S

    def hear(self, now_s: float, node: str, steered: Set[int]) -> None:
        """Take the message of a node: the cars that it steers."""
        if node != self._own:
            self._heard[node] = (now_s, steered)

    def changes(self, now_s: float, held: Set[int]) -> Changes:
        """Return what to do with the cars, of which this node holds some. Ask every PERIOD_S.

        A node that has just started, or that was stopped for a while, first listens for LEASE_S.
        """
        if now_s - self._asked_s > LEASE_S:
            self._decides_from_s = now_s + LEASE_S
        self._asked_s = now_s
        if now_s < self._decides_from_s:
            return Changes()
        self._heard = {
            node: (heard_s, steered)
            for node, (heard_s, steered) in self._heard.items()
            if now_s - heard_s <= LEASE_S
        }
        owner_of = owners(self._cars, [self._own, *self._heard])
        owned = {car for car, node in enumerate(owner_of) if node == self._own}
        given = [car for car in sorted(held - owned) if car in self._heard[owner_of[car]][1]]
        return Changes(take=sorted(owned - held), release=given)
