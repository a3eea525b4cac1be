# SPDX-License-Identifier: Apache-2.0
"""Registry of worlds: to add one, write a module with `make` and name it here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sim_bridge.simulator.worlds import hills, jungle, lake
from sim_bridge.simulator.worlds.world import World

NAMED: Mapping[str, Callable[[], World]] = {'lake': lake.make, 'jungle': jungle.make}
"""Single worlds by name."""

PROCEDURAL: Mapping[str, Callable[[int], World]] = {'hills': hills.make}
"""Families of worlds: each makes one of a seed, and is named as in hills:3."""
