# SPDX-License-Identifier: Apache-2.0
"""Every layer of the allow-list is read back as Keras 3 and as tf.keras 2 save it.

tf.keras 2 is not installed beside Keras 3. Its `.h5` files are written here: those of Keras 3,
with the description of the layers changed to the one of tf.keras 2.15.
"""

import json

import h5py
import numpy as np
import pytest

from helpers.lazy import keras
from helpers.lazy import layers as L
from steering_net.errors import ModelError
from steering_net.model_io.importers.keras_layers import _WHILE_TRAINING
from steering_net.model_io.importers.layers import INTERNAL, KINDS, MERGING
from steering_net.model_io.reader import load_keras

pytestmark = pytest.mark.slow
SHAPE = (12, 16, 3)

FIRST = {'data_format': 'channels_first'}
CHAINS = {
    'Activation': lambda: [L.Activation('elu')],
    'AlphaDropout': lambda: [L.AlphaDropout(0.1)],
    'AveragePooling2D': lambda: [L.AveragePooling2D(2)],
    'BatchNormalization': lambda: [L.BatchNormalization()],
    'BatchNormalization of rows': lambda: [L.BatchNormalization(axis=1)],
    'CenterCrop': lambda: [L.CenterCrop(6, 8)],
    'Conv2D': lambda: [L.Conv2D(4, 3, strides=2, activation='relu')],
    'Conv2D in groups': lambda: [L.Conv2D(6, 3, groups=3)],
    'Conv2DTranspose': lambda: [L.Conv2DTranspose(4, 3, strides=2, padding='same')],
    'Cropping2D': lambda: [L.Cropping2D(((2, 1), (0, 3)))],
    'Dense': lambda: [L.Dense(4, activation='relu')],
    'DepthwiseConv2D': lambda: [L.DepthwiseConv2D(3, depth_multiplier=2)],
    'Dropout': lambda: [L.Dropout(0.5)],
    'ELU': lambda: [L.ELU(0.7)],
    'Flatten': lambda: [L.Flatten()],
    'GaussianDropout': lambda: [L.GaussianDropout(0.2)],
    'GaussianNoise': lambda: [L.GaussianNoise(0.2)],
    'GlobalAveragePooling2D': lambda: [L.GlobalAveragePooling2D()],
    'GlobalMaxPooling2D': lambda: [L.GlobalMaxPooling2D(keepdims=True)],
    'GroupNormalization': lambda: [L.GroupNormalization(3)],
    'LayerNormalization': lambda: [L.LayerNormalization()],
    'LayerNormalization of all': lambda: [L.LayerNormalization(axis=[1, 2, 3])],
    'LeakyReLU': lambda: [L.LeakyReLU(0.2)],
    'MaxPooling2D': lambda: [L.MaxPooling2D(2)],
    'Normalization': lambda: [L.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])],
    'PReLU': lambda: [L.PReLU(shared_axes=[1, 2])],
    'Permute': lambda: [L.Permute((2, 1, 3))],
    'ReLU': lambda: [L.ReLU(0.6)],
    'Rescaling': lambda: [L.Rescaling(1 / 127.5, -1.0)],
    'Reshape': lambda: [L.Reshape((-1,))],
    'Resizing': lambda: [L.Resizing(6, 8)],
    'Resizing of the nearest': lambda: [L.Resizing(6, 8, interpolation='nearest')],
    'SeparableConv2D': lambda: [L.SeparableConv2D(4, 3)],
    'Softmax': lambda: [L.Flatten(), L.Dense(3), L.Softmax()],
    'SpatialDropout2D': lambda: [L.SpatialDropout2D(0.1)],
    'UnitNormalization': lambda: [L.UnitNormalization()],
    'UpSampling2D': lambda: [L.UpSampling2D(2)],
    'ZeroPadding2D': lambda: [L.ZeroPadding2D(1)],
    'RandomFlip': lambda: [L.RandomFlip()],
    'RandomRotation': lambda: [L.RandomRotation(0.1)],
    'RandomZoom': lambda: [L.RandomZoom(0.1)],
    'RandomTranslation': lambda: [L.RandomTranslation(0.1, 0.1)],
    'RandomContrast': lambda: [L.RandomContrast(0.1)],
    'ActivityRegularization': lambda: [L.ActivityRegularization(0.1)],
    'AveragePooling2D of columns': lambda: [L.AveragePooling2D(2, **FIRST)],
    'Conv2D over rows': lambda: [L.Conv2D(4, 3, strides=2, activation='relu', **FIRST)],
    'Cropping2D of columns': lambda: [L.Cropping2D(((2, 1), (0, 1)), **FIRST)],
    'DepthwiseConv2D over rows': lambda: [L.DepthwiseConv2D((3, 2), **FIRST)],
    'Flatten with channels first': lambda: [L.Flatten(**FIRST)],
    'GlobalAveragePooling2D over columns': lambda: [L.GlobalAveragePooling2D(**FIRST)],
    'GlobalMaxPooling2D over columns': lambda: [L.GlobalMaxPooling2D(keepdims=True, **FIRST)],
    'a Sequential': lambda: [
        keras.Sequential([L.Conv2D(4, 3), L.BatchNormalization(), L.Dropout(0.1)]),
        L.BatchNormalization(),
    ],
    'a Sequential that is frozen': lambda: [
        frozen(keras.Sequential([L.BatchNormalization(), L.Conv2D(2, 3), L.BatchNormalization()]))
    ],
    'a Functional': lambda: [inner()],
}
CALLS = {
    'x / 127.5 - 1': lambda x: x / 127.5 - 1.0,
    '(x - 128) / 128': lambda x: (x - 128.0) / 128.0,
    '1 - 2 * x': lambda x: 1.0 - 2.0 * x,
    'rows': lambda x: x[:, 3:10],
    'rows and columns from the end': lambda x: x[:, 3:-2, 2:14, :],
    'x + y': lambda x: L.Conv2D(3, 3, padding='same')(x) + x,
    **{
        kind: lambda x, kind=kind: getattr(L, kind)()([L.Conv2D(3, 3, padding='same')(x), x])
        for kind in MERGING
    },
    'a layer that is used twice': lambda x: twice(L.Dense(3), x),
    'a network that is used twice': lambda x: on_both(inner(), x, x * 0.5),
    'a network that is used one after the other': lambda x: twice(inner(), x),
    'a network of which the end is used twice': lambda x: ends_with_two(inner())(x),
    'operations and a network': lambda x: inner()(x / 127.5 - 1.0),
    'a network and operations': lambda x: inner()(x) * 2.0,
}


def frozen(model):
    model.trainable = False
    return model


def inner():
    x = keras.Input(SHAPE)
    y = L.BatchNormalization()(L.DepthwiseConv2D(3, padding='same')(x))
    y = L.BatchNormalization()(L.DepthwiseConv2D(3, padding='same')(y))
    return keras.Model(x, L.Add()([x, y]))


def twice(layer, x):
    return layer(layer(x))


def ends_with_two(network):
    x = keras.Input(SHAPE)
    return keras.Model(x, twice(network, x))


def on_both(layer, first, second):
    return L.Concatenate()([layer(first), layer(second)])


def finished(x):
    return L.Dense(1)(L.Flatten()(x))


def network(name):
    frame = keras.Input(SHAPE, name='frame')
    if name in CALLS:
        model = keras.Model(frame, finished(CALLS[name](frame)))
    else:
        model = keras.Sequential([frame, *CHAINS[name](), L.Flatten(), L.Dense(1)])
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in model.get_weights()])
    return model


def in_the_words_of_tf_keras_2(value):
    """The description of a layer, or of a network, changed to that of tf.keras 2.15."""
    if isinstance(value, list):
        return [in_the_words_of_tf_keras_2(part) for part in value]
    if not isinstance(value, dict):
        return value
    kind, config = value.get('class_name'), value.get('config')
    if isinstance(kind, str) and isinstance(config, dict):
        config = dict(config)
        if kind == 'DTypePolicy':
            return config['name']
        if kind == 'InputLayer':
            config['batch_input_shape'] = [
                float(side) if side else None for side in config.pop('batch_shape')
            ]
        elif kind == 'BatchNormalization':
            config['axis'] = [config['axis'] % 4]
        elif kind in ('DepthwiseConv2D', 'SeparableConv2D'):
            config['groups'] = 1
        elif kind in ('Conv2DTranspose', 'Conv2D'):
            config.setdefault('output_padding', None)
        elif kind == 'LeakyReLU':
            config['alpha'] = config.pop('negative_slope')
        elif kind == 'Resizing':
            config = {key: config[key] for key in ('name', 'height', 'width', 'interpolation')}
        value = value | {'config': config}
        value.pop('build_config', None)
    if 'inbound_nodes' in value:
        value = as_tf_op_lambda(value)
    return {key: in_the_words_of_tf_keras_2(part) for key, part in value.items()}


FUNCTIONS = {
    'TrueDivide': 'math.truediv',
    'Subtract': 'math.subtract',
    'Add': '__operators__.add',
    'Multiply': 'math.multiply',
}


def as_tf_op_lambda(entry):
    """A layer or operation of a functional network with its calls as tf.keras 2 writes them."""
    nodes = []
    for node in entry['inbound_nodes']:
        args = [old_argument(argument) for argument in node['args']]
        if entry['class_name'] == 'GetItem':
            nodes.append([*args[0], {'slice_spec': args[1]}])
        elif len(args) == 2:
            first = args[0] if isinstance(args[0], list) else ['_CONSTANT_VALUE', -1, args[0]]
            nodes.append([*first, {'y': args[1], 'name': None}])
        elif isinstance(args[0][0], list):
            nodes.append([[*ref, {}] for ref in args[0]])
        else:
            nodes.append([[*args[0], {}]])
    is_operation = any(len(node['args']) == 2 for node in entry['inbound_nodes'])
    if not is_operation:
        return entry | {'inbound_nodes': nodes}
    kind, function = 'TFOpLambda', FUNCTIONS.get(entry['class_name'])
    if entry['class_name'] == 'GetItem':
        kind, function = 'SlicingOpLambda', '__operators__.getitem'
    config = {'name': entry['name'], 'function': function}
    return entry | {'class_name': kind, 'config': config, 'inbound_nodes': nodes}


def networks_in(config):
    """The names of the networks in a network."""
    inside = [entry['config'] for entry in config['layers'] if 'layers' in entry['config']]
    return [name for part in inside for name in (part['name'], *networks_in(part))]


def counted_from_1(value, names):
    """A description in which the calls of these layers count from 1, as its ends do already."""
    if isinstance(value, dict):
        ends = ('input_layers', 'output_layers')
        return {
            key: part if key in ends else counted_from_1(part, names)
            for key, part in value.items()
        }
    if not isinstance(value, list):
        return value
    if len(value) >= 3 and value[0] in names and isinstance(value[1], int):
        return [value[0], value[1] + 1, *value[2:]]
    return [counted_from_1(part, names) for part in value]


def old_argument(value):
    if isinstance(value, list):
        return [old_argument(part) for part in value]
    if isinstance(value, dict):
        inner = value['config']
        return inner['keras_history'] if value['class_name'] == '__keras_tensor__' else inner
    return value


def save(model, path, saver):
    model.save(path)
    if saver == 'tf.keras 2':
        with h5py.File(path, 'r+') as file:
            config = in_the_words_of_tf_keras_2(json.loads(file.attrs['model_config']))
            config['config'] = counted_from_1(config['config'], networks_in(config['config']))
            file.attrs['model_config'] = json.dumps(config)
            for group in (file, file['model_weights']):
                group.attrs['keras_version'] = '2.15.0'


@pytest.mark.filterwarnings('ignore')
@pytest.mark.parametrize('name', [*CHAINS, *CALLS])
def test_layer_is_read_back(tmp_path, name):
    model = network(name)
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    expected = model(frames, training=False).numpy()
    assert np.ptp(expected) > 1e-4
    for saver, file in (('Keras 3', 'a.keras'), ('Keras 3', 'a.h5'), ('tf.keras 2', 'b.h5')):
        path = tmp_path / file
        save(model, path, saver)
        answers = load_keras(path)(frames, training=False)
        np.testing.assert_allclose(answers, expected, rtol=1e-4, atol=1e-5, err_msg=saver)


@pytest.mark.filterwarnings('ignore')
def test_a_network_of_which_only_the_end_is_trained_is_read_back(tmp_path):
    part = inner()
    part.trainable = False
    for layer in part.layers[-3:]:
        layer.trainable = True
    frame = keras.Input(SHAPE)
    model = keras.Model(frame, finished(part(frame)))
    rng = np.random.default_rng(3)
    model.set_weights([rng.uniform(0.1, 0.5, w.shape) for w in model.get_weights()])
    frames = rng.random((2, *SHAPE), np.float32)
    for name in ('net.keras', 'net.h5'):
        model.save(tmp_path / name)
        answers = load_keras(tmp_path / name)(frames)
        np.testing.assert_allclose(answers, model(frames), rtol=1e-4, atol=1e-5, err_msg=name)


def test_each_allowed_layer_is_in_the_matrix():
    tried = {type(layer).__name__ for make in CHAINS.values() for layer in make()}
    assert set(KINDS) - set(INTERNAL) - set(MERGING) <= tried
    assert set(MERGING) <= set(CALLS)


def test_layers_that_work_while_training_only_are_those_of_keras():
    known = {name for name in _WHILE_TRAINING if hasattr(L, name)}
    # The others are of Keras 2 only.
    assert _WHILE_TRAINING - known == {'RandomHeight', 'RandomWidth'}
    for name in known & {'RandomFlip', 'RandomGaussianBlur', 'RandomErasing', 'RandomInvert'}:
        frames = np.random.default_rng(5).random((1, *SHAPE), np.float32)
        np.testing.assert_array_equal(getattr(L, name)()(frames, training=False), frames)


def test_layer_that_is_not_supported_is_refused_by_its_name(tmp_path):
    class Mine(L.Layer):
        pass

    layers = [Mine(), L.Flatten(), L.Dense(1)]
    keras.Sequential([keras.Input(SHAPE), *layers]).save(tmp_path / 'net.keras')
    with pytest.raises(ModelError, match='is a Mine, which is not supported'):
        load_keras(tmp_path / 'net.keras')


def test_a_network_of_frames_of_any_size_gets_whole_frames(tmp_path):
    frame = keras.Input((None, None, 3))
    keras.Model(frame, finished(L.Resizing(6, 8)(frame))).save(tmp_path / 'net.h5')
    assert load_keras(tmp_path / 'net.h5').input_shape == (None, 160, 320, 3)


@pytest.mark.parametrize(
    'spans', [(..., slice(2, 9), slice(None)), (..., slice(3, 7), slice(2, 9), slice(None))]
)
def test_an_ellipsis_stands_for_the_axes_that_are_not_named(tmp_path, spans):
    frame = keras.Input(SHAPE)
    model = keras.Model(frame, finished(frame[spans]))
    model.save(tmp_path / 'net.keras')
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    answers = load_keras(tmp_path / 'net.keras')(frames)
    np.testing.assert_allclose(answers, model(frames), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('alpha', [1.0, 0.3])
def test_an_elu_that_was_called_keeps_its_alpha(tmp_path, alpha):
    frame = keras.Input(SHAPE)
    model = keras.Model(frame, finished(keras.ops.elu(frame - 0.5, alpha=alpha)))
    model.save(tmp_path / 'net.keras')
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    answers = load_keras(tmp_path / 'net.keras')(frames)
    np.testing.assert_allclose(answers, model(frames), rtol=1e-4, atol=1e-5)


def test_sizes_may_be_stored_as_fractions_of_one(tmp_path):
    model = keras.Sequential([keras.Input(SHAPE), L.Conv2D(2, 3), L.Flatten(), L.Dense(1)])
    model.save(tmp_path / 'net.h5')
    with h5py.File(tmp_path / 'net.h5', 'r+') as file:
        text = file.attrs['model_config'].replace('"filters": 2', '"filters": 2.0')
        file.attrs['model_config'] = text.replace('[null, 12, 16, 3]', '[null, 12.0, 16.0, 3]')
    assert load_keras(tmp_path / 'net.h5').input_shape == (None, 12, 16, 3)


def node(operation, inputs, **masks):
    """A NodeDef as JSON."""
    attributes = {name: {'i': str(mask)} for name, mask in masks.items()}
    return {'name': 'node', 'op': operation, 'input': inputs, 'attr': attributes}


NODES = {
    'x / 127.5 - 1': (
        lambda x: x / 127.5 - 1.0,
        [(node('RealDiv', ['x', 'y']), {'1': 127.5}), (node('Sub', ['x', 'y']), {'1': 1.0})],
    ),
    '1 - x': (lambda x: 1.0 - x, [(node('Sub', ['y', 'x']), {'0': 1.0})]),
    'rows': (
        lambda x: x[:, 3:10],
        [
            (
                node('StridedSlice', ['x', 'b', 'e', 's'], begin_mask='1', end_mask='1'),
                {'1': [0, 3], '2': [0, 10], '3': [1, 1]},
            )
        ],
    ),
}


@pytest.mark.parametrize('form', ['object', 'JSON', 'bytes'])
@pytest.mark.parametrize('name', NODES)
def test_operations_of_tensorflow_2_0_to_2_3_are_read(tmp_path, name, form):
    from google.protobuf import json_format
    from tensorflow.core.framework.node_def_pb2 import NodeDef

    call, nodes = NODES[name]
    frame = keras.Input(SHAPE, name='frame')
    model = keras.Model(frame, finished(call(frame)))
    model.save(tmp_path / 'net.h5')
    with h5py.File(tmp_path / 'net.h5', 'r+') as file:
        config = in_the_words_of_tf_keras_2(json.loads(file.attrs['model_config']))
        layers = config['config']['layers']
        operations = [entry for entry in layers if entry['class_name'].endswith('OpLambda')]
        for entry, (described, constants) in zip(operations, nodes, strict=True):
            if form == 'JSON':
                described = json.dumps(described, indent=2)
            elif form == 'bytes':
                encoded = json_format.ParseDict(described, NodeDef())
                described = encoded.SerializeToString().decode()
            entry['class_name'] = 'TensorFlowOpLayer'
            entry['config'] = {'name': 'node', 'node_def': described, 'constants': constants}
            entry['inbound_nodes'] = [[[*first_ref(entry['inbound_nodes']), {}]]]
        file.attrs['model_config'] = json.dumps(config)
        file.attrs['keras_version'] = '2.3.0-tf'
    frames = np.random.default_rng(4).random((2, *SHAPE), np.float32)
    answers = load_keras(tmp_path / 'net.h5')(frames)
    np.testing.assert_allclose(answers, model(frames), rtol=1e-4, atol=1e-5)


def first_ref(value):
    """The first [layer, call, output] in a nested list, or in the arguments of a call."""
    if isinstance(value, list) and len(value) >= 3 and isinstance(value[1], int):
        if value[0] != '_CONSTANT_VALUE':
            return value[:3]
        return first_ref([part for part in value[3].values() if part])
    return next(filter(None, map(first_ref, value)), None) if isinstance(value, list) else None
