# SPDX-License-Identifier: Apache-2.0
"""The buttons and states of layouts/foxglove.json: each service, topic and field exists."""

import importlib
import json

import pytest

from helpers.layouts import FOXGLOVE, panels
from sim_bridge.nodes.foxglove_car import DESCRIPTION
from sim_bridge.nodes.foxglove_commands import PUBLISHABLE
from sim_bridge.services import SERVICES
from sim_bridge.session.arbiter import Driver
from sim_bridge.topics import CMD_VEL, DRIVER, HOLD_ACTIVE, TOPICS


def class_of(kind):
    package, folder, name = kind.split('/')
    return getattr(importlib.import_module(f'{package}.{folder}'), name)


@pytest.mark.parametrize('panel', panels('CallService'), ids=lambda panel: panel['buttonText'])
def test_services_take_the_requests_of_the_buttons(panel):
    service = SERVICES[panel['serviceName'].removeprefix('/')]
    class_of(service.type).Request(**json.loads(panel['requestPayload']))


@pytest.mark.parametrize('panel', panels('Publish'), ids=lambda panel: panel['buttonText'])
def test_topics_take_the_messages_of_the_buttons(panel):
    topic = panel['topicName'].removeprefix('/')
    assert topic in PUBLISHABLE
    assert panel['datatype'] == TOPICS[topic].type
    message = class_of(panel['datatype'])(**json.loads(panel['value']))
    assert f'{message.data:.4g} m/s' == panel['buttonText']


def test_driving_by_hand_publishes_often_enough():
    (panel,) = panels('Teleop')
    assert panel['topic'] == f'/{CMD_VEL}'
    assert 1 / panel['publishRate'] < 0.5, 'the default of cmd_vel_timeout, s'


def test_states_have_a_label_for_every_value():
    rules = {
        panel['path']: {rule['rawValue'] for rule in panel['rules']}
        for panel in panels('Indicator')
    }
    assert rules == {
        f'/{DRIVER}.data': {driver.value for driver in Driver},
        f'/{HOLD_ACTIVE}.data': {'true', 'false'},
    }


def test_the_car_is_shown_by_its_description():
    (panel,) = panels('3D')
    assert panel['layers']['car']['topic'] == f'/{DESCRIPTION}'


def test_panels_have_the_same_title_in_both_apps():
    titles = {
        name: (panel.get('foxglovePanelTitle'), panel.get('lichtblickPanelTitle'))
        for name, panel in FOXGLOVE['configById'].items()
    }
    assert any(foxglove for foxglove, _ in titles.values())
    assert {name: pair for name, pair in titles.items() if pair[0] != pair[1]} == {}
