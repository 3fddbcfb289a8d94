/** A guess at how long a password would hold. The bank has the last word: it knows the common ones. */

import { h } from './dom.js';
import { field } from './form.js';

const MIN_LENGTH = 8;
const WORDS = ['Too short', 'Weak', 'Fair', 'Good', 'Strong'];

/**
 * @param {string} password
 * @returns {0 | 1 | 2 | 3 | 4} 0 is shorter than the bank takes
 */
export function strength(password) {
  const characters = [...password];
  if (characters.length < MIN_LENGTH) return 0;
  const kinds = [/\p{Ll}/u, /\p{Lu}/u, /\d/, /[^\p{L}\d]/u].filter((kind) => kind.test(password)).length;
  // Repeats and runs such as "aaaa" and "12345" add little.
  const surprising = characters.filter((char, at) => {
    const step = at ? codeOf(char) - codeOf(characters[at - 1]) : 2;
    return Math.abs(step) > 1;
  }).length;
  const score = surprising + (kinds - 1) * 2;
  return score < 9 ? 1 : score < 13 ? 2 : score < 19 ? 3 : 4;
}

/** @param {string} character */
const codeOf = (character) => character.codePointAt(0) ?? 0;

/**
 * A password field that can be looked at and, for a new password, says how strong it is.
 * @param {{name: string, label: string, isNew?: boolean, hint?: string}} options
 */
export function passwordField({ name, label, isNew = false, hint }) {
  const toggle = h('button', { type: 'button', class: 'reveal', 'aria-pressed': 'false' }, 'Show');
  toggle.setAttribute('aria-label', `Show ${label.toLowerCase()}`);
  const meter =
    isNew &&
    h('div', { class: 'strength', role: 'status' }, h('span', { class: 'strength-bars' }, ...segments()), h('span'));
  const autocomplete = isNew ? 'new-password' : 'current-password';
  const element = field({ name, label, hint, type: 'password', autocomplete, maxlength: 128, after: meter });
  const input = /** @type {HTMLInputElement} */ (element.control);
  const box = h('div', { class: 'with-toggle' });
  input.replaceWith(box);
  box.append(input, toggle);
  toggle.addEventListener('click', () => {
    const shown = input.type === 'password';
    input.type = shown ? 'text' : 'password';
    toggle.setAttribute('aria-pressed', String(shown));
    toggle.textContent = shown ? 'Hide' : 'Show';
  });
  if (meter) input.addEventListener('input', () => showStrength(meter, input.value));
  return element;
}

const segments = () => Array.from({ length: 4 }, () => h('i'));

/** @param {HTMLElement} meter @param {string} password */
function showStrength(meter, password) {
  const level = strength(password);
  meter.dataset.level = password ? String(level) : '';
  const words = meter.lastElementChild;
  if (words) words.textContent = password ? WORDS[level] : '';
}
