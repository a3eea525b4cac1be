# SPDX-License-Identifier: Apache-2.0
"""Suggestions for words that are not understood."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Iterable, Iterator, Sequence

_NUMBERS = {'int': 'a whole number', 'float': 'a number'}


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean X?)` with the nearest known word, or '' if none is near."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean {near[0]}?)' if near else ''


def explained(message: str, parser: argparse.ArgumentParser, words: Sequence[str]) -> str:
    """Return a message of argparse about these words with what is allowed, or a suggestion."""
    if found := re.fullmatch(r'argument (\S+): invalid (int|float) value: (.*)', message):
        return f'{found[1]} is {found[3]}; it must be {_NUMBERS[found[2]]}'
    if found := re.fullmatch(r"(.*invalid choice: '?([^' ]*)'?) \(choose from (.*)\)", message):
        choices = [choice.strip(" '") for choice in found[3].split(',')]
        hint = did_you_mean(found[2], choices) or f'; it must be one of {", ".join(choices)}'
        return f'{found[1]}{hint}'
    options = list(_options(parser))
    for word in (word.partition('=')[0] for word in words if re.match('--[a-z]', word)):
        if not any(option.startswith(word) for option in options):
            return f'there is no option {word}{did_you_mean(word, options)}'
    return message


def _options(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Yield the options of a parser and of its subcommands."""
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _options(inner)
