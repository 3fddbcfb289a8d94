/** Elements without markup: whatever is text stays text. */

/**
 * An element. Properties: `class`, `dataset`, `on…` for listeners, anything else as an attribute; `true` sets an empty
 * attribute, and `false`, `null` and `undefined` none. Children: nodes, strings, numbers; `null` and `false` are left out.
 *
 * @param {string} tag
 * @param {Record<string, any> | null} [properties]
 * @param {...any} children
 * @returns {HTMLElement}
 */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** @returns {SVGElement} */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else if (name === 'dataset') Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(
    ...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

let lastId = 0;
/** @returns {string} an id that no other element of the page has */
export const newId = (prefix = 'id') => `${prefix}-${++lastId}`;

/** Says something to a screen reader without moving anybody's focus. */
export function announce(text) {
  const place = document.getElementById('announcer');
  place.textContent = '';
  // Emptied and filled in one go, the same words would not be said again.
  requestAnimationFrame(() => (place.textContent = text));
}

/** A short word about what has just happened, for everybody. */
export function toast(text) {
  const element = h('p', { class: 'toast' }, text);
  document.getElementById('toasts').append(element);
  element.addEventListener('animationend', () => element.remove());
}
