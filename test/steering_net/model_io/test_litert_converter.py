# SPDX-License-Identifier: Apache-2.0
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.lazy import keras
from steering_net.errors import ModelError
from steering_net.inference.predictor import (
    KerasPredictor,
    LiteRtPredictor,
    default_model,
    warm_up,
)
from steering_net.model_io import litert_converter as converter
from steering_net.model_io.files import sha256_of
from steering_net.model_io.litert_converter import (
    convert,
    default_cache_dir,
    ensure_litert,
    main,
    probe_frames,
)
from steering_net.model_io.litert_runtime import LiteRtModel
from steering_net.model_io.metadata import read_origin
from steering_net.model_io.model_config import Sidecar, sidecar_of_pair, write_sidecar
from steering_net.model_io.profiles import choose_profile
from steering_net.training.pilotnet import build_pilotnet
from steering_net.vision.profile import PROFILES, find_profile

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def model_path(tmp_path_factory):
    path = tmp_path_factory.mktemp('model') / 'net.keras'
    build_pilotnet(seed=3).save(path)
    return path


@pytest.fixture(scope='module')
def converted(model_path, tmp_path_factory):
    path = tmp_path_factory.mktemp('converted') / 'net.tflite'
    convert(model_path, path)
    return path


def test_probe_frames_are_four_different_camera_frames():
    frames = probe_frames()
    assert [frame.shape for frame in frames] == [(160, 320, 3)] * 4
    assert len({frame.tobytes() for frame in frames}) == 4


def test_both_networks_agree(model_path, converted):
    litert, keras = LiteRtPredictor(converted), KerasPredictor(model_path)
    for frame in probe_frames():
        assert litert.predict(frame) == pytest.approx(keras.predict(frame), abs=1e-5)


def test_weights_of_8_bits_take_a_quarter_and_steer_nearly_the_same(
    model_path, converted, tmp_path
):
    path = tmp_path / 'small.tflite'
    convert(model_path, path, int8=True)
    assert path.stat().st_size < 0.3 * converted.stat().st_size
    whole, small = LiteRtPredictor(converted), LiteRtPredictor(path)
    differences = [abs(whole.predict(frame) - small.predict(frame)) for frame in probe_frames()]
    assert 0.0 < max(differences) < 0.05


def test_a_network_that_8_bits_spoil_is_refused(tmp_path):
    frame = keras.Input((66, 200, 3))
    small = keras.layers.Flatten()(keras.layers.AveragePooling2D((3, 4))(frame))
    steering = keras.layers.Dense(1)
    model = keras.Model(frame, steering(small))
    # The mean of the frame: in 8 bits these weights are 0 beside one of 1.
    kernel = np.full(steering.kernel.shape, 1.0 / steering.kernel.shape[0])
    kernel[0] = 1.0
    steering.set_weights([kernel, np.zeros(1)])
    path = tmp_path / 'mean.keras'
    model.save(path)
    convert(path, tmp_path / 'whole.tflite')
    with pytest.raises(ModelError, match=r'differs by 0\.\d+: import it without --int8$'):
        convert(path, tmp_path / 'small.tflite', int8=True)
    assert not (tmp_path / 'small.tflite').exists()


def test_the_cache_serves_the_second_time(model_path, tmp_path, monkeypatch):
    monkeypatch.setattr(
        converter, '_convert_in_subprocess', lambda source, target, profile: target.touch()
    )
    first = ensure_litert(model_path, tmp_path)
    monkeypatch.setattr(
        converter, '_convert_in_subprocess', lambda *_: pytest.fail('it was converted again')
    )
    copy = shutil.copy(model_path, tmp_path / 'renamed.keras')
    assert ensure_litert(Path(copy), tmp_path) == first


def test_changed_content_or_converter_is_converted_again(model_path, tmp_path, monkeypatch):
    targets = []
    monkeypatch.setattr(
        converter, '_convert_in_subprocess', lambda source, target, profile: targets.append(target)
    )
    changed = tmp_path / 'net.keras'
    changed.write_bytes(model_path.read_bytes() + b' ')
    ensure_litert(model_path, tmp_path)
    ensure_litert(changed, tmp_path)
    monkeypatch.setattr(converter, 'CONVERTER_VERSION', 99)
    ensure_litert(model_path, tmp_path)
    assert len(set(targets)) == 3


def test_a_tflite_file_is_used_as_it_is_once_it_was_checked(model_path, tmp_path, monkeypatch):
    monkeypatch.setattr(converter, '_convert_in_subprocess', convert)
    path = tmp_path / 'net.tflite'
    convert(model_path, path)
    used = ensure_litert(path, tmp_path / 'cache')
    assert used.read_bytes() == path.read_bytes()
    path.write_bytes(path.read_bytes().replace(b'TFL3', b'TFL2'))
    with pytest.raises(ModelError, match=r'content is not that of a \.tflite file$'):
        ensure_litert(path, tmp_path / 'cache')


def test_the_content_of_a_file_decides_how_it_is_converted(model_path, converted, tmp_path):
    shutil.copy(model_path, tmp_path / 'keras.tflite')
    shutil.copy(converted, tmp_path / 'litert.keras')
    for name in ('keras.tflite', 'litert.keras'):
        convert(tmp_path / name, tmp_path / 'out.tflite')
    assert (tmp_path / 'out.tflite').read_bytes() == converted.read_bytes()


def test_a_saved_model_with_new_weights_is_converted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(converter, '_convert_in_subprocess', lambda *_: None)
    (tmp_path / 'saved_model.pb').touch()
    (tmp_path / 'variables').mkdir()
    found = []
    for weights in (b'1', b'2'):
        (tmp_path / 'variables' / 'variables.data').write_bytes(weights)
        for path in (tmp_path, tmp_path / 'saved_model.pb'):
            found.append(ensure_litert(path, tmp_path / 'cache'))
    assert found[0] == found[1] != found[2] == found[3]


def scaling_network(path):
    """A network that brings pixels of 0..255 to -1..1 itself."""
    frame = keras.Input((66, 200, 3))
    small = keras.layers.Rescaling(1 / 127.5, -1.0)(frame)
    steering = keras.layers.Dense(1)(keras.layers.Flatten()(small))
    keras.Model(frame, steering).save(path)
    return path


def test_a_tflite_file_that_scales_pixels_itself_is_fed_whole_ones(tmp_path):
    path = tmp_path / 'net.tflite'
    convert(scaling_network(tmp_path / 'net.keras'), path)
    assert main([str(path), '--out', str(tmp_path / 'adopted.tflite')]) == 0
    origin = read_origin(tmp_path / 'adopted.tflite')
    assert (origin.scales_pixels, origin.input_shape) == (True, (66, 200, 3))
    assert choose_profile(None, (66, 200, 3), path, origin).profile is PROFILES['naoki']


def test_a_tflite_file_whose_layers_cannot_be_told_drives_all_the_same(tmp_path):
    import tensorflow as tf

    frame = keras.Input(batch_shape=(1, 66, 200, 3))
    features = keras.layers.GlobalAveragePooling2D()(frame)
    both = keras.layers.concatenate([features, keras.layers.Dense(2)(features)])
    model = keras.Model(frame, keras.layers.Dense(1)(both))
    path = tmp_path / 'net.tflite'
    path.write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    assert main([str(path), '--out', str(tmp_path / 'adopted.tflite')]) == 0
    origin = read_origin(tmp_path / 'adopted.tflite')
    assert (origin.scales_pixels, origin.input_shape) == (None, (66, 200, 3))
    reason = choose_profile(None, (66, 200, 3), path, origin).reason
    assert 'its layers are not known, so it is assumed not to scale pixels itself' in reason


def test_no_network_appears_before_its_origin(model_path, tmp_path, monkeypatch):
    def full(*_):
        raise OSError('no space left')

    monkeypatch.setattr(converter, 'write_origin', full)
    assert main([str(model_path), '--out', str(tmp_path / 'net.tflite')]) == 2
    assert not (tmp_path / 'net.tflite').exists()


def failing_network(path):
    """A LiteRT network that can be loaded, and fails when it runs."""
    import tensorflow as tf

    class Failing(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, 66, 200, 3), tf.float32)])
        def steer(self, frame):
            row = tf.cast(tf.reduce_sum(frame * 0.0), tf.int32) + 99
            return tf.reshape(tf.gather(frame[0, :, 0, 0], row), (1, 1))

    module = Failing()
    signature = module.steer.get_concrete_function()
    path.write_bytes(
        tf.lite.TFLiteConverter.from_concrete_functions([signature], module).convert()
    )
    return path


def test_a_network_that_loads_and_cannot_run_is_refused_in_one_line(tmp_path, capfd):
    path = failing_network(tmp_path / 'net.tflite')
    with pytest.raises(ModelError, match=r'^net\.tflite cannot run: [^\n]+$'):
        warm_up(LiteRtPredictor(path))
    capfd.readouterr()
    assert main([str(path), '--out', str(tmp_path / 'adopted.tflite')]) == 2
    assert capfd.readouterr().err.splitlines()[-1].startswith('net.tflite cannot run: ')


@pytest.mark.parametrize('stale', ['', 'keras', 'tflite'])
def test_the_sibling_counts_only_with_the_hashes_of_both_files(
    model_path, converted, tmp_path, stale, monkeypatch
):
    sources = []
    monkeypatch.setattr(
        converter, '_convert_in_subprocess', lambda source, *_: sources.append(source)
    )
    path = Path(shutil.copy(model_path, tmp_path / 'net.keras'))
    sibling = Path(shutil.copy(converted, tmp_path / 'net.tflite'))
    write_sidecar(path, sidecar_of_pair(path, 'course', -0.4))
    if stale:
        with path.with_suffix(f'.{stale}').open('ab') as file:
            file.write(b' ')
    found = ensure_litert(path, tmp_path / 'cache')
    used = path if stale else sibling
    assert sources == [used], 'it is checked in the sandbox'
    assert found.parent == tmp_path / 'cache'
    assert found.name.startswith(sha256_of(used))


def test_a_tflite_file_is_checked_whatever_its_sidecar_says(converted, tmp_path, monkeypatch):
    monkeypatch.setattr(converter, '_convert_in_subprocess', lambda *_: None)
    path = Path(shutil.copy(converted, tmp_path / 'net.tflite'))
    write_sidecar(path, sidecar_of_pair(path, 'course', -0.4))
    assert ensure_litert(path, tmp_path / 'cache') != path


def test_the_shipped_pair_is_used_as_it_is():
    assert ensure_litert(default_model()) == default_model().with_suffix('.tflite')


def test_a_converter_that_changes_the_network_is_caught(model_path, tmp_path, monkeypatch):
    honest = LiteRtModel.run
    monkeypatch.setattr(LiteRtModel, 'run', lambda self: honest(self) + 2e-4)
    with pytest.raises(ModelError, match=r'differs by 0\.0002'):
        convert(model_path, tmp_path / 'net.tflite')
    assert not (tmp_path / 'net.tflite').exists()


def test_a_network_that_puts_out_nan_is_not_converted(tmp_path):
    model = build_pilotnet()
    model.set_weights([np.full_like(w, np.nan) for w in model.get_weights()])
    model.save(tmp_path / 'nan.keras')
    with pytest.raises(
        ModelError, match=r'layer conv2d\w* has weights that are not finite numbers'
    ):
        convert(tmp_path / 'nan.keras', tmp_path / 'nan.tflite')


def test_errors_of_the_subprocess_come_back_as_one_line(tmp_path):
    path = tmp_path / 'broken.keras'
    path.write_bytes(b'PK\x03\x04 no zip file')
    with pytest.raises(ModelError, match=r'^broken\.keras cannot be loaded: [^\n]+$'):
        ensure_litert(path, tmp_path / 'cache')


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    assert main([str(tmp_path / 'none.keras'), '--out', str(tmp_path / 'out.tflite')]) == 2
    assert capsys.readouterr().err == f'there is no model file {tmp_path / "none.keras"}\n'


def test_the_cache_is_where_the_desktop_says(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    assert default_cache_dir() == tmp_path / 'sim_bridge'
    monkeypatch.delenv('XDG_CACHE_HOME')
    monkeypatch.setenv('HOME', str(tmp_path))
    assert default_cache_dir() == tmp_path / '.cache' / 'sim_bridge'


def test_a_cache_that_cannot_be_written_is_replaced_for_this_process(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(
        converter, '_convert_in_subprocess', lambda source, target, profile: target.touch()
    )
    (tmp_path / 'net.h5').touch()
    (tmp_path / 'file').touch()
    (tmp_path / 'tmp').mkdir()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'tmp'))
    first = ensure_litert(tmp_path / 'net.h5')
    assert first.is_relative_to(tmp_path / 'tmp')
    assert first == ensure_litert(tmp_path / 'net.h5')
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f'the cache {tmp_path / "file" / "sim_bridge"} cannot be written (')


def test_an_unusable_cache_is_named_with_what_to_do(tmp_path, monkeypatch):
    (tmp_path / 'net.h5').touch()
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'none'))
    with pytest.raises(ModelError, match=r'file/sim_bridge cannot .*: set XDG_CACHE_HOME to'):
        ensure_litert(tmp_path / 'net.h5')

    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(converter, '_convert_in_subprocess', full)
    with pytest.raises(ModelError, match=r'No space left on device\): set XDG_CACHE_HOME to'):
        ensure_litert(tmp_path / 'net.h5', tmp_path)


def test_the_profile_comes_from_the_sidecar_then_from_the_shape(tmp_path):
    path = tmp_path / 'net.keras'
    assert choose_profile(None, (66, 200, 3), path).profile is PROFILES['course']
    assert choose_profile(None, (160, 320, 3), path).profile is PROFILES['carnd_raw_rgb']
    with pytest.raises(ModelError, match='choose a profile, for example'):
        choose_profile(None, (32, 32, 3), path)
    path.touch()
    write_sidecar(path, Sidecar('naoki', sha256_of(path), -0.4))
    found = choose_profile(None, (66, 200, 3), path).profile
    assert found == replace(PROFILES['naoki'], steering_scale_rad=-0.4)
    write_sidecar(path, Sidecar('naoki', '', 0.0))
    with pytest.raises(ModelError, match=r'net\.json: profile field steering_scale_rad'):
        choose_profile(None, (66, 200, 3), path)
    path.with_suffix('.json').write_text('{"profile": "naoki"}', encoding='utf-8')
    assert choose_profile(None, (66, 200, 3), path).profile is PROFILES['naoki']


def test_a_sidecar_with_the_hash_of_another_network_is_not_used(tmp_path):
    path = tmp_path / 'net.keras'
    path.write_bytes(b'the first')
    path.with_suffix('.tflite').write_bytes(b'its LiteRT file')
    write_sidecar(path, sidecar_of_pair(path, 'naoki', -0.4))
    for file in (path, path.with_suffix('.tflite')):
        assert choose_profile(None, (66, 200, 3), file).profile.steering_scale_rad == -0.4
    path.write_bytes(b'trained again')
    assert choose_profile(None, (66, 200, 3), path).profile is PROFILES['course']
    profile = choose_profile(None, (66, 200, 3), path.with_suffix('.tflite')).profile
    assert profile.steering_scale_rad == -0.4


@pytest.mark.parametrize('crop', ['rows=60-161', 'columns=20-321'])
def test_a_crop_outside_of_the_frame_is_refused(tmp_path, crop):
    field = crop.partition('=')[0]
    with pytest.raises(ModelError, match=f'a frame has the {field} 0-(160|320)$'):
        choose_profile(find_profile(f'naoki:{crop}'), (66, 200, 3), tmp_path / 'net.h5')
    whole = find_profile('naoki:rows=60-160,columns=0-320')
    assert choose_profile(whole, (66, 200, 3), tmp_path / 'net.h5').profile == whole


def test_cache_files_can_be_read_by_others(converted):
    assert os.stat(converted).st_mode & 0o444 == 0o444
