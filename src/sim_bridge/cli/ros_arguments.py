# SPDX-License-Identifier: Apache-2.0
"""ROS arguments of the nodes that verbs start."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

QUIET = ('--ros-args', '--log-level', 'warn')
"""Words with which the ROS arguments of a node begin."""


def parameters(values: dict[str, Any], node: str = '') -> Sequence[str]:
    """Return ROS arguments that set parameters; an empty text keeps the default.

    They are those of `node`, which must have no namespace, or of all nodes of the process.
    """
    prefix = f'{node}:' if node else ''
    pairs = [f'{prefix}{name}:={_yaml(value)}' for name, value in values.items() if value != '']
    return [argument for pair in pairs for argument in ('-p', pair)]


def _yaml(value: Any) -> str:
    """Return a value as ROS reads it: a text in quotes, or `1` would be a number."""
    is_text = isinstance(value, str | Path)
    return json.dumps(str(value), ensure_ascii=False) if is_text else str(value)
