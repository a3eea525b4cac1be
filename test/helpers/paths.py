# SPDX-License-Identifier: Apache-2.0
"""Folders of the checkout, and the folder of recordings beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / 'src'
DOCS = ROOT / 'docs'
PROBE_FRAMES = SOURCE / 'steering_net' / 'probe_frames'
SHARED_DATA = ROOT.parent / 'shared' / 'data'
