/** Keyboard, pointer and gamepad as one wheel: each says what it wants, or null if it is let go. */

const STEER_RATE = 2.5; // Full lock after 0.4 s, because a key knows no angles.
const CENTRE_RATE = 5;
const THROTTLE_RATE = 3;
const DEAD_ZONE = 0.08;
const DEADMAN = ' ';

/** Radius of the knob, which stays inside the pad. */
export const KNOB_PX = 18;
const KEYS = {
  ArrowLeft: 'left', a: 'left', ArrowRight: 'right', d: 'right',
  ArrowUp: 'up', w: 'up', ArrowDown: 'down', s: 'down',
};

const within = (value) => Math.max(-1, Math.min(1, value));
const towards = (value, target, step) => value + Math.max(-step, Math.min(step, target - value));
const nameOf = (event) => (event.key.length === 1 ? event.key.toLowerCase() : event.key);

/** Arrow keys or WASD while the space bar is pressed and `pad` has the focus.
 *
 * With Ctrl, Alt or Meta all keys count as released: macOS reports no release of a key while Meta
 * is pressed.
 */
class Keyboard {
  constructor(pad) {
    this.pressed = new Set();
    this.steering = this.throttle = 0;
    pad.addEventListener('keydown', (event) => this.press(event));
    pad.addEventListener('keyup', (event) => this.pressed.delete(nameOf(event)));
    pad.addEventListener('blur', () => this.letGo());
    window.addEventListener('blur', () => this.letGo());
  }

  press(event) {
    const name = nameOf(event);
    if (event.ctrlKey || event.altKey || event.metaKey) {
      this.letGo();
      return;
    }
    if (name !== DEADMAN && !(name in KEYS)) return;
    event.preventDefault();
    this.pressed.add(name);
  }

  letGo() {
    this.pressed.clear();
  }

  read(seconds) {
    if (!this.pressed.has(DEADMAN)) {
      this.steering = this.throttle = 0;
      return null;
    }
    const wants = new Set([...this.pressed].map((name) => KEYS[name]));
    const steering = wants.has('left') - wants.has('right');
    const rate = steering ? STEER_RATE : CENTRE_RATE;
    this.steering = towards(this.steering, steering, rate * seconds);
    this.throttle = towards(this.throttle, wants.has('up') - wants.has('down'), THROTTLE_RATE * seconds);
    return { steering: this.steering, throttle: this.throttle };
  }
}

/** A finger or the mouse on `pad`: the place is the command, and the touch is the dead-man's button. */
class Pointer {
  constructor(pad) {
    this.pad = pad;
    this.letGo();
    pad.addEventListener('pointerdown', (event) => {
      if (event.button) return;
      this.id = event.pointerId;
      pad.setPointerCapture(event.pointerId);
      this.move(event);
    });
    pad.addEventListener('pointermove', (event) => this.move(event));
    for (const end of ['pointerup', 'pointercancel', 'lostpointercapture']) {
      pad.addEventListener(end, (event) => event.pointerId === this.id && this.letGo());
    }
    pad.addEventListener('contextmenu', (event) => event.preventDefault());
  }

  move(event) {
    if (event.pointerId !== this.id) return;
    const box = this.pad.getBoundingClientRect();
    const right = within((event.clientX - box.left - box.width / 2) / (box.width / 2 - KNOB_PX));
    const down = within((event.clientY - box.top - box.height / 2) / (box.height / 2 - KNOB_PX));
    this.command = { steering: -right, throttle: Math.abs(down) < DEAD_ZONE ? 0 : -down };
  }

  letGo() {
    this.id = this.command = null;
  }

  read() {
    return this.command;
  }
}

const isStandard = (pad) => pad.mapping === 'standard';

/** Whether the dead-man's button of a gamepad is pressed; a device without two axes cannot drive. */
function isHeld(pad) {
  const deadman = isStandard(pad) ? [4, 5] : [0];
  return pad.connected && pad.axes.length > 1
    && deadman.some((number) => pad.buttons[number] && pad.buttons[number].pressed);
}

/** Gamepads: stick steers, triggers drive and brake, a shoulder button is the dead-man's button.
 *
 * Of a gamepad without the standard layout the first two axes and the first button count. All pages
 * see a gamepad, and each may have a car of its own: it drives that of the page with the focus.
 */
class Gamepads {
  letGo() {}

  read() {
    // Some browsers are built without gamepads.
    const pads = navigator.getGamepads && document.hasFocus() ? [...navigator.getGamepads()] : [];
    const pad = pads.find((one) => one && isHeld(one));
    if (!pad) return null;
    const throttle = isStandard(pad) ? pad.buttons[7].value - pad.buttons[6].value : -pad.axes[1];
    const ease = (value) => (Math.abs(value) < DEAD_ZONE ? 0 : within(value));
    return { steering: ease(-pad.axes[0]), throttle: ease(throttle) };
  }
}

/** All inputs of a page; the first that drives counts. */
export class Inputs {
  constructor(pad) {
    this.all = [new Pointer(pad), new Keyboard(pad), new Gamepads()];
  }

  /** The command after some more seconds, or null while no dead-man's button is pressed. */
  read(seconds) {
    const wanted = this.all.map((input) => input.read(seconds));
    return wanted.find((command) => command !== null) || null;
  }

  letGo() {
    for (const input of this.all) input.letGo();
  }
}
