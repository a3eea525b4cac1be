# SPDX-License-Identifier: Apache-2.0
"""What takes seconds to make, made when a test first uses it and not when tests are collected."""

from functools import cache, partial
from importlib import import_module

from sim_bridge.simulator.tracks import open_track


class Lazy:
    """Stands for an object that `make` returns; it is made when one of its names is first used.

    Names that begin with an underscore are not passed on: pytest asks each object in a test file
    for some of them, to find fixtures.
    """

    def __init__(self, make):
        self._make = cache(make)

    def __getattr__(self, name):
        if name.startswith('_'):
            raise AttributeError(name)
        return getattr(self._make(), name)


keras, layers = (Lazy(partial(import_module, name)) for name in ('keras', 'keras.layers'))
LAKE, JUNGLE, HILLS = (Lazy(partial(open_track, name)) for name in ('lake', 'jungle', 'hills:0'))
