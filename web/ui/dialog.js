/** A question in front of everything else. The browser keeps the focus inside and gives it back. */

import { h, newId, toast } from './dom.js';
import { actions, form, submitButton } from './form.js';

/** @import { Child } from './dom.js' */
/** @import { Values } from './form.js' */

/** Whoever leaves a screen has answered none of its questions. */
export function closeDialogs() {
  for (const dialog of document.querySelectorAll('dialog')) if (dialog.open) dialog.close();
}

/**
 * Shows something that is left by a link in it, or by closing it.
 * @param {string} title
 * @param {...Child} content
 */
export function tell(title, ...content) {
  const id = newId('dialog');
  const dialog = h('dialog', { 'aria-labelledby': id });
  const close = () => dialog.close();
  const button = h('button', { type: 'button', class: 'quiet', onclick: close }, 'Close');
  dialog.append(h('div', { class: 'telling' }, h('h2', { id }, title), content, actions(button)));
  for (const link of dialog.querySelectorAll('a')) link.addEventListener('click', close);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

/**
 * Asks. Resolves to true when `act` has run without throwing; what it throws is shown in the dialog. Without `act` it only
 * tells. Closing it is a No, also while `act` runs: what becomes of that is told beside the screen.
 * @param {{title: string, text: string, verb: string, danger?: boolean, fields?: HTMLElement[],
 *   act?: (values: Values) => Promise<unknown>}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, verb, danger, fields = [], act }) {
  const id = newId('dialog');
  let done = false;
  const dialog = h('dialog', { 'aria-labelledby': id });
  /** @param {Values} values */
  const submit = async (values) => {
    await act?.(values);
    if (!dialog.open) return toast(`${verb}: it is done.`);
    done = true;
    dialog.close();
  };
  const cancel = h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Cancel');
  const confirm = submitButton(verb, { class: danger ? 'primary danger' : 'primary' });
  dialog.append(form({ submit }, h('h2', { id }, title), h('p', null, text), fields, actions(act && cancel, confirm)));
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(done);
    });
  });
}
