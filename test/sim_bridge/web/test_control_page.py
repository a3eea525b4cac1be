# SPDX-License-Identifier: Apache-2.0
"""The page that controls a drive, in a real browser with synthetic keys, fingers and gamepads."""

import time

import pytest

from helpers.browser import (
    GAMEPAD,
    LATER,
    SIZES,
    Hands,
    become,
    contrasts,
    hold_gamepad,
    started_chromium,
)
from helpers.controlled_site import NETWORKS, ControlledSite
from helpers.paths import PROBE_FRAMES
from helpers.waiting import wait_for
from sim_bridge.web.live_stream import Moment

pytestmark = pytest.mark.slow

JPEG = (PROBE_FRAMES / 'track_2000.jpg').read_bytes()

TOKEN = 'right-token'
ARROW_DOWN = '\ue015'
ARROW_RIGHT = '\ue014'
PRESS_AGAIN = """
const hold = document.getElementById('hold');
const observer = new MutationObserver(() => { observer.disconnect(); hold.click(); });
observer.observe(hold, { childList: true });
"""
"""Presses the button again as soon as it says Release."""


@pytest.fixture(scope='module')
def chromium():
    with started_chromium() as driver:
        script = {'source': GAMEPAD}
        driver.execute_cdp_cmd('Page.addScriptToEvaluateOnNewDocument', script)
        yield driver


@pytest.fixture
def site(chromium):
    site = ControlledSite()
    yield site
    chromium.get('about:blank')
    site.close()


@pytest.fixture
def opened(site, chromium):
    """Open the page as a device; return the driver once the wheel is connected."""

    def opened(device='desktop', dark=False):
        become(chromium, device, dark)
        chromium.get(site.url)
        wait_for(lambda: one(chromium, 'control').is_displayed())
        wait_for(lambda: len(one(chromium, 'network-choice').find_elements('tag name', 'option')))
        return chromium

    return opened


def one(driver, name):
    return driver.find_element('id', name)


def newest(site):
    """What the first car was told last."""
    return site.cars[0].done[-1] if site.cars[0].done else None


def drives(site, fits):
    """Wait until the newest command (steering, throttle) fits."""
    wait_for(lambda: isinstance(newest(site), tuple) and fits(*newest(site)), what='the command')


def has_let_go(site):
    wait_for(lambda: newest(site) == 'let go', what='letting go')


def test_page_without_control_shows_none_of_it(chromium):
    site = ControlledSite(is_on=False)
    try:
        become(chromium)
        chromium.get(site.url)
        wait_for(lambda: one(chromium, 'state-text').text == 'driving')
        assert not one(chromium, 'control').is_displayed()
        assert chromium.get_log('browser') == []
    finally:
        chromium.get('about:blank')
        site.close()


def test_keys_drive_while_the_space_bar_is_pressed(site, opened):
    driver = opened()
    hands = Hands(driver)
    driver.execute_script("document.getElementById('pad').focus()")
    hands.key('ArrowLeft', down=True)
    time.sleep(0.2)
    assert site.cars[0].done == [], 'an arrow key alone drives nothing'
    hands.key(' ', down=True)
    drives(site, lambda steering, throttle: (steering, throttle) == (1, 0))
    steps = [command[0] for command in site.cars[0].done]
    assert 0.0 < steps[0] < 1.0, 'a key turns the wheel, and does not throw it'
    assert steps == sorted(steps)
    hands.key('ArrowLeft', down=False)
    hands.key('ArrowUp', down=True)
    drives(site, lambda steering, throttle: (steering, throttle) == (0, 1))
    hands.key(' ', down=False)
    has_let_go(site)
    hands.key(' ', down=True)
    drives(site, lambda _, throttle: throttle > 0.5)
    driver.execute_script("document.getElementById('reset').focus()")
    has_let_go(site)
    assert driver.get_log('browser') == []


def test_keys_are_released_with_meta_because_macos_reports_no_release_then(site, opened):
    driver = opened()
    hands = Hands(driver)
    driver.execute_script("document.getElementById('pad').focus()")
    hands.key(' ', down=True)
    hands.key('ArrowUp', down=True)
    drives(site, lambda _, throttle: throttle > 0.5)
    hands.key('Meta', down=True)
    has_let_go(site)
    hands.key('Meta', down=False)
    time.sleep(0.2)
    assert newest(site) == 'let go'


def test_finger_drives_until_it_is_lifted(site, opened):
    driver = opened('phone')
    hands, pad = Hands(driver), one(driver, 'pad')
    # The knob has a radius of 18 pixels and stays inside the pad.
    across, along = (side / (side - 36) for side in (pad.rect['width'], pad.rect['height']))
    hands.touch(pad, -0.5, -0.75)
    drives(site, lambda *it: it == pytest.approx((0.5 * across, 0.75 * along), abs=0.02))
    hands.touch(pad, 0.25, 0.5)
    drives(site, lambda *it: it == pytest.approx((-0.25 * across, -0.5 * along), abs=0.02))
    hands.touch(pad, 0.0, -1.0)
    drives(site, lambda *it: it == pytest.approx((0.0, 1.0), abs=0.02))
    hands.lift()
    has_let_go(site)
    assert (
        driver.execute_script('return document.documentElement.scrollWidth') <= SIZES['phone'][0]
    )


def test_gamepad_drives_while_a_shoulder_button_is_pressed(site, opened):
    driver = opened()
    hold_gamepad(driver, stick=-0.5, drive=1.0, shoulder=False)
    time.sleep(0.2)
    assert site.cars[0].done == []
    hold_gamepad(driver, stick=-0.5, drive=1.0)
    drives(site, lambda *command: command == (0.5, 1))
    hold_gamepad(driver, stick=0.05, brake=0.75)
    drives(site, lambda *command: command == (0, -0.75))
    hold_gamepad(driver, shoulder=False)
    has_let_go(site)


@pytest.mark.parametrize(
    'pads',
    [
        'undefined',
        "() => [{ connected: true, mapping: '', axes: [], buttons: [{ pressed: true }] }]",
    ],
    ids=['no gamepads', 'a device without axes'],
)
def test_keys_drive_in_a_browser_without_gamepads(site, opened, pads):
    driver = opened()
    driver.execute_script(f'navigator.getGamepads = {pads}')
    driver.execute_script("document.getElementById('pad').focus()")
    hands = Hands(driver)
    hands.key(' ', down=True)
    hands.key('ArrowUp', down=True)
    drives(site, lambda *command: command == (0, 1))
    for key in (' ', 'ArrowUp'):
        hands.key(key, down=False)
    has_let_go(site)
    assert driver.get_log('browser') == []


def test_gamepad_drives_the_car_of_the_page_with_the_focus_alone(site, opened):
    driver = opened()
    driver.execute_script('window.realFocus = document.hasFocus; document.hasFocus = () => false')
    hold_gamepad(driver, stick=-0.5)
    time.sleep(0.2)
    assert site.cars[0].done == []
    driver.execute_script('document.hasFocus = window.realFocus')
    drives(site, lambda *command: command == (0.5, 0))


def test_second_gamepad_drives_too(site, opened):
    driver = opened()
    driver.execute_script(
        'const idle = structuredClone(pad); navigator.getGamepads = () => [idle, pad];'
    )
    hold_gamepad(driver, stick=-0.5)
    drives(site, lambda *command: command == (0.5, 0))


@pytest.mark.parametrize('way', ['leaves', 'is hidden'])
def test_page_that_goes_away_lets_go_at_once(site, opened, way):
    driver = opened()
    hold_gamepad(driver, stick=0.5)
    drives(site, lambda *command: command == (-0.5, 0))
    if way == 'leaves':
        driver.get('about:blank')
    else:
        set_hidden(driver, True)
    has_let_go(site)
    *_, command_s, let_go_s = site.cars[0].times_s
    took_s = let_go_s - command_s
    print(f'measured: a page that {way} lets go {1e3 * took_s:.0f} ms after its last command')
    assert took_s < 0.3


def set_hidden(driver, is_hidden):
    """Hide a page or show it again, as another tab does."""
    driver.execute_script(
        "Object.defineProperty(document, 'hidden', { value: arguments[0], configurable: true });"
        "document.dispatchEvent(new Event('visibilitychange'));",
        is_hidden,
    )


def show_driver(site, name):
    moment = Moment(
        at_s=time.monotonic(), recorded_rad=0.0, commanded_rad=0.0, speed_mps=3.0, limit_mps=6.7,
        throttle=0.0, latency_ms=2.0, driver=name,
    )  # fmt: skip
    site.server.call_soon(lambda _now_s: site.feeds[0].add(moment))


def test_page_shows_who_drives(site, opened):
    driver = opened()
    who = one(driver, 'who')
    show_driver(site, 'joystick')
    wait_for(lambda: who.text == 'a joystick drives')
    other = site.wheel()
    other.drive(0.1, 0.0)
    other.hear()
    show_driver(site, 'page')
    wait_for(lambda: who.text == 'another page drives')
    other.send({})
    hold_gamepad(driver, stick=0.5)
    wait_for(lambda: who.text == 'you drive · 3.0 m/s')
    assert 'driving' in one(driver, 'pad').get_attribute('class')
    hold_gamepad(driver, shoulder=False)
    show_driver(site, 'network')
    wait_for(lambda: not who.is_displayed())


def test_page_that_drove_and_was_hidden_does_not_take_another_one_for_itself(site, opened):
    driver = opened()
    hold_gamepad(driver, stick=0.5)
    show_driver(site, 'page')
    wait_for(lambda: one(driver, 'who').text == 'you drive · 3.0 m/s')
    hold_gamepad(driver, shoulder=False)
    set_hidden(driver, True)
    has_let_go(site)
    other = site.wheel()
    other.drive(0.1, 0.0)
    set_hidden(driver, False)
    time.sleep(0.5)  # For so long the page takes the driver for itself, which has just let go.
    show_driver(site, 'page')
    wait_for(lambda: one(driver, 'who').text == 'another page drives')


def test_page_follows_a_bridge_that_turns_control_off_and_on(site, opened):
    driver = opened()
    hold_gamepad(driver, stick=0.5)
    drives(site, lambda *command: command == (-0.5, 0))
    site.status['control']['on'] = False
    wait_for(lambda: not one(driver, 'control').is_displayed())
    has_let_go(site)
    site.status['control']['on'] = True
    wait_for(lambda: one(driver, 'control').is_displayed())
    drives(site, lambda *command: command == (-0.5, 0))


def test_hold_arrives_though_pages_in_other_windows_use_all_connections(site, opened):
    site.server.call_soon(lambda _now_s: site.feeds[0].keep(JPEG))
    driver = opened()
    first = driver.current_window_handle
    try:
        for _ in range(2):
            driver.switch_to.new_window('window')
            driver.get(site.url)
            wait_for(lambda: one(driver, 'frame').is_displayed())
        driver.switch_to.window(first)
        wait_for(lambda: one(driver, 'frame').is_displayed())
        one(driver, 'hold').click()
        wait_for(lambda: newest(site) == 'held True', 3.0, 'the hold')
        wait_for(lambda: one(driver, 'frame').is_displayed(), what='the camera')
    finally:
        for window in set(driver.window_handles) - {first}:
            driver.switch_to.window(window)
            driver.close()
        driver.switch_to.window(first)


def test_buttons_ask_the_bridge_and_show_its_answer(site, opened):
    driver = opened()
    said = one(driver, 'control-said')
    one(driver, 'hold').click()
    wait_for(lambda: said.text == 'held True')
    driver.execute_script(PRESS_AGAIN)
    site.status['held'] = True
    wait_for(lambda: one(driver, 'hold').text == 'Release')
    wait_for(lambda: len(site.cars[0].done) == 2)
    assert site.cars[0].done == ['held True'] * 2, 'pressed twice, a stop button stops'
    time.sleep(1.2)
    one(driver, 'hold').click()
    wait_for(lambda: said.text == 'held False')
    one(driver, 'reset').click()
    wait_for(lambda: said.text == 'this simulator has no reset')
    assert 'bad' in said.get_attribute('class')
    options = one(driver, 'network-choice').find_elements('tag name', 'option')
    assert [option.text for option in options] == ['choose …', *NETWORKS]
    one(driver, 'network-choice').send_keys(ARROW_DOWN, ARROW_DOWN)
    time.sleep(0.2)
    assert said.text == 'this simulator has no reset', 'an arrow key loads no network'
    driver.find_element('css selector', '#network-form button').click()
    wait_for(lambda: said.text == 'loads a.keras')
    one(driver, 'record-name').send_keys('lap\n')
    wait_for(lambda: said.text == "records 'lap'")
    site.status['control']['recording'] = {
        'name': 'lap', 'state': 'recording', 'bytes': 2_500_000, 'seconds': 12.3, 'result': '',
    }  # fmt: skip
    wait_for(lambda: one(driver, 'record-state').text == 'lap · 12 s · 2.5 MB')
    one(driver, 'record').click()
    wait_for(lambda: said.text == 'stopped')


def test_speed_limit_is_chosen_and_shows_that_of_others(site, opened):
    driver = opened()
    chosen, slider = one(driver, 'limit-chosen'), one(driver, 'limit-choice')
    wait_for(lambda: chosen.text == '6.7 m/s')
    slider.send_keys(ARROW_RIGHT)
    wait_for(lambda: newest(site) == 'limit 6.8')
    site.status['speed_limit_mps'] = 6.8
    mouse = pytest.importorskip('selenium.webdriver').ActionChains
    mouse(driver).click_and_hold(slider).move_by_offset(30, 0).perform()
    wanted = slider.get_property('value')
    driver.execute_script(LATER)
    time.sleep(1.2)
    mouse(driver).release().perform()
    wait_for(lambda: newest(site) == f'limit {float(wanted)}', what='the limit of a slow hand')
    site.status['speed_limit_mps'] = 20.0
    wait_for(lambda: chosen.text == '20.0 m/s', what='a limit outside of the slider')
    site.status['speed_limit_mps'] = 0.0
    wait_for(lambda: chosen.text == '0.0 m/s')


def test_hold_is_in_sight_beside_the_frame_of_a_phone_on_its_side(site, opened):
    car = {'state': 'driving', 'telemetry_hz': 20.0, 'latency_ms': {'p99': 4.0}}
    site.status['cars'] = [{'car': 1, **car}, {'car': 2, **car}]
    hold = one(opened('phone on its side'), 'hold').rect
    assert hold['y'] + hold['height'] <= SIZES['phone on its side'][1]


def test_result_of_a_recording_has_the_width_of_a_phone(site, opened):
    recording = {'name': 'lap', 'state': 'done', 'bytes': 1, 'seconds': 1.0}
    result = 'recordings/drive_2026_11_28_03_46_06: 2284 messages, none dropped'
    site.status['control']['recording'] = {**recording, 'result': result}
    driver = opened('phone')
    wait_for(lambda: one(driver, 'record-state').text == result)
    assert one(driver, 'record-state').rect['width'] > 0.5 * SIZES['phone'][0]


@pytest.mark.parametrize('dark', [False, True])
def test_control_can_be_read_in_the_light_and_in_the_dark(site, opened, dark):
    driver = opened(dark=dark)
    assert [text for text, ratio in contrasts(driver) if ratio < 4.5] == []


def test_token_comes_with_the_address_or_is_typed(chromium):
    site = ControlledSite(TOKEN)
    try:
        become(chromium)
        chromium.get(site.url)
        wait_for(lambda: one(chromium, 'token').is_displayed())
        assert chromium.get_log('browser') == []
        one(chromium, 'token').send_keys('wrong\n')
        wait_for(lambda: 'the token is missing or wrong' in one(chromium, 'control-said').text)
        wait_for(lambda: one(chromium, 'token').is_displayed())
        one(chromium, 'token').clear()
        one(chromium, 'token').send_keys(TOKEN + '\n')
        wait_for(lambda: not one(chromium, 'token').is_displayed())
        assert one(chromium, 'control-said').text == ''
        one(chromium, 'hold').click()
        wait_for(lambda: newest(site) == 'held True')
        chromium.execute_script('sessionStorage.clear()')
        chromium.get('about:blank')
        chromium.get(f'{site.url}/#token={TOKEN}')
        wait_for(lambda: one(chromium, 'control').is_displayed())
        assert TOKEN not in chromium.current_url
        hold_gamepad(chromium, stick=1.0)
        drives(site, lambda *command: command == (-1, 0))
    finally:
        chromium.get('about:blank')
        site.close()
