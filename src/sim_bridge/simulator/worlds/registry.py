# SPDX-License-Identifier: Apache-2.0
"""Registry of worlds: to add one, write a module with `make` and name it here."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim_bridge.simulator.worlds.world import World


def _maker(module: str) -> Callable[..., World]:
    """Return the function `make` of a module of this room, which is imported when it is called."""

    def make(*seed: int) -> World:
        made: World = importlib.import_module(f'{__package__}.{module}').make(*seed)
        return made

    return make


NAMED: Mapping[str, Callable[[], World]] = {name: _maker(name) for name in ('lake', 'jungle')}
"""Single worlds by name, which is that of their module."""

PROCEDURAL: Mapping[str, Callable[[int], World]] = {'hills': _maker('hills')}
"""Families of worlds: each makes one of a seed, and is named as in hills:3."""
