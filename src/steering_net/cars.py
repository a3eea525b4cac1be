# SPDX-License-Identifier: Apache-2.0
"""The cars of one bridge: how many it may have, and the prefixes of their topics. Pure."""

MAX_CARS = 32
"""Most cars of one bridge."""


def prefixes(cars: int) -> tuple[str, ...]:
    """Prefix of each car's topic names: empty for one car, else `car_1/`, `car_2/` and so on."""
    return ('',) if cars == 1 else tuple(f'car_{number}/' for number in range(1, cars + 1))
