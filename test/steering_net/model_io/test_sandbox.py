# SPDX-License-Identifier: Apache-2.0
"""What code in a network's file could do, were it to run: nothing but read that file."""

import ctypes
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers.lazy import keras
from helpers.paths import SOURCE
from helpers.waiting import wait_for
from sim_bridge.cli.doctor_checks import Level, check_sandbox
from steering_net.errors import ModelError
from steering_net.model_io import import_model, sandbox
from steering_net.model_io.isolated import run_isolated

pytestmark = pytest.mark.slow

# Asked here in another way than the code under test asks.
HAS_SANDBOX = (
    ctypes.CDLL(None).syscall(444, None, ctypes.c_ulong(0), ctypes.c_ulong(1)) > 0
    and Path('/proc/sys/kernel/seccomp/actions_avail').exists()
)
sandboxed = pytest.mark.skipif(not HAS_SANDBOX, reason='this kernel lacks Landlock or seccomp')

# Each is tried in the sandbox; 'done' or the name of the error comes back.
PROBE = """
import ctypes, json, os, socket, subprocess, sys, threading
from pathlib import Path

home, out, model = map(Path, sys.argv[1:])

def attempt(act):
    try:
        act()
        return 'done'
    except OSError as error:
        return type(error).__name__

def in_a_thread(act):
    results = []
    thread = threading.Thread(target=lambda: results.append(attempt(act)))
    thread.start()
    thread.join()
    if results != ['done']:
        raise PermissionError(results)

def in_a_child():
    words = [sys.executable, '-c', f'open({str(home / "secret")!r})']
    subprocess.run(words, check=True, stderr=subprocess.DEVNULL)

def fails_in_a_child():
    try:
        in_a_child()
    except subprocess.CalledProcessError:
        raise PermissionError from None

def io_uring():
    libc = ctypes.CDLL(None, use_errno=True)
    parameters = ctypes.create_string_buffer(120)
    if libc.syscall(425, 1, parameters) < 0:
        raise OSError(ctypes.get_errno(), 'io_uring')

print(json.dumps({name: attempt(act) for name, act in {
    'read the model': model.read_bytes,
    'write the output': lambda: (out / 'made').write_text('x'),
    'write a folder and replace': lambda: (
        (out / 'folder').mkdir(), os.replace(out / 'made', out / 'folder' / 'made')
    ),
    'write to nowhere': lambda: Path('/dev/null').write_text('x'),
    'make a link': lambda: os.symlink(home / 'secret', out / 'link'),
    'make a pipe': lambda: os.mkfifo(out / 'pipe'),
    'read the home': (home / 'secret').read_bytes,
    'list the home': lambda: os.listdir(home),
    'read it in a thread': lambda: in_a_thread((home / 'secret').read_bytes),
    'read it in a child': fails_in_a_child,
    'write to the home': lambda: (home / 'new').write_text('x'),
    'cut a file of the home short': lambda: os.truncate(home / 'secret', 0),
    'remove from the home': (home / 'secret').unlink,
    'write to the model': lambda: model.write_bytes(b''),
    'write to /tmp': lambda: Path(f'/tmp/probe-{os.getpid()}').write_text('x'),
    'look into the parent': Path(f'/proc/{os.getppid()}/environ').read_bytes,
    'signal the parent': lambda: os.kill(os.getppid(), 0),
    'read the passwords': Path('/etc/passwd').read_bytes,
    'TCP': lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM),
    'UDP': lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    'TCP of version 6': lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM),
    'a local socket': lambda: socket.socket(socket.AF_UNIX, socket.SOCK_STREAM),
    'a socket in a thread': lambda: in_a_thread(lambda: socket.socket(socket.AF_INET)),
    'io_uring': io_uring,
}.items()}))
"""
ALLOWED = {
    'read the model', 'write the output', 'write a folder and replace', 'write to nowhere',
}  # fmt: skip


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A home with a secret, a model, a folder for the output, and modules to be run."""
    for name in ('home', 'out', 'modules'):
        (tmp_path / name).mkdir()
    (tmp_path / 'home' / 'secret').write_text('secret')
    (tmp_path / 'home' / 'model.h5').write_bytes(b'a network')
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.setenv('PYTHONPATH', str(tmp_path / 'modules'))
    return tmp_path


@sandboxed
def test_code_in_the_sandbox_reads_its_model_and_writes_its_output_and_no_more(place):
    (place / 'modules' / 'probe.py').write_text(PROBE)
    home, out, model = place / 'home', place / 'out', place / 'home' / 'model.h5'
    words = [f'--read={model}', f'--write={out}', 'probe', home, out, model]
    result = subprocess.run(
        [sys.executable, '-P', '-m', 'steering_net.model_io.sandbox', *map(str, words)],
        # A home on the path of modules does not open it.
        env={**os.environ, 'PYTHONPATH': f'{SOURCE}:{place / "modules"}:{home}:{place}'},
        capture_output=True,
        text=True,
        check=True,
    )
    done = {name for name, outcome in json.loads(result.stdout).items() if outcome == 'done'}
    assert done == ALLOWED, result.stdout
    assert (home / 'secret').read_text() == 'secret'


@sandboxed
def test_what_reads_a_network_runs_in_the_sandbox(place):
    """The way of every import: what it says last comes back as the error."""
    (place / 'modules' / 'probing.py').write_text(
        'import socket, sys, os\n'
        'told = []\n'
        'for act in (lambda: socket.socket(), lambda: open(os.environ["HOME"] + "/secret"),\n'
        '            lambda: open(sys.argv[1], "rb").read()):\n'
        '    try:\n'
        '        act()\n'
        '        told.append("done")\n'
        '    except PermissionError:\n'
        '        told.append("refused")\n'
        'sys.exit(" ".join(told))\n'
    )
    with pytest.raises(ModelError, match=r'^refused refused done$'):
        run_isolated('probing', place / 'home' / 'model.h5')


def test_folder_from_which_it_is_started_is_not_searched_for_modules(place, monkeypatch):
    (place / 'home' / 'numpy.py').write_text('raise SystemExit("the wrong numpy")')
    (place / 'modules' / 'looks.py').write_text('import numpy, sys\nsys.exit(numpy.__name__)')
    monkeypatch.chdir(place / 'home')
    with pytest.raises(ModelError, match=r'^numpy$'):
        run_isolated('looks', Path('model.h5'))


@pytest.fixture(scope='module')
def branched():
    """A network with branches, made before `place` sets HOME, because Keras writes there."""
    frame = keras.Input((66, 200, 3))
    flat = keras.layers.Flatten()(frame)
    both = keras.layers.concatenate([keras.layers.Dense(2)(flat), keras.layers.Dense(3)(flat)])
    return keras.Model(frame, keras.layers.Dense(1)(both))


def test_network_with_branches_in_a_home_is_imported(branched, place):
    path = place / 'home' / 'branched.keras'
    branched.save(path)
    imported = import_model.import_model([path], place / 'out' / 'clean.keras', 'course')
    assert imported.origin.input_shape == (66, 200, 3)
    assert sorted(os.listdir(place / 'out')) == ['clean.json', 'clean.keras', 'clean.tflite']
    assert not list(place.glob('home/.keras'))


def test_process_ends_with_the_one_that_wanted_it(place):
    (place / 'modules' / 'waits.py').write_text('import time\ntime.sleep(60)')
    code = (
        'from pathlib import Path\nfrom steering_net.model_io.isolated import run_isolated\n'
        "run_isolated('waits', Path('x'))"
    )
    paths = f'{SOURCE}:{place / "modules"}'
    importer = subprocess.Popen(
        [sys.executable, '-c', code], env={**os.environ, 'PYTHONPATH': paths}
    )
    children = Path(f'/proc/{importer.pid}/task/{importer.pid}/children')
    (reader,) = wait_for(lambda: children.read_text().split(), what='a child')
    wait_for(lambda: b'waits' in Path(f'/proc/{reader}/cmdline').read_bytes())
    time.sleep(0.5)
    importer.kill()
    importer.wait()
    wait_for(lambda: not Path(f'/proc/{reader}/exe').exists(), what='the end')


@sandboxed
def test_sandbox_that_cannot_be_made_ends_the_import(place):
    """The kernel has Landlock, but refuses another layer of it."""
    (place / 'modules' / 'sitecustomize.py').write_text(
        'from pathlib import Path\nfrom steering_net.model_io.sandbox import restrict\n'
        "for _ in range(16): restrict([Path('/')], [Path('/')])\n"
    )
    with pytest.raises(ModelError, match='cannot be restricted: Argument list too long'):
        run_isolated('steering_net.model_io.litert_converter', place / 'home' / 'model.h5')


@pytest.mark.parametrize(
    ('version', 'has_seccomp', 'told'),
    [
        (0, True, ['read your files', 'Landlock']),
        (7, False, ['open connections', 'seccomp']),
        (0, False, ['read your files', ', and open connections']),
    ],
)
def test_kernel_without_a_sandbox_is_told_of(monkeypatch, version, has_seccomp, told):
    monkeypatch.setattr(sandbox, '_landlock_version', lambda: version)
    monkeypatch.setattr(sandbox, '_has_seccomp', lambda: has_seccomp)
    finding = check_sandbox()
    assert finding.level is Level.WARNING
    assert all(words in sandbox.risks() and words in finding.found for words in told)


@sandboxed
def test_doctor_says_that_there_is_a_sandbox():
    assert check_sandbox().level is Level.OK
