# SPDX-License-Identifier: Apache-2.0
"""A person on the page drives a car of the embedded simulator, in a real browser, for 20 s."""

import contextlib
import math
import os
import signal
import subprocess
import time

import pytest
import rclpy
from nav_msgs.msg import Odometry
from std_msgs.msg import Bool, String

from helpers.browser import GAMEPAD, Hands, become, hold_gamepad, started_chromium
from helpers.graph import state_of
from helpers.network import own_port
from helpers.processes import start_verb
from helpers.ros import started_node
from helpers.waiting import wait_for
from sim_bridge.process import ManagedProcess
from sim_bridge.simulator.track import make_track
from steering_net.bicycle_model import pursuit_steering_rad
from steering_net.ros.qos import LATCHED
from steering_net.vehicle import MAX_STEERING_RAD

pytestmark = [pytest.mark.faults, pytest.mark.real_time]

TRACK = 3
SPEED_MPS = 3.0
AHEAD_M = 8.0
KEY_RAD = 0.06
"""Wanted wheel angle from which a person who has only keys presses one."""
LETS_GO_S = 0.3


class Person:
    """Sees where the car is on its track, and what drives it."""

    def __init__(self, node):
        self.node, self.track = node, make_track(TRACK)
        self.s_m = self.start_m = self.track.start_m
        self.wanted_rad = self.speed_mps = 0.0
        self.is_off_road = False
        self.drivers = []
        node.create_subscription(Odometry, 'ground_truth/odom', self.see, 10)
        node.create_subscription(Bool, 'ground_truth/off_road', self.see_road, 10)
        node.create_subscription(String, 'driver/active', self.see_driver, LATCHED)

    def see(self, message):
        place, turn = message.pose.pose.position, message.pose.pose.orientation
        yaw_rad = 2.0 * math.atan2(turn.z, turn.w)
        self.speed_mps = message.twist.twist.linear.x
        self.s_m = self.track.project(place.x, place.y, self.s_m).s_m
        x_m, y_m = self.track.pose(self.s_m + AHEAD_M)[:2]
        dx_m, dy_m = x_m - place.x, y_m - place.y
        cos, sin = math.cos(yaw_rad), math.sin(yaw_rad)
        self.wanted_rad = float(
            pursuit_steering_rad(dx_m * cos + dy_m * sin, dy_m * cos - dx_m * sin)
        )

    def see_road(self, message):
        self.is_off_road = self.is_off_road or message.data

    def see_driver(self, message):
        self.drivers.append((time.monotonic(), message.data))

    @property
    def driver(self):
        return self.drivers[-1][1] if self.drivers else ''

    def looks(self, seconds):
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            rclpy.spin_once(self.node, timeout_sec=left_s)

    def drives(self, seconds, act):
        """Call `act` with the wanted wheel angle, ten times a second."""
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            act(self.wanted_rad)
            self.looks(0.1)


@pytest.fixture
def port():
    port = own_port()
    words = ['bridge', '--ros-args', '-p', f'port:={port}', '-p', 'control:=true']
    bridge = ManagedProcess('bridge', words)
    url = f'ws://127.0.0.1:{port}'
    simulator = None
    try:
        wait_for(lambda: state_of(port), 30.0, 'an answer')
        words = ['simulate', '--url', url, '--track', TRACK]
        simulator = start_verb(*words, stdout=subprocess.DEVNULL)
        wait_for(lambda: state_of(port)['simulators'], 30.0, 'the simulator')
        yield port
    finally:
        if simulator:
            simulator.send_signal(signal.SIGINT)
            simulator.wait(10.0)
        bridge.ask_to_end()
        bridge.wait(10.0)


def screenshot(driver, tmp_path, name):
    """Keep what the page looks like, for a person to look at."""
    path = tmp_path / f'{name}.png'
    driver.save_screenshot(str(path))
    print('screenshot:', path)


def press(hands, pressed, wanted_rad, speed_mps):
    """Hold the keys that a person would hold for this wheel angle."""
    wanted = {' '} if speed_mps > SPEED_MPS else {' ', 'ArrowUp'}
    if abs(wanted_rad) > KEY_RAD:
        wanted.add('ArrowLeft' if wanted_rad > 0.0 else 'ArrowRight')
    for key in pressed - wanted:
        hands.key(key, down=False)
    for key in wanted - pressed:
        hands.key(key, down=True)
    pressed.clear()
    pressed.update(wanted)


def test_person_on_the_page_drives_holds_and_vanishes(port, tmp_path):
    with started_chromium() as driver, started_node('person') as node:
        driver.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', {'source': GAMEPAD})
        become(driver)
        driver.get(f'http://127.0.0.1:{port}')
        pad = driver.find_element('id', 'pad')
        wait_for(pad.is_displayed)
        person = Person(node)

        person.drives(
            10.0,
            lambda wanted_rad: hold_gamepad(
                driver, stick=-wanted_rad / MAX_STEERING_RAD, drive=0.5
            ),
        )
        screenshot(driver, tmp_path, 'gamepad')
        by_gamepad_m = person.s_m - person.start_m
        hold_gamepad(driver, shoulder=False)
        driver.execute_script("document.getElementById('pad').focus()")
        hands, pressed = Hands(driver), set()
        person.drives(10.0, lambda wanted_rad: press(hands, pressed, wanted_rad, person.speed_mps))
        screenshot(driver, tmp_path, 'keys')
        by_keys_m = person.s_m - person.start_m - by_gamepad_m
        print(f'measured: {by_gamepad_m:.0f} m by gamepad, {by_keys_m:.0f} m by keys')
        assert not person.is_off_road
        assert min(by_gamepad_m, by_keys_m) > 15.0
        assert {name for _, name in person.drivers} <= {'page', 'nobody'}

        driver.find_element('id', 'hold').click()
        wait_for(lambda: state_of(port)['driver'] == 'hold', 2.0)
        wait_for(lambda: state_of(port)['speed_mps'] < 0.1, 10.0, 'a standing car')
        wait_for(lambda: driver.find_element('id', 'hold').text == 'Release')
        screenshot(driver, tmp_path, 'held')
        driver.find_element('id', 'hold').click()
        wait_for(lambda: state_of(port)['driver'] != 'hold', 2.0)

        hold_gamepad(driver, drive=0.6)
        wait_for(lambda: person.looks(0.1) or person.driver == 'page')
        killed_s = kill_browser(driver)
        wait_for(lambda: person.looks(0.01) or person.driver != 'page')
        took_s = person.drivers[-1][0] - killed_s
        print(f'measured: a killed browser lets go after {1e3 * took_s:.0f} ms')
        assert took_s < LETS_GO_S


def kill_browser(driver):
    """Kill the browser and its processes without a word; return when."""
    pid = driver.capabilities.get('goog:processID') or driver.service.process.pid
    children = subprocess.run(
        ['ps', '-o', 'pid=', '--ppid', str(pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    killed_s = time.monotonic()
    for one in [*children, pid]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(one), signal.SIGKILL)
    return killed_s
