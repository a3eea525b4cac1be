/** Control of the drive: hold, reset, speed limit, network, recording, and the wheel. */

import { hideCamera } from './camera.js';
import { element, setText } from './dom.js';
import { Inputs, KNOB_PX } from './inputs.js';

const PERIOD_MS = 50;
const KEEP_ALIVE_MS = 10000;
const REPLY_MS = 5000;
const CROWDED_AFTER_MS = 400;
const LETTING_GO_MS = 500;
const RELEASE_AFTER_MS = 1000;
const LIMIT_SHOWN_AFTER_MS = 2000;
const TOKEN = 'sim_bridge token';

let car = 1;
let isOn = false;
let needsToken = false;
let held = false;
let heldAt = -Infinity;
let limitTouchedAt = -Infinity;
let recording = null;
let inputs = null;
let socket = null;
let sentAt = 0;
let tickedAt = 0;
let command = null;
let wheel = 'free';
let droveAt = -Infinity;
let driver = '';
let speed = 0;

/** Keep the token of the address for this tab, and take it out of the address. */
function keepToken() {
  const found = location.hash.match(/^#token=(.+)$/);
  if (!found) return;
  sessionStorage.setItem(TOKEN, found[1]);
  history.replaceState(null, '', location.pathname + location.search);
}

const token = () => sessionStorage.getItem(TOKEN) || '';

/** Ask for the token again, because the bridge refused this one. */
function forgetToken() {
  sessionStorage.removeItem(TOKEN);
  showTokenForm();
}

function showTokenForm() {
  const form = element('token-form');
  const isNeeded = needsToken && !token();
  // What was said then was that the token is missing or wrong.
  if (!form.hidden && !isNeeded) say('');
  form.hidden = !isNeeded;
}

function say(text, isBad = false) {
  setText('control-said', text);
  element('control-said').classList.toggle('bad', isBad);
}

/** Send a request; show what the bridge answers, and return whether it was done.
 *
 * A browser opens six connections to a server at most. Three pages in windows of their own use all
 * of them, and the request would wait. So it then takes that of the camera, which the next status
 * opens again.
 */
async function request(action, body) {
  const options = { headers: { Authorization: `Bearer ${token()}` }, signal: AbortSignal.timeout(REPLY_MS) };
  if (body) {
    options.method = 'POST';
    options.headers['Content-Type'] = 'application/json';
    options.body = JSON.stringify(body);
  }
  const crowded = setTimeout(hideCamera, CROWDED_AFTER_MS, 'Waiting for the bridge …');
  try {
    const reply = await fetch(`control/${action}?car=${car}`, options);
    const text = await reply.text();
    if (reply.status === 403) forgetToken();
    if (!reply.ok) say(text.trim(), true);
    else if (body) say(text.trim());
    return reply.ok ? text : null;
  } catch {
    say('the bridge does not answer', true);
    return null;
  } finally {
    clearTimeout(crowded);
  }
}

async function listNetworks() {
  const text = await request('networks');
  if (text === null) return;
  const list = element('network-choice');
  const chosen = list.value;
  const names = JSON.parse(text);
  list.replaceChildren(new Option('choose …', ''), ...names.map((name) => new Option(name)));
  list.value = names.includes(chosen) ? chosen : '';
}

function openWheel() {
  const url = new URL(`control/wheel?car=${car}`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const opened = socket = new WebSocket(url);
  opened.onopen = () => {
    opened.send(JSON.stringify({ token: token() }));
    sentAt = performance.now();
  };
  opened.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.error) {
      say(message.error, true);
      forgetToken();
    }
    wheel = message.wheel || 'free';
    showWheel();
  };
  opened.onclose = () => {
    if (socket !== opened) return;
    socket = null;
    wheel = 'free';
    showWheel();
  };
}

/** Give the car back and close the wheel; a hidden page must not drive. */
export function leaveWheel() {
  if (inputs) inputs.letGo();
  if (!socket) return;
  const closing = socket;
  socket = null;
  wheel = 'free';
  closing.close();
}

/** Send what the inputs want, twenty times a second while a dead-man's button is pressed. */
function tick() {
  const now = performance.now();
  const seconds = Math.min(0.1, (now - tickedAt) / 1000);
  tickedAt = now;
  const before = command;
  command = inputs.read(seconds);
  if (command) droveAt = now;
  const isOpen = Boolean(socket) && socket.readyState === WebSocket.OPEN;
  showKnob(isOpen && command);
  if (!isOpen) return;
  // A network that is stuck must not store commands, because they would drive the car later.
  if (command && socket.bufferedAmount === 0) send(command, now);
  else if ((before && !command) || now - sentAt > KEEP_ALIVE_MS) send({}, now);
}

function send(message, now) {
  socket.send(JSON.stringify(message));
  sentAt = now;
}

function showKnob(shown) {
  const { steering, throttle } = shown || { steering: 0, throttle: 0 };
  const knob = element('knob');
  const place = (value) => `calc(50% - ${value.toFixed(3)} * (50% - ${KNOB_PX}px))`;
  knob.style.left = place(steering);
  knob.style.top = place(throttle);
}

function showWheel() {
  const isMine = wheel === 'yours' && driver === 'page';
  element('pad').classList.toggle('driving', isMine);
  const others = {
    page: 'another page drives', joystick: 'a joystick drives', simulator: 'driven by the simulator’s keys',
    cmd_vel: 'a planner drives', ackermann_cmd: 'a planner drives', hold: 'held', nobody: 'no driver',
  };
  let text = isMine ? `you drive · ${speed.toFixed(1)} m/s` : others[driver] || '';
  // The newest moment is still from before this page let go.
  if (driver === 'page' && wheel === 'free' && performance.now() - droveAt < LETTING_GO_MS) text = '';
  setText('who', text);
  element('who').hidden = !isOn || !text;
  element('who').classList.toggle('mine', isMine);
}

/** Show what drives now, and how fast, m/s. */
export function showDriver(name, speedMps) {
  driver = name;
  speed = speedMps;
  if (isOn) showWheel();
}

const size = (bytes) => (bytes < 1e6 ? `${(bytes / 1e3).toFixed(0)}\u00a0kB` : `${(bytes / 1e6).toFixed(1)}\u00a0MB`);

function showRecording() {
  const isRunning = Boolean(recording) && ['starting', 'recording', 'ending'].includes(recording.state);
  const button = element('record');
  setText('record', isRunning ? 'Stop' : 'Record');
  button.classList.toggle('running', isRunning);
  button.disabled = isRunning && recording.state === 'ending';
  element('record-name').hidden = isRunning;
  if (!recording) {
    setText('record-state', '');
    return;
  }
  // The bag grows by whole megabytes.
  const written = recording.bytes ? ` · ${size(recording.bytes)}` : '';
  const about = `${recording.name} · ${recording.seconds.toFixed(0)}\u00a0s${written}`;
  setText('record-state', isRunning ? about : recording.result);
}

/** Show the state that the bridge reports once a second; `number` is that of this page's car.
 *
 * Another bridge may have come, with other rules. A wheel that was closed is opened again.
 */
export function showControl(status, number) {
  isOn = status.control.on;
  element('control').hidden = !isOn;
  document.body.classList.toggle('controls', isOn);
  if (!isOn) {
    leaveWheel();
    showWheel();
    return;
  }
  car = number;
  needsToken = status.control.needs_token;
  if (!inputs) start();
  enterWheel();
  if (status.held && !held) heldAt = performance.now();
  held = status.held;
  setText('hold', held ? 'Release' : 'Hold');
  element('hold').classList.toggle('held', held);
  const isChoosing = element('limit-choice').matches(':active') || performance.now() - limitTouchedAt < LIMIT_SHOWN_AFTER_MS;
  if (!isChoosing && status.speed_limit_mps !== null) {
    element('limit-choice').value = status.speed_limit_mps;
    showLimit(status.speed_limit_mps);
  }
  setText('network-state', networkState(status));
  recording = status.control.recording;
  showRecording();
}

function networkState(status) {
  if (status.network_loading) return `loading ${status.network_loading.split('/').pop()} …`;
  if (status.network_refused) return `refused: ${status.network_refused.split('/').pop()}`;
  return status.network ? `${status.network} drives` : '';
}

/** Show a speed limit, m/s, which may be outside the range of the slider. */
function showLimit(mps) {
  setText('limit-chosen', `${mps.toFixed(1)} m/s`);
}

function chooseLimit() {
  limitTouchedAt = performance.now();
  const mps = Number(element('limit-choice').value);
  showLimit(mps);
  return mps;
}

/** Hold the car; release it if it was held long enough, because people press a stop button twice. */
function holdOrRelease() {
  const isRelease = held && performance.now() - heldAt > RELEASE_AFTER_MS;
  request('hold', { held: !isRelease });
}

function start() {
  inputs = new Inputs(element('pad'));
  element('hold').onclick = holdOrRelease;
  element('reset').onclick = () => request('reset', {});
  element('limit-choice').oninput = chooseLimit;
  element('limit-choice').onchange = () => request('speed_limit', { mps: chooseLimit() });
  element('network-choice').onfocus = listNetworks;
  element('network-form').onsubmit = (event) => {
    event.preventDefault();
    request('network', { name: element('network-choice').value });
  };
  element('record-form').onsubmit = (event) => {
    event.preventDefault();
    const isRunning = element('record').classList.contains('running');
    request('recording', { on: !isRunning, name: element('record-name').value.trim() });
  };
  element('token-form').onsubmit = (event) => {
    event.preventDefault();
    sessionStorage.setItem(TOKEN, element('token').value.trim());
    showTokenForm();
    enterWheel();
  };
  setInterval(tick, PERIOD_MS);
}

/** Open the wheel of a page that is shown. */
function enterWheel() {
  if (!isOn || socket || document.hidden) return;
  showTokenForm();
  if (needsToken && !token()) return;
  openWheel();
  listNetworks();
}

keepToken();
