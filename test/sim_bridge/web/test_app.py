# SPDX-License-Identifier: Apache-2.0
"""The pages on the real server, over real sockets, and in a real browser where there is one."""

import http.client
import json
import socket
import time
from contextlib import contextmanager

import pytest
from prometheus_client.parser import text_string_to_metric_families

from helpers.browser import LATER, SIZES, become, contrasts, started_chromium
from helpers.paths import PROBE_FRAMES
from helpers.waiting import wait_for
from sim_bridge.server.simulator_server import SimulatorServer, sleep
from sim_bridge.session.status import Counters
from sim_bridge.web.app import create_app
from sim_bridge.web.live_stream import STREAMS_AT_MOST, LiveFeed, Moment, StreamLimit

JPEG = (PROBE_FRAMES / 'track_2000.jpg').read_bytes()


class Nobody:
    """A handler for a server that only shows pages."""

    def connected(self, now_s, sid, link, *, is_simulator):
        pass

    def disconnected(self, now_s, sid):
        pass

    def drives(self, now_s, sid):
        return False

    def telemetry(self, now_s, sid, payload):
        pass

    def expire(self, now_s):
        pass

    def next_deadline(self):
        return float('inf')


def moment(**values):
    fields = {
        'at_s': time.monotonic(), 'recorded_rad': 0.04, 'commanded_rad': 0.05, 'speed_mps': 5.9,
        'limit_mps': 6.7, 'throttle': 0.11, 'latency_ms': 2.0,
    }  # fmt: skip
    return Moment(**(fields | values))


class Site:
    """The pages of a bridge that is not there: everything that they show is set by the test."""

    def __init__(self):
        car = {
            'car': 1,
            'state': 'driving',
            'driver': 'network',
            'held': False,
            'reason': '',
            'trouble': '',
            'telemetry_hz': 20.1,
            'speed_mps': 5.9,
            'speed_limit_mps': 6.7,
            'uncertainty': 0.12,
            'commanded_rad': 0.05,
            'throttle': 0.11,
            'latency_ms': {'p50': 2.1, 'p99': 4.4, 'max': 9.8},
            **vars(Counters(telemetry=1234, answers=1233, timeouts=3)),
        }
        common = {'ready': True, 'simulators': 1, 'network': 'pilotnet.keras'}
        common['control'] = {'on': False}
        self.status = {**car, **common, 'cars': [car]}
        self.places = StreamLimit()
        self.live = self.make_live()
        self.lives = [self.live]
        pages = create_app(lambda: self.status, self.lives)
        self.server = SimulatorServer(host='127.0.0.1', port=0, pages=pages)
        self.server.start(Nobody())
        self.url = f'http://127.0.0.1:{self.server.port}'

    def make_live(self):
        return LiveFeed(lambda: self.status, self.places, clock=time.monotonic, sleep=sleep)

    @contextmanager
    def stuck(self, seconds):
        """Streams that pause meanwhile do so for this time."""
        sleeping = self.live._sleep
        self.live._sleep = lambda _: sleeping(seconds)
        yield
        self.live._sleep = sleeping

    def show(self, seconds=0.0, **values):
        """Let a moment pass, or fill the plots with some seconds of them."""
        now_s = time.monotonic()
        for tenth in range(round(10 * seconds), -1, -1):
            point = moment(at_s=now_s - tenth / 10, **values)
            self.server.call_soon(lambda _now_s, point=point: self.live.add(point))
        self.server.call_soon(lambda _now_s: self.live.keep(JPEG))

    def open(self, path, method='GET', **headers):
        """A connection on which a request was sent."""
        connection = http.client.HTTPConnection('127.0.0.1', self.server.port, timeout=5.0)
        connection.request(method, path, headers=headers)
        return connection


@pytest.fixture
def site():
    started = Site()
    yield started
    started.server.stop(lambda: None)


def read(site, path, method='GET', **headers):
    connection = site.open(path, method, **headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply, body


def test_page_and_everything_that_it_needs_come_from_here(site):
    reply, page = read(site, '/')
    assert reply.status == 200
    assert reply.getheader('Content-Type').startswith('text/html')
    assert b'http://' not in page
    assert b'https://' not in page
    for path in ('page.css', 'page.js', 'icon.svg'):
        assert f'static/{path}'.encode() in page
        assert read(site, f'/static/{path}')[0].status == 200


def test_state_is_told_to_scripts(site):
    assert json.loads(read(site, '/state.json')[1]) == site.status


def test_health_is_a_status_code(site):
    assert read(site, '/healthz')[0].status == 200
    site.status['trouble'] = 'telemetry cannot be read: speed is null; it must be a number'
    reply, body = read(site, '/healthz')
    assert (reply.status, body.decode()) == (503, site.status['trouble'] + '\n')


def test_metrics_are_what_prometheus_reads(site):
    site.status['cars'][0]['speed_limit_mps'] = None
    families = {
        family.name: family
        for family in text_string_to_metric_families(read(site, '/metrics')[1].decode())
    }
    assert families['sim_bridge_answers'].samples[0].value == 1233
    assert families['sim_bridge_answers'].type == 'counter'
    assert families['sim_bridge_speed_mps'].samples[0].value == 5.9
    assert 'sim_bridge_speed_limit_mps' not in families, 'unknown is not zero'
    latency = {
        sample.labels['quantile']: sample.value
        for sample in families['sim_bridge_latency_seconds'].samples
    }
    assert latency == pytest.approx({'0.5': 0.0021, '0.99': 0.0044, '1': 0.0098})


def test_pages_are_read_only(site):
    for path in ('/', '/state.json', '/events', '/camera.mjpg', '/metrics', '/healthz'):
        for method in ('POST', 'PUT', 'DELETE'):
            assert read(site, path, method)[0].status == 405, (path, method)


@pytest.mark.parametrize(('path', 'method', 'status'), [('/no', 'GET', 404), ('/', 'POST', 405)])
def test_refusal_is_one_line_for_scripts(site, path, method, status):
    reply, body = read(site, path, method)
    assert reply.status == status
    assert reply.getheader('Content-Type').startswith('text/plain')
    assert body.count(b'\n') == 1


def test_events_stream_over_the_socket(site):
    connection = site.open('/events')
    reply = connection.getresponse()
    assert reply.getheader('Content-Type').startswith('text/event-stream')
    assert reply.readline() == b'event: history\n'
    site.show(throttle=0.77)
    lines = (reply.readline() for _ in range(40))
    assert any(b'"throttle":0.77' in line for line in lines)
    connection.close()


def test_camera_shows_the_bytes_untouched(site):
    assert read(site, '/camera.mjpg')[0].status == 503, 'there is no frame yet'
    site.show()
    wait_for(lambda: site.live.has_frame)
    connection = site.open('/camera.mjpg')
    reply = connection.getresponse()
    assert reply.getheader('Content-Type') == 'multipart/x-mixed-replace; boundary=frame'
    part = b''
    while JPEG not in part:
        assert len(part) <= len(JPEG) + 1000
        part += reply.read1()
    connection.close()


@pytest.mark.parametrize('path', ['/', '/camera.mjpg', '/events', '/state.json'])
@pytest.mark.parametrize('shown_as', ['image', 'empty', 'iframe', 'object'])
def test_pages_of_other_sites_embed_nothing(site, path, shown_as):
    told = {'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Dest': shown_as}
    reply, line = read(site, path, **told)
    assert (reply.status, line) == (403, b'pages of other sites may only link to this bridge\n')
    assert site.places.taken == 0


@pytest.mark.parametrize('where', ['same-origin', 'same-site', 'none', 'cross-site'])
def test_links_and_own_pages_are_served(site, where):
    shown_as = 'document' if where == 'cross-site' else 'image'
    told = {'Sec-Fetch-Site': where, 'Sec-Fetch-Dest': shown_as}
    assert read(site, '/', **told)[0].status == 200


def test_places_of_closed_pages_are_free_again(site):
    site.show()
    wait_for(lambda: site.live.has_frame)
    for _ in range(2):
        pages = [site.open('/events') for _ in range(STREAMS_AT_MOST)]
        assert {page.getresponse().status for page in pages} == {200}
        reply, body = read(site, '/camera.mjpg')
        assert reply.status == 503
        assert b'streams are open' in body
        for page in pages:
            page.sock.shutdown(socket.SHUT_RDWR)
            page.close()
        wait_for(lambda: read(site, '/events', 'HEAD')[0].status == 200, what='a free place')
        wait_for(lambda: site.places.taken == 0, what='an empty house')


def test_page_that_does_not_read_holds_nobody_up(site):
    site.show()
    wait_for(lambda: site.live.has_frame)
    deaf = socket.create_connection(('127.0.0.1', site.server.port))
    deaf.sendall(b'GET /camera.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n')
    for _ in range(40):
        site.server.call_soon(lambda _now_s: site.live.keep(JPEG * 40))
        assert read(site, '/state.json')[0].status == 200, 'it times out if it has to wait'
        time.sleep(0.05)
    deaf.close()


def add_second_car(site):
    other = site.status['cars'][0] | {'car': 2, 'speed_mps': 2.5, 'state': 'stopped: no command'}
    site.status['cars'].append(other)
    site.lives.append(site.make_live())


def test_cars_have_streams_and_metrics_of_their_own(site):
    add_second_car(site)
    site.server.call_soon(lambda _now_s: site.lives[1].keep(JPEG))
    wait_for(lambda: site.lives[1].has_frame)
    connection = site.open('/camera.mjpg?car=2')
    assert connection.getresponse().status == 200
    connection.close()
    for path, number in (('/camera.mjpg', 3), ('/events', 0), ('/events', -1), ('/events', 'x')):
        reply, body = read(site, f'{path}?car={number}')
        assert (reply.status, body.decode()) == (404, f"car is '{number}'; it must be 1..2\n")
    assert read(site, '/camera.mjpg')[0].status == 503, 'the first car has no frame'
    metrics = read(site, '/metrics')[1].decode()
    assert 'sim_bridge_speed_mps{car="1"} 5.9' in metrics
    assert 'sim_bridge_speed_mps{car="2"} 2.5' in metrics


# The page in a browser.


@pytest.fixture(scope='module')
def chromium():
    """A headless Chromium for all tests here: it takes seconds to start."""
    with started_chromium() as driver:
        yield driver


@pytest.fixture
def browse(chromium):
    """Make Chromium a device: `browse('phone', dark=True)` returns its driver, with no page."""

    def browse(device='desktop', dark=False):
        become(chromium, device, dark)
        return chromium

    yield browse
    chromium.get('about:blank')


def text(driver, name):
    return driver.find_element('id', name).text


def script(driver, expression):
    return driver.execute_script(f'return {expression}')


@pytest.mark.slow
@pytest.mark.parametrize('device', ['desktop', 'phone'])
def test_page_shows_the_drive(site, browse, device):
    site.show(30.0)
    driver = browse(device)
    driver.get(site.url)
    site.show(commanded_rad=-0.0436332, throttle=-0.5, speed_mps=4.24)
    wait_for(lambda: text(driver, 'commanded') == '2.5° right')
    assert text(driver, 'recorded') == '2.3° left'
    assert text(driver, 'speed') == '4.2'
    assert text(driver, 'limit') == '6.7 m/s'
    assert text(driver, 'throttle') == '-0.50'
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    assert (text(driver, 'latency'), text(driver, 'p99'), text(driver, 'max')) == (
        '2.1', '4.4', '9.8',
    )  # fmt: skip
    assert text(driver, 'count-timeouts') == '3'
    wait_for(lambda: script(driver, 'document.getElementById("frame").naturalWidth') == 320)
    assert script(driver, 'document.documentElement.scrollWidth') <= SIZES[device][0]
    assert driver.get_log('browser') == [], 'no error, and nothing fetched from elsewhere'


@pytest.mark.slow
def test_page_of_a_fleet_leads_to_every_car(site, browse):
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    assert not driver.find_element('id', 'cars').is_displayed()
    add_second_car(site)
    site.lives[1].add(moment(speed_mps=2.5))
    wait_for(lambda: driver.find_element('id', 'cars').is_displayed())
    first, second = driver.find_elements('css selector', '#cars a')
    assert first.text == 'car 1 · 20 Hz · 4 ms'
    assert second.get_attribute('data-level') == 'bad'
    second.click()
    wait_for(lambda: text(driver, 'speed') == '2.5')
    assert driver.current_url.endswith('?car=2')
    assert driver.get_log('browser') == []


@pytest.mark.slow
def test_page_that_opens_after_the_simulator_fell_silent_shows_what_was_last(site, browse):
    site.show(speed_mps=3.3)
    wait_for(lambda: site.live.has_frame)
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'speed') == '3.3')


@pytest.mark.slow
def test_plots_are_drawn_from_the_history(site, browse):
    site.show(30.0)
    driver = browse()
    driver.get(site.url)
    blue = """(() => {
        const canvas = document.getElementById('plot-speed');
        const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        let count = 0;
        for (let i = 0; i < pixels.data.length; i += 4)
            count += pixels.data[i + 2] > pixels.data[i] + 60;
        return count;
    })()"""
    wait_for(lambda: script(driver, blue) > 150)


@pytest.mark.slow
@pytest.mark.parametrize(
    'state',
    [
        'stopped: no fresh command',
        'waiting for the nodes',
        'telemetry cannot be read: image is missing; it must be a base64 JPEG',
    ],
)
def test_trouble_is_shown_with_its_reason(site, browse, state):
    site.status |= {'state': state, 'reason': 'no node publishes cmd/steering'}
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == state)
    assert text(driver, 'reason') == 'no node publishes cmd/steering'
    assert text(driver, 'driver') == 'driver: network'
    assert driver.find_element('id', 'state').get_attribute('data-level') == 'bad'


@pytest.mark.slow
def test_page_tells_that_the_bridge_is_gone_and_comes_back_by_itself(site, browse):
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    with site.stuck(5.0):
        wait_for(lambda: text(driver, 'state-text') == 'the bridge does not answer')
    wait_for(lambda: text(driver, 'state-text') == 'driving')


@pytest.mark.slow
def test_page_leaves_a_connection_whose_other_end_is_gone(site, browse):
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    with site.stuck(60.0):
        time.sleep(0.2)
    site.status['state'] = 'held'
    script(driver, LATER)
    wait_for(lambda: text(driver, 'state-text') == 'held')


@pytest.mark.slow
def test_page_that_is_refused_comes_back_by_itself(site, browse):
    site.places.taken = STREAMS_AT_MOST
    driver = browse()
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == 'the bridge refuses this page')
    site.places.taken = STREAMS_AT_MOST - 1
    site.show()
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    time.sleep(2.0)
    width = 'document.getElementById("frame").naturalWidth'
    assert script(driver, width) == 0, 'there is no place for the camera'
    wait_for(lambda: text(driver, 'no-frame') == 'No camera: too many pages may be open.')
    site.places.taken = 1
    wait_for(lambda: script(driver, width) == 320)
    assert not driver.find_element('id', 'no-frame').is_displayed()


@pytest.mark.slow
@pytest.mark.parametrize('dark', [False, True])
def test_text_can_be_read_in_the_light_and_in_the_dark(site, browse, dark):
    driver = browse(dark=dark)
    driver.get(site.url)
    wait_for(lambda: text(driver, 'state-text') == 'driving')
    assert [text for text, ratio in contrasts(driver) if ratio < 4.5] == []
