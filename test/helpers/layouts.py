# SPDX-License-Identifier: Apache-2.0
"""The layout that Foxglove and Lichtblick open with, and its panels."""

import json

from helpers.paths import ROOT

FOXGLOVE = json.loads((ROOT / 'layouts' / 'foxglove.json').read_text(encoding='utf-8'))


def panels(kind):
    """Panels of one kind; at least one, because a test parametrised with none is left out."""
    by_name = FOXGLOVE['configById'].items()
    found = [panel for name, panel in by_name if name.startswith(f'{kind}!')]
    assert found, f'no panel of the kind {kind}'
    return found
