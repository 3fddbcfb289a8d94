/** Passwords to type: looked at on demand, and a new one with its strength. */

import { strength } from '../domain/password_strength.js';
import { h } from './dom.js';
import { field } from './form.js';

const WORDS = ['Too short', 'Weak', 'Fair', 'Good', 'Strong'];

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
