# SPDX-License-Identifier: Apache-2.0
"""Real public models, from Keras 1.1 to 3.11, are imported and steer as they always did."""

import csv
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.lazy import keras
from helpers.paths import SHARED_DATA
from helpers.processes import run_verb
from sim_bridge.cli import import_model as verb
from steering_net.errors import ModelError
from steering_net.model_io import litert_converter as converter
from steering_net.model_io.files import sha256_of
from steering_net.model_io.import_model import import_model
from steering_net.model_io.metadata import Origin, read_origin, write_origin
from steering_net.model_io.model_config import Sidecar, read_sidecar, write_sidecar
from steering_net.model_io.profiles import complete, infer_profile
from steering_net.model_io.reader import read_network
from steering_net.training.pilotnet import build_pilotnet
from steering_net.vision.jpeg import decode_jpeg
from steering_net.vision.preprocessing import preprocess
from steering_net.vision.profile import PROFILES, find_profile, format_profile

pytestmark = pytest.mark.slow

# File, saved by, profile, correlation with the recorded steering of lake_lap_a (None: constant).
MODELS = {
    'sunchit03__CVI-Project/self_driving_model.keras': ('Keras 3.9.2', 'course', 0.55),
    'vdesmond__simulation/nvidia_model.h5': ('Keras 2.4.0', 'course', 0.43),
    'ethanvillalovoz__self-driving-car-simulation/model.h5': ('Keras 3.11.3', 'course', None),
    'NinoXing__Self_Driving/model.h5': ('Keras 2.2.4', 'course', 0.31),
    'krutinpolra__behavioral-cloning-driving/model.h5': ('Keras 2.4.0', 'course', 0.08),
    'naokishibuya__car-behavioral-cloning/model.h5': ('Keras 1.2.1', 'naoki_legacy_yuv', 0.19),
    'ksakmann__CarND-BehavioralCloning/model.h5': ('Keras 1.1.2', 'ksakmann', 0.41),
    'jwasham12__Self-Driving-Car-Simulation/cnn_model.h5': ('Keras 2.2.4', 'carnd_raw_rgb', 0.14),
}
_BATCH = 250


@pytest.fixture
def import_here(monkeypatch):
    """Read in this process, which has TensorFlow anyway; starting another takes seconds."""

    def run(_module, source, arguments, **_folders):
        if converter.main([str(source), *arguments]):
            raise ModelError('see above')

    monkeypatch.setattr('steering_net.model_io.import_model.run_isolated', run)


@pytest.fixture(scope='module')
def lap():
    """The frames of the recorded lap as each profile shows them, and the steering, right +."""
    folder = SHARED_DATA / 'lake_lap_a'
    if not folder.is_dir():
        pytest.skip(f'needs the recording {folder}, which a plain clone does not have')
    with (folder / 'frames.csv').open(encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    frames = [decode_jpeg((folder / 'IMG' / row['frame']).read_bytes()) for row in rows]
    seen = {}

    def inputs(profile):
        if profile not in seen:
            seen.clear()
            seen[profile] = [preprocess(frame, profile) for frame in frames]
        return seen[profile]

    return inputs, np.array([float(row['steering']) for row in rows])


@pytest.mark.parametrize('name', MODELS, ids=lambda name: name.partition('__')[0])
def test_a_public_model_finds_its_profile_and_steers_as_it_always_did(lap, name):
    saved_by, profile_name, correlation = MODELS[name]
    inputs, recorded = lap
    network = read_network(SHARED_DATA / 'models' / name)
    assert network.origin.saved_by == saved_by
    shape = network.origin.input_shape
    profile, _ = infer_profile(shape, network.origin)
    assert profile is PROFILES[profile_name]
    assert complete(profile, shape, network.origin) is profile
    frames = inputs(profile)
    predicted = np.concatenate(
        [
            network.model.predict_on_batch(np.stack(frames[at : at + _BATCH])).ravel()
            for at in range(0, len(frames), _BATCH)
        ]
    )
    if correlation is None:
        assert np.std(predicted) < 1e-6
    else:
        assert np.corrcoef(predicted, recorded)[0, 1] == pytest.approx(correlation, abs=0.02)


def test_the_command_makes_three_files_of_an_architecture_and_its_weights(tmp_path, shared_data):
    folder = shared_data / 'models' / 'ksakmann__CarND-BehavioralCloning'
    out = tmp_path / 'out.keras'
    result = run_verb('import-model', folder / 'model.json', folder / 'model.h5', '--out', out)
    assert result.returncode == 0, result.stderr
    for said in ('saved by Keras 1.1.2', 'Conv2D 32 (8,8) (4,4)', 'profile  ksakmann, because'):
        assert said in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        'out.json',
        'out.keras',
        'out.tflite',
    ]
    assert read_sidecar(out).profile == 'ksakmann'
    # The clean file is Keras' own, and needs none of this package.
    model = keras.saving.load_model(out, compile=False, safe_mode=True)
    assert model.input_shape == (None, 64, 64, 3)
    drives = converter.ensure_litert(out, tmp_path / 'cache')
    assert drives.read_bytes() == out.with_suffix('.tflite').read_bytes()


def saved_pilotnet(path):
    build_pilotnet(seed=4).save(path)
    return path


def test_a_profile_that_is_asked_for_is_written_down_whole(tmp_path, import_here):
    source = saved_pilotnet(tmp_path / 'net.keras')
    wish = 'custom:rows=60-136,columns=20-300,colour=bgr,blur=5'
    imported = import_model([source], tmp_path / 'out.keras', wish)
    text = json.loads((tmp_path / 'out.json').read_text())['profile']
    assert text == format_profile(imported.choice.profile)
    again = find_profile(text)
    assert (again.rows, again.columns, again.colour, again.blur) == (
        (60, 136),
        (20, 300),
        'bgr',
        5,
    )
    assert (again.size, again.scale) == ((200, 66), 1 / 255)


def test_nothing_is_overwritten_but_what_an_import_made(tmp_path, import_here):
    source = saved_pilotnet(tmp_path / 'net.keras')
    before = source.read_bytes()
    with pytest.raises(ModelError, match=r'would overwrite net\.keras'):
        import_model([source], source)
    (tmp_path / 'model.json').write_text('{"class_name": "Sequential"}')
    with pytest.raises(ModelError, match=r'would overwrite model\.json'):
        import_model([source], tmp_path / 'model.keras')
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    'sidecar', [None, Sidecar('naoki', '', -0.4), Sidecar('naoki', '', -0.4, '0' * 64)]
)
def test_a_tflite_file_that_no_import_made_is_not_overwritten(tmp_path, import_here, sidecar):
    source, out = saved_pilotnet(tmp_path / 'net.keras'), tmp_path / 'out.keras'
    out.with_suffix('.tflite').write_bytes(b'mine')
    if sidecar:
        write_sidecar(out, sidecar)
    with pytest.raises(ModelError, match=r'would overwrite out\.tflite, whose hash is not in'):
        import_model([source], out, 'course')
    assert out.with_suffix('.tflite').read_bytes() == b'mine'
    assert not out.exists()
    write_sidecar(out, Sidecar('naoki', '', -0.4, sha256_of(out.with_suffix('.tflite'))))
    import_model([source], out, 'course')
    import_model([source], out, 'course_noblur')


def test_the_sidecar_of_a_network_before_is_not_used_for_the_new_one(tmp_path, import_here):
    source = saved_pilotnet(tmp_path / 'net.keras')
    write_sidecar(source, Sidecar('course_noblur', '0' * 64, -0.2))
    imported = import_model([source], tmp_path / 'out.keras', 'course')
    assert imported.notes == (
        'net.json is not used, because its sha256 is not that of net.keras; '
        'if its profile is right, remove the hashes from it',
    )


def test_an_import_replaces_one_before_but_not_if_it_fails(tmp_path, import_here, capsys):
    write_sidecar(tmp_path / 'out.keras', Sidecar('naoki', '0' * 64, -0.4))
    import_model([saved_pilotnet(tmp_path / 'net.keras')], tmp_path / 'out.keras', 'course')
    assert read_sidecar(tmp_path / 'out.keras').profile == 'course'
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    (tmp_path / 'bad.h5').write_bytes(b'\x89HDF\r\n\x1a\n')
    args = verb.argparse.Namespace(
        sources=[tmp_path / 'bad.h5'],
        out=tmp_path / 'out.keras',
        profile='',
        output='',
        int8=False,
    )
    assert verb.run(args) == 2
    told = capsys.readouterr().err
    assert 'bad.h5 cannot be loaded: it is broken or cut short' in told
    assert told.splitlines()[-1] == 'sim-bridge import-model: see above'
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path in before} == before
    assert len(list(tmp_path.iterdir())) == len(before) + 1


@pytest.mark.parametrize(
    ('sources', 'out', 'message'),
    [
        (['none.h5'], 'out.keras', 'there is no model file'),
        (['a', 'b', 'c'], 'out.keras', '3 files are too many'),
        (['net.keras'], 'out.h5', r'it must end in \.keras'),
    ],
)
def test_arguments_that_cannot_be_are_named(tmp_path, sources, out, message):
    (tmp_path / 'net.keras').touch()
    with pytest.raises(ModelError, match=message):
        import_model([tmp_path / name for name in sources], tmp_path / out)


@pytest.mark.parametrize(
    ('shape', 'origin', 'expected'),
    [
        ((66, 200, 3), Origin('Keras 2.8', False), 'course'),
        ((66, 200, 3), Origin(), 'course'),
        ((66, 200, 3), Origin('Keras 2.8', True), 'naoki'),
        ((66, 200, 3), Origin('Keras 1.2.1', True), 'naoki_legacy_yuv'),
        ((160, 320, 3), Origin('Keras 1.2.1', True), 'carnd_raw_rgb'),
        ((64, 64, 3), Origin('Keras 1.2.1', True), 'ksakmann'),
        ((64, 64, 3), Origin('Keras 2.8', False), 'ksakmann:scale=1/255'),
    ],
)
def test_the_profile_follows_from_size_layers_and_age(shape, origin, expected):
    assert infer_profile(shape, origin)[0].name == expected


def crops_first(layers, frame):
    scaled = layers.Rescaling(1 / 127.5, -1.0)(frame)
    return layers.Conv2D(2, 5)(layers.Cropping2D(((70, 25), (0, 0)))(scaled))


def crops_features(layers, frame):
    return layers.Cropping2D(((70, 25), (0, 0)))(layers.Conv2D(2, 5)(frame))


def sees_the_crop_and_all(layers, frame):
    cropped = layers.Cropping2D(((70, 25), (0, 0)))(frame)
    ways = [layers.GlobalAveragePooling2D()(way) for way in (cropped, frame)]
    return layers.Concatenate()(ways)


@pytest.mark.parametrize(
    ('build', 'rows'),
    [
        (crops_first, (70, 135)),
        (crops_features, None),
        (sees_the_crop_and_all, None),
        (lambda layers, frame: layers.Conv2D(2, 5)(frame), None),
    ],
)
def test_an_origin_says_which_rows_count(tmp_path, build, rows):
    frame = keras.Input((160, 320, 3))
    seen = keras.layers.Flatten()(build(keras.layers, frame))
    path = tmp_path / 'net.keras'
    keras.Model(frame, keras.layers.Dense(1)(seen)).save(path)
    origin = read_network(path).origin
    assert origin.rows == rows
    write_origin(tmp_path / 'net.tflite', origin)
    assert read_origin(tmp_path / 'net.tflite') == origin


def test_a_custom_profile_takes_size_and_scale_from_the_network():
    wish = find_profile('custom:rows=60-136,colour=bgr')
    for scales_pixels, scale in ((True, 1.0), (False, 1 / 255)):
        whole = complete(wish, (80, 100, 3), Origin('Keras 2', scales_pixels))
        assert (whole.size, whole.scale) == ((100, 80), scale)
        assert find_profile(format_profile(whole)).output_shape() == (80, 100, 3)


def test_a_sidecar_may_hold_its_profile_as_an_object(tmp_path):
    path = tmp_path / 'net.keras'
    fields = {'rows': [60, 136], 'size': [64, 64], 'colour': 'bgr', 'scale': 0.5}
    sidecar = {'profile': fields, 'sha256': '0' * 64, 'steering_scale_rad': -0.4}
    path.with_suffix('.json').write_text(json.dumps(sidecar), encoding='utf-8')
    found = find_profile(read_sidecar(path).profile)
    assert (found.rows, found.size, found.colour, found.scale) == ((60, 136), (64, 64), 'bgr', 0.5)


def test_an_architecture_beside_its_weights_is_no_sidecar(tmp_path):
    (tmp_path / 'net.json').write_text(json.dumps('{"class_name": "Sequential"}'))
    assert read_sidecar(tmp_path / 'net.h5') is None


def test_weights_that_change_beside_their_architecture_are_converted_again(tmp_path, monkeypatch):
    monkeypatch.setattr(converter, '_convert_in_subprocess', lambda *_: None)
    (tmp_path / 'net.json').write_text('{"class_name": "Sequential"}')
    found = set()
    for weights in (b'1', b'2'):
        (tmp_path / 'net.h5').write_bytes(weights)
        for name in ('net.json', 'net.h5'):
            found.add(converter.ensure_litert(tmp_path / name, tmp_path / 'cache'))
    assert len(found) == 4


def test_reading_in_a_process_of_its_own_survives_what_kills_it(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'executable', shutil.which('false'))
    with pytest.raises(ModelError, match=r'^net\.h5 could not be read: .* ended with 1$'):
        converter.run_isolated('steering_net.model_io.litert_converter', Path('net.h5'))
    killer = tmp_path / 'killer'
    killer.write_text('#!/bin/sh\nkill -SEGV $$\n')
    killer.chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(killer))
    with pytest.raises(ModelError, match=r'^net\.h5 could not be read: .* crashed \(signal 11\)$'):
        converter.run_isolated('steering_net.model_io.litert_converter', Path('net.h5'))


def test_an_imported_network_drives_without_another_check(tmp_path, import_here, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(converter, '_convert_in_subprocess', lambda *_: pytest.fail('a check'))
    build_pilotnet().save(tmp_path / 'net.keras')
    out = tmp_path / 'clean.keras'
    import_model([tmp_path / 'net.keras'], out, profile='course')
    cached = converter.ensure_litert(out)
    assert cached.parent == tmp_path / 'cache' / 'sim_bridge'
    assert cached.read_bytes() == out.with_suffix('.tflite').read_bytes()


def test_an_import_with_8_bits_keeps_the_weights_of_keras(tmp_path, import_here):
    source, out = saved_pilotnet(tmp_path / 'net.keras'), tmp_path / 'out.keras'
    import_model([source], out, 'course', int8=True)
    for path in (source, out):
        assert path.stat().st_size > 3 * out.with_suffix('.tflite').stat().st_size
    drives = converter.ensure_litert(out, tmp_path / 'cache')
    assert drives.read_bytes() == out.with_suffix('.tflite').read_bytes()


def test_a_network_is_imported_without_a_cache(tmp_path, import_here, monkeypatch):
    (tmp_path / 'file').touch()
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'file'))
    build_pilotnet().save(tmp_path / 'net.keras')
    out = tmp_path / 'clean.keras'
    import_model([tmp_path / 'net.keras'], out, profile='course')
    assert out.is_file()
