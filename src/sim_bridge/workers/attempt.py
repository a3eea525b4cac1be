# SPDX-License-Identifier: Apache-2.0
"""Attempt: one call of a function in whichever process, with its error as a value."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

MAX_LOSSES = 3
"""Workers that one item may lose before it counts as failed, because it may kill each of them."""


@dataclass(frozen=True)
class Failure:
    """An item without a result; `reason` is one line."""

    reason: str


class WorkError(RuntimeError):
    """An item has no result, and the work cannot go on without it."""


LOST = Failure(f'its worker ended {MAX_LOSSES} times; see the memory and the log of the machine')


def attempt(function: Callable[[Item], Result], item: Item) -> Result | Failure:
    """Return what the function returns for an item, or a Failure for any error of it."""
    try:
        return function(item)
    except Exception as error:  # noqa: BLE001 - one item must not end the others.
        lines = str(error).strip().splitlines()
        return Failure(': '.join([type(error).__name__, *lines[:1]]))


def attempt_on_one_thread(function: Callable[[Item], Result], item: Item) -> Result | Failure:
    """Return `attempt`, with OpenCV limited to one thread, because each core has a worker."""
    _limit_threads()
    return attempt(function, item)


@functools.cache
def _limit_threads() -> None:
    import cv2

    cv2.setNumThreads(1)
