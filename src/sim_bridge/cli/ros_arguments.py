# SPDX-License-Identifier: Apache-2.0
"""ROS arguments of the nodes that verbs start."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

QUIET = ('--ros-args', '--log-level', 'warn')
"""Words with which the ROS arguments of a node begin."""


def parameters(values: dict[str, Any], node: str = '') -> Sequence[str]:
    """Return ROS arguments that set parameters; an empty text keeps the default.

    They are those of `node`, which must have no namespace, or of all nodes of the process.
    """
    prefix = f'{node}:' if node else ''
    pairs = [f'{prefix}{name}:={value}' for name, value in values.items() if value != '']
    return [argument for pair in pairs for argument in ('-p', pair)]
