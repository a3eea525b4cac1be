# SPDX-License-Identifier: Apache-2.0
"""Bounds of the numbers that the options of a benchmark take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar('Number', int, float)


def at_least(low: Number, high: float = math.inf) -> Callable[[str], Number]:
    """Return a `type` of argparse: numbers of the type of `low`, from `low` to `high`."""
    kind = type(low)

    def parse(text: str) -> Number:
        value = kind(text)
        if not low <= value <= high:
            allowed = f'{low}..{high:g}' if high < math.inf else f'{low} or greater'
            raise argparse.ArgumentTypeError(f'{text} is given; it must be {allowed}')
        return value

    # argparse names it for a text that is no number.
    parse.__name__ = kind.__name__
    return parse
