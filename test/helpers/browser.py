# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium that is a desktop or a phone."""

import shutil
from contextlib import contextmanager

import pytest

CHROMIUM = shutil.which('chromium') or shutil.which('chromium-browser')
CHROMEDRIVER = shutil.which('chromedriver')
META = 4
"""Bit of the Meta key in the events of Chromium."""
SIZES = {
    'desktop': (1280, 800, 1.0),
    'phone': (390, 844, 2.0),
    'phone on its side': (844, 390, 2.0),
}


@contextmanager
def started_chromium():
    """The driver of a new Chromium; the test is skipped where there is none."""
    if not (CHROMIUM and CHROMEDRIVER):
        pytest.skip('needs chromium and chromedriver: apt-get install chromium chromium-driver')
    webdriver = pytest.importorskip('selenium.webdriver')
    options = webdriver.ChromeOptions()
    for switch in ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage'):
        options.add_argument(f'--{switch}')
    options.binary_location = CHROMIUM
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def become(driver, device='desktop', dark=False):
    """Make Chromium a device, and forget what the tests before have logged."""
    width, height, ratio = SIZES[device]
    is_phone = device != 'desktop'
    metrics = {'width': width, 'height': height, 'deviceScaleFactor': ratio, 'mobile': is_phone}
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', metrics)
    driver.execute_cdp_cmd('Emulation.setTouchEmulationEnabled', {'enabled': is_phone})
    scheme = {'name': 'prefers-color-scheme', 'value': 'dark' if dark else 'light'}
    driver.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features': [scheme]})
    driver.get_log('browser')


class Hands:
    """Keys and fingers of a person, as the operating system would report them."""

    def __init__(self, driver):
        self._driver = driver
        self._touches = False

    def key(self, name, *, down):
        """Press or release a key; a space is the space bar."""
        kind = 'keyDown' if down else 'keyUp'
        event = {'type': kind, 'key': name, 'code': 'Space' if name == ' ' else name}
        event['modifiers'] = META if name == 'Meta' and down else 0
        self._driver.execute_cdp_cmd('Input.dispatchKeyEvent', event)

    def touch(self, element, right, down):
        """Put or move a finger to a place of an element; -1..1 in both directions."""
        box = element.rect
        x = box['x'] + box['width'] * (1 + right) / 2
        y = box['y'] + box['height'] * (1 + down) / 2
        # The event that puts down a finger also moves one that is there.
        points = [{'x': x, 'y': y}]
        kind = 'touchMove' if self._touches else 'touchStart'
        self._touches = True
        self._driver.execute_cdp_cmd(
            'Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points}
        )

    def lift(self):
        """Lift the finger."""
        self._touches = False
        self._driver.execute_cdp_cmd(
            'Input.dispatchTouchEvent', {'type': 'touchEnd', 'touchPoints': []}
        )


LATER = '(({ now }) => { performance.now = () => now.call(performance) + 6000; })(performance)'
"""Expression that sets the clock of a page 6 s forward."""


GAMEPAD = """
window.pad = {
  connected: true, mapping: 'standard', axes: [0, 0, 0, 0],
  buttons: Array.from({ length: 17 }, () => ({ pressed: false, value: 0 })),
};
navigator.getGamepads = () => [null, window.pad];
"""
"""Script that plugs in a gamepad, `window.pad`, before a page is loaded."""


def hold_gamepad(driver, *, stick=0.0, drive=0.0, brake=0.0, shoulder=True):
    """Use the gamepad of GAMEPAD. stick: -1 is left. drive, brake: 0..1 of the triggers."""
    driver.execute_script(
        'const [stick, drive, brake, shoulder] = arguments; pad.axes[0] = stick;'
        'pad.buttons[7].value = drive; pad.buttons[6].value = brake;'
        'pad.buttons[5].pressed = shoulder;',
        *(stick, drive, brake, shoulder),
    )


TEXTS = """
const shade = (element) => getComputedStyle(element).backgroundColor;
const hasText = (element) => [...element.childNodes].some(
  (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
const shown = [...document.querySelectorAll('body *:not(option):not(noscript)')].filter(
  (element) => element.getClientRects().length && hasText(element));
return shown.map((element) => {
  let ground = element;
  while (shade(ground) === 'rgba(0, 0, 0, 0)') ground = ground.parentElement;
  return [element.textContent.trim(), getComputedStyle(element).color, shade(ground)];
});"""


def contrasts(driver):
    """Contrast ratio (WCAG 2) of each text that a page shows against its ground."""
    for text, *colours in driver.execute_script(TEXTS):
        dark, light = sorted(map(_luminance, colours))
        yield text, (light + 0.05) / (dark + 0.05)


def _luminance(colour):
    channels = [int(part) / 255 for part in colour[4:-1].split(',')]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
