# SPDX-License-Identifier: Apache-2.0
"""Publish the messages of a bag again, or check a network on the frames of a bag.

With --check a steering node runs the network on the frames, and its steering is compared with the
recorded steering of the same frames. The exit code is 1 if the mean difference is greater than
--threshold. --profile, --recorded-with, --threshold and --json need --check; --rate, --clock,
--topics and --when-subscribed cannot be used with it.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TypeAlias

from sim_bridge.cli.arguments import (
    add_json,
    add_recorded_with,
    add_recording_options,
    check_model,
    check_output_file,
    check_range,
    refuse_given,
)
from sim_bridge.cli.output import write_json
from sim_bridge.cli.ros_arguments import QUIET, parameters
from sim_bridge.errors import UsageError
from sim_bridge.evaluation.metrics import Comparison, compare
from sim_bridge.process import ManagedProcess
from sim_bridge.recording.bag import Bag, Record, UnusableError, check_car, stamp_ns, undecodable
from sim_bridge.recording.frames import warn_of_unusable
from sim_bridge.recording.runs import Runs
from sim_bridge.recording.sources import open_bag, usual_camera
from sim_bridge.topics import COMPRESSED_FRAME, STEERING_COMMAND

_Key: TypeAlias = tuple[int, int]
"""Number of the run and stamp, ns, of a frame."""

_OF_PUBLISHING = {'rate': 1.0, 'clock': False, 'topics': None, 'when_subscribed': False}
"""Options that cannot be used with --check, with their defaults."""

_OF_CHECK = {'profile': '', 'recorded_with': '', 'threshold': 0.01, 'json': None}
"""Options that need --check, with their defaults."""

_END_S = 5.0
_INTERRUPTED = 'the check was interrupted'


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    add = parser.add_argument
    add('recording', type=Path, metavar='PATH', help='a bag, a log, or a folder of frames')
    add('--rate', type=float, metavar='X', help='X times the recorded speed')
    add('--clock', action='store_true', help='also publish the time of the bag on /clock')
    add('--topics', nargs='+', metavar='NAME', help='topics to publish; if not given, all')
    add(
        '--when-subscribed',
        action='store_true',
        help='start when the frames have a subscription, such as that of a steering node',
    )
    add(
        '--check',
        nargs='?',
        const='default',
        metavar='MODEL',
        help='check this network instead of publishing the bag',
    )
    add('--profile', help='--check: preprocessing; empty: that of the network')
    add_recorded_with(parser)
    add_recording_options(parser)
    add(
        '--threshold',
        type=float,
        metavar='RAD',
        help='--check: largest mean difference, rad',
    )
    add_json(parser, 'the figures of --check')
    parser.set_defaults(**_OF_PUBLISHING, **_OF_CHECK)


def run(args: argparse.Namespace) -> int:
    """Replay or check; 1 above the threshold, 2 with one line on stderr for bad input."""
    try:
        _check_options(args)
        return _play(args) if args.check is None else _check(args)
    except (UsageError, OSError, ValueError) as error:
        print(f'sim-bridge replay: {error}', file=sys.stderr)
        return 2


def _check_options(args: argparse.Namespace) -> None:
    """Raise UsageError for an option of the other mode and for a value that is not allowed."""
    if args.check is None:
        refuse_given(args, _OF_CHECK, 'needs --check')
    else:
        refuse_given(args, _OF_PUBLISHING, 'cannot be used with --check')
    if not args.rate > 0.0:
        raise UsageError(f'--rate is {args.rate}; it must be greater than 0')
    check_range('--threshold', args.threshold, 0.0, unit='rad')
    check_output_file('--json', args.json)


def _play(args: argparse.Namespace) -> int:
    from sim_bridge.nodes.bag_player import PlayerNode
    from sim_bridge.nodes.runner import interruptible, ros

    bag = _open(args)
    one_of_topic = {record.topic: record for record in bag}
    wanted = [name.lstrip('/') for name in args.topics or ()]
    topics = [
        record
        for record in one_of_topic.values()
        if not wanted or any(record.is_of(name) for name in wanted)
    ]
    missing = [name for name in wanted if not any(record.is_of(name) for record in topics)]
    if missing:
        known = ', '.join(sorted(one_of_topic))
        told = f'--topics: {args.recording} holds no {" and no ".join(missing)}; it holds {known}'
        if not topics:
            raise UsageError(told)
        print(f'sim-bridge replay: {told}', file=sys.stderr)
    with ros(), interruptible() as keep_going:
        player = PlayerNode()
        try:
            player.open(topics, bag.offers())
            if args.when_subscribed:
                player.wait_for_subscriptions(COMPRESSED_FRAME, keep_going)
            player.play(bag, args.rate, with_clock=args.clock, keep_going=keep_going)
        finally:
            player.destroy_node()
    _print_trouble(bag)
    refused = f', {player.refused} refused by DDS' if player.refused else ''
    print(f'{args.recording}: {player.published} messages published{refused}')
    return 2 if player.refused and not player.published else 0


def _check(args: argparse.Namespace) -> int:
    from sim_bridge.nodes.runner import interruptible, ros

    check_model('--check', args.check)
    bag = _open(args)
    recorded = _recorded_steering(bag)
    _check_decodable(bag, recorded)
    _print_trouble(bag)
    camera = args.recorded_with or usual_camera(args.recording, args.steering_unit)
    namespace = f'/replay_{os.getpid()}'
    with ros(), interruptible() as keep_going:
        node = ManagedProcess('steering', _steering_arguments(args, camera, namespace))
        try:
            pairs, refused = _steer(bag, recorded, namespace, node, keep_going)
        finally:
            node.ask_to_end()
            node.wait(_END_S)
    if not pairs:
        raise UsageError(f'the network answered none of the {refused} frames')
    result = compare(*zip(*pairs, strict=True))
    _print_result(args, result, refused)
    return 0 if result.mae_rad <= args.threshold and not refused else 1


def _open(args: argparse.Namespace) -> Bag:
    return open_bag(args.recording, args.car, args.steering_unit)


def _recorded_steering(bag: Bag) -> dict[_Key, float]:
    """Return the recorded steering, rad, of each frame; unusable commands give a warning."""
    steering = {}
    frame_topics = set()
    runs = Runs()
    unusable: list[UnusableError] = []
    for record in bag:
        if record.is_of(COMPRESSED_FRAME):
            frame_topics.add(record.topic)
            runs.add(stamp_ns(record.frame()))
        if record.is_of(STEERING_COMMAND):
            try:
                stamp, steering_rad = record.command()
            except UnusableError as error:
                unusable.append(error)
                continue
            steering[runs.number, stamp] = steering_rad
    if not steering:
        reason = f': {unusable[0]}' if unusable else ''
        raise UsageError(f'{bag.path} holds no {STEERING_COMMAND} to compare with{reason}')
    check_car(bag, frame_topics)
    warn_of_unusable(bag, unusable)
    return steering


def _check_decodable(bag: Bag, recorded: dict[_Key, float]) -> None:
    """Raise UsageError unless a frame with recorded steering can be decoded."""
    reason = 'no command has the stamp of a frame'
    for record, key in _frames(bag):
        if key in recorded:
            reason = undecodable(record.frame().data.tobytes())
            if not reason:
                return
    raise UsageError(f'{bag.path} holds no frame that can be checked: {reason}')


def _steer(
    bag: Bag,
    recorded: dict[_Key, float],
    namespace: str,
    steering: ManagedProcess,
    keep_going: Callable[[], bool],
) -> tuple[list[tuple[float, float]], int]:
    """Return pairs of recorded and new steering, rad, and how many frames were refused."""
    from sim_bridge.nodes.replay_checker import CheckerNode, NoAnswerError

    checker = CheckerNode(namespace)
    pairs, refused = [], 0
    try:
        checker.wait_for_steering(lambda: steering.exit_code is None and keep_going())
        for record, key in _frames(bag):
            if key not in recorded:
                continue
            # A steering node never answers a broken frame, so it is not waited for.
            reason = undecodable(record.frame().data.tobytes())
            angle = None if reason else checker.steering_rad(record.cdr, key[1])
            if angle is None:
                refused += 1
            else:
                pairs.append((recorded[key], angle))
            if steering.exit_code is not None or not keep_going():
                raise UsageError(_INTERRUPTED)
    except NoAnswerError as error:
        reason = str(error) if keep_going() else _INTERRUPTED
        raise UsageError(reason) from error
    finally:
        checker.destroy_node()
    return pairs, refused


def _frames(bag: Bag) -> Iterator[tuple[Record, _Key]]:
    runs = Runs()
    for record in bag:
        if record.is_of(COMPRESSED_FRAME):
            stamp = stamp_ns(record.frame())
            runs.add(stamp)
            yield record, (runs.number, stamp)


def _steering_arguments(args: argparse.Namespace, camera: str, namespace: str) -> list[str]:
    values = {'model': args.check, 'camera': camera, 'profile': args.profile}
    return ['steering', *QUIET, '-r', f'__ns:={namespace}', *parameters(values)]


def _print_result(args: argparse.Namespace, result: Comparison, refused: int) -> None:
    correlation = 'none' if result.correlation is None else f'{result.correlation:.4f}'
    outcome = 'within' if result.mae_rad <= args.threshold else 'beyond'
    print(
        f'{args.recording}: {result.frames} frames, {refused} refused, '
        f'mean difference {result.mae_rad:.6f} rad, largest {result.max_rad:.6f} rad, '
        f'correlation {correlation}: {outcome} {args.threshold:g} rad'
    )
    if args.json:
        figures = asdict(result) | {'refused': refused, 'threshold_rad': args.threshold}
        write_json(args.json, figures)


def _print_trouble(bag: Bag) -> None:
    if bag.trouble:
        print(f'sim-bridge replay: {bag.trouble}', file=sys.stderr)
