# SPDX-License-Identifier: Apache-2.0
"""What RViz, Foxglove and PlotJuggler open with: each topic and field in it is one that there is.

The truth is docs/reference.md, which another test holds to what the nodes declare.
"""

import importlib
import json
import re
from xml.etree import ElementTree

import pytest
import yaml

from helpers.layouts import FOXGLOVE, panels
from helpers.paths import ROOT
from sim_bridge.topics import BASE_FRAME, RECORDED_TOPICS

PLOTJUGGLER = ElementTree.parse(ROOT / 'layouts' / 'plotjuggler.xml').getroot()
RVIZ = yaml.safe_load((ROOT / 'rviz' / 'drive.rviz').read_text(encoding='utf-8'))
DISPLAYS = RVIZ['Visualization Manager']['Displays']
RECORDING_QOS = yaml.safe_load((ROOT / 'config' / 'recording_qos.yaml').read_text())
# What a panel or a display can show, by its kind.
SHOWN_BY = {
    'Image': {'sensor_msgs/Image', 'sensor_msgs/CompressedImage'},
    'Camera': {'sensor_msgs/Image', 'sensor_msgs/CompressedImage'},
    'CameraInfo': {'sensor_msgs/CameraInfo'},
    'Path': {'nav_msgs/Path'},
    'Odometry': {'nav_msgs/Odometry'},
    'Marker': {'visualization_msgs/Marker'},
    'Diagnostics': {'diagnostic_msgs/DiagnosticArray'},
    '3D': {
        'nav_msgs/Path', 'nav_msgs/Odometry', 'visualization_msgs/Marker', 'sensor_msgs/CameraInfo'
    },
}  # fmt: skip


def rows(title):
    """Rows of one table of the reference, as lists of cells."""
    text = (ROOT / 'docs' / 'reference.md').read_text(encoding='utf-8')
    section = text.partition(f'## {title}\n')[2].partition('\n## ')[0]
    lines = [line for line in section.splitlines() if line.startswith('|')][2:]
    return [[cell.strip() for cell in line.strip('|').split('|')] for line in lines]


TYPES = {f'/{topic}': kind for topic, kind, *_ in rows('Topics')}
FIGURES = {(name, hardware): values.split(', ') for name, hardware, values in rows('Diagnostics')}


def type_at(kind, fields):
    """Type that lies at these fields of a message type; a KeyError names one that is not there."""
    for field in fields:
        package, name = kind.split('/')
        message = getattr(importlib.import_module(f'{package}.msg'), name)
        kind = re.sub(r'^sequence<(.+)>$', r'\1', message.get_fields_and_field_types()[field])
    return kind


def shown():
    """(who shows it, kind of panel or display, topic) of all three programs."""
    for panel in panels('Image'):
        mode = panel['imageMode']
        yield 'foxglove', 'Image', mode['imageTopic']
        if 'calibrationTopic' in mode:
            yield 'foxglove', 'CameraInfo', mode['calibrationTopic']
    for panel in panels('3D') + panels('Image'):
        yield from (('foxglove', '3D', topic) for topic in panel.get('topics', ()))
    for panel in panels('DiagnosticSummary') + panels('DiagnosticStatusPanel'):
        yield 'foxglove', 'Diagnostics', panel['topicToRender']
    for display in DISPLAYS:
        if 'Topic' in display:
            yield 'rviz', display['Class'].split('/')[1], '/' + display['Topic']['Value']


@pytest.mark.parametrize(('program', 'kind', 'topic'), sorted(set(shown())))
def test_topic_is_published_and_of_a_type_that_can_be_shown(program, kind, topic):
    assert TYPES[topic] in SHOWN_BY[kind]


def foxglove_paths():
    return [path['value'] for panel in panels('Plot') for path in panel['paths']]


@pytest.mark.parametrize('path', foxglove_paths())
def test_foxglove_plots_what_is_there(path):
    topic, *fields = re.sub(r'\[[^]]*\]|\{[^}]*\}', '', path).split('.')
    kind = type_at(TYPES[topic], fields)
    assert kind in ('float', 'double', 'string')
    if kind == 'string':
        name, key = re.findall(r'=="([^"]*)"', path)
        assert key in next(values for (said, _), values in FIGURES.items() if said == name)


def test_foxglove_shows_every_panel_once():
    placed = re.findall(r'"([A-Za-z0-9]+![a-z]+)"', json.dumps(FOXGLOVE['layout']))
    for tab in panels('Tab'):
        placed += [one['layout'] for one in tab['tabs']]
    assert sorted(placed) == sorted(FOXGLOVE['configById'])
    (status,) = panels('DiagnosticStatusPanel')
    assert (status['selectedName'], status['selectedHardwareId']) in FIGURES


def plotjuggler_series():
    for curve in PLOTJUGGLER.iter('curve'):
        axes = [curve.get('curve_x'), curve.get('curve_y')]
        yield from axes if all(axes) else [curve.get('name')]


@pytest.mark.parametrize('series', list(plotjuggler_series()))
def test_plotjuggler_plots_what_is_there(series):
    """It names a joint's position TOPIC/JOINT/position, a diagnostic TOPIC/HARDWARE/NAME/KEY."""
    # Of speed_limit and speed_limit/active the longer one is meant.
    topic = max((topic for topic in TYPES if series.startswith(f'{topic}/')), key=len)
    fields = series.removeprefix(f'{topic}/').split('/')
    if TYPES[topic] == 'diagnostic_msgs/DiagnosticArray':
        hardware, name, key = fields
        assert key in FIGURES[name, hardware]
    elif TYPES[topic] == 'sensor_msgs/JointState':
        assert fields == ['steering', 'position']
    else:
        assert type_at(TYPES[topic], fields) in ('float', 'double')


def test_plotjuggler_subscribes_to_what_it_plots():
    (selected,) = PLOTJUGGLER.iter('selected_topics')
    topics = selected.get('value').split(';')
    assert set(topics) <= set(TYPES)
    for series in plotjuggler_series():
        assert any(series.startswith(f'{topic}/') for topic in topics)


def test_a_recording_holds_what_the_layouts_show():
    held = {f'/{topic}'.replace('//', '/') for topic in RECORDED_TOPICS}
    assert {path.split('.')[0] for path in foxglove_paths()} <= held
    live_only = {'/camera/image_raw', '/camera/image_annotated/compressed', '/path'}
    assert {topic for program, _, topic in shown() if program == 'foxglove'} <= held | live_only
    assert set(RECORDING_QOS) <= set(TYPES) & held


def test_rviz_sees_from_the_frame_that_the_transforms_start_at():
    assert RVIZ['Visualization Manager']['Global Options']['Fixed Frame'] == BASE_FRAME
    displays = {display['Class'].split('/')[1]: display for display in DISPLAYS}
    assert {'TF', 'Image', 'Camera', 'Path', 'Marker', 'Odometry'} <= set(displays)
    # The frame of a car among several has a prefix; the launch file gives it with --fixed-frame.
    assert displays['Grid']['Reference Frame'] == '<Fixed Frame>'


def test_rviz_opens_with_its_panels():
    window = RVIZ['Window Geometry']
    # RViz reads a variable without a value if the file does not say whether a side is hidden.
    assert (window['Hide Left Dock'], window['Hide Right Dock']) == (False, True)
    assert (window['Width'], window['Height']) <= (1600, 900)
    # Without the height of its tree, an empty box for help takes the place of the displays.
    (panel,) = RVIZ['Panels']
    assert {'Help Height', 'Tree Height'} <= set(panel)
    # The state is Qt's, in hexadecimal digits; it has the panels by their names.
    state = bytes.fromhex(window['QMainWindow State'])
    images = [one for one in DISPLAYS if one['Class'].endswith(('/Image', '/Camera'))]
    for name in (panel['Name'], *(one['Name'] for one in images)):
        assert name.encode('utf-16-be') in state


def test_rviz_draws_only_the_paths_over_the_camera():
    (camera,) = [one for one in DISPLAYS if one['Class'].endswith('/Camera')]
    seen = camera['Visibility']
    assert set(seen) - {'Value'} <= {one['Name'] for one in DISPLAYS}
    assert [name for name, is_seen in seen.items() if not is_seen] == [
        'Ground', 'Transforms', 'Car'
    ]  # fmt: skip


def test_rviz_warns_of_no_second_car():
    """The frames of the cars are not connected, and its display of transforms warns of that."""
    (transforms,) = [one for one in DISPLAYS if one['Class'].endswith('/TF')]
    assert not transforms['Enabled']
