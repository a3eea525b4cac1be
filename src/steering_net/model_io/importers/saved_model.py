# SPDX-License-Identifier: Apache-2.0
"""Reads TensorFlow SavedModels: graph and variables as data, without loading the graph.

A graph can write files when it runs, and can run when it is loaded. Here it is neither loaded nor
run: the operations from the input to the output of the serving signature are read as a list.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError
from steering_net.model_io.importers import graph_walker
from steering_net.model_io.importers.graph_walker import Folder, Handler, Operation
from steering_net.model_io.importers.layer_chain import Array, Chain
from steering_net.model_io.importers.layers import build
from steering_net.model_io.importers.limits import MAX_WEIGHT_BYTES, check_bytes, read_file

_SIGNATURE = 'serving_default'
_CALLS = ('PartitionedCall', 'StatefulPartitionedCall')
_MAX_OPERATIONS = 20_000
_MAX_CALLS = 32


def read_saved_model(folder: Path) -> tuple[Any, str]:
    """Return the `keras.Model` of a SavedModel folder.

    Raises ModelError, naming the operation, unless the network is a chain of supported operations.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString(read_file(folder / 'saved_model.pb'))
    except DecodeError as error:
        raise ModelError('its saved_model.pb is broken') from error
    if not saved.meta_graphs:
        raise ModelError('its saved_model.pb holds no graph')
    graph = saved.meta_graphs[0]
    signature = graph.signature_def.get(_SIGNATURE)
    if signature is None or len(signature.inputs) != 1 or len(signature.outputs) != 1:
        raise ModelError(f'it has no signature {_SIGNATURE} from one frame to one number')
    reader = _Reader(graph, _Variables(folder, graph))
    version = graph.meta_info_def.tensorflow_version
    chain = reader.chain(*signature.inputs.values(), *signature.outputs.values())
    return build(chain.finish(), chain.input_shape), f'TensorFlow {version}'


class _Variables:
    """The variables of a checkpoint, by the names of their handles in the graph."""

    def __init__(self, folder: Path, graph: Any) -> None:
        import tensorflow as tf

        files = list((folder / 'variables').glob('variables.*'))
        if not files:
            raise ModelError('it has no folder `variables` beside saved_model.pb: copy that too')
        if not any('.data-' in file.name for file in files):
            raise ModelError('its folder `variables` has no variables.data-*: copy that too')
        check_bytes(sum(file.stat().st_size for file in files), MAX_WEIGHT_BYTES, 'variables')
        self._errors = tf.errors.OpError
        try:
            self._reader = tf.train.load_checkpoint(str(folder / 'variables' / 'variables'))
            self._shapes = self._reader.get_variable_to_shape_map()
        except self._errors as error:
            raise ModelError('its variables are broken or cut short') from error
        self._keys = dict(_restored(graph))

    def read(self, handle: str) -> Array:
        """Return the variable of a handle."""
        key = self._keys.get(handle)
        if key not in self._shapes:
            raise ModelError(f'variable {handle} is not among those stored')
        check_bytes(4 * int(np.prod(self._shapes[key])), MAX_WEIGHT_BYTES, handle)
        try:
            return np.asarray(self._reader.get_tensor(key))
        except self._errors as error:
            raise ModelError(f'variable {handle} is broken or cut short') from error


def _restored(graph: Any) -> Iterator[tuple[str, str]]:
    """Yield (handle, key of the checkpoint) as the graph's own restore function assigns them."""
    restore = graph.saver_def.restore_op_name
    call = next((node for node in graph.graph_def.node if node.name == restore), None)
    functions = {f.signature.name: f for f in graph.graph_def.library.function}
    function = functions.get(call.attr['f'].func.name) if call is not None else None
    if call is None or function is None:
        raise ModelError('it has no function that restores its variables')
    arguments = [argument.name for argument in function.signature.input_arg]
    handles = dict(zip(arguments, call.input, strict=True))
    nodes = {node.name: node for node in function.node_def}
    for node in function.node_def:
        if node.op == 'AssignVariableOp':
            source = node.input[1]
            while nodes[source.partition(':')[0]].op == 'Identity':
                source = nodes[source.partition(':')[0]].input[0]
            restored, _, index = source.partition(':tensors:')
            names = nodes[nodes[restored].input[1].partition(':')[0]].attr['value'].tensor
            yield handles[node.input[0]], names.string_val[int(index)].decode('utf-8')


@dataclass
class _Scope:
    """The nodes of the graph or of one call of a function, and their values computed so far."""

    nodes: dict[str, Any]
    values: dict[str, Any] = field(default_factory=dict)


class _Reader:
    """Walks the graph from the output back to the input."""

    def __init__(self, graph: Any, variables: _Variables) -> None:
        self._functions = {f.signature.name: f for f in graph.graph_def.library.function}
        self._graph = _Scope({node.name: node for node in graph.graph_def.node})
        self._variables = variables
        self._operations = self._calls = 0
        self._chain: Chain

    def chain(self, source: Any, target: Any) -> Chain:
        """Return the chain between two tensors of the signature."""
        self._chain = Chain([dim.size for dim in source.tensor_shape.dim][1:])
        self._graph.values[source.name.partition(':')[0]] = self._chain.flow
        if self._value(self._graph, target.name) != self._chain.flow:
            raise ModelError('its output is not the end of the chain')
        return self._chain

    def _value(self, scope: _Scope, tensor: str) -> Any:
        """Return the value of a tensor, named node, node:index or node:output:index."""
        name, *rest = tensor.split(':')
        index = int(rest[-1]) if rest else 0
        if name not in scope.values:
            if name not in scope.nodes:
                raise ModelError(f'its graph lacks {name}')
            scope.values[name] = self._run(scope, scope.nodes[name])
        value = scope.values[name]
        if isinstance(value, tuple):
            return value[index]
        if index:
            raise ModelError(f'a second output of {name} is not supported')
        return value

    def _run(self, scope: _Scope, node: Any) -> Any:
        self._operations += 1
        if self._operations > _MAX_OPERATIONS:
            raise ModelError(f'it has more than the {_MAX_OPERATIONS} operations allowed')
        if node.op == 'Const':
            return _constant(node.attr['value'].tensor)
        if node.op == 'VarHandleOp':
            return self._variables.read(node.name)
        inputs = [self._value(scope, name) for name in node.input if not name.startswith('^')]
        if node.op in _CALLS:
            return self._call(node.attr['f'].func.name, inputs)
        operation = Operation(node.op, tuple(inputs), _Attributes(node.attr))
        return graph_walker.run(self._chain, operation, _HANDLERS, _FOLDERS)

    def _call(self, name: str, inputs: list[Any]) -> Any:
        function = self._functions.get(name)
        if function is None or len(function.signature.input_arg) != len(inputs):
            raise ModelError(f'its graph lacks the function {name}')
        self._calls += 1
        if self._calls > _MAX_CALLS:
            raise ModelError(f'it has more than the {_MAX_CALLS} function calls allowed')
        scope = _Scope({node.name: node for node in function.node_def})
        for argument, value in zip(function.signature.input_arg, inputs, strict=True):
            scope.values[argument.name] = value
        names = [output.name for output in function.signature.output_arg]
        return tuple(self._value(scope, function.ret[output]) for output in names)


class _Attributes(dict[str, Any]):
    """A node's attributes as plain values."""

    def __init__(self, attributes: Any) -> None:
        super().__init__()
        for name, value in attributes.items():
            kind = value.WhichOneof('value')
            if kind == 's':
                self[name] = value.s.decode('utf-8', errors='replace')
            elif kind in ('i', 'f', 'b'):
                self[name] = getattr(value, kind)
            elif kind == 'list':
                self[name] = list(value.list.i)


def _constant(tensor: Any) -> Array:
    import tensorflow as tf

    shape = [dim.size for dim in tensor.tensor_shape.dim]
    check_bytes(4 * int(np.prod(shape)), MAX_WEIGHT_BYTES, 'a constant')
    return np.asarray(tf.make_ndarray(tensor))


def _last(operation: Operation) -> Any:
    if operation.attributes.get('data_format', 'NHWC') != 'NHWC':
        raise ModelError(f'{operation.name} with channels first is not supported')
    padding = str(operation.attributes.get('padding', 'VALID')).lower()
    if padding not in ('same', 'valid'):
        raise ModelError(f'padding {padding} is not supported')
    return padding


def _inner(values: Iterable[int] | None) -> list[int]:
    """Return rows and columns of a list for (batch, rows, columns, channels)."""
    return list(values or [1, 1, 1, 1])[1:3]


def _conv(chain: Chain, operation: Operation) -> None:
    attributes, kernel = operation.attributes, operation.constant(1)
    depthwise = operation.name == 'DepthwiseConv2dNative'
    channels = chain.foreign_shape[-1]
    chain.conv(
        kernel,
        _inner(attributes.get('strides')),
        _last(operation),
        dilations=_inner(attributes.get('dilations')),
        groups=1 if depthwise else channels // kernel.shape[2],
        depthwise=depthwise,
    )


def _pool(kind: str) -> Handler:
    def handle(chain: Chain, operation: Operation) -> None:
        size, strides = (_inner(operation.attributes.get(key)) for key in ('ksize', 'strides'))
        chain.pool(kind, size, strides, _last(operation))

    return handle


def _bias(chain: Chain, operation: Operation) -> None:
    _last(operation)
    graph_walker.add(chain, operation)


def _matmul(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('transpose_a'):
        raise ModelError('MatMul with transpose_a is not supported')
    matrix = operation.constant(1)
    chain.dense(matrix.T if operation.attributes.get('transpose_b') else matrix)


def _batch_norm(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('is_training'):
        raise ModelError('it was saved while training')
    values = [operation.constant(index) for index in range(1, 5)]
    chain.batch_norm(values, float(operation.attributes.get('epsilon', 1e-4)))


def _leaky_relu(chain: Chain, operation: Operation) -> None:
    chain.apply('LeakyReLU', {'negative_slope': float(operation.attributes.get('alpha', 0.2))})


_HANDLERS: dict[str, Handler] = {
    'Add': graph_walker.add,
    'AddV2': graph_walker.add,
    'Atan': graph_walker.arctan,
    'AvgPool': _pool('AveragePooling2D'),
    'BiasAdd': _bias,
    'Conv2D': _conv,
    'DepthwiseConv2dNative': _conv,
    'Elu': graph_walker.activation('elu'),
    'FusedBatchNormV3': _batch_norm,
    'Identity': graph_walker.keep,
    'LeakyRelu': _leaky_relu,
    'MatMul': _matmul,
    'MaxPool': _pool('MaxPooling2D'),
    'Mean': graph_walker.mean,
    'Mul': graph_walker.multiply,
    'Pad': graph_walker.pad,
    'RealDiv': graph_walker.divide,
    'Relu': graph_walker.activation('relu'),
    'Relu6': graph_walker.activation('relu6'),
    'Reshape': graph_walker.reshape,
    'Selu': graph_walker.activation('selu'),
    'Sigmoid': graph_walker.activation('sigmoid'),
    'Softmax': graph_walker.activation('softmax'),
    'Softplus': graph_walker.activation('softplus'),
    'Squeeze': graph_walker.squeeze,
    'StridedSlice': graph_walker.strided_slice,
    'Sub': graph_walker.subtract,
    'Tanh': graph_walker.activation('tanh'),
}
_FOLDERS: dict[str, Folder] = {
    'Add': lambda operation: operation.constant(0) + operation.constant(1),
    'AddV2': lambda operation: operation.constant(0) + operation.constant(1),
    'Cast': graph_walker.first,
    'ConcatV2': lambda operation: graph_walker.concatenate(operation.constants[:-1]),
    'ExpandDims': lambda operation: np.expand_dims(
        operation.constant(0), int(operation.constant(1))
    ),
    'Identity': graph_walker.first,
    'Maximum': lambda operation: np.maximum(operation.constant(0), operation.constant(1)),
    'Mul': lambda operation: operation.constant(0) * operation.constant(1),
    'Pack': lambda operation: np.stack(operation.constants),
    'ReadVariableOp': graph_walker.first,
    'RealDiv': lambda operation: operation.constant(0) / operation.constant(1),
    'Reshape': lambda operation: operation.constant(0).reshape(operation.constant(1)),
    'Rsqrt': lambda operation: 1.0 / np.sqrt(operation.constant(0)),
    'Sqrt': lambda operation: np.sqrt(operation.constant(0)),
    'Squeeze': lambda operation: operation.constant(0).squeeze(),
    'StridedSlice': graph_walker.fold_strided_slice,
    'Sub': lambda operation: operation.constant(0) - operation.constant(1),
}
