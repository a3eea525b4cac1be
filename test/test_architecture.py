"""The arrows between modules: who may import what, and where a constant may stand."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / 'src'
MODULES = sorted(SOURCE.rglob('*.py'))
ROS = {
    'builtin_interfaces',
    'cv_bridge',
    'diagnostic_msgs',
    'geometry_msgs',
    'nav_msgs',
    'rcl_interfaces',
    'rclpy',
    'rosgraph_msgs',
    'sensor_msgs',
    'std_msgs',
    'tf2_msgs',
    'visualization_msgs',
}
# The wire and the simulator's log files are the two formats that are not SI.
MAY_KNOW_FOREIGN_UNITS = ('sim_bridge/protocol/udacity.py', 'steering_net/data/driving_log.py')
MAY_KNOW_ROS = (
    'sim_bridge/nodes/',
    'sim_bridge/nodes/conversions.py',
    'steering_net/ros/',
)


def imports(path, *, top_level_only=False):
    """Names of the modules that a file imports."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ''


def name_of(path):
    return path.relative_to(SOURCE).as_posix()


def test_there_are_modules_to_look_at():
    assert len(MODULES) > 20


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_only_nodes_and_the_message_adapter_know_ros(path):
    found = {name.split('.')[0] for name in imports(path)} & ROS
    assert not found or name_of(path).startswith(MAY_KNOW_ROS)


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_eventlet_and_socketio_are_imported_in_one_place(path):
    found = {name.split('.')[0] for name in imports(path)} & {'eventlet', 'engineio', 'socketio'}
    assert not found or name_of(path) == 'sim_bridge/server/eventlet_imports.py'


@pytest.mark.parametrize('path', sorted((SOURCE / 'steering_net').rglob('*.py')), ids=name_of)
def test_the_network_package_stands_alone(path):
    assert not [name for name in imports(path) if name.startswith('sim_bridge')]


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_heavy_libraries_are_imported_where_they_are_needed(path):
    heavy = {'tensorflow', 'keras', 'matplotlib'}
    assert not {name.split('.')[0] for name in imports(path, top_level_only=True)} & heavy


@pytest.mark.parametrize('path', MODULES, ids=name_of)
def test_foreign_units_stand_where_foreign_formats_are_read(path):
    if name_of(path) in MAY_KNOW_FOREIGN_UNITS:
        return
    constants = {
        node.value
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8')))
        if isinstance(node, ast.Constant)
    }
    assert not constants & {0.44704, 2.23694, 'steering_angle', 'steer'}
