"""The package as pip and ROS install it."""

import ast
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / 'src'
OWN = {'sim_bridge', 'steering_net'}
KEYS = {
    'cv2': 'python3-opencv',
    'engineio': 'python3-socketio',
    'flask': 'python3-flask',
    'matplotlib': 'python3-matplotlib',
    'numpy': 'python3-numpy',
    'prometheus_client': 'python3-prometheus-client',
    'socketio': 'python3-socketio',
    'tqdm': 'python3-tqdm',
}
PIP_NAMES = {
    'ai_edge_litert': 'ai-edge-litert',
    'google': 'tensorflow',
    'h5py': 'tensorflow',
    'keras': 'tensorflow',
    'tensorflow': 'tensorflow',
}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The built wheel."""
    folder = tmp_path_factory.mktemp('wheel')
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
         '--wheel-dir', str(folder), str(ROOT)],
        check=True,
    )  # fmt: skip
    return next(folder.glob('sim_bridge-*.whl'))


def test_wheel_holds_what_ros_looks_for(wheel):
    names = {name.partition('.data/data/')[2] for name in zipfile.ZipFile(wheel).namelist()}
    assert 'share/ament_index/resource_index/packages/sim_bridge' in names
    assert 'share/sim_bridge/package.xml' in names
    for folder in ('launch', 'config', 'rviz', 'layouts'):
        for file in (ROOT / folder).iterdir():
            assert f'share/sim_bridge/{folder}/{file.name}' in names
    for program in ('bridge', 'steering', 'throttle', 'drive', 'simulate', 'sim-bridge'):
        assert f'lib/sim_bridge/{program}' in names


def test_wheel_holds_every_module_and_the_network(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    for module in SOURCE.rglob('*.py'):
        assert module.relative_to(SOURCE).as_posix() in names
    for file in ('pilotnet.keras', 'pilotnet.tflite', 'pilotnet.json', 'pilotnet.md'):
        assert f'steering_net/models/{file}' in names


def test_installed_programs_run(wheel, tmp_path):
    subprocess.run(
        [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--ignore-installed',
         '--prefix', str(tmp_path), str(wheel)],
        check=True,
    )  # fmt: skip
    site = next(tmp_path.glob('lib/python3*/site-packages'))
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ['PATH']])
    result = subprocess.run(
        [tmp_path / 'lib/sim_bridge/simulate', '--help'],
        env={**os.environ, 'PYTHONPATH': str(site), 'PATH': path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert 'usage: sim-bridge simulate' in result.stdout


def imported_packages():
    """Top-level names of everything that is imported and neither ours nor Python's."""
    found = set()
    for path in SOURCE.rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split('.')[0])
    return found - OWN - set(sys.stdlib_module_names)


def test_package_xml_declares_every_import():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {element.text for element in package.findall('exec_depend')}
    by_pip = re.findall(r'^[a-z-]+', (ROOT / 'requirements/ros.txt').read_text(), re.MULTILINE)
    by_pip = {name.removesuffix('-cpu') for name in by_pip}
    missing = {
        name
        for name in imported_packages()
        if KEYS.get(name, name) not in declared and PIP_NAMES.get(name, name) not in by_pip
    }
    assert missing == set()


def test_versions_agree():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    version = package.findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text(encoding='utf-8')
