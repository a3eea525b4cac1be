# SPDX-License-Identifier: Apache-2.0
"""The package as pip and ROS install it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

from helpers.paths import ROOT, SOURCE
from sim_bridge.cli import doctor_checks
from sim_bridge.cli.main import NODES, VERBS

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
    'werkzeug': 'python3-werkzeug',
}
PIP_NAMES = {
    'ai_edge_litert': 'ai-edge-litert',
    'foxglove': 'foxglove-sdk',
    'google': 'tensorflow',
    'h5py': 'tensorflow',
    'keras': 'tensorflow',
    'tensorflow': 'tensorflow',
}


MARKER = 'ament_index/resource_index/packages/sim_bridge'
SPDX = '# SPDX-License-Identifier: Apache-2.0'
DISTRIBUTIONS = {
    'rerun': 'rerun-sdk',
    'ai_edge_litert': 'ai-edge-litert',
    'cv2': 'opencv-python-headless',
    'engineio': 'python-engineio',
    'foxglove': 'foxglove-sdk',
    'google': 'protobuf',
    'socketio': 'python-socketio',
    'tensorflow': 'tensorflow-cpu',
    'websocket': 'websocket-client',
    'yaml': 'pyyaml',
}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """The wheel, built from a copy: a build in the checkout would leave folders there."""
    folder = tmp_path_factory.mktemp('wheel')
    left_out = shutil.ignore_patterns('.*', 'build', '__pycache__', '*.egg-info', 'test', 'docs')
    shutil.copytree(ROOT, folder / 'copy', ignore=left_out)
    subprocess.run(
        [sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation',
         '--wheel-dir', str(folder), str(folder / 'copy')],
        check=True,
    )  # fmt: skip
    return next(folder.glob('sim_bridge-*.whl'))


def files_under(folder, *parts):
    """Relative names of the files in a folder of the checkout."""
    start = Path(folder, *parts)
    return {
        path.relative_to(folder).as_posix()
        for path in start.rglob('*')
        if path.is_file() and '__pycache__' not in path.parts
    }


def test_wheel_holds_every_module_and_data_file_and_no_other(wheel):
    names = {
        name
        for name in zipfile.ZipFile(wheel).namelist()
        if not name.partition('/')[0].endswith(('.data', '.dist-info'))
    }
    assert names == files_under(SOURCE, 'sim_bridge') | files_under(SOURCE, 'steering_net')


def test_wheel_holds_what_ros_looks_for_and_nothing_else(wheel):
    names = {
        name.partition('.data/data/')[2]
        for name in zipfile.ZipFile(wheel).namelist()
        if '.data/' in name
    }
    share = {
        'share/ament_index/resource_index/packages/sim_bridge',
        'share/sim_bridge/package.xml',
    }
    for folder in ('launch', 'config', 'rviz', 'urdf', 'layouts'):
        share |= {f'share/sim_bridge/{name}' for name in files_under(ROOT, folder)}
    programs = {f'lib/sim_bridge/{name}' for name in {*VERBS, *NODES, 'sim-bridge'}}
    assert names == share | programs


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


def imported_packages(*folders):
    """Top-level names of everything that is imported and neither ours nor Python's."""
    found = set()
    for path in (path for folder in folders for path in folder.rglob('*.py')):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if isinstance(node, ast.Import):
                found |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.split('.')[0])
    return found - OWN - set(sys.stdlib_module_names)


def keyword_of_setup(name):
    """The value of a keyword argument in setup.py."""
    tree = ast.parse((ROOT / 'setup.py').read_text(encoding='utf-8'))
    (value,) = [
        keyword.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for keyword in call.keywords
        if keyword.arg == name
    ]
    return ast.literal_eval(value)


def required(*extras):
    """Names of the packages that setup.py asks for, with these extras."""
    lines = [*keyword_of_setup('install_requires')]
    for extra in extras:
        lines += keyword_of_setup('extras_require')[extra]
    return {Requirement(line).name for line in lines}


def distributions(imported):
    """Names on PyPI of imported packages, without those that come with ROS."""
    return {DISTRIBUTIONS.get(name, name) for name in imported - declared_in_package_xml()}


def extras_for_users():
    """Names of the extras that the package itself imports."""
    return set(keyword_of_setup('extras_require')) - {'test', 'docs'}


def test_setup_py_asks_for_every_import_and_for_no_other_package():
    assert required(*extras_for_users()) == distributions(imported_packages(SOURCE))


def test_setup_py_asks_for_what_the_tests_import():
    imported = imported_packages(ROOT / 'test') - {'helpers'}
    assert distributions(imported) <= required('test', *extras_for_users())


def test_driving_imports_nothing_of_the_extras():
    program = (
        'import sys\n'
        'import sim_bridge.cli.drive, sim_bridge.nodes.composed\n'
        'print(*{name.split(".")[0] for name in sys.modules})'
    )
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, check=True
    )
    optional = required(*extras_for_users()) - required()
    assert not distributions(set(result.stdout.split())) & optional


def declared_in_package_xml():
    package = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {element.text for element in package.findall('exec_depend')}


def test_package_xml_declares_every_import():
    declared = declared_in_package_xml()
    by_pip = re.findall(r'^[a-z-]+', (ROOT / 'requirements/ros.txt').read_text(), re.MULTILINE)
    by_pip = {name.removesuffix('-cpu') for name in by_pip}
    # A ROS distribution has the packages for training; the other extras are the user's choice.
    by_choice = required(*extras_for_users() - {'train'}) - required('train')
    missing = {
        name
        for name in imported_packages(SOURCE)
        if KEYS.get(name, name) not in declared and PIP_NAMES.get(name, name) not in by_pip
    }
    assert {DISTRIBUTIONS.get(name, name) for name in missing} <= by_choice


def test_package_xml_declares_what_the_launch_files_run():
    declared = declared_in_package_xml()
    files = [path.read_text(encoding='utf-8') for path in (ROOT / 'launch').iterdir()]
    packages = {name for file in files for name in re.findall(r"package='(\w+)'", file)}
    assert 'rviz2' in packages
    assert packages - declared <= OWN


def test_what_a_distribution_lacks_is_in_ros_txt():
    # These four Ubuntu 24.04 has new enough.
    of_ubuntu = {'flask', 'opencv-python-headless', 'tqdm', 'werkzeug'}
    assert required() - of_ubuntu <= set(ros_txt())


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
    asked = map(Requirement, keyword_of_setup('install_requires'))
    bounds = {requirement.name: requirement for requirement in asked}
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


def test_every_source_file_names_its_license():
    folders = ('src', 'test', 'benchmarks', 'launch', 'scripts', 'docs')
    files = [
        path
        for folder in folders
        for path in sorted((ROOT / folder).rglob('*'))
        if path.suffix == '.py' or path.parent.name == 'scripts'
    ]
    assert len(files) > 200
    without = [
        path for path in files if SPDX not in path.read_text(encoding='utf-8').split('\n')[:2]
    ]
    names = '\n'.join(path.relative_to(ROOT).as_posix() for path in without)
    assert not without, f'no line {SPDX!r} at the top of:\n{names}'
