# SPDX-License-Identifier: Apache-2.0
"""Convert a Keras, ONNX, LiteRT or SavedModel network to .keras, .tflite and .json files.

The input is a .keras or .h5 file of Keras 1 to 3, an architecture (.json) with its weights (.h5),
an .onnx or .tflite file, or the folder of a SavedModel. A separate process reads it as data. That
process cannot read other files or open connections.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sim_bridge.cli.arguments import check_output_file
from sim_bridge.errors import UsageError

if TYPE_CHECKING:
    from steering_net.model_io.import_model import Imported

PROFILE_HELP = (
    'preprocessing: a name (course, course_noblur, naoki, naoki_legacy_yuv, carnd_raw_rgb, '
    'carnd_raw_bgr, ksakmann) or custom with its settings, as in '
    'custom:rows=60-136,columns=20-300,colour=rgb,blur=0,size=64x64,scale=1/255,camera=training; '
    'search: find it; empty: that in the JSON file of the network, or else found by measuring'
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add(
        'sources',
        nargs='+',
        type=Path,
        metavar='IN',
        help='network: a file, an architecture and its weights, or a folder',
    )
    add('--out', type=Path, required=True, metavar='OUT.keras', help='file to write')
    add('--profile', default='', help=PROFILE_HELP)
    add(
        '--output',
        default='',
        metavar='NAME',
        help='output that steers, if there are several: its name, or the number of a value, '
        'counted from 0; if not given, the one named after steering or angle, or the first',
    )
    add(
        '--int8',
        action='store_true',
        help='weights of 8 bits in the LiteRT file: it runs about twice as fast, and its steering '
        'changes a little; the .keras file keeps its own',
    )


def run(args: argparse.Namespace) -> int:
    """Import; 0 on success, 2 with one line on stderr for a network that cannot be read."""
    from steering_net.model_io.import_model import import_model

    try:
        check_output_file('--out', args.out)
        imported = import_model(args.sources, args.out, args.profile, args.output, int8=args.int8)
    except (OSError, ValueError, UsageError) as error:
        print(f'sim-bridge import-model: {error}', file=sys.stderr)
        return 2
    _print(args.sources, imported)
    return 0


def _print(sources: list[Path], imported: Imported) -> None:
    from steering_net.model_io import sandbox

    origin = imported.origin
    print(f'read     {", ".join(map(str, sources))}, saved by {origin.saved_by}')
    print(f'layers   {"; ".join(origin.layers)}')
    for number, line in enumerate(imported.candidates):
        print(f'{"" if number else "measured":8} {line}')
    print(f'profile  {imported.choice}')
    for line in imported.notes:
        print(f'note     {line}')
    print(f'wrote    {", ".join(map(str, imported.files))}')
    if risks := sandbox.risks():
        print(f'note     {risks}')
