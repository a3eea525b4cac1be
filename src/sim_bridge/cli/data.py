"""Look at data before training: what is in it, what cannot be read, and pictures of it."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from sim_bridge.cli.arguments import add_recorded_with
from sim_bridge.cli.train import seed_range


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add(
        'paths',
        nargs='*',
        type=Path,
        metavar='PATH',
        help='a log, a folder with IMG/ and a log, or a bag',
    )
    add_recorded_with(parser)
    add('--tracks', type=seed_range, metavar='A-B', help='seeds of embedded tracks to look at')
    add('--samples-per-track', type=int, default=150, metavar='N', help='frames per track')
    add('--out', type=Path, metavar='DIR', help='write histograms and sample frames there (PNG)')
    add('--json', type=Path, metavar='FILE', help='write the report there too')


def run(args: argparse.Namespace) -> int:
    """Look; 2 with one line on stderr for bad input."""
    from sim_bridge.recording.summary import (
        figures,
        lines,
        open_source,
        open_track,
        write_pictures,
    )

    try:
        if not args.paths and not args.tracks:
            raise ValueError('name a log, a folder, a bag or --tracks')
        if args.samples_per_track < 1:
            raise ValueError(
                f'--samples-per-track is {args.samples_per_track}, it must be 1 or more'
            )
        sources = [open_source(path, args.recorded_with) for path in args.paths]
        sources += [open_track(seed, args.samples_per_track) for seed in args.tracks or ()]
        reports = [figures(source) for source in sources]
        for source, report in zip(sources, reports, strict=True):
            print('\n'.join(lines(report)))
            for file in write_pictures(source, args.out) if args.out else ():
                print(f'  picture   {file}')
        if args.json:
            text = json.dumps({'sources': reports}, indent=2) + '\n'
            args.json.write_text(text, encoding='utf-8')
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge data: {error}', file=sys.stderr)
        return 2
    return 0
