# SPDX-License-Identifier: Apache-2.0
"""The message types of bags and viewers: those that rosbags knows, and the installed ones."""

import os
from pathlib import Path
from typing import Any

from rosbags.interfaces import Nodetype
from rosbags.interfaces.typing import FieldDesc, Typesdict
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore

from sim_bridge.recording.storage import BagError

TYPES = get_typestore(Stores.ROS2_KILTED)


def is_known(kind: str) -> bool:
    """Return whether the definition of a message type is known.

    The definitions of another package, such as ackermann_msgs, are read from its installed files.
    """
    found: Typesdict = {}
    if not _find(kind, found):
        return False
    TYPES.register(found)
    return True


def definition_of(kind: str) -> str:
    """Return the definition of a message type with those of its fields, as in a bag.

    Raises BagError if it is unknown.
    """
    if not is_known(kind):
        raise BagError(f'the definition of {kind} is unknown')
    text: str = TYPES.generate_msgdef(kind, ros_version=2)[0]
    return text


def _find(kind: str, found: Typesdict) -> bool:
    """Add what `TYPES` lacks of a type and its fields; return whether nothing is missing."""
    if kind in TYPES.fielddefs or kind in found:
        return True
    text = _installed_text(kind)
    if text is None:
        return False
    try:
        found |= get_types_from_msg(text, kind)
    except TypesysError:
        return False
    return all(_find(name, found) for _, field in found[kind][1] for name in _types_in(field))


def _installed_text(kind: str) -> str | None:
    package, _, name = kind.split('/')
    for prefix in filter(None, os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)):
        try:
            return Path(prefix, 'share', package, 'msg', f'{name}.msg').read_text(encoding='utf-8')
        except (OSError, UnicodeDecodeError):
            continue
    return None


def _types_in(field: FieldDesc) -> list[str]:
    node: Any = field
    while node[0] in (Nodetype.ARRAY, Nodetype.SEQUENCE):
        node = node[1][0]
    return [node[1]] if node[0] is Nodetype.NAME else []
