# SPDX-License-Identifier: Apache-2.0
"""Reads ONNX files: networks that PyTorch, tf2onnx and others export.

The file is parsed by protobuf with the fields that are needed here; other fields are skipped.
https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from steering_net.errors import ModelError
from steering_net.model_io.importers import graph_walker
from steering_net.model_io.importers.graph_walker import Folder, Handler, Operation
from steering_net.model_io.importers.layer_chain import Array, Chain
from steering_net.model_io.importers.layers import build
from steering_net.model_io.importers.limits import read_file
from steering_net.model_io.importers.onnx_tensors import TYPES, ExternalData
from steering_net.model_io.importers.resampling import OLD

_TO_THE_END = (1 << 31) - 1
"""End of a slice that tf2onnx and PyTorch write for the whole axis, or more."""
_MESSAGES = {
    # Name, number, type: s text, b bytes, i int64, f float, d double, a message; * repeated.
    'Attribute': 'name 1 s,f 2 f,i 3 i,s 4 b,t 5 Tensor,floats 7 f*,ints 8 i*',
    'Tensor': 'dims 1 i*,data_type 2 i,float_data 4 f*,int32_data 5 i*,int64_data 7 i*,'
    'name 8 s,raw_data 9 b,double_data 10 d*,external_data 13 Entry*,data_location 14 i',
    'Entry': 'key 1 s,value 2 s',
    'Node': 'input 1 s*,output 2 s*,op_type 4 s,attribute 5 Attribute*,domain 7 s',
    'Dimension': 'dim_value 1 i',
    'Shape': 'dim 1 Dimension*',
    'TensorType': 'elem_type 1 i,shape 2 Shape',
    'Type': 'tensor_type 1 TensorType',
    'ValueInfo': 'name 1 s,type 2 Type',
    'Graph': 'node 1 Node*,initializer 5 Tensor*,input 11 ValueInfo*,output 12 ValueInfo*',
    'Model': 'producer_name 2 s,producer_version 3 s,graph 7 Graph',
}


@cache
def _model_class() -> Any:
    """Return the message class of a file, made from the table above."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    Field = descriptor_pb2.FieldDescriptorProto
    kinds = {
        's': Field.TYPE_STRING,
        'b': Field.TYPE_BYTES,
        'i': Field.TYPE_INT64,
        'f': Field.TYPE_FLOAT,
        'd': Field.TYPE_DOUBLE,
    }
    file = descriptor_pb2.FileDescriptorProto(
        name='steering_net/onnx.proto', package='steering_net_onnx', syntax='proto3'
    )
    for message, fields in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for text in fields.split(','):
            name, number, kind = text.split()
            repeated = Field.LABEL_REPEATED if kind.endswith('*') else Field.LABEL_OPTIONAL
            field = described.field.add(name=name, number=int(number), label=repeated)
            kind = kind.rstrip('*')
            field.type = kinds.get(kind, Field.TYPE_MESSAGE)
            if kind not in kinds:
                field.type_name = f'.steering_net_onnx.{kind}'
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName('steering_net_onnx.Model'))


def read_onnx(path: Path) -> tuple[Any, str]:
    """Return the `keras.Model` of an ONNX file and the program that saved it.

    Raises ModelError, naming the operation, unless the network is a chain of supported operations.
    """
    from google.protobuf.message import DecodeError

    model = _model_class()()
    try:
        model.ParseFromString(read_file(path))
    except DecodeError as error:
        raise ModelError('it is not an ONNX file, or not all of it') from error
    chain = _read_graph(model.graph, ExternalData(path))
    saved_by = f'ONNX, {model.producer_name} {model.producer_version}'[:80].rstrip(', ')
    return build(chain.finish(), chain.input_shape), saved_by


def _read_graph(graph: Any, files: ExternalData) -> Chain:
    constants = {tensor.name: files.array(tensor) for tensor in graph.initializer}
    inputs = [info for info in graph.input if info.name not in constants]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise ModelError(f'it has {len(inputs)} inputs and {len(graph.output)} outputs, not one')
    sides = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
    chain = Chain(sides[1:])
    values = constants | {inputs[0].name: chain.flow, '': None}
    for node in graph.node:
        _read_node(chain, node, values, files)
    if values.get(graph.output[0].name) != chain.flow:
        raise ModelError('its output is not the end of the chain')
    return chain


def _read_node(chain: Chain, node: Any, values: dict[str, Any], files: ExternalData) -> None:
    if node.domain not in ('', 'ai.onnx'):
        raise ModelError(f'operation {node.domain}.{node.op_type} is not one of ONNX itself')
    missing = [name for name in node.input if name not in values]
    if missing or not node.output:
        raise ModelError(f'operation {node.op_type} lacks {missing or "an output"}')
    inputs = [values[name] for name in node.input]
    attributes = {a.name: _attribute(a, files) for a in node.attribute}
    operation = Operation(node.op_type, tuple(inputs), attributes)
    values[node.output[0]] = graph_walker.run(chain, operation, _HANDLERS, _FOLDERS)


def _attribute(attribute: Any, files: ExternalData) -> Any:
    if attribute.HasField('t'):
        return files.array(attribute.t)
    for name in ('ints', 'floats'):
        if len(getattr(attribute, name)):
            return list(getattr(attribute, name))
    return attribute.s.decode('utf-8') or attribute.i or attribute.f


def _padding(operation: Operation) -> str | Sequence[int]:
    mode = operation.attributes.get('auto_pad', 'NOTSET') or 'NOTSET'
    if mode == 'SAME_UPPER':
        return 'same'
    if mode not in ('NOTSET', 'VALID'):
        raise ModelError(f'padding {mode} is not supported')
    pads = operation.attributes.get('pads') or [0, 0, 0, 0]
    return 'valid' if mode == 'VALID' or not any(pads) else list(pads)


def _channels_first(chain: Chain, operation: Operation) -> None:
    if not chain.channels_first:
        raise ModelError(f'{operation.name} needs its channels first')


def _conv(chain: Chain, operation: Operation) -> None:
    _channels_first(chain, operation)
    kernel, attributes = operation.constant(1), operation.attributes
    groups, channels = int(attributes.get('group') or 1), chain.foreign_shape[1]
    kernel = kernel.transpose(2, 3, 1, 0)
    depthwise = groups == channels > 1
    if depthwise:
        rows, columns, _, out = kernel.shape
        kernel = kernel.reshape(rows, columns, channels, out // channels)
    chain.conv(
        kernel,
        attributes.get('strides') or [1, 1],
        _padding(operation),
        dilations=attributes.get('dilations') or [1, 1],
        groups=groups,
        depthwise=depthwise,
    )
    if len(operation.inputs) > 2:
        chain.add(operation.constant(2))


def _pool(kind: str) -> Handler:
    def handle(chain: Chain, operation: Operation) -> None:
        _channels_first(chain, operation)
        attributes = operation.attributes
        if attributes.get('ceil_mode') or any(d != 1 for d in attributes.get('dilations') or ()):
            raise ModelError(f'{operation.name} rounds up or is dilated')
        size = attributes['kernel_shape']
        chain.pool(kind, size, attributes.get('strides') or [1, 1], _padding(operation))

    return handle


def _global_pool(kind: str) -> Handler:
    def handle(chain: Chain, operation: Operation) -> None:
        _channels_first(chain, operation)
        chain.global_pool(kind, keepdims=True)

    return handle


def _gemm(chain: Chain, operation: Operation) -> None:
    attributes = operation.attributes
    if any(float(attributes.get(name, 1.0)) != 1.0 for name in ('alpha', 'beta')):
        raise ModelError('Gemm with alpha or beta is not supported')
    if attributes.get('transA'):
        raise ModelError('Gemm with transA is not supported')
    matrix = operation.constant(1)
    chain.dense(matrix.T if attributes.get('transB') else matrix)
    if len(operation.inputs) > 2:
        chain.add(operation.constant(2))


def _batch_norm(chain: Chain, operation: Operation) -> None:
    values = [operation.constant(index) for index in range(1, 5)]
    chain.batch_norm(values, float(operation.attributes.get('epsilon') or 1e-5))


def _flatten(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('axis', 1) != 1:
        raise ModelError('Flatten of another axis than the first is not supported')
    chain.flatten()


def _clip(chain: Chain, operation: Operation) -> None:
    low, high = (_bound(operation, number, name) for number, name in enumerate(('min', 'max'), 1))
    if low is None and high is None:
        chain.keep()
    elif low == 0.0 and (high is None or high >= 0.0):
        chain.apply('ReLU', {'max_value': high})
    else:
        raise ModelError(f'Clip with min {low} and max {high} is not supported; min must be 0')


def _bound(operation: Operation, number: int, name: str) -> float | None:
    """Return a bound of Clip: an input, or before version 11 of ONNX an attribute; None without.

    The largest float32 is no bound, because it is the default of the attribute.
    """
    value = operation.attributes.get(name)
    if value is None and number < len(operation.inputs) and operation.inputs[number] is not None:
        value = operation.constant(number).item()
    return None if value is None or abs(value) >= np.finfo(np.float32).max else float(value)


def _cast(chain: Chain, operation: Operation) -> None:
    if TYPES.get(operation.attributes.get('to', 0)) not in (np.float32, np.float16, np.float64):
        raise ModelError('a Cast to whole numbers is not supported')
    chain.keep()


def _elu(chain: Chain, operation: Operation) -> None:
    alpha = float(operation.attributes.get('alpha', 1.0))
    if alpha == 1.0:
        chain.activate('elu')
    else:
        chain.apply('ELU', {'alpha': alpha})


def _leaky_relu(chain: Chain, operation: Operation) -> None:
    slope = float(operation.attributes.get('alpha', 0.01))
    chain.apply('LeakyReLU', {'negative_slope': slope})


def _transpose(chain: Chain, operation: Operation) -> None:
    chain.transpose(operation.attributes['perm'])


def _pad(chain: Chain, operation: Operation) -> None:
    if operation.attributes.get('mode', 'constant') != 'constant':
        raise ModelError('only padding with zeros is known here')
    value = operation.inputs[2] if len(operation.inputs) > 2 else None
    fill = operation.attributes.get('value', 0.0) if value is None else operation.constant(2)
    if np.any(fill):
        raise ModelError(f'padding with {np.ravel(fill)[0]:g} is not supported')
    pads = operation.attributes.get('pads') or operation.constant(1).tolist()
    _channels_first(chain, operation)
    if len(pads) != 8 or any(pads[i] for i in (0, 1, 4, 5)):
        raise ModelError(f'padding {pads} is not supported')
    chain.pad(pads[2:4], pads[6:8])


def _spans(operation: Operation) -> Iterator[tuple[int, int, int]]:
    """Yield axis, start and end of a slice."""
    names = ('starts', 'ends', 'axes', 'steps')
    # Until version 9 they are attributes.
    lists = [
        operation.attributes[name]
        if name in operation.attributes
        else operation.constant(number).ravel().tolist()
        if number < len(operation.inputs) and operation.inputs[number] is not None
        else []
        for number, name in enumerate(names, 1)
    ]
    starts, ends = lists[0], lists[1]
    axes = lists[2] or list(range(len(starts)))
    if any(step != 1 for step in lists[3]):
        raise ModelError('Slice with steps is not supported')
    yield from zip(axes, starts, ends, strict=True)


def _fold_slice(operation: Operation) -> Array:
    """Return a part of a constant, such as one side of a shape."""
    value = operation.constant(0)
    spans = [slice(None)] * value.ndim
    for axis, first, last in _spans(operation):
        spans[axis] = slice(first, last)
    return value[tuple(spans)]


def _slice(chain: Chain, operation: Operation) -> None:
    """Append a crop of rows and columns."""
    rows = 2 if chain.channels_first else 1
    begin, end = [0, 0], [graph_walker.TO_THE_END, graph_walker.TO_THE_END]
    for axis, first, last in _spans(operation):
        place = axis % 4 - rows
        if first == 0 and last >= _TO_THE_END:
            continue
        if place not in (0, 1):
            raise ModelError('Slice over other axes than rows and columns is not supported')
        begin[place], end[place] = int(first), int(last)
    chain.crop(begin, end)


def _resize(chain: Chain, operation: Operation) -> None:
    """Append a resizing to a size, or by factors, as PyTorch and TensorFlow export it."""
    attributes, rows = operation.attributes, 2 if chain.channels_first else 1
    sides = chain.foreign_shape
    values = [v.ravel() for v in operation.inputs[1:] if isinstance(v, np.ndarray) and v.size]
    if not values or len(values[-1]) != len(sides) or attributes.get('antialias'):
        raise ModelError('Resize of this kind is not supported')
    if values[-1].dtype.kind == 'f':
        target = [int(side * factor) for side, factor in zip(sides, values[-1], strict=True)]
    else:
        target = [int(side) for side in values[-1]]
    others = [i for i in range(1, 4) if i not in (rows, rows + 1)]
    mode = attributes.get('mode') or 'nearest'
    grid = attributes.get('coordinate_transformation_mode') or 'half_pixel'
    methods = {
        ('linear', 'half_pixel'): 'bilinear',
        ('linear', 'pytorch_half_pixel'): 'bilinear',
        ('linear', 'asymmetric'): 'bilinear' + OLD,
    }
    if attributes.get('nearest_mode') == 'floor':
        methods['nearest', 'asymmetric'] = 'nearest' + OLD
    if (mode, grid) not in methods or any(target[i] != sides[i] for i in others):
        raise ModelError(f'Resize by {mode} with {grid} is not supported')
    chain.resize(target[rows], target[rows + 1], methods[mode, grid])


def _axes(operation: Operation) -> Any:
    if len(operation.inputs) > 1:
        return operation.constant(1).ravel().tolist()
    return operation.attributes.get('axes') or [0]


_HANDLERS: dict[str, Handler] = {
    'Add': graph_walker.add,
    'Atan': graph_walker.arctan,
    'AveragePool': _pool('AveragePooling2D'),
    'BatchNormalization': _batch_norm,
    'Cast': _cast,
    'Clip': _clip,
    'Conv': _conv,
    'Div': graph_walker.divide,
    'Dropout': graph_walker.keep,
    'Elu': _elu,
    'Flatten': _flatten,
    'Gemm': _gemm,
    'GlobalAveragePool': _global_pool('GlobalAveragePooling2D'),
    'GlobalMaxPool': _global_pool('GlobalMaxPooling2D'),
    'Identity': graph_walker.keep,
    'LeakyRelu': _leaky_relu,
    'MatMul': lambda chain, operation: chain.dense(operation.constant(1)),
    'MaxPool': _pool('MaxPooling2D'),
    'Mul': graph_walker.multiply,
    'Pad': _pad,
    'Relu': graph_walker.activation('relu'),
    'Reshape': graph_walker.reshape,
    'Resize': _resize,
    'Selu': graph_walker.activation('selu'),
    'Sigmoid': graph_walker.activation('sigmoid'),
    'Slice': _slice,
    'Softmax': graph_walker.activation('softmax'),
    'Softplus': graph_walker.activation('softplus'),
    'Squeeze': graph_walker.squeeze,
    'Sub': graph_walker.subtract,
    'Tanh': graph_walker.activation('tanh'),
    'Transpose': _transpose,
}
_FOLDERS: dict[str, Folder] = {
    'Cast': graph_walker.first,
    'Concat': lambda operation: graph_walker.concatenate(operation.constants),
    'Constant': lambda operation: np.asarray(
        next(v for k, v in operation.attributes.items() if k.startswith('value'))
    ),
    'Gather': lambda operation: operation.constant(0)[operation.constant(1)],
    'Identity': graph_walker.first,
    'Slice': _fold_slice,
    'Squeeze': lambda operation: operation.constant(0).squeeze(),
    'Transpose': lambda operation: operation.constant(0).transpose(
        operation.attributes.get('perm')
    ),
    'Unsqueeze': lambda operation: np.expand_dims(operation.constant(0), _axes(operation)),
}
