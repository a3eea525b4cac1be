"""The options that say which camera took the frames."""

import argparse

from steering_net.vision.camera_model import AUTONOMOUS, find_camera
from steering_net.vision.view import AS_TRAINED

_CAMERAS = 'training, autonomous, or a pose such as pitch:7.6/roll:1.2/height:1.255 (degrees, m)'


def add_recorded_with(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """Add --recorded-with; its value is empty where the kind of the recording decides."""
    parser.add_argument(
        '--recorded-with',
        type=_camera,
        default='',
        metavar='CAMERA',
        help=f'camera that took the frames: {_CAMERAS}; without it, autonomous for a bag and '
        'training for a log. They are turned to the camera of the network',
    )


def add_camera(parser: argparse.ArgumentParser) -> None:
    """Add --camera: the camera of the simulator that drives."""
    parser.add_argument(
        '--camera',
        type=_camera_or_as_trained,
        default=AUTONOMOUS,
        help=f'camera of the simulator: {_CAMERAS}; frames are turned to the camera of the '
        f'network. {AS_TRAINED}: they are not turned',
    )


def _camera(text: str) -> str:
    try:
        if text:
            find_camera(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _camera_or_as_trained(text: str) -> str:
    return text if text == AS_TRAINED else _camera(text or AUTONOMOUS)
