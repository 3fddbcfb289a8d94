/** Elements without markup: whatever is text stays text. */

/** @typedef {Node | string | number | false | null | undefined | Children} Child */
/** @typedef {{readonly length: number, readonly [index: number]: Child}} Children an array of them */
/**
 * @typedef {Record<string, unknown> & {class?: string, dataset?: Record<string, string>,
 *   onclick?: (event: MouseEvent) => unknown, onchange?: (event: Event) => unknown,
 *   onsubmit?: (event: SubmitEvent) => unknown}} Properties
 */

/**
 * An element. Properties: `class`, `dataset`, `on…` for listeners, anything else as an attribute; `true` sets an empty
 * attribute, and `false`, `null` and `undefined` none. Children: nodes, strings, numbers; `null` and `false` are left out.
 *
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Properties | null} [properties]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/**
 * @template {keyof SVGElementTagNameMap} T
 * @param {T} tag
 * @param {Properties | null} [properties]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[T]}
 */
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), properties, children);
}

/**
 * @template {HTMLElement | SVGElement} E
 * @param {E} element
 * @param {Properties | null | undefined} properties
 * @param {Child[]} children
 */
function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (name === 'dataset') Object.assign(element.dataset, value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...flat(children));
  return element;
}

/**
 * Flattens children into nodes and strings, in order, and leaves out `null`, `undefined` and `false`.
 * @param {Child} children
 * @returns {(Node | string)[]}
 */
export function flat(children) {
  if (children instanceof Array) return children.flatMap(flat);
  if (children === null || children === undefined || children === false) return [];
  return [typeof children === 'number' ? String(children) : /** @type {Node | string} */ (children)];
}

let lastId = 0;
/** @returns {string} an id that no other element of the page has */
export const newId = (prefix = 'id') => `${prefix}-${++lastId}`;

/**
 * The element with this id, which the page must have.
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/** Keyboard and screen reader start where the screen does. */
export function focusHeading() {
  const main = byId('main');
  const found = main.querySelector('[autofocus], h1');
  const heading = found instanceof HTMLElement ? found : main;
  if (heading.tagName === 'H1') heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
}

/** Says something to a screen reader without moving anybody's focus. @param {string} text */
export function announce(text) {
  const place = byId('announcer');
  place.textContent = '';
  // Emptied and filled in one go, the same words would not be said again.
  requestAnimationFrame(() => (place.textContent = text));
}

/** A short word about what has just happened, for everybody. @param {string} text */
export function toast(text) {
  const element = h('p', { class: 'toast' }, text);
  byId('toasts').append(element);
  element.addEventListener('animationend', () => element.remove());
}

/** What is done next may fail: then no word about what has worked before stands beside it. */
export const dismissToasts = () => byId('toasts').replaceChildren();
