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
from packaging.requirements import Requirement

from helpers.paths import ROOT, SOURCE
from sim_bridge.cli import doctor_checks

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


def test_package_xml_declares_what_the_launch_files_run():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {element.text for element in package.findall('exec_depend')}
    files = [path.read_text(encoding='utf-8') for path in (ROOT / 'launch').iterdir()]
    verbs = {verb for file in files for verb in re.findall(r"'ros2', '(\w+)'", file)}
    packages = {name for file in files for name in re.findall(r"package='(\w+)'", file)}
    assert 'bag' in verbs
    assert 'rviz2' in packages
    assert ({f'ros2{verb}' for verb in verbs} | packages) - declared <= OWN


def test_what_a_distribution_lacks_is_in_ros_txt():
    asked = re.search(r'install_requires=(\[.*?\])', (ROOT / 'setup.py').read_text(), re.DOTALL)
    names = {Requirement(line).name for line in ast.literal_eval(asked[1])}
    # These two Ubuntu 24.04 has new enough.
    assert names - {'flask', 'opencv-python-headless'} <= set(ros_txt())


def lines_of(name):
    text = (ROOT / 'requirements' / name).read_text(encoding='utf-8')
    return [line.split()[0] for line in text.splitlines() if line and line[0] not in '#- ']


@pytest.mark.parametrize('name', ['pypi', 'dev'])
def test_every_package_is_pinned_with_hashes_and_none_of_the_input_is_missing(name):
    pinned = {Requirement(line).name: line for line in lines_of(f'{name}.txt')}
    for line in lines_of(f'{name}.in'):
        assert pinned[canonical(line)].split('==')[1] == line.split('==')[1], 'run: make lock'
    text = (ROOT / f'requirements/{name}.txt').read_text(encoding='utf-8')
    blocks = re.findall(r'^\S+==\S+ \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+', text, re.M)
    assert len(blocks) == len(pinned) > 20


def canonical(line):
    return Requirement(line).name.lower().replace('_', '-')


@pytest.mark.parametrize('name', ['python-socketio', 'python-engineio', 'eventlet'])
def test_packages_whose_private_parts_are_overridden_are_bounded(name):
    """The tested version fits the bounds of setup.py and ros.txt, the doctor's first other not."""
    asked = re.search(r'install_requires=(\[.*?\])', (ROOT / 'setup.py').read_text(), re.DOTALL)
    bounds = {Requirement(line).name: Requirement(line) for line in ast.literal_eval(asked[1])}
    (tested,) = [line.split('==')[1] for line in lines_of('pypi.in') if canonical(line) == name]
    for requirement in (bounds[name], ros_txt()[name]):
        assert tested in requirement.specifier
        assert f'{doctor_checks._UNTESTED[name]}.0' not in requirement.specifier


@pytest.mark.parametrize(('python', 'is_bound'), [('3.12', True), ('3.14', False)])
def test_numpy_stays_what_ubuntu_24_04_compiled_cv_bridge_against(python, is_bound):
    numpy = ros_txt()['numpy']
    assert numpy.marker.evaluate({'python_version': python}) is is_bound
    assert '1.26.4' in numpy.specifier
    assert '2.0.0' not in numpy.specifier


def ros_txt():
    lines = (ROOT / 'requirements/ros.txt').read_text(encoding='utf-8').splitlines()
    wanted = [Requirement(line) for line in lines if not line.startswith('#')]
    return {requirement.name: requirement for requirement in wanted}


def test_versions_agree():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    version = package.findtext('version')
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text(encoding='utf-8')
