# SPDX-License-Identifier: Apache-2.0
"""Topic names: spelt once in sim_bridge/topics.py, and equal to what nodes, docs and files use."""

import ast
import re

import pytest

from helpers.paths import ROOT
from sim_bridge.services import SERVICES
from sim_bridge.topics import (
    DRIVE_TOPICS,
    RECORDED_TOPICS,
    TOPICS,
    car_of,
    frame_prefix,
    namespaces_of_cars,
    without_car,
)

SOURCES = sorted((ROOT / 'src').rglob('*.py')) + sorted((ROOT / 'launch').glob('*.py'))
PAGES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]
# Nodes that docs/make_reference.py does not create.
NOT_IN_REFERENCE = {'recorder', 'static_transform_publisher'}


def rows_of(title):
    """Cells of a table in docs/reference.md, which real nodes declare."""
    text = (ROOT / 'docs' / 'reference.md').read_text(encoding='utf-8')
    section = text.partition(f'## {title}\n')[2].partition('\n## ')[0]
    rows = [line.strip('|').split('|') for line in section.splitlines() if line.startswith('|')]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def reference_rows():
    """Name, type, publishers and meaning of each topic."""
    cells = rows_of('Topics')
    return [(name, kind, publishers, what) for name, kind, publishers, _, what in cells]


def literals(path):
    """String constants of a file with their lines, without its docstrings."""
    tree = ast.parse(path.read_text(encoding='utf-8'))
    docstrings = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # fmt: skip
    return [
        (node.value, node.lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in docstrings
    ]


@pytest.mark.parametrize('row', reference_rows(), ids=lambda row: row[0])
def test_nodes_declare_what_the_table_of_topics_holds(row):
    name, kind, publishers, meaning = row
    topic = TOPICS.get(name) or TOPICS[f'/{name}']
    assert kind == topic.type.replace('/msg/', '/')
    declared = set(publishers.split(', ')) - {'anyone'}
    assert declared == set(topic.publishers) - NOT_IN_REFERENCE
    assert meaning.endswith(' Latched.') is topic.is_latched


def test_every_topic_without_a_foreign_message_type_is_in_the_reference():
    declared = {name for name, *_ in reference_rows()}
    of_pypi = {
        name.removeprefix('/') for name, topic in TOPICS.items() if 'tf2_msgs' not in topic.type
    }
    assert of_pypi <= declared


def test_bridge_declares_the_services_of_the_table():
    of_table = [
        [name, service.type.replace('/srv/', '/'), 'bridge', service.meaning]
        for name, service in SERVICES.items()
    ]
    assert of_table
    assert rows_of('Services') == of_table


@pytest.mark.parametrize(('name', 'car'), [('/hold', 1), ('/car_12/hold', 12), ('/a/car_2/x', 2)])
def test_car_of_a_name(name, car):
    assert car_of(name) == car


def test_sim_bridge_spells_a_topic_name_only_in_its_table():
    names = {name for name in TOPICS if '/' in name}
    found = [
        f'{path.relative_to(ROOT)}:{line}: {text}'
        for path in SOURCES
        if path.name != 'topics.py' and 'steering_net' not in path.parts
        for text, line in literals(path)
        if text in names or text.removeprefix('/') in names
    ]
    assert found == []


def test_steering_net_spells_each_of_its_topic_names_once():
    """It may not import sim_bridge, so it has names of its own."""
    names = {name for name in TOPICS if '/' in name}
    spelt = [
        text
        for path in SOURCES
        if 'steering_net' in path.parts
        for text, _ in literals(path)
        if text in names
    ]
    assert {'cmd/steering', 'camera/image_raw/compressed', 'ready/steering'} <= set(spelt)
    assert len(spelt) == len(set(spelt))


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_pages_name_topics_that_there_are(page):
    text = page.read_text(encoding='utf-8')
    for name in re.findall(r'\b(?:camera|vehicle|cmd|ready|speed_limit)/[a-z_/]*[a-z]', text):
        assert name in TOPICS


def test_recorder_takes_the_topics_of_every_drive_and_those_that_come_later():
    assert set(DRIVE_TOPICS) < set(RECORDED_TOPICS) < set(TOPICS)
    assert 'camera/image_raw' not in RECORDED_TOPICS, 'the bridge would decode every frame'


def test_names_of_any_car_lose_its_namespace_and_its_frames_have_it():
    cars = namespaces_of_cars(['/car_12/vehicle/speed', '/ego/vehicle/speed', '/tf'])
    assert cars == {'/car_12', '/ego'}
    assert without_car('/car_12/cmd/steering', cars) == '/cmd/steering'
    assert without_car('/ego/path', cars) == '/path'
    assert without_car('/robot/path', cars) == '/robot/path'
    assert [frame_prefix(name) for name in ('/', '/car_2', '/lab/car_12', '/ego')] == [
        '', 'car_2/', 'lab/car_12/', 'ego/',
    ]  # fmt: skip
