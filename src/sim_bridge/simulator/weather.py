# SPDX-License-Identifier: Apache-2.0
"""Weather by name: a kind and its strength. It is drawn by `weather_effects`.

A program that only reads its options imports this and needs no NumPy.
"""

from __future__ import annotations

from dataclasses import dataclass

KINDS = ('fog', 'rain', 'sun', 'dusk', 'snow', 'night')
STRENGTHS = (1, 2, 3)


@dataclass(frozen=True)
class Weather:
    """A kind of weather and its strength, 1..3; the kind `clear` has strength 0."""

    kind: str = 'clear'
    strength: int = 0

    def __str__(self) -> str:
        return f'{self.kind}:{self.strength}' if self.strength else self.kind


CLEAR = Weather()


def parse_weather(text: str) -> Weather:
    """Return the weather of `clear` or `KIND:STRENGTH`; ValueError that lists what is allowed."""
    kind, _, strength = text.partition(':')
    if text == str(CLEAR):
        return CLEAR
    if kind in KINDS and strength in map(str, STRENGTHS):
        return Weather(kind, int(strength))
    raise ValueError(
        f'weather is {text!r}; it must be clear, or KIND:STRENGTH as in fog:2, with one of the '
        f'kinds {", ".join(KINDS)} and a strength from 1 to 3'
    )
