# SPDX-License-Identifier: Apache-2.0
"""Reads a network described by Keras 1, 2 or 3, as data, into a graph of layers.

A network may have branches, several outputs, networks inside, and operations such as x / 255.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from steering_net.errors import ModelError
from steering_net.model_io.importers.keras_calls import Call, Ref, read_call, read_refs, refs_in
from steering_net.model_io.importers.keras_layers import (
    NotSupportedError,
    as_dict,
    name_of,
    read_layer,
    text_of,
)
from steering_net.model_io.importers.keras_operations import is_operation, read_operation
from steering_net.model_io.importers.layers import Layer
from steering_net.model_io.importers.limits import MAX_LAYERS, Json

NETWORKS = ('Functional', 'Model', 'Sequential')
FRAME = -1
_MAX_DEPTH = 8


@dataclass
class Stored:
    """A described layer and where its weights belong.

    `uses` has for each use of it the numbers of the layers made of it. `children` are the layers
    of a network inside, in the order of its description.
    """

    kind: str
    trainable: bool
    uses: list[list[int]] = field(default_factory=list)
    children: list['Stored'] = field(default_factory=list)

    def leaves(self) -> Iterator['Stored']:
        """Yield this layer, or the layers of the network that it is, in order."""
        if self.kind not in NETWORKS:
            yield self
        for child in self.children:
            yield from child.leaves()


@dataclass
class Graph:
    """The layers so far, in an order in which each follows those that it takes."""

    keras: str
    layers: list[Layer] = field(default_factory=list)

    def add(self, layer: Layer, parents: tuple[int, ...]) -> int:
        """Append a layer and return its number."""
        if len(self.layers) >= MAX_LAYERS:
            raise ModelError(f'it has more than the {MAX_LAYERS} layers allowed')
        self.layers.append(replace(layer, parents=parents))
        return len(self.layers) - 1

    def chain(self, layers: Sequence[Layer], parents: tuple[int, ...]) -> tuple[int, list[int]]:
        """Append layers one after the other; return the last one's number, and all numbers."""
        numbers: list[int] = []
        for layer in layers:
            parents = (self.add(layer, parents),)
            numbers += parents
        if len(parents) != 1:
            raise ModelError('a layer that does nothing takes several others')
        return parents[0], numbers


class DescribedNetwork:
    """A described network: reads its layers into a graph, once for each use of it."""

    def __init__(self, config: dict[str, Json], graph: Graph, depth: int = 0) -> None:
        """Raise ModelError for a description without layers, or nested too deeply."""
        if depth > _MAX_DEPTH:
            raise ModelError('its networks are nested too deeply')
        inner = config.get('config')
        entries = inner if isinstance(inner, list) else as_dict(inner, 'config').get('layers')
        if not isinstance(entries, list) or not entries:
            raise ModelError('it has no layers')
        self.entries = [as_dict(entry, 'layer') for entry in entries]
        self._model = inner if isinstance(inner, dict) else {}
        self._sequential = config['class_name'] == 'Sequential'
        self._graph = graph
        self._depth = depth
        self._inner: dict[str, DescribedNetwork] = {}
        self.stored = [self._stored(entry) for entry in self.entries]

    def _stored(self, entry: dict[str, Json]) -> Stored:
        kind = text_of(entry, 'class_name')
        trainable = as_dict(entry.get('config'), 'layer') if kind not in NETWORKS else {}
        stored = Stored(kind, trainable.get('trainable', True) is not False)
        if kind in NETWORKS:
            inner = DescribedNetwork(entry, self._graph, self._depth + 1)
            self._inner[_key(entry)] = inner
            stored.children = inner.stored
        return stored

    def read(self, inputs: Sequence[int]) -> list[tuple[str, int]]:
        """Append the layers, and return name and number of each output."""
        if self._sequential:
            return [self._chain(inputs)]
        return _Use(self, inputs).outputs()

    def _chain(self, inputs: Sequence[int]) -> tuple[str, int]:
        end, name = inputs[0], ''
        for entry, stored in zip(self.entries, self.stored, strict=True):
            if stored.kind != 'InputLayer':
                end = self.append(entry, stored, Call((Ref(''),)), [end])[0]
                name = name_of(entry) if stored.kind not in NETWORKS else stored.kind
        return name, end

    def append(
        self, entry: dict[str, Json], stored: Stored, call: Call, parents: Sequence[int]
    ) -> list[int]:
        """Append what a described layer does in one call; return the numbers of its outputs."""
        if stored.kind in NETWORKS:
            outputs = self._inner[_key(entry)].read(parents)
            return [number for _, number in outputs]
        if is_operation(entry, call):
            layers = read_operation(name_of(entry), entry, call)
        else:
            layers = read_layer(entry, self._graph.keras)
        end, numbers = self._graph.chain(layers, tuple(parents))
        stored.uses.append(numbers)
        return [end]

    @property
    def ends(self) -> tuple[list[Ref], list[Ref]]:
        """The inputs and outputs of a functional network."""
        return tuple(  # type: ignore[return-value]
            read_refs(self._model.get(key)) for key in ('input_layers', 'output_layers')
        )


def _key(entry: dict[str, Json]) -> str:
    inner = entry.get('config')
    name = inner.get('name') if isinstance(inner, dict) else None
    return str(entry.get('name') or name)


class _Use:
    """One use of a functional network: the values of its layers, computed in any order."""

    def __init__(self, network: DescribedNetwork, inputs: Sequence[int]) -> None:
        self._network = network
        self._places = {_key(entry): i for i, entry in enumerate(network.entries)}
        sources, self._ends = network.ends
        if len(sources) != len(inputs):
            raise NotSupportedError(f'it has {len(sources)} inputs, not {len(inputs)}')
        self._values: dict[tuple[str, int], list[int]] = {
            (source.name, 0): [number] for source, number in zip(sources, inputs, strict=True)
        }
        self._open: set[tuple[str, int]] = set()

    def outputs(self) -> list[tuple[str, int]]:
        # In the order of the description first, so that no value is nested deeply in others.
        for entry in self._network.entries:
            nodes = entry.get('inbound_nodes')
            for number in range(len(nodes) if isinstance(nodes, list) else 0):
                self._value(Ref(_key(entry), number))
        return [(end.name, self._value(end)) for end in self._ends]

    def _value(self, ref: Ref) -> int:
        """Return the number of the layer whose output a reference names."""
        place = self._places.get(ref.name)
        if place is None:
            raise ModelError(f'there is no layer {ref.name}')
        entry = self._network.entries[place]
        nodes = entry.get('inbound_nodes')
        nodes = nodes if isinstance(nodes, list) else []
        # The first node of a network inside may be its own, outside of this graph.
        node = min(ref.node, max(0, len(nodes) - 1))
        key = (ref.name, node)
        if key not in self._values:
            if not nodes or key in self._open:
                raise ModelError(f'layer {ref.name} has no input')
            self._open.add(key)
            call = read_call(nodes[node])
            parents = [self._value(parent) for parent in refs_in(call)]
            stored = self._network.stored[place]
            self._values[key] = self._network.append(entry, stored, call, parents)
        outputs = self._values[key]
        if not 0 <= ref.tensor < len(outputs):
            raise ModelError(f'layer {ref.name} has no output {ref.tensor}')
        return outputs[ref.tensor]


def read_graph(config: dict[str, Json], keras: str) -> tuple[Graph, list[Stored], Any]:
    """Return the graph of a description, its layers in order, and its outputs.

    Raises NotSupportedError for a layer that is not on the allow-list.
    """
    graph = Graph(keras)
    network = DescribedNetwork(config, graph)
    outputs = network.read([FRAME])
    return graph, network.stored, outputs
