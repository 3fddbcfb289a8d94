/** Asks the signed-in user for password or code once more, in a dialog above the screen that the bank asks it for. */

import { ask } from './dialog.js';
import { h } from './dom.js';
import { field } from './form.js';
import { passwordField } from './password.js';

/** @import { Coffer } from '../api/coffer.js' */
/** @import { Field } from './form.js' */

const TEXT = 'What you are about to do cannot be taken back, or is above your own limit.';

/**
 * @param {Coffer} bank
 * @returns {Promise<boolean>} whether it was shown
 */
export async function askForProof(bank) {
  const { enabled } = await bank.secondFactor();
  return ask({
    title: 'Confirm that it is you',
    text: TEXT,
    verb: 'Confirm',
    fields: enabled ? passwordOrCode() : [passwordField({ name: 'password', label: 'Password' })],
    act: ({ password, code }) => bank.prove(code ? { code } : { password }),
  });
}

/** A code, or the password in its place: one of them is shown and sent. */
function passwordOrCode() {
  const password = passwordField({ name: 'password', label: 'Password' });
  const code = field({
    name: 'code',
    label: 'Code',
    hint: 'From your authenticator app, or a recovery code.',
    inputmode: 'numeric',
    autocomplete: 'one-time-code',
    spellcheck: 'false',
    maxlength: 64,
  });
  const change = h('button', { type: 'button', class: 'link' });
  /** @param {Field} shown @param {Field} other @param {string} words */
  const show = (shown, other, words) => {
    shown.hidden = false;
    other.hidden = true;
    shown.control.required = true;
    other.control.required = false;
    other.control.value = '';
    change.textContent = words;
  };
  const showCode = () => show(code, password, 'Use the password instead');
  const showPassword = () => show(password, code, 'Use a code instead');
  change.addEventListener('click', () => {
    if (password.hidden) showPassword();
    else showCode();
    (password.hidden ? code : password).control.focus();
  });
  showCode();
  return [code, password, h('p', null, change)];
}
