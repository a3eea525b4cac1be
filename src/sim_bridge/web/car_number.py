# SPDX-License-Identifier: Apache-2.0
"""The number of the car that a request means."""

from __future__ import annotations

from werkzeug.exceptions import NotFound


def car_number(text: str, cars: int) -> int:
    """Return the number of one of `cars` cars, counted from 1, from the `N` of `?car=N`.

    Raises NotFound, which names what is allowed, for anything else.
    """
    try:
        number = int(text)
    except ValueError:
        number = 0
    if not 1 <= number <= cars:
        raise NotFound(f'car is {text[:20]!r}; it must be {"1" if cars == 1 else f"1..{cars}"}')
    return number
