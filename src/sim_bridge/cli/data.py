# SPDX-License-Identifier: Apache-2.0
"""Show what training data holds: figures, rows that cannot be read, and pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from sim_bridge.cli.arguments import (
    add_json,
    add_recorded_with,
    add_recording_options,
    check_output_file,
    check_output_folder,
    check_range,
    track_names,
)
from sim_bridge.cli.output import write_json
from steering_net.data.recording import Recording


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add(
        'paths',
        nargs='*',
        type=Path,
        metavar='PATH',
        help='driving log, folder with IMG/ and a log, or bag',
    )
    add_recorded_with(parser)
    add_recording_options(parser)
    add(
        '--tracks',
        type=track_names,
        metavar='LIST',
        help='embedded tracks to show, as in lake,1000-1002,hills:1000: seeds and names',
    )
    add('--samples-per-track', type=int, default=150, metavar='N', help='frames per track')
    add(
        '--locate',
        action='store_true',
        help='place each frame on the lake or the jungle: place along the lap, offset from the '
        'centre line, heading error',
    )
    add(
        '--out',
        type=Path,
        metavar='DIR',
        help='write there: histograms and sample frames (PNG), and the places of --locate '
        '(CSV, and a map as PNG)',
    )
    add_json(parser, 'the figures')


def run(args: argparse.Namespace) -> int:
    """Print the figures; 0 on success, 2 with one line on stderr for bad input."""
    from sim_bridge.recording.summary import (
        figures,
        lines,
        open_source,
        open_track,
        stems_of,
        write_pictures,
    )

    try:
        if not args.paths and not args.tracks:
            raise ValueError('there is no data; name a log, a folder, a bag or --tracks LIST')
        check_range('--samples-per-track', args.samples_per_track, 1)
        check_output_file('--json', args.json)
        check_output_folder('--out', args.out)
        sources = [
            open_source(path, args.recorded_with, args.steering_unit, args.car)
            for path in args.paths
        ]
        sources += [open_track(name, args.samples_per_track) for name in args.tracks or ()]
        reports = [figures(source) for source in sources]
        stems = stems_of([source.recording for source in sources])
        for source, report, stem in zip(sources, reports, stems, strict=True):
            print('\n'.join(lines(report)))
            for file in write_pictures(source, args.out, stem) if args.out else ():
                print(f'  picture   {file}')
            if args.locate:
                report['places'] = _located(source.recording, args.out, stem)
        if args.json:
            write_json(args.json, {'sources': reports})
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge data: {error}', file=sys.stderr)
        return 2
    return 0


def _located(recording: Recording, folder: Path | None, stem: str) -> list[dict[str, Any]]:
    """Place a recording on a track, print the result, and return it."""
    from sim_bridge.mapping import report
    from sim_bridge.mapping.placement import locate
    from steering_net.data.centerline import edges_in

    places = locate(recording, edges_in(recording))
    print('\n'.join(report.lines(places)))
    for file in report.write(folder, stem, recording, places) if folder else ():
        print(f'  file      {file}')
    return report.figures(places)
