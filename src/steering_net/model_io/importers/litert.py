# SPDX-License-Identifier: Apache-2.0
"""Reads `.tflite` files as data: checks the operators, and reads the layers of a chain."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import READ_ERRORS, ModelError, one_line
from steering_net.model_io.importers import graph_walker
from steering_net.model_io.importers.graph_walker import Folder, Handler, Operation
from steering_net.model_io.importers.layer_chain import Array, Chain
from steering_net.model_io.importers.layers import build
from steering_net.model_io.importers.limits import read_file

_MAX_OPERATORS = 2000
_FLOAT32 = 0
_TYPES = {_FLOAT32: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}
_PADDINGS = {0: 'same', 1: 'valid'}
QUANTISED_ENDS = (
    'its input or output is not float32: convert it again without inference_input_type and '
    'inference_output_type'
)
_FUSED = {1: 'relu', 3: 'relu6', 4: 'tanh'}


def _schema() -> Any:
    """Return the module of the file format, from TensorFlow if ai-edge-litert is not installed."""
    try:
        from ai_edge_litert import schema_py_generated as schema
    except ImportError:
        from tensorflow.lite.python import schema_py_generated as schema
    return schema


def check_operators(content: bytes, name: str) -> None:
    """Raise ModelError for a file with operators that are not built into LiteRT."""
    schema = _schema()
    try:
        model = schema.Model.GetRootAs(content)
        if not 0 < model.OperatorCodesLength() <= _MAX_OPERATORS:
            raise ModelError('it has no operators')
        codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
        custom = [code.CustomCode() for code in codes if code.CustomCode() is not None]
        custom += [b'custom' for code in codes if _code(code) == schema.BuiltinOperator.CUSTOM]
    except READ_ERRORS as error:
        raise ModelError(f'{name} is not a LiteRT model: {one_line(error)}') from error
    if custom:
        operator = custom[0].decode('utf-8', errors='replace')[:60]
        raise ModelError(
            f'{name} needs the operator {operator}, which is not one of LiteRT itself'
        )


def read_litert(path: Path) -> tuple[Any, str]:
    """Return the `keras.Model` of a `.tflite` file of float weights, and `LiteRT`.

    Raises ModelError, naming the operator, unless the network is a chain of supported operators.
    """
    content = read_file(path)
    check_operators(content, path.name)
    model = _schema().Model.GetRootAs(content)
    if model.SubgraphsLength() != 1:
        raise ModelError(f'it has {model.SubgraphsLength()} graphs, not one')
    chain = _Graph(model).chain()
    return build(chain.finish(), chain.input_shape), 'LiteRT'


def _code(code: Any) -> int:
    """Return an operator's number, which old files store in a smaller field."""
    return int(max(code.BuiltinCode(), code.DeprecatedBuiltinCode()))


class _Graph:
    """Reads the graph of a file, operator by operator."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._graph = model.Subgraphs(0)
        self._schema = _schema()
        self._names = {
            number: name for name, number in vars(self._schema.BuiltinOperator).items()
            if name.isupper()
        }  # fmt: skip

    def chain(self) -> Chain:
        """Return the chain from the input to the output."""
        graph = self._graph
        if graph.InputsLength() != 1 or graph.OutputsLength() != 1:
            raise ModelError(
                f'it has {graph.InputsLength()} inputs, {graph.OutputsLength()} outputs'
            )
        ends = [graph.Tensors(index) for index in (graph.Inputs(0), graph.Outputs(0))]
        if any(end.Type() != _FLOAT32 for end in ends):
            raise ModelError(QUANTISED_ENDS)
        shape = ends[0].ShapeAsNumpy().tolist()
        chain = Chain(shape[1:])
        values: dict[int, Any] = {-1: None, graph.Inputs(0): chain.flow}
        if graph.OperatorsLength() > _MAX_OPERATORS:
            raise ModelError(f'it has more than the {_MAX_OPERATORS} operators allowed')
        for number in range(graph.OperatorsLength()):
            operator = graph.Operators(number)
            inputs = tuple(self._value(values, i) for i in operator.InputsAsNumpy().tolist())
            operation = self._operation(operator, inputs)
            values[operator.Outputs(0)] = graph_walker.run(chain, operation, _HANDLERS, _FOLDERS)
        if values.get(graph.Outputs(0)) != chain.flow:
            raise ModelError('its output is not the end of the chain')
        return chain

    def _value(self, values: dict[int, Any], index: int) -> Any:
        return values[index] if index in values else self._array(self._graph.Tensors(index))

    def _array(self, tensor: Any) -> Array:
        if tensor.Type() not in _TYPES:
            raise ModelError(
                'its weights are quantised: the network can drive, but not be rebuilt'
            )
        data = self._model.Buffers(tensor.Buffer()).DataAsNumpy()
        if not isinstance(data, np.ndarray):
            raise ModelError('a tensor is used before it is computed')
        shape = tensor.ShapeAsNumpy()
        flat = np.frombuffer(data.tobytes(), np.dtype(_TYPES[tensor.Type()]).newbyteorder('<'))
        return flat.reshape(shape if isinstance(shape, np.ndarray) else ())

    def _operation(self, operator: Any, inputs: tuple[Any, ...]) -> Operation:
        code = _code(self._model.OperatorCodes(operator.OpcodeIndex()))
        return Operation(self._names.get(code, str(code)), inputs, dict(self._options(operator)))

    def _options(self, operator: Any) -> Iterator[tuple[str, Any]]:
        """Yield an operator's options, which are methods without arguments of its class."""
        kinds = vars(self._schema.BuiltinOptions)
        kind = next((k for k, v in kinds.items() if v == operator.BuiltinOptionsType()), 'NONE')
        table = operator.BuiltinOptions()
        if kind == 'NONE' or table is None:
            return
        options = getattr(self._schema, kind)()
        options.Init(table.Bytes, table.Pos)
        for name in _OPTIONS:
            if hasattr(options, name):
                yield name, getattr(options, name)()


_OPTIONS = (
    'Alpha', 'Axis', 'BeginMask', 'Beta', 'DepthMultiplier', 'DilationHFactor', 'DilationWFactor',
    'EllipsisMask', 'EndMask', 'FilterHeight', 'FilterWidth', 'FusedActivationFunction',
    'KeepDims', 'NewAxisMask', 'Padding', 'ShrinkAxisMask', 'StrideH', 'StrideW', 'WeightsFormat',
)  # fmt: skip


def _fused(handler: Handler) -> Handler:
    """Return a handler that also appends the activation built into an operator."""

    def handle(chain: Chain, operation: Operation) -> None:
        handler(chain, operation)
        number = operation.attributes.get('FusedActivationFunction', 0)
        if number:
            if number not in _FUSED:
                raise ModelError(f'{operation.name} has an activation that is not supported')
            chain.activate(_FUSED[number])

    return handle


def _strides(operation: Operation) -> tuple[list[int], list[int], str]:
    options = operation.attributes
    strides = [options.get('StrideH', 1), options.get('StrideW', 1)]
    dilations = [options.get('DilationHFactor', 1), options.get('DilationWFactor', 1)]
    return strides, dilations, _PADDINGS[options.get('Padding', 1)]


def _conv(chain: Chain, operation: Operation) -> None:
    strides, dilations, padding = _strides(operation)
    kernel = operation.constant(1).transpose(1, 2, 3, 0)
    groups = chain.foreign_shape[-1] // kernel.shape[2]
    chain.conv(kernel, strides, padding, dilations=dilations, groups=groups)
    _bias(chain, operation)


def _depthwise(chain: Chain, operation: Operation) -> None:
    strides, dilations, padding = _strides(operation)
    kernel = operation.constant(1)[0]
    rows, columns, out = kernel.shape
    channels = chain.foreign_shape[-1]
    kernel = kernel.reshape(rows, columns, channels, out // channels)
    chain.conv(kernel, strides, padding, dilations=dilations, depthwise=True)
    _bias(chain, operation)


def _dense(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('WeightsFormat', 0):
        raise ModelError('shuffled weights are not supported')
    chain.flatten()
    chain.dense(operation.constant(1).T)
    _bias(chain, operation)


def _bias(chain: Chain, operation: Operation) -> None:
    if len(operation.inputs) > 2 and operation.inputs[2] is not None:
        chain.add(operation.constant(2))


def _pool(kind: str) -> Handler:
    def handle(chain: Chain, operation: Operation) -> None:
        strides, _, padding = _strides(operation)
        options = operation.attributes
        size = [options.get('FilterHeight', 1), options.get('FilterWidth', 1)]
        chain.pool(kind, size, strides, padding)

    return handle


def _leaky_relu(chain: Chain, operation: Operation) -> None:
    chain.apply('LeakyReLU', {'negative_slope': float(operation.attributes.get('Alpha', 0.0))})


def _softmax(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('Beta', 1.0) != 1.0:
        raise ModelError('SOFTMAX with beta is not supported')
    chain.activate('softmax')


def _renamed(operation: Operation) -> Operation:
    """Return the operation with the attribute names of TensorFlow."""
    names = {
        'BeginMask': 'begin_mask',
        'EllipsisMask': 'ellipsis_mask',
        'EndMask': 'end_mask',
        'KeepDims': 'keep_dims',
        'NewAxisMask': 'new_axis_mask',
        'ShrinkAxisMask': 'shrink_axis_mask',
    }
    spelt = {names.get(key, key): value for key, value in operation.attributes.items()}
    return Operation(operation.name, operation.inputs, spelt)


_HANDLERS: dict[str, Handler] = {
    'ADD': _fused(graph_walker.add),
    'AVERAGE_POOL_2D': _fused(_pool('AveragePooling2D')),
    'CONV_2D': _fused(_conv),
    'DEPTHWISE_CONV_2D': _fused(_depthwise),
    'DIV': _fused(graph_walker.divide),
    'ELU': graph_walker.activation('elu'),
    'FULLY_CONNECTED': _fused(_dense),
    'LEAKY_RELU': _leaky_relu,
    'LOGISTIC': graph_walker.activation('sigmoid'),
    'MAX_POOL_2D': _fused(_pool('MaxPooling2D')),
    'MEAN': lambda chain, operation: graph_walker.mean(chain, _renamed(operation)),
    'MUL': _fused(graph_walker.multiply),
    'PAD': graph_walker.pad,
    'RELU': graph_walker.activation('relu'),
    'RELU6': graph_walker.activation('relu6'),
    'RESHAPE': graph_walker.reshape,
    'SOFTMAX': _softmax,
    'SQUEEZE': graph_walker.squeeze,
    'STRIDED_SLICE': lambda chain, operation: graph_walker.strided_slice(
        chain, _renamed(operation)
    ),
    'SUB': _fused(graph_walker.subtract),
    'TANH': graph_walker.activation('tanh'),
}
_FOLDERS: dict[str, Folder] = {
    'DEQUANTIZE': lambda operation: operation.constant(0).astype(np.float32),
    'PACK': lambda operation: np.stack(operation.constants),
    'STRIDED_SLICE': lambda operation: graph_walker.fold_strided_slice(_renamed(operation)),
}
