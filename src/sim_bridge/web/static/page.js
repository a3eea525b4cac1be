import { hideCamera, showCamera } from './camera.js';
import { leaveWheel, showControl, showDriver } from './control.js';
import { element, setText } from './dom.js';

const MINUTE_S = 60;
const DEGREES = 180 / Math.PI;
const SILENCE_MS = 3000;
const RETRY_MS = 3000;
const RECONNECT_MS = 5000;
const LEVELS = [
  ['driving', 'good'], ['held', 'warn'], ['paused', 'warn'], ['late', 'warn'], ['stopped', 'bad'], ['driven by hand', 'good'],
  ['telemetry cannot', 'bad'], ['waiting for the nodes', 'bad'],
];
const COUNTS = [
  ['telemetry', 'frames', false],
  ['answers', 'answers', false],
  ['timeouts', 'timeouts', true],
  ['late_commands', 'late commands', true],
  ['rejected_commands', 'rejected', true],
  ['bad_packets', 'bad packets', true],
  ['superseded', 'tokens superseded', false],
  ['keepalives', 'keepalives after silence', false],
  ['takeovers', 'takeovers', false],
  ['simulators', 'simulators', false],
];
const PLOTS = [
  { id: 'plot-steering', least: 5, symmetric: true, lines: [
    ['--recorded', (m) => m.recorded_rad * DEGREES], ['--commanded', (m) => m.commanded_rad * DEGREES]] },
  { id: 'plot-speed', least: 5, lines: [
    ['--limit', (m) => m.limit_mps], ['--commanded', (m) => m.speed_mps]] },
  { id: 'plot-throttle', least: 1, symmetric: true, lines: [['--commanded', (m) => m.throttle]] },
  { id: 'plot-latency', least: 10, lines: [['--commanded', (m) => m.latency_ms]] },
];

const NO_CONNECTION = 'No connection.';
const BY_HAND = ['page', 'joystick', 'cmd_vel', 'ackermann_cmd', 'simulator'];

/** Number of the car on this page, from the address. */
const CAR = Number(new URLSearchParams(location.search).get('car')) || 1;

let moments = [];
let clockOffset = null;
let lastMessageAt = 0;
let connectedAt = 0;
let stream = null;
let drawing = false;

const fixed = (value, digits) => (value === null || value === undefined ? '–' : value.toFixed(digits));

/** Time of the server's clock, seconds. */
const now = () => performance.now() / 1000 + clockOffset;

function angle(rad) {
  const degrees = rad * DEGREES;
  const side = Math.abs(degrees) < 0.05 ? '' : degrees > 0 ? ' left' : ' right';
  return `${Math.abs(degrees).toFixed(1)}°${side}`;
}

function showMoment(m) {
  if (m.driver) setText('driver', `driver: ${m.driver}`);
  showDriver(m.driver, m.speed_mps);
  setText('recorded', angle(m.recorded_rad));
  setText('commanded', angle(m.commanded_rad));
  // Full lock, 25 degrees, turns the needle by 70 degrees, so that small angles are visible.
  for (const which of ['recorded', 'commanded']) {
    const turn = Math.max(-70, Math.min(70, -m[`${which}_rad`] * DEGREES * 2.8));
    element(`needle-${which}`).setAttribute('transform', `rotate(${turn.toFixed(1)})`);
  }
  setText('speed', fixed(m.speed_mps, 1));
  setText('limit', m.limit_mps === null ? 'unknown' : `${m.limit_mps.toFixed(1)} m/s`);
  const full = 1.25 * Math.max(m.limit_mps || 0, m.speed_mps, 1);
  element('speed-bar').style.width = `${(100 * m.speed_mps) / full}%`;
  element('limit-mark').style.display = m.limit_mps === null ? 'none' : 'block';
  element('limit-mark').style.left = `${(100 * m.limit_mps) / full}%`;
  setText('throttle', fixed(m.throttle, 2));
  const bar = element('throttle-bar');
  bar.classList.toggle('brake', m.throttle < 0);
  bar.style.left = `${50 + Math.min(0, 50 * m.throttle)}%`;
  bar.style.width = `${Math.abs(50 * m.throttle)}%`;
}

function levelOf(state) {
  const level = LEVELS.find(([start]) => state.startsWith(start));
  return level ? level[1] : 'wait';
}

/** Show a link to each of several cars, with its state, rate and latency. */
function showCars(cars) {
  const list = element('cars');
  list.hidden = cars.length < 2;
  if (list.hidden) return;
  while (list.children.length < cars.length) {
    list.appendChild(document.createElement('a')).href = `?car=${list.children.length}`;
  }
  cars.forEach((car, i) => {
    const link = list.children[i];
    link.dataset.level = levelOf(car.state);
    link.title = car.state;
    if (car.car === CAR) link.setAttribute('aria-current', 'page');
    link.textContent = `car ${car.car} · ${fixed(car.telemetry_hz, 0)} Hz · ${fixed(car.latency_ms.p99, 0)} ms`;
  });
}

function showStatus(status) {
  const level = levelOf(status.state);
  element('state').dataset.level = level;
  document.body.classList.toggle('idle', level === 'wait');
  showCars(status.cars);
  setText('state-text', status.state);
  setText('driver', `driver: ${status.driver}`);
  showControl(status, CAR);
  setText('reason', status.reason || '');
  setText('latency', fixed(status.latency_ms.p50, 1));
  setText('p99', fixed(status.latency_ms.p99, 1));
  setText('max', fixed(status.latency_ms.max, 1));
  setText('rate', fixed(status.telemetry_hz, 1));
  setText('nodes', status.network || '');
  setText('uncertainty', fixed(status.uncertainty, 2));
  element('uncertainty').parentElement.classList.toggle('attention', status.uncertainty >= 0.5);
  showCounts(status);
  if (status.has_frame) showCamera(CAR);
  else hideCamera('No frame yet.');
}

function showCounts(status) {
  const list = element('counts');
  if (!list.children.length) {
    for (const [name, label] of COUNTS) {
      const box = list.appendChild(document.createElement('div'));
      box.appendChild(document.createElement('dt')).textContent = label;
      box.appendChild(document.createElement('dd')).id = `count-${name}`;
    }
  }
  for (const [name, , isTrouble] of COUNTS) {
    setText(`count-${name}`, status[name].toLocaleString('en-US').replaceAll(',', '\u202f'));
    element(`count-${name}`).parentElement.classList.toggle('attention', isTrouble && status[name] > 0);
  }
}

/** Upper end of an axis for a value: 1, 2 or 5 times a power of ten. */
function axisEnd(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((step) => step * power).find((end) => end >= value * 0.999);
}

function draw() {
  drawing = false;
  const style = getComputedStyle(document.documentElement);
  element('by-hand').hidden = !moments.some((m) => BY_HAND.includes(m.driver));
  for (const plot of PLOTS) drawPlot(plot, style);
}

function drawPlot(plot, style) {
  const canvas = element(plot.id);
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const pen = canvas.getContext('2d');
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, width, height);
  const values = plot.lines.flatMap(([, pick]) => moments.map(pick)).filter(Number.isFinite);
  const high = axisEnd(Math.max(plot.least, ...values.map(Math.abs)));
  const low = plot.symmetric ? -high : 0;
  const left = 30, right = width - 6, top = 8, bottom = height - 16;
  const x = (at) => right - ((right - left) * (now() - at)) / MINUTE_S;
  const y = (value) => bottom - ((bottom - top) * (value - low)) / (high - low);
  drawHands(pen, style.getPropertyValue('--by-hand'), x, top, bottom);
  drawAxes(pen, style, { left, right, bottom, x, y, marks: [low, (low + high) / 2, high] });
  pen.save();
  pen.beginPath();
  pen.rect(left, 0, right - left, height);
  pen.clip();
  for (const [colour, pick] of plot.lines) drawLine(pen, style.getPropertyValue(colour), pick, x, y);
  pen.restore();
}

/** Shade the times at which a person or planner drove. */
function drawHands(pen, colour, x, top, bottom) {
  pen.fillStyle = colour;
  moments.forEach((m, i) => {
    if (!BY_HAND.includes(m.driver)) return;
    const until = i + 1 < moments.length ? Math.min(moments[i + 1].at_s, m.at_s + 1) : m.at_s;
    pen.fillRect(x(m.at_s), top, x(until) - x(m.at_s) + 1, bottom - top);
  });
}

function drawAxes(pen, style, { left, right, bottom, x, y, marks }) {
  pen.strokeStyle = style.getPropertyValue('--line');
  pen.fillStyle = style.getPropertyValue('--soft');
  pen.font = '11px system-ui, sans-serif';
  pen.lineWidth = 1;
  pen.textAlign = 'right';
  for (const mark of marks) {
    pen.beginPath();
    pen.moveTo(left, y(mark));
    pen.lineTo(right, y(mark));
    pen.stroke();
    pen.fillText(String(mark).replace('-', '\u2212'), left - 4, y(mark) + 4);
  }
  pen.textAlign = 'center';
  for (const ago of [45, 30, 15]) pen.fillText(`\u2212${ago} s`, x(now() - ago), bottom + 13);
}

/** Draw one line of a plot. A pause of more than a second leaves a gap. */
function drawLine(pen, colour, pick, x, y) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.6;
  pen.lineJoin = 'round';
  pen.beginPath();
  let lastAt = -Infinity;
  for (const m of moments) {
    const value = pick(m);
    if (!Number.isFinite(value)) continue;
    if (m.at_s - lastAt > 1) pen.moveTo(x(m.at_s), y(value));
    else pen.lineTo(x(m.at_s), y(value));
    lastAt = m.at_s;
  }
  pen.stroke();
}

function redraw() {
  if (clockOffset === null || drawing) return;
  drawing = true;
  requestAnimationFrame(draw);
}

function messageArrived() {
  lastMessageAt = performance.now();
  document.body.classList.remove('stale');
}

function connect() {
  connectedAt = performance.now();
  stream = new EventSource(`events?car=${CAR}`);
  stream.addEventListener('history', (event) => {
    moments = JSON.parse(event.data);
    if (moments.length) showMoment(moments[moments.length - 1]);
    messageArrived();
  });
  stream.addEventListener('moment', (event) => {
    const moment = JSON.parse(event.data);
    const last = moments[moments.length - 1];
    if (last && last.at_s === moment.at_s) return;
    moments = moments.filter((m) => moment.at_s - m.at_s < MINUTE_S + 2);
    moments.push(moment);
    showMoment(moment);
    messageArrived();
    redraw();
  });
  stream.addEventListener('status', (event) => {
    const status = JSON.parse(event.data);
    clockOffset = status.now_s - performance.now() / 1000;
    showStatus(status);
    messageArrived();
    redraw();
  });
  stream.onerror = () => {
    hideCamera(NO_CONNECTION);
    // The browser reconnects by itself, except after an error status of the bridge.
    if (stream.readyState === EventSource.CLOSED) {
      showLost('the bridge refuses this page', 'there is no such car, or too many pages are open: close one');
      setTimeout(() => { if (!document.hidden && stream.readyState === EventSource.CLOSED) connect(); }, RETRY_MS);
    }
  };
}

function showLost(state, reason) {
  element('state').dataset.level = 'bad';
  setText('state-text', state);
  setText('reason', reason);
  document.body.classList.add('stale');
}

function disconnect() {
  leaveWheel();
  stream.close();
  hideCamera(NO_CONNECTION);
}

setInterval(() => {
  const now = performance.now();
  if (document.hidden || stream.readyState === EventSource.CLOSED || now - lastMessageAt <= SILENCE_MS) return;
  showLost('the bridge does not answer', 'the values shown are old; reconnecting');
  // A connection can stay open although its other end is gone. No event tells the page.
  if (now - Math.max(lastMessageAt, connectedAt) > RECONNECT_MS) {
    disconnect();
    connect();
  }
}, 1000);
// A hidden page closes its streams. When it is shown again, the history has the missed moments.
document.addEventListener('visibilitychange', () => (document.hidden ? disconnect() : connect()));
window.addEventListener('resize', redraw);
// The next status tries again.
element('frame').addEventListener('error', () => hideCamera('No camera: too many pages may be open.'));
if (!document.hidden) connect();
else stream = { readyState: EventSource.CLOSED, close() {} };
