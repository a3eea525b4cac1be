/** Elements of the page and their texts. */

export const element = (id) => document.getElementById(id);

/** Set the text of an element if it is another one, because screen readers read what is set. */
export function setText(id, text) {
  if (element(id).textContent !== text) element(id).textContent = text;
}
