# SPDX-License-Identifier: Apache-2.0
"""Show a recording or a running drive in the Rerun viewer: camera, path and plots."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from sim_bridge.cli.arguments import add_recording_options, check_output_file, refuse_given
from sim_bridge.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add(
        'recording',
        nargs='?',
        type=Path,
        metavar='PATH',
        help='a bag, a log, or a folder of frames',
    )
    add('--live', action='store_true', help='show the drive that runs, until Ctrl-C')
    add(
        '--save',
        type=Path,
        metavar='FILE',
        help='open no viewer, but write this .rrd file, which `rerun FILE` shows',
    )
    add_recording_options(parser)


def run(args: argparse.Namespace) -> int:
    """Show; 0 on success, 2 with one line on stderr for bad input."""
    try:
        if bool(args.recording) == args.live:
            raise UsageError('name a recording, or --live for the drive that runs')
        if args.live:
            refuse_given(args, {'steering_unit': ''}, 'needs a recording')
        _check_sink(args.save)
        frames = _live(args) if args.live else _recorded(args)
    except (UsageError, OSError, ValueError) as error:
        print(f'sim-bridge view: {error}', file=sys.stderr)
        return 2
    print(f'{args.save or "viewer"}: {frames} frames')
    return 0


def _check_sink(save: Path | None) -> None:
    if save is None and not (os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')):
        raise UsageError('there is no screen (DISPLAY is empty); name a file with --save FILE.rrd')
    if save and save.suffix != '.rrd':
        raise UsageError(f'--save is {save}; it must end with .rrd')
    check_output_file('--save', save)


def _recorded(args: argparse.Namespace) -> int:
    from sim_bridge.recording.rerun_view import view
    from sim_bridge.recording.sources import open_bag, usual_camera
    from steering_net.vision.camera_model import find_camera

    bag = open_bag(args.recording, args.car, args.steering_unit)
    camera = find_camera(usual_camera(args.recording, args.steering_unit))
    frames = view(bag, args.save, camera)
    if bag.trouble:
        print(f'sim-bridge view: {bag.trouble}', file=sys.stderr)
    return frames


def _live(args: argparse.Namespace) -> int:
    from sim_bridge.nodes.rerun_view import view

    return view(args.save, args.car)
