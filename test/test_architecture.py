# SPDX-License-Identifier: Apache-2.0
"""The rooms of both packages: what each may import, what stands at the top, and where facts stand.

A room is a folder of `src/sim_bridge` or `src/steering_net`; docs/architecture.md describes them.
"""

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from helpers.paths import SOURCE
from sim_bridge.limits import NETWORK_SUFFIXES, USUAL_PORT, USUAL_SPEED_LIMIT_MPS

MODULES = sorted(SOURCE.rglob('*.py'))
MAX_LINES = 400
TOP_FILES = {
    'sim_bridge': {
        '__init__.py', 'errors.py', 'topics.py', 'services.py', 'process.py', 'bridge_client.py',
        'limits.py', 'fastdds.xml',
    },
    'steering_net': {
        '__init__.py', 'bicycle_model.py', 'cars.py', 'errors.py', 'vehicle.py', 'statistics.py',
        'process.py', 'tensorflow_notices.py',
    },
}  # fmt: skip
# Every room may also import its own modules and the top of its own package and of the network.
MAY_IMPORT = {
    'bridge.cli': {
        'bridge.evaluation', 'bridge.foxglove', 'bridge.mapping', 'bridge.nodes',
        'bridge.protocol', 'bridge.recording', 'bridge.server', 'bridge.simulator',
        'bridge.training', 'bridge.workers', 'net.data', 'net.evaluation',
        'net.inference', 'net.model_io', 'net.model_io.importers', 'net.ros', 'net.training',
        'net.vision',
    },
    'bridge.gym': {'bridge.control', 'bridge.simulator', 'net.vision'},
    'bridge.nodes': {
        'bridge.control', 'bridge.foxglove', 'bridge.protocol', 'bridge.recording',
        'bridge.server',
        'bridge.session', 'bridge.visualization', 'bridge.web', 'net.ros', 'net.vision',
    },
    'bridge.evaluation': {
        'bridge.control', 'bridge.mapping', 'bridge.recording', 'bridge.simulator',
        'bridge.visualization', 'bridge.workers', 'net.data', 'net.evaluation', 'net.inference',
        'net.vision',
    },
    'bridge.mapping': {
        'bridge.simulator', 'bridge.simulator.worlds', 'bridge.visualization', 'net.data',
        'net.evaluation', 'net.vision',
    },
    'bridge.recording': {'bridge.simulator', 'bridge.visualization', 'net.data', 'net.vision'},
    'bridge.training': {
        'bridge.control', 'bridge.simulator', 'bridge.workers', 'net.inference', 'net.training',
        'net.vision',
    },
    'bridge.visualization': {'net.vision'},
    'bridge.simulator': {'bridge.protocol', 'bridge.simulator.worlds', 'net.vision'},
    'bridge.simulator.worlds': set(),
    'bridge.foxglove': {'bridge.server'},
    'bridge.server': {'bridge.protocol'},
    'bridge.session': {'bridge.control', 'bridge.protocol'},
    'bridge.control': set(),
    'bridge.protocol': set(),
    'bridge.web': set(),
    'bridge.workers': set(),
    'bridge': set(),
    'net.ros': {'net.inference', 'net.vision'},
    'net.training': {'net.data', 'net.model_io', 'net.vision'},
    'net.evaluation': {'net.data', 'net.inference', 'net.vision'},
    'net.inference': {'net.model_io', 'net.vision'},
    'net.model_io': {'net.model_io.importers', 'net.vision'},
    'net.model_io.importers': set(),
    'net.data': {'net.vision'},
    'net.vision': set(),
    'net': set(),
}  # fmt: skip
ROS = {
    'ackermann_msgs',
    'builtin_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'geometry_msgs',
    'nav_msgs',
    'rcl_interfaces',
    'rclpy',
    'rosgraph_msgs',
    'sensor_msgs',
    'simulation_interfaces',
    'std_msgs',
    'std_srvs',
    'tf2_msgs',
    'visualization_msgs',
}
# The wire and the simulator's log files are the two formats that are not SI.
MAY_KNOW_FOREIGN_UNITS = (
    'sim_bridge/protocol/udacity.py',
    'steering_net/data/driving_log.py',
    'steering_net/data/log_table.py',
)
MAY_KNOW_ROS = ('sim_bridge/nodes/', 'steering_net/ros/')


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def dotted(path):
    """Name by which Python imports a file of ours."""
    return '.'.join(path.relative_to(SOURCE).with_suffix('').parts).removesuffix('.__init__')


OURS = {dotted(path): path for path in MODULES}


@cache
def tree_of(path):
    return ast.parse(path.read_text(encoding='utf-8'))


def imports(path, *, top_level_only=False):
    """Names of the modules that a file imports, in functions too if not told otherwise."""
    tree = tree_of(path)
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                folder = dotted(path).split('.')[: None if path.name == '__init__.py' else -1]
                base = '.'.join([*folder[: len(folder) + 1 - node.level], *filter(None, [base])])
            for alias in node.names:
                inner = f'{base}.{alias.name}'
                yield inner if inner in OURS else base


def users_of(*libraries, top_level_only=False):
    """The files that import one of these libraries, in functions too if not told otherwise."""
    return {
        name_of(path)
        for path in MODULES
        for name in imports(path, top_level_only=top_level_only)
        if name.split('.')[0] in libraries
    }


def room_of(module):
    """The room of a module of ours: `bridge.cli`, `net.model_io.importers`, or a package's top."""
    parts = module.split('.')
    folders = parts if OURS[module].name == '__init__.py' else parts[:-1]
    top = {'sim_bridge': 'bridge', 'steering_net': 'net'}[parts[0]]
    return '.'.join([top, *folders[1:]])


def edges():
    """For each arrow between two rooms the imports that make it."""
    found = defaultdict(list)
    for module, path in OURS.items():
        for other in set(imports(path)) & set(OURS):
            if room_of(module) != room_of(other):
                found[room_of(module), room_of(other)].append(f'{module} imports {other}')
    return found


def is_allowed(room, other):
    own_top = room.split('.')[0]
    return other in MAY_IMPORT.get(room, ()) or other in (own_top, 'net')


def drawn(found):
    """The graph as text, each forbidden arrow with the imports that make it."""
    lines = []
    for room in sorted({room for room, _ in found}):
        others = sorted(other for start, other in found if start == room)
        lines.append(f'{room} -> {", ".join(others)}')
        for other in others:
            if not is_allowed(room, other):
                lines += [f'    NOT ALLOWED: {line}' for line in sorted(found[room, other])]
    return '\n'.join(lines)


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 20


def test_the_table_names_the_rooms_that_there_are():
    assert {room_of(module) for module in OURS} == set(MAY_IMPORT)


def test_rooms_import_only_what_the_table_allows():
    found = edges()
    assert found, 'no arrow at all'
    wrong = [edge for edge in found if not is_allowed(*edge)]
    assert not wrong, f'{len(wrong)} arrows are not allowed:\n{drawn(found)}'


def test_no_module_imports_itself_on_a_way_around():
    """Imports inside functions count too."""
    graph = {module: set(imports(path)) & set(OURS) - {module} for module, path in OURS.items()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each module before the one that imports it.
        pytest.fail(' imports '.join(reversed(error.args[1])))


@pytest.mark.parametrize('package', TOP_FILES)
def test_top_of_a_package_holds_the_few_files_that_all_rooms_use(package):
    files = {path.name for path in Path(SOURCE, package).iterdir() if path.is_file()}
    assert files == TOP_FILES[package]


def test_each_module_is_short_enough_to_be_read_at_once():
    lines = {name_of(path): len(path.read_text(encoding='utf-8').splitlines()) for path in MODULES}
    assert {name: count for name, count in lines.items() if count > MAX_LINES} == {}


def test_only_nodes_and_the_message_adapter_know_ros():
    assert [name for name in users_of(*ROS) if not name.startswith(MAY_KNOW_ROS)] == []


def test_eventlet_and_socketio_are_imported_in_one_place():
    users = users_of('eventlet', 'engineio', 'socketio')
    assert users == {'sim_bridge/server/eventlet_imports.py'}


def test_the_network_package_stands_alone():
    assert [name for name in users_of('sim_bridge') if name.startswith('steering_net/')] == []


def test_heavy_libraries_are_imported_where_they_are_needed():
    heavy = ('tensorflow', 'keras', 'matplotlib', 'pyarrow', 'rerun')
    assert users_of(*heavy, top_level_only=True) == set()


def constants_of(path):
    """The literals of a file; the texts of a tuple of texts as one literal, sorted."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant):
            yield node.value
        elif isinstance(node, ast.Tuple):
            texts = [getattr(element, 'value', None) for element in node.elts]
            if all(isinstance(text, str) for text in texts):
                yield tuple(sorted(texts))


def test_limits_that_verbs_and_nodes_share_are_defined_once():
    for value in (USUAL_PORT, USUAL_SPEED_LIMIT_MPS, tuple(sorted(NETWORK_SUFFIXES))):
        holders = [name_of(path) for path in MODULES if value in constants_of(path)]
        assert holders == ['sim_bridge/limits.py'], value


def test_foreign_units_stand_where_foreign_formats_are_read():
    foreign = {0.44704, 2.23694, 'steering_angle', 'steer'}
    users = {name_of(path) for path in MODULES if foreign.intersection(constants_of(path))}
    assert users == set(MAY_KNOW_FOREIGN_UNITS)
