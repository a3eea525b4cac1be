# SPDX-License-Identifier: Apache-2.0
"""Mutated networks: copies of a network whose weights or layers are changed by a seed.

They fail on purpose, to test what has to notice it. The kinds are those of DeepMutation (Ma et
al., 2018) and DeepCrime (Humbatova et al., 2021) that change a trained network.

As a program this module writes `NAME.keras` and `NAME.tflite` for each mutation into a folder:
`python -m steering_net.model_io.mutation MODEL --out DIR --seed N --mutations noise:0.3,zero:0.2`.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from steering_net.errors import ModelError, one_line
from steering_net.model_io.files import publish
from steering_net.model_io.found_profile import found_profile
from steering_net.model_io.isolated import run_isolated
from steering_net.model_io.litert_converter import convert, ensure_litert
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import read_origin
from steering_net.model_io.model_config import sidecar_of_pair, write_sidecar
from steering_net.model_io.network_files import network_path
from steering_net.model_io.profiles import choose_profile
from steering_net.vision.profile import Profile, format_profile

DEFAULT_MUTATIONS = (
    'noise:0.4,noise:0.7,noise:1,shuffle:0.02,shuffle:0.05,invert:0.01,invert:0.03,zero:0.05,'
    'zero:0.15,linear:1,bias:0.05,bias:-0.1,scale:0.3,scale:0.6,scale:2'
)
Weights = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Mutation:
    """A kind of mutation, and how much it changes."""

    kind: str
    amount: float

    @property
    def name(self) -> str:
        """Stem of the mutant's files."""
        return f'{self.kind}_{self.amount:g}'


@dataclass(frozen=True)
class MutationKind:
    """What a kind of mutation does, and the range of its amount, both ends inclusive."""

    meaning: str
    low: float
    high: float
    apply: Callable[[list[Any], float, np.random.Generator], None]


def parse_mutations(text: str) -> list[Mutation]:
    """Return the mutations of `KIND:AMOUNT,...`, each once.

    Raises ValueError that lists what is allowed.
    """
    mutations = []
    for part in text.split(','):
        name, _, number = part.partition(':')
        try:
            amount = float(number)
        except ValueError:
            amount = np.nan
        if name not in KINDS or not KINDS[name].low <= amount <= KINDS[name].high:
            known = ', '.join(f'{key}:{k.low:g}..{k.high:g}' for key, k in KINDS.items())
            raise ValueError(f'mutations has {part!r}; it must be KIND:AMOUNT, one of {known}')
        mutations.append(Mutation(name, amount))
    # Mutations of the same name would have the same files.
    return list({mutation.name: mutation for mutation in mutations}.values())


def mutate(model: Any, mutation: Mutation, seed: int) -> None:
    """Mutate a `keras.Model` in place; the same seed changes it in the same way.

    Raises ModelError for a network without layers that the mutation can change.
    """
    layers = [layer for layer in model.layers if hasattr(layer, 'kernel')]
    if not layers:
        raise ModelError('no layer of the network has a kernel that can be mutated')
    KINDS[mutation.kind].apply(layers, mutation.amount, np.random.default_rng(seed))


def _noise(layers: list[Any], amount: float, rng: np.random.Generator) -> None:
    """Add to one layer's kernel noise of `amount` times its standard deviation."""
    layer = _choose(layers, rng)
    kernel = _kernel(layer)
    layer.kernel.assign(kernel + amount * kernel.std() * rng.standard_normal(kernel.shape))


def _shuffle(layers: list[Any], amount: float, rng: np.random.Generator) -> None:
    """Permute the incoming weights of a share of all neurons."""

    def shuffled(weights: Weights) -> Weights:
        return np.asarray(rng.permutation(weights.ravel()).reshape(weights.shape))

    _change_neurons(layers, amount, rng, shuffled)


def _invert(layers: list[Any], amount: float, rng: np.random.Generator) -> None:
    """Change the sign of the incoming weights of a share of all neurons."""
    _change_neurons(layers, amount, rng, np.negative)


def _zero(layers: list[Any], amount: float, rng: np.random.Generator) -> None:
    """Set the incoming weights of a share of all neurons to 0."""
    _change_neurons(layers, amount, rng, np.zeros_like)


def _linear(layers: list[Any], amount: float, rng: np.random.Generator) -> None:
    """Remove the activation functions of some layers."""
    import keras

    active = [layer for layer in layers if getattr(layer.activation, '__name__', '') != 'linear']
    if not active:
        raise ModelError('no layer of the network has an activation function to remove')
    count = min(round(amount), len(active))
    for index in rng.choice(len(active), count, replace=False):
        active[index].activation = keras.activations.linear


def _bias(layers: list[Any], amount: float, _rng: np.random.Generator) -> None:
    """Add a constant to the output, as a network has that was trained with shifted labels."""
    last = layers[-1]
    if last.bias is None:
        raise ModelError('the last layer of the network has no bias')
    last.bias.assign_add(np.full(last.bias.shape, amount, np.float32))


def _scale(layers: list[Any], amount: float, _rng: np.random.Generator) -> None:
    """Multiply the output by a factor."""
    for weights in layers[-1].weights:
        weights.assign(amount * weights)


KINDS = {
    'noise': MutationKind(
        'noise on the kernel of one layer, in standard deviations', 0.01, 10.0, _noise
    ),
    'shuffle': MutationKind(
        'share of neurons whose incoming weights are permuted', 0.01, 1.0, _shuffle
    ),
    'invert': MutationKind(
        'share of neurons whose incoming weights change sign', 0.01, 1.0, _invert
    ),
    'zero': MutationKind('share of neurons without input', 0.01, 1.0, _zero),
    'linear': MutationKind('number of layers without activation function', 1, 20, _linear),
    'bias': MutationKind('constant added to the output, in its unit', -2.0, 2.0, _bias),
    'scale': MutationKind('factor of the output', -5.0, 5.0, _scale),
}


def _choose(layers: list[Any], rng: np.random.Generator) -> Any:
    return layers[int(rng.integers(len(layers)))]


def _kernel(layer: Any) -> Weights:
    return np.asarray(layer.kernel.numpy(), np.float32).copy()


def _change_neurons(
    layers: list[Any],
    share: float,
    rng: np.random.Generator,
    change: Callable[[Weights], Weights],
) -> None:
    """Change the incoming weights of this share of all neurons but the last layer's, at least one.

    A neuron of a convolution is a filter.
    """
    hidden = layers[:-1] or layers
    neurons = [(layer, n) for layer in hidden for n in range(layer.kernel.shape[-1])]
    count = max(1, round(share * len(neurons)))
    chosen = [neurons[k] for k in rng.choice(len(neurons), count, replace=False)]
    for layer in hidden:
        kernel = _kernel(layer)
        for neuron in (n for owner, n in chosen if owner is layer):
            kernel[..., neuron] = change(kernel[..., neuron])
        layer.kernel.assign(kernel)


def mutants_of(source: Path, out: Path, mutations: Sequence[Mutation], seed: int) -> list[Path]:
    """Write a mutant's three files for each mutation of a network; return the `.keras` files.

    The network is read in a sandboxed process. Raises ModelError if it cannot be read.
    """
    source = network_path(source)
    profile = _profile_of(source)
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out, prefix='.mutate-') as folder:
        listed = ','.join(f'{mutation.kind}:{mutation.amount:g}' for mutation in mutations)
        arguments = ['--out', folder, '--seed', str(seed), f'--mutations={listed}']
        run_isolated('steering_net.model_io.mutation', source, arguments, out=Path(folder))
        files = [out / f'{mutation.name}.keras' for mutation in mutations]
        for file in files:
            for suffix in ('.tflite', '.keras'):
                target = file.with_suffix(suffix)
                publish(Path(folder, target.name), target)
            scale = profile.steering_scale_rad
            write_sidecar(file, sidecar_of_pair(file, format_profile(profile), scale))
    return files


def _profile_of(source: Path) -> Profile:
    """Return the preprocessing of a network while it drives, which its mutants have too."""
    found, litert = found_profile(source), ensure_litert(source)
    wish = found.profile if found else None
    shape = LiteRtModel(litert, source.name).input_shape
    return choose_profile(wish, shape, source, read_origin(litert)).profile


def write_mutants(source: Path, out: Path, mutations: Sequence[Mutation], seed: int) -> None:
    """Write `NAME.keras` and `NAME.tflite` of each mutation of a network into a folder."""
    from steering_net.model_io.reader import read_network

    model = read_network(source).model
    original = model.get_weights()
    activations = {layer.name: getattr(layer, 'activation', None) for layer in model.layers}
    for mutation in mutations:
        mutate(model, mutation, seed)
        target = out / f'{mutation.name}.keras'
        model.save(target)
        convert(target, target.with_suffix('.tflite'))
        model.set_weights(original)
        for layer in model.layers:
            if activations[layer.name] is not None:
                layer.activation = activations[layer.name]


def main(arguments: list[str] | None = None) -> int:
    """Write mutants; return 0, or 2 with one line on stderr for a network that cannot be read."""
    parser = argparse.ArgumentParser(description='Write mutated networks.')
    parser.add_argument('source', type=Path, help='a model file')
    parser.add_argument('--out', type=Path, required=True, help='folder')
    parser.add_argument('--seed', type=int, default=0, help='of the random choices')
    parser.add_argument('--mutations', default=DEFAULT_MUTATIONS, help='KIND:AMOUNT,...')
    options = parser.parse_args(arguments)
    try:
        mutations = parse_mutations(options.mutations)
        write_mutants(options.source, options.out, mutations, options.seed)
    except (OSError, ValueError, MemoryError) as error:
        print(one_line(error), file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
