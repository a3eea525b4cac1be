# SPDX-License-Identifier: Apache-2.0
"""Export a recording: driving log of the simulator, which training reads, video, or LeRobot."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim_bridge.cli.arguments import (
    add_recording_options,
    check_output_file,
    check_output_folder,
    check_range,
    check_speed_limit,
    refuse_given,
)
from sim_bridge.errors import UsageError

_BESIDE = Path()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('recording', type=Path, metavar='PATH', help='a bag, a log, or a folder of frames')
    add_recording_options(parser)
    add('--csv', type=Path, metavar='DIR', help='write driving_log.csv and IMG/ into this folder')
    add(
        '--mp4',
        nargs='?',
        type=Path,
        const=_BESIDE,
        metavar='FILE',
        help='write a video with the overlay; without FILE beside PATH, as in PATH.mp4',
    )
    add(
        '--lerobot',
        type=Path,
        metavar='DIR',
        help='write a LeRobot dataset (version 3.0) into this new folder; needs the extra lerobot',
    )
    add(
        '--task',
        metavar='TEXT',
        help='--lerobot: sentence that says what the driver does; if not given, "Drive along the '
        'road."',
    )
    add(
        '--fps',
        type=float,
        metavar='HZ',
        help='--mp4, --lerobot: frame rate; if not given, the recorded one. --lerobot needs a '
        'whole number, and takes the frame nearest in time',
    )
    add('--speed-limit', type=float, metavar='M/S', help='--mp4: speed limit to show, m/s')


def run(args: argparse.Namespace) -> int:
    """Export; 0 on success, 2 with one line on stderr for bad input."""
    from sim_bridge.recording.export import export_log, export_video
    from sim_bridge.recording.lerobot import TASK, export_lerobot
    from sim_bridge.recording.sources import open_bag, usual_camera
    from steering_net.vision.camera_model import find_camera
    from steering_net.vision.camera_names import AUTONOMOUS

    try:
        if not (args.csv or args.mp4 or args.lerobot):
            raise UsageError('there is no output; name --csv DIR, --mp4 FILE or --lerobot DIR')
        video = _beside(args.recording) if args.mp4 == _BESIDE else args.mp4
        if video and video.suffix.lower() != '.mp4':
            raise UsageError(f'--mp4 is {video}; it must end with .mp4')
        if video and video.is_file():
            raise UsageError(f'--mp4: {video} already exists; name another file, or remove it')
        check_output_file('--mp4', video)
        check_output_folder('--csv', args.csv)
        check_output_folder('--lerobot', args.lerobot)
        if not video:
            refuse_given(args, {'speed_limit': None}, 'needs --mp4')
        if not args.lerobot:
            refuse_given(args, {'task': None}, 'needs --lerobot')
        if not (video or args.lerobot):
            refuse_given(args, {'fps': None}, 'needs --mp4 or --lerobot')
        if args.speed_limit is not None:
            check_speed_limit(args.speed_limit)
        if args.fps is not None:
            check_range('--fps', args.fps, 1.0, 240.0, '1/s')
        rate_hz = None if args.fps is None else round(args.fps)
        if args.lerobot and args.fps != rate_hz:
            raise UsageError(f'--fps is {args.fps}; for --lerobot it must be a whole number')
        bag = open_bag(args.recording, args.car, args.steering_unit)
        camera = AUTONOMOUS
        if args.csv or video:
            camera = usual_camera(args.recording, args.steering_unit)
        if args.csv:
            print(f'{args.csv}: {export_log(bag, args.csv, camera)} rows')
        if video:
            frames = export_video(bag, video, args.speed_limit, args.fps, find_camera(camera))
            print(f'{video}: {frames} frames')
        if args.lerobot:
            size = export_lerobot(bag, args.lerobot, args.task or TASK, rate_hz)
            print(f'{args.lerobot}: {size.frames} frames in {size.episodes} episodes')
    except (UsageError, OSError, ValueError) as error:
        print(f'sim-bridge export: {error}', file=sys.stderr)
        return 2
    if bag.trouble:
        print(f'sim-bridge export: {bag.trouble}', file=sys.stderr)
    return 0


def _beside(recording: Path) -> Path:
    """Return the path of a video beside a recording: run1.mp4 for run1."""
    whole = recording.resolve()
    return whole.with_name(f'{whole.name if whole.is_dir() else whole.stem}.mp4')
