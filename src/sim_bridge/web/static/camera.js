/** The newest frames of a car. */

import { element, setText } from './dom.js';

/** Show the frames of car `number`, unless they are shown already. */
export function showCamera(number) {
  const frame = element('frame');
  if (frame.hasAttribute('src')) return;
  frame.src = `camera.mjpg?car=${number}&${Date.now()}`;
  frame.hidden = false;
  element('no-frame').hidden = true;
}

/** Close the stream of the frames, and show `reason` in its place. */
export function hideCamera(reason) {
  element('frame').removeAttribute('src');
  element('frame').hidden = true;
  setText('no-frame', reason);
  element('no-frame').hidden = false;
}
