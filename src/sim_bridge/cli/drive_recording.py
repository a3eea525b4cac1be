# SPDX-License-Identifier: Apache-2.0
"""What a drive records: a bag, or a folder of frames."""

from __future__ import annotations

import argparse
from pathlib import Path

from sim_bridge.cli.arguments import check_output_folder
from sim_bridge.errors import UsageError


def add_recording(parser: argparse.ArgumentParser) -> None:
    """Add the words of drive.py, MODEL and DIR, and --record."""
    add = parser.add_argument
    add('network', nargs='?', metavar='MODEL', help='network; the same as --model')
    add(
        'frames',
        nargs='?',
        type=Path,
        metavar='DIR',
        help='record the frames to this new or empty folder, as drive.py does: JPEG files that '
        'are named by their time; driving_log.csv has their commands',
    )
    add('--record', type=Path, metavar='DIR', help='record the drive to this new folder (MCAP)')


def check_recording(args: argparse.Namespace) -> None:
    """Raise UsageError unless what is to be recorded can be, and replaces nothing."""
    if args.record and args.record.exists():
        raise UsageError(f'--record: {args.record} already exists; name a new folder')
    check_output_folder('--record', args.record)
    if args.frames:
        if args.record:
            raise UsageError(f'either {args.frames} or --record {args.record} can be recorded')
        if args.cars > 1:
            raise UsageError(f'{args.frames}: frames of one car are recorded; use --record')
        # Here, because the libraries that read bags take longer to import than all others.
        from sim_bridge.recording.frame_folder import check_empty

        check_empty(args.frames)
        check_output_folder('DIR', args.frames)


def recorder_words(args: argparse.Namespace) -> list[str]:
    """Return the words of the recorder's process, or none."""
    if args.frames:
        return ['record', str(args.frames), '--frames']
    return ['record', str(args.record), '--cars', str(args.cars)] if args.record else []
