# SPDX-License-Identifier: Apache-2.0
"""Write faulty (mutated) copies of a network, which test the monitor of the steering node.

Each copy is a normal network: a .keras, a .tflite and a .json file. `sim-bridge evaluate monitor
--mutants DIR` drives with them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sim_bridge.cli.arguments import check_model, check_output_folder, check_range
from sim_bridge.errors import UsageError


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    from steering_net.model_io.mutation import DEFAULT_MUTATIONS, KINDS

    kinds = '; '.join(f'{name}: {kind.meaning}' for name, kind in KINDS.items())
    add = parser.add_argument
    add('--model', default='default', help='network: a file, or `default` for the shipped one')
    add(
        '--out', type=Path, required=True, metavar='DIR', help='new or existing folder to write to'
    )
    add('--mutations', default=DEFAULT_MUTATIONS, metavar='KIND:AMOUNT,...', help=kinds)
    add('--seed', type=int, default=0, metavar='N', help='seed of the random choices')


def run(args: argparse.Namespace) -> int:
    """Write the mutants; 0 on success, 2 with one line on stderr for bad input."""
    from steering_net.inference.predictor import model_path
    from steering_net.model_io.mutation import mutants_of, parse_mutations

    try:
        check_model('--model', args.model)
        check_output_folder('--out', args.out)
        check_range('--seed', args.seed, 0)
        try:
            mutations = parse_mutations(args.mutations)
        except ValueError as error:
            raise UsageError(f'--{error}') from error
        files = mutants_of(model_path(args.model), args.out, mutations, args.seed)
    except (UsageError, OSError, ValueError) as error:
        print(f'sim-bridge mutate: {error}', file=sys.stderr)
        return 2
    print('\n'.join(f'wrote {file}' for file in files))
    return 0
