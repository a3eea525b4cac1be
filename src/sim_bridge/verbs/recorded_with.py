"""The option --recorded-with of the verbs that read recordings."""

import argparse

from steering_net.pinhole import find_camera


def add_recorded_with(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add the option; its value is empty where the kind of the recording decides."""
    parser.add_argument(
        '--recorded-with',
        type=_camera,
        default='',
        metavar='CAMERA',
        help='camera that took the frames: `training`, `autonomous`, or a pose such as '
        'pitch:7.6/roll:1.2/height:1.255 in degrees and m; without it, autonomous for a bag and '
        'training for a log. Frames are turned to the camera of the network',
    )


def _camera(text: str) -> str:
    try:
        if text:
            find_camera(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text
