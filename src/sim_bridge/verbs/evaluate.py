"""`sim-bridge evaluate`: judge a network on recordings."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the verb's subcommands and their options."""
    kinds = parser.add_subparsers(dest='kind', required=True, metavar='KIND')
    _configure_open_loop(kinds.add_parser('open-loop', help='compare with a recorded driver'))


def run(args: argparse.Namespace) -> int:
    """Evaluate; 0 on success, 2 with one line on stderr for bad input."""
    evaluate = args.evaluate
    try:
        report: dict[str, Any] = evaluate(args)
        if args.json:
            args.json.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    except (OSError, ValueError, RuntimeError) as error:
        print(f'sim-bridge evaluate: {error}', file=sys.stderr)
        return 2
    _print_table(report)
    return 0


def _configure_open_loop(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(evaluate=_open_loop)
    parser.add_argument(
        '--model', default='default', help='.keras, .h5 or .tflite file (default: the shipped one)'
    )
    parser.add_argument('--profile', help='preprocessing (default: inferred from the model)')
    parser.add_argument(
        '--backend', choices=('litert', 'keras'), default='litert', help='(default: %(default)s)'
    )
    parser.add_argument(
        '--recording',
        type=Path,
        required=True,
        metavar='DIR',
        help='folder that holds IMG/ and driving_log.csv or frames.csv',
    )
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the report there too')


def _open_loop(args: argparse.Namespace) -> dict[str, Any]:
    from steering_net.evaluate import open_loop
    from steering_net.predictor import load_predictor

    predictor = load_predictor(args.model, args.backend, args.profile)
    return open_loop(predictor, args.recording)


def _print_table(report: dict[str, Any]) -> None:
    for name, value in report.items():
        text = f'{value:.4f}' if isinstance(value, float) else str(value)
        if isinstance(value, dict):
            text = ', '.join(f'{key} {number:.3f}' for key, number in value.items())
        print(f'{name:22}{text}')
