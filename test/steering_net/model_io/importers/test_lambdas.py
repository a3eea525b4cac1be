# SPDX-License-Identifier: Apache-2.0
"""Lambda layers are read as data: what they do to a frame becomes layers, and nothing runs."""

import base64
import json
import marshal

import h5py
import numpy as np
import pytest

from helpers.lazy import keras
from steering_net.errors import ModelError
from steering_net.model_io.importers.lambda_marshal import BytecodeError
from steering_net.model_io.importers.lambda_meaning import recognise
from steering_net.model_io.importers.lambda_steps import Affine, Clip, Crop, Function, Resize
from steering_net.model_io.importers.resampling import CORNERS, METHODS, OLD, matrix_of
from steering_net.model_io.litert_converter import convert
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.reader import load_keras

pytestmark = pytest.mark.slow
K = ktf = tf = None
SIZE = (66, 200)

# Written by these versions of Python: marshal.dumps of
#     def whole(x, low=60):
#         import tensorflow as tf
#         half = 127.5
#         y = tf.cast(x[:, low:-25, :, :], tf.float32)
#         return tf.image.resize(y, (66, 200)) / half - 1.0
WHOLE = {
    '2.7':
        'YwIAAAAFAAAABwAAAEMAAQBzagAAAGQBAGQAAGwAAH0CAGQCAH0DAHwCAGoBAHwAAGQAAGQAAIUCAHwBAGQD'
        'AIUCAGQAAGQAAIUCAGQAAGQAAIUCAGYEABl8AgBqAgCDAgB9BAB8AgBqAwBqBAB8BABkBwCDAgB8AwAVZAYA'
        'GFMoCAAAAE5p/////2cAAAAAAOBfQGnn////aUIAAABpyAAAAGcAAAAAAADwPygCAAAAaUIAAABpyAAAACgF'
        'AAAAdAoAAAB0ZW5zb3JmbG93dAQAAABjYXN0dAcAAABmbG9hdDMydAUAAABpbWFnZXQGAAAAcmVzaXplKAUA'
        'AAB0AQAAAHh0AwAAAGxvd3QCAAAAdGZ0BAAAAGhhbGZ0AQAAAHkoAAAAACgAAAAAcxcAAAAvdG1wL2ZpbGVz'
        'X2V4cC9kdW1wZi5weXQFAAAAd2hvbGUEAAAAcwgAAAAAAQwBBgE9AQ==',
    '3.6':
        '4wIAAAAAAAAABQAAAAcAAABDAAAAc0wAAABkAWQAbAB9AmQCfQN8AmoBfABkAGQAhQJ8AWQHhQJkAGQAhQJk'
        'AGQAhQJmBBkAfAJqAoMCfQR8AmoDagR8BGQIgwJ8AxsAZAYYAFMAKQlO6QAAAADnAAAAAADgX0DpGQAAAOlC'
        'AAAA6cgAAADnAAAAAAAA8D9p5////ykCcgQAAAByBQAAACkF2gp0ZW5zb3JmbG932gRjYXN02gdmbG9hdDMy'
        '2gVpbWFnZdoGcmVzaXplKQXaAXjaA2xvd9oCdGbaBGhhbGbaAXmpAHIRAAAA+hcvdG1wL2ZpbGVzX2V4cC9k'
        'dW1wZi5wedoFd2hvbGUEAAAAcwgAAAAAAQgBBAEqAQ==',
    '3.8':
        '4wIAAAAAAAAAAAAAAAUAAAAIAAAAQwAAAHNMAAAAZAFkAGwAfQJkAn0DfAKgAXwAZABkAIUCfAFkA4UCZABk'
        'AIUCZABkAIUCZgQZAHwCagKhAn0EfAJqA6AEfARkBKECfAMbAGQFGABTACkGTukAAAAA5wAAAAAA4F9A6ef/'
        '//+pAulCAAAA6cgAAADnAAAAAAAA8D8pBdoKdGVuc29yZmxvd9oEY2FzdNoHZmxvYXQzMtoFaW1hZ2XaBnJl'
        'c2l6ZSkF2gF42gNsb3faAnRm2gRoYWxm2gF5qQByEgAAAPoXL3RtcC9maWxlc19leHAvZHVtcGYucHnaBXdo'
        'b2xlBAAAAHMIAAAAAAEIAQQBKgE=',
    '3.10':
        '4wIAAAAAAAAAAAAAAAUAAAAIAAAAQwAAAHNMAAAAZAFkAGwAfQJkAn0DfAKgAXwAZABkAIUCfAFkA4UCZABk'
        'AIUCZABkAIUCZgQZAHwCagKhAn0EfAJqA6AEfARkBKECfAMbAGQFGABTACkGTukAAAAA5wAAAAAA4F9A6ef/'
        '//+pAulCAAAA6cgAAADnAAAAAAAA8D8pBdoKdGVuc29yZmxvd9oEY2FzdNoHZmxvYXQzMtoFaW1hZ2XaBnJl'
        'c2l6ZSkF2gF42gNsb3faAnRm2gRoYWxm2gF5qQByEgAAAPoXL3RtcC9maWxlc19leHAvZHVtcGYucHnaBXdo'
        'b2xlBAAAAHMIAAAACAEEASoBFgE=',
    '3.11':
        '4wIAAAAAAAAAAAAAAAgAAAADAAAA86oAAACXAGQBZABsAH0CZAJ9A3wCoAEAAAAAAAAAAAAAAAAAAAAAAAAA'
        'AHwAZABkAIUCfAFkA4UCZABkAIUCZABkAIUCZgQZAAAAAAAAAAAAfAJqAgAAAAAAAAAApgIAAKsCAAAAAAAA'
        'AAB9BHwCagMAAAAAAAAAAKAEAAAAAAAAAAAAAAAAAAAAAAAAAAB8BGQEpgIAAKsCAAAAAAAAAAB8A3oLAABk'
        'BXoKAABTACkGTukAAAAA5wAAAAAA4F9A6ef///+pAulCAAAA6cgAAADnAAAAAAAA8D8pBdoKdGVuc29yZmxv'
        'd9oEY2FzdNoHZmxvYXQzMtoFaW1hZ2XaBnJlc2l6ZSkF2gF42gNsb3faAnRm2gRoYWxm2gF5cwUAAAAgICAg'
        'IPoXL3RtcC9maWxlc19leHAvZHVtcGYucHnaBXdob2xlchQAAAAEAAAAc2YAAACAANgEG9AEG9AEG9AEG9gL'
        'EIBE2AgKjweKB5ABkCGQIZAhkFOYE5BXmGGYYZhhoBGgEaAR0BIi1BAjoFKkWtEIMNQIMIBB2AsNjDiPP4o/'
        'mDGYadELKNQLKKg00QsvsCPRCzXQBDXzAAAAAA==',
    '3.12':
        '4wIAAAAAAAAAAAAAAAgAAAADAAAA86gAAACXAGQBZABsAH0CZAJ9A3wCagMAAAAAAAAAAAAAAAAAAAAAAAB8'
        'AGQAZACFAnwBZAOFAmQAZACFAmQAZACFAmYEGQAAAHwCagQAAAAAAAAAAAAAAAAAAAAAAACrAgAAAAAAAH0E'
        'fAJqBgAAAAAAAAAAAAAAAAAAAAAAAGoJAAAAAAAAAAAAAAAAAAAAAAAAfARkBKsCAAAAAAAAfAN6CwAAZAV6'
        'CgAAUwApBk7pAAAAAOcAAAAAAOBfQOnn////qQLpQgAAAOnIAAAA5wAAAAAAAPA/KQXaCnRlbnNvcmZsb3fa'
        'BGNhc3TaB2Zsb2F0MzLaBWltYWdl2gZyZXNpemUpBdoBeNoDbG932gJ0ZtoEaGFsZtoBeXMFAAAAICAgICD6'
        'Fy90bXAvZmlsZXNfZXhwL2R1bXBmLnB52gV3aG9sZXIUAAAABAAAAHNPAAAAgADbBBvYCxCARNgICo8HiQeQ'
        'AZIhkFOYE5BXmmGiEdASItEQI6BSp1qhWtMIMIBB2AsNjziJOI8/iT+YMZhp0wsoqDTRCy+wI9ELNdAENfMA'
        'AAAA',
    '3.13':
        '4wIAAAAAAAAAAAAAAAgAAAADAAAA86gAAACVAFMBUwBLAG4CUwJuA1UCUgMAAAAAAAAAAAAAAAAAAAAAAABV'
        'AFMAUwAyAlUBUwMyAlMAUwAyAlMAUwAyAjQEBQAAAFUCUgQAAAAAAAAAAAAAAAAAAAAAAAA1AgAAAAAAAG4E'
        'VQJSBgAAAAAAAAAAAAAAAAAAAAAAAFIJAAAAAAAAAAAAAAAAAAAAAAAAVQRTBDUCAAAAAAAAVQMtCwAAUwUt'
        'CgAAJAApBk7pAAAAAOcAAAAAAOBfQOnn////qQLpQgAAAOnIAAAA5wAAAAAAAPA/KQXaCnRlbnNvcmZsb3fa'
        'BGNhc3TaB2Zsb2F0MzLaBWltYWdl2gZyZXNpemUpBdoBeNoDbG932gJ0ZtoEaGFsZtoBeXMFAAAAICAgICDa'
        'Fy90bXAvZmlsZXNfZXhwL2R1bXBmLnB52gV3aG9sZXIUAAAABAAAAHNPAAAAgADbBBvYCxCARNgICo8HiQeQ'
        'AZIhkFOYE5BXmmGiEdASItEQI6BSp1qhWtMIMIBB2AsNjziJOI8/iT+YMZhp0wsoqDTRCy+wI9ELNdAENfMA'
        'AAAA',
}  # fmt: skip
STEPS = (
    Crop((60, -25), (None, None)),
    Resize(66, 200, 'bilinear'),
    Affine(1 / 127.5, -1.0),
)


def of(function):
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    return recognise(marshal.dumps(function.__code__), function.__defaults__ or (), cells)


@pytest.mark.parametrize('version', WHOLE)
def test_slice_resize_and_scale_of_every_python_are_recognised(version):
    assert recognise(base64.b64decode(WHOLE[version]), [60]) == STEPS


def enclosed():
    size, most = SIZE, 255.0

    def prepare(x):
        return tf.image.resize_images(x, size, method=tf.image.ResizeMethod.AREA) / most

    return prepare


def min_max(X):
    a, b, least = -0.1, 0.1, 0
    most = 255
    return a + (X - least) * (b - a) / (most - least)


def imported(x):
    from keras.backend import tf as ktf

    return ktf.image.resize_nearest_neighbor(x, [33, 100])


@pytest.mark.parametrize(
    ('function', 'steps'),
    [
        (lambda x: x[:, 60:135], (Crop((60, 135), (None, None)),)),
        (lambda x: x[:, 60:-25, 20:300, :], (Crop((60, -25), (20, 300)),)),
        (lambda x: x[:, 60:][:, :75] / 255, (
            Crop((60, None), (None, None)), Crop((None, 75), (None, None)), Affine(1 / 255, 0.0)
        )),
        (enclosed(), (Resize(66, 200, 'area of TensorFlow 1'), Affine(1 / 255, 0.0))),
        (min_max, (Affine(0.2 / 255, -0.1),)),
        (imported, (Resize(33, 100, 'nearest of TensorFlow 1'),)),
        (lambda x, scale=255: x / scale, (Affine(1 / 255, 0.0),)),
        (lambda x: K.cast(x, 'float32') / 127.5 - 1, (Affine(1 / 127.5, -1.0),)),
        (lambda x: tf.multiply(tf.atan(x), 2), (Function('Arctan'), Affine(2.0, 0.0))),
        (lambda x: 2 * tf.atan(x), (Function('Arctan'), Affine(2.0, 0.0))),
        (lambda x: K.tanh(-x), (Affine(-1.0, 0.0), Function('tanh'))),
        (lambda x: tf.image.rgb_to_grayscale(x), (Function('Grey'),)),
        (lambda x: tf.image.rgb_to_hsv(x / 255), (Affine(1 / 255, 0.0), Function('Hsv'))),
        (lambda x: tf.image.resize(x, size=[66, 200], method='nearest'), (
            Resize(66, 200, 'nearest'),
        )),
        (lambda x: ktf.image.resize_images(x, (64, 64), align_corners=True), (
            Resize(64, 64, 'bilinear of TensorFlow 1 with aligned corners'),
        )),
        (lambda x: tf.image.resize(x, (66, 200), tf.image.ResizeMethod.BICUBIC), (
            Resize(66, 200, 'bicubic'),
        )),
        (lambda x: tf.clip_by_value(2 * x, -1, 1), (Affine(2.0, 0.0), Clip(-1.0, 1.0))),
        (lambda x: K.clip(x, min_value=0, max_value=255) / 255, (
            Clip(0.0, 255.0), Affine(1 / 255, 0.0)
        )),
        (lambda x: x + x, (Affine(2.0, 0.0),)),
    ],
)  # fmt: skip
def test_what_a_function_does_to_a_frame_is_recognised(function, steps):
    found = of(function)
    assert [type(step) for step in found] == [type(step) for step in steps]
    for one, other in zip(found, steps, strict=True):
        if isinstance(one, Affine):
            assert (one.scale, one.offset) == pytest.approx((other.scale, other.offset))
        else:
            assert one == other


@pytest.mark.parametrize(
    ('function', 'reason'),
    [
        (lambda x: tf.image.per_image_standardization(x), 'tf.image.per_image_standardization'),
        (lambda x: x / SCALE, 'it uses SCALE, whose value is not in the file'),  # noqa: F821
        (lambda x: tf.image.resize(x, (H, W)), 'with a size that is not in the file'),  # noqa: F821
        (lambda x: tf.image.resize(x, (9, 9), antialias=True), 'it calls tf.image.resize with'),
        (lambda x: tf.image.resize(x, (9, 9), 'lanczos3'), 'tf.image.resize with lanczos'),
        (lambda x: K.relu(x, alpha=0.1), 'it calls K.relu'),
        (lambda x: x[:, ::2], 'other parts of the frame than rows and columns'),
        (lambda x: x[:, :, :, 0], 'other parts of the frame than rows and columns'),
        (lambda x: x[0], 'other parts of the frame than rows and columns'),
        (lambda x: x.shape, 'it uses shape of the frame'),
        (lambda x: compile(x, '', 'exec'), 'it calls compile'),
        (lambda x: tf.image.resize(x[:, 1:] - x, (9, 9)), 'it adds two different images'),
        (lambda x, y: x, 'it takes 2 arguments'),
        (lambda x: x - x, 'does not depend on its argument'),
        (lambda x: tf.abs(x), 'it calls tf.abs'),
        (lambda x: K.clip(x, LOW, 1), 'it calls K.clip without two limits'),  # noqa: F821
    ],
)  # fmt: skip
def test_every_other_function_is_refused_by_what_it_does(function, reason):
    with pytest.raises(BytecodeError, match=reason.replace('(', '.').replace('[', '.')):
        of(function)


@pytest.mark.parametrize('version', ['3.8', '3.12'])
def test_no_changed_byte_makes_anything_but_steps(version):
    code = base64.b64decode(WHOLE[version])
    kinds = (Affine, Clip, Crop, Function, Resize)
    for at in range(len(code)):
        for value in (0, 1, 0x1B, 0x7C, 0x83, 0xFF):
            changed = code[:at] + bytes([value]) + code[at + 1 :]
            try:
                assert all(isinstance(step, kinds) for step in recognise(changed, [60]))
            except BytecodeError:
                continue


def with_lambda(path, function, shape, rest):
    """Save a network that begins with a Lambda, as Keras 2 does."""
    before = keras.Sequential([keras.Input(shape), *rest])
    before.save(path)
    code = base64.b64encode(marshal.dumps(function.__code__)).decode()
    with h5py.File(path, 'r+') as file:
        config = json.loads(file.attrs['model_config'])
        first = {
            'name': 'prepare',
            'trainable': True,
            'function': [code, list(function.__defaults__ or []) or None, None],
            'function_type': 'lambda',
            'module': '__main__',
            'arguments': {},
        }
        config['config']['layers'].insert(1, {'class_name': 'Lambda', 'config': first})
        # The layers after it do not know their inputs yet.
        config['config'].pop('build_input_shape', None)
        file.attrs['model_config'] = json.dumps(config)
        del file['model_weights'].attrs['layer_names']
        names = [name for name in file['model_weights'] if name != 'top_level_model_weights']
        file['model_weights'].attrs['layer_names'] = [n.encode() for n in names]
    return before.layers


def test_a_network_with_such_a_function_gives_the_same_answers(tmp_path):
    path = tmp_path / 'net.h5'

    def prepare(x, low=4):
        return tf.image.resize_images(x[:, low:-2], (5, 8), tf.image.ResizeMethod.AREA) / 255

    rest = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(1)]
    *_, dense = with_lambda(path, prepare, (16, 16, 3), rest)
    frames = np.random.default_rng(1).random((2, 16, 16, 3), np.float32) * 255
    # The mean of areas is the mean of the whole crop.
    expected = dense(frames[:, 4:-2].mean(axis=(1, 2)) / 255).numpy()
    np.testing.assert_allclose(load_keras(path)(frames), expected, rtol=1e-4, atol=1e-6)


def test_a_network_that_clips_gives_the_same_answers(tmp_path):
    path = tmp_path / 'net.h5'
    with_lambda(
        path, lambda x: tf.clip_by_value(x, -0.5, 2.0), (1, 4, 1), [keras.layers.Flatten()]
    )
    frames = np.array([-9.0, -0.25, 1.5, 7.0], np.float32).reshape(1, 1, 4, 1)
    found = load_keras(path)
    expected = np.clip(frames, -0.5, 2.0)[:, 0, 0]
    np.testing.assert_allclose(found(frames), expected)


def test_a_network_that_takes_hue_and_saturation_gives_the_same_answers(tmp_path):
    import tensorflow

    path, litert = tmp_path / 'net.h5', tmp_path / 'net.tflite'
    rest = [keras.layers.Flatten(), keras.layers.Dense(1)]
    *_, dense = with_lambda(path, lambda x: tf.image.rgb_to_hsv(x), (4, 5, 3), rest)
    frames = np.random.default_rng(4).integers(0, 4, (40, 4, 5, 3)).astype(np.float32)
    hsv = tensorflow.image.rgb_to_hsv(frames).numpy()
    expected = dense(hsv.reshape(40, -1)).numpy()
    np.testing.assert_allclose(load_keras(path)(frames), expected, atol=1e-4)
    convert(path, litert)
    network = LiteRtModel(litert, 'net')
    found = [[network.predict(frame)] for frame in frames]
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_lambda_that_is_refused_is_named_with_a_way_out(tmp_path):
    path = tmp_path / 'net.h5'
    with_lambda(path, lambda x: tf.abs(x), (8, 8, 3), [keras.layers.GlobalMaxPooling2D()])
    with pytest.raises(ModelError, match=r'layer prepare .*it calls tf\.abs.*Resizing'):
        load_keras(path)


RAW = {'area': 'Area', 'bicubic': 'Bicubic', 'bilinear': 'Bilinear', 'nearest': 'NearestNeighbor'}


@pytest.mark.parametrize('method', METHODS)
@pytest.mark.parametrize('size', [(3, 5), (7, 13), (16, 18), (1, 20)])
def test_resizing_by_matrices_is_that_of_tensorflow(method, size):
    import tensorflow

    image = np.random.default_rng(2).random((1, 9, 11, 3), np.float32) * 255
    kind, is_old = method.partition(' ')[0], OLD in method
    more = {} if kind == 'area' else {'half_pixel_centers': not is_old}
    resize = getattr(tensorflow.raw_ops, f'Resize{RAW[kind]}')
    expected = resize(images=image, size=size, align_corners=method.endswith(CORNERS), **more)
    rows, columns = (
        matrix_of(side, to, method) for side, to in zip(image.shape[1:3], size, strict=True)
    )
    found = np.einsum('nrck,ri,cj->nijk', image, rows, columns)
    # TensorFlow reads the shares of a bicubic in a table.
    np.testing.assert_allclose(found, expected, atol=0.5 if kind == 'bicubic' else 1e-3)
