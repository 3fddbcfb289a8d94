/** Placeholders: while content loads, when there is none, and when it could not be loaded. */

import { NetworkError, ProblemError } from '../api/coffer.js';
import { flat, h } from './dom.js';
import { explain } from './form.js';
import { icon } from './icons.js';

/** @import { Screen } from '../app.js' */
/** @import { Child } from './dom.js' */

/** Grey shapes where the content will be. */
export function skeleton(lines = 4) {
  const bars = Array.from({ length: lines }, () => h('div', { class: 'bar' }));
  return h('div', { class: 'skeleton', role: 'status' }, h('span', { class: 'unseen' }, 'Loading'), bars);
}

/**
 * For an empty list: says that it is empty, and what to do about it.
 * @param {string} title
 * @param {string} text
 * @param {...Child} actions
 */
export function empty(title, text, ...actions) {
  return h('div', { class: 'state' }, h('p', { class: 'state-title' }, title), h('p', null, text), actions);
}

/**
 * For a failure: says what went wrong, with a button that tries again.
 * @param {unknown} error
 * @param {() => void} retry
 */
export function failure(error, retry) {
  const isOffline = error instanceof NetworkError;
  const known = error instanceof ProblemError && error.status < 500;
  const title = isOffline ? 'The bank cannot be reached' : known ? 'This is not available' : 'That did not work';
  const again = h('button', { type: 'button', class: 'secondary', onclick: retry }, 'Try again');
  const home = h('a', { class: 'button quiet', href: '#/' }, 'Go to the overview');
  const reference = error instanceof ProblemError && error.status >= 500 && error.requestId;
  return h(
    'div',
    { class: 'state', role: 'alert' },
    h('div', { class: 'state-icon' }, icon(isOffline ? 'cloud' : 'alert')),
    h('h1', { class: 'state-title' }, title),
    h('p', null, explain(error)),
    reference && h('p', { class: 'hint' }, 'If you report this, quote ', h('code', null, reference), '.'),
    h('div', { class: 'actions centred' }, again, home),
  );
}

/** @returns {Screen} */
export function notFound() {
  const content = empty(
    'There is nothing here',
    'The address may be mistyped, or what it meant is gone.',
    h('a', { class: 'button secondary', href: '#/' }, 'Go to the overview'),
  );
  return { title: 'Nothing here', content: [h('h1', { class: 'unseen' }, 'Nothing here'), content] };
}

/**
 * A part of a screen that comes later than the rest.
 * @param {() => Promise<Child>} load to the content
 * @param {AbortSignal} signal
 * @param {number} [lines] of the placeholder
 */
export function later(load, signal, lines = 3) {
  const place = h('div', { 'aria-busy': 'true' }, skeleton(lines));
  /** @param {Child} content */
  const show = (content) => {
    if (signal.aborted) return;
    const hadFocus = place.contains(document.activeElement);
    place.replaceChildren(...flat(content));
    if (!hadFocus) return;
    // The button to try again had it.
    place.tabIndex = -1;
    place.focus({ preventScroll: true });
  };
  const attempt = async () => {
    try {
      show(await load());
    } catch (error) {
      if (!signal.aborted) show(partFailure(error, attempt));
    }
    place.removeAttribute('aria-busy');
  };
  attempt();
  return place;
}

/** {@link failure} of a part of a screen. @param {unknown} error @param {() => void} retry */
export function partFailure(error, retry) {
  const again = h('button', { type: 'button', class: 'link', onclick: retry }, 'Try again');
  return h('p', { class: 'part-failure', role: 'alert' }, explain(error), ' ', again);
}
