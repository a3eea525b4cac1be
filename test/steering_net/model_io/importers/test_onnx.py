# SPDX-License-Identifier: Apache-2.0
"""ONNX files as PyTorch writes them: weights in a file beside, Slice, Resize, one channel."""

import numpy as np
import pytest

from steering_net.errors import ModelError
from steering_net.model_io.importers.onnx import _model_class
from steering_net.model_io.network_files import other_half
from steering_net.model_io.reader import load_keras

pytestmark = pytest.mark.slow
RNG = np.random.default_rng(7)
KERNEL = RNG.normal(size=(2, 3, 3, 3)).astype(np.float32)


class Net:
    """An ONNX file in the making: Conv, mean of each channel, their sum; channels first."""

    def __init__(self, shape):
        self.model = _model_class()()
        self.graph = self.model.graph
        info = self.graph.input.add(name='x')
        info.type.tensor_type.elem_type = 1
        for side in (1, *shape):
            info.type.tensor_type.shape.dim.add(dim_value=side)
        self.last = 'x'

    def constant(self, values):
        name = f'c{len(self.graph.initializer)}'
        values = np.asarray(values)
        tensor = self.graph.initializer.add(name=name, dims=values.shape)
        tensor.data_type = {'f': 1, 'i': 7}[values.dtype.kind]
        tensor.raw_data = values.astype('<f4' if values.dtype.kind == 'f' else '<i8').tobytes()
        return name

    def add(self, kind, *inputs, **attributes):
        name = f'y{len(self.graph.node)}'
        node = self.graph.node.add(op_type=kind, input=[self.last, *inputs], output=[name])
        for key, value in attributes.items():
            attribute = node.attribute.add(name=key)
            if isinstance(value, list):
                attribute.ints.extend(value)
            elif isinstance(value, str):
                attribute.s = value.encode()
            elif isinstance(value, float):
                attribute.f = value
            else:
                attribute.i = value
        self.last = name

    def finish(self, path, channels):
        self.add('GlobalAveragePool')
        self.add('Flatten')
        self.add('MatMul', self.constant(np.ones((channels, 1), np.float32)))
        self.graph.output.add(name=self.last)
        path.write_bytes(self.model.SerializeToString())
        return path


def conv(net, kernel=KERNEL):
    net.add('Conv', net.constant(kernel), kernel_shape=[3, 3])


def mean_of(path, frames):
    """The answers of a network that only takes the mean of what it sees, times the channels."""
    return np.asarray(load_keras(path)(frames)).ravel()


def frames(*shape):
    return RNG.random((2, *shape), np.float32)


def test_weights_in_a_file_beside_are_read(tmp_path):
    inside, outside = Net((3, 8, 10)), Net((3, 8, 10))
    for net in (inside, outside):
        conv(net)
    path = inside.finish(tmp_path / 'inside.onnx', 2)
    tensor = outside.graph.initializer[0]
    data = b'\0' * 16 + tensor.raw_data
    tensor.raw_data = b''
    tensor.data_location = 1
    for key, value in (('location', 'm.onnx.data'), ('offset', '16'), ('length', '216')):
        tensor.external_data.add(key=key, value=value)
    (tmp_path / 'm.onnx.data').write_bytes(data)
    other = outside.finish(tmp_path / 'm.onnx', 2)
    seen = frames(8, 10, 3)
    np.testing.assert_allclose(mean_of(other, seen), mean_of(path, seen), rtol=1e-6)
    assert other_half(other) == tmp_path / 'm.onnx.data'

    (tmp_path / 'm.onnx.data').write_bytes(data[:-1])
    with pytest.raises(ModelError, match=r'm\.onnx\.data is cut short'):
        load_keras(other)
    (tmp_path / 'm.onnx.data').write_bytes(data)
    for name in ('n.onnx', 'n.onnx.data'):
        (tmp_path / name).write_bytes((tmp_path / f'm{name[1:]}').read_bytes())
    tensor.external_data[0].value = 'weights.bin'
    (tmp_path / 'o.onnx').write_bytes(outside.model.SerializeToString())
    (tmp_path / 'o.onnx_data').write_bytes(data)
    tensor.external_data[0].value = 'm.onnx.data'
    for name in ('m.onnx.data', 'm.onnx'):
        (tmp_path / name).unlink()
    for name in ('n.onnx', 'o.onnx'):
        found = mean_of(tmp_path / name, seen)
        np.testing.assert_allclose(found, mean_of(path, seen), rtol=1e-6, err_msg=name)
    other.write_bytes(outside.model.SerializeToString())
    with pytest.raises(
        ModelError, match=r'are in m\.onnx\.data, .* beside it, named m\.onnx\.data$'
    ):
        load_keras(other)
    for name in ('../m.onnx.data', '/etc/passwd', ''):
        tensor.external_data[0].value = name
        (tmp_path / 'm.onnx').write_bytes(outside.model.SerializeToString())
        with pytest.raises(ModelError, match='outside of its folder'):
            load_keras(other)


def test_slice_is_a_crop(tmp_path):
    net = Net((3, 8, 10))
    parts = ([2, 1], [-1, 9223372036854775807], [2, 3], [1, 1])
    net.add('Slice', *(net.constant(np.array(part, np.int64)) for part in parts))
    seen = frames(8, 10, 3)
    expected = seen[:, 2:-1, 1:].mean(axis=(1, 2)).sum(axis=1)
    found = mean_of(net.finish(tmp_path / 'net.onnx', 3), seen)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_float16_in_a_list_is_read_by_its_bits(tmp_path):
    net = Net((3, 8, 10))
    half = KERNEL.astype(np.float16)
    conv(net)
    tensor = net.graph.initializer[0]
    tensor.raw_data, tensor.data_type = b'', 10
    tensor.int32_data.extend(half.ravel().view(np.uint16).tolist())
    expected = Net((3, 8, 10))
    conv(expected, half.astype(np.float32))
    seen = frames(8, 10, 3)
    found = mean_of(net.finish(tmp_path / 'net.onnx', 2), seen)
    np.testing.assert_allclose(found, mean_of(expected.finish(tmp_path / 'e.onnx', 2), seen))


@pytest.mark.parametrize('value', [0.0, 127.0])
def test_only_zeros_are_padded(tmp_path, value):
    net = Net((3, 8, 10))
    pads = net.constant(np.array([0, 0, 2, 2, 0, 0, 2, 2], np.int64))
    net.add('Pad', pads, net.constant(np.float32(value)))
    path = net.finish(tmp_path / 'net.onnx', 3)
    if value:
        with pytest.raises(ModelError, match='padding with 127 is not supported'):
            load_keras(path)
    else:
        seen = frames(8, 10, 3)
        expected = seen.sum(axis=(1, 2, 3)) / (12 * 14)
        np.testing.assert_allclose(mean_of(path, seen), expected, rtol=1e-5)


MAX = float(np.finfo(np.float32).max)


@pytest.mark.parametrize('as_inputs', [False, True])
@pytest.mark.parametrize(
    ('low', 'high'),
    [(0.0, None), (0.0, 0.75), (None, None), (0.0, MAX), (-MAX, MAX), (-np.inf, np.inf)],
)
def test_clip_without_a_bound_is_open_on_that_side(tmp_path, low, high, as_inputs):
    net = Net((3, 8, 10))
    clip(net, low, high, as_inputs)
    seen = 2 * frames(8, 10, 3) - 1
    expected = seen if low is high is None else np.clip(seen, low, high)
    found = mean_of(net.finish(tmp_path / 'net.onnx', 3), seen)
    np.testing.assert_allclose(found, expected.mean(axis=(1, 2)).sum(axis=1), rtol=1e-4)


@pytest.mark.parametrize('as_inputs', [False, True])
@pytest.mark.parametrize(
    ('low', 'high', 'told'),
    [
        (None, 6.0, 'min None and max 6.0'),
        (-MAX, 6.0, 'min None and max 6.0'),
        (-1.0, 1.0, 'min -1.0 and max 1.0'),
        (0.0, -1.0, 'min 0.0 and max -1.0'),
    ],
)
def test_clip_that_is_no_relu_is_refused(tmp_path, low, high, told, as_inputs):
    net = Net((3, 8, 10))
    clip(net, low, high, as_inputs)
    with pytest.raises(ModelError, match=f'Clip with {told} is not supported; min must be 0'):
        load_keras(net.finish(tmp_path / 'net.onnx', 3))


def clip(net, low, high, as_inputs):
    """Add a Clip with the given bounds; they are inputs since version 11 of ONNX."""
    if as_inputs:
        bounds = ['' if b is None else net.constant(np.float32(b)) for b in (low, high)]
        net.add('Clip', *bounds)
    else:
        bounds = {'min': low, 'max': high}
        net.add('Clip', **{name: b for name, b in bounds.items() if b is not None})


def test_a_slice_may_name_the_axes_that_it_keeps_whole(tmp_path):
    net = Net((3, 8, 10))
    end = 2147483647
    parts = ([0, 0, 2, 0], [end, 9223372036854775807, -1, end], [0, 1, 2, 3])
    net.add('Slice', *(net.constant(np.array(part, np.int64)) for part in parts))
    seen = frames(8, 10, 3)
    expected = seen[:, 2:-1].mean(axis=(1, 2)).sum(axis=1)
    found = mean_of(net.finish(tmp_path / 'net.onnx', 3), seen)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize('way', ['attributes', 'Slice'])
def test_a_part_of_a_shape_is_its_start_to_its_end(tmp_path, way):
    net = Net((3, 8, 10))
    conv(net)
    frame = net.last
    net.add('Shape', **({'start': 0, 'end': 1} if way == 'attributes' else {}))
    if way == 'Slice':
        bounds = ([0], [1], [0])
        net.add('Slice', *(net.constant(np.array(bound, np.int64)) for bound in bounds))
    net.add('Concat', net.constant(np.array([2 * 6 * 8], np.int64)), axis=0)
    shape, net.last = net.last, frame
    net.add('Reshape', shape)
    net.add('MatMul', net.constant(np.full((2 * 6 * 8, 1), 1 / 48, np.float32)))
    net.graph.output.add(name=net.last)
    (tmp_path / 'net.onnx').write_bytes(net.model.SerializeToString())
    expected = Net((3, 8, 10))
    conv(expected)
    seen = frames(8, 10, 3)
    wanted = mean_of(expected.finish(tmp_path / 'e.onnx', 2), seen)
    np.testing.assert_allclose(mean_of(tmp_path / 'net.onnx', seen), wanted, rtol=1e-4)


def test_slice_of_channels_is_refused(tmp_path):
    net = Net((3, 8, 10))
    net.add('Slice', *(net.constant(np.array(part, np.int64)) for part in ([0], [1], [1])))
    with pytest.raises(ModelError, match='Slice over other axes'):
        load_keras(net.finish(tmp_path / 'net.onnx', 1))


@pytest.mark.parametrize(
    ('mode', 'grid', 'expected'),
    [
        ('linear', 'pytorch_half_pixel', [0.5, 2.5, 4.5, 6.5]),
        ('linear', 'asymmetric', [0, 2, 4, 6]),
        ('nearest', 'asymmetric', [0, 2, 4, 6]),
    ],
)
def test_resize_is_that_of_pytorch(tmp_path, mode, grid, expected):
    for sizes in (np.array([1, 3, 4, 1], np.int64), np.array([1, 1, 0.5, 0.25], np.float32)):
        net = Net((3, 8, 4))
        before = ['', ''] if sizes.dtype.kind == 'i' else ['']
        attributes = {'mode': mode, 'coordinate_transformation_mode': grid}
        if mode == 'nearest':
            attributes['nearest_mode'] = 'floor'
        net.add('Resize', *before, net.constant(sizes), **attributes)
        seen = np.broadcast_to(np.arange(8, dtype=np.float32)[None, :, None, None], (2, 8, 4, 3))
        found = mean_of(net.finish(tmp_path / 'net.onnx', 3), np.array(seen))
        np.testing.assert_allclose(found, 3 * np.mean(expected), rtol=1e-5)


def test_one_channel(tmp_path):
    net = Net((1, 8, 10))
    kernel = RNG.normal(size=(2, 1, 3, 3)).astype(np.float32)
    conv(net, kernel)
    model = load_keras(net.finish(tmp_path / 'net.onnx', 2))
    assert model.input_shape == (None, 8, 10, 1)
    ones = np.ones((1, 8, 10, 1), np.float32)
    np.testing.assert_allclose(np.asarray(model(ones)), [[kernel.sum()]], rtol=1e-4)
