/** A question in front of everything else. The browser keeps the focus inside and gives it back. */

import { focusHeading, h, newId, toast } from './dom.js';
import { actions, form, part, submitButton } from './form.js';

/** @import { Child } from './dom.js' */
/** @import { Values } from './form.js' */

/** What a dialog is closed with when its screen is left. */
const LEFT = 'left';

/** Those that are shown, or whose question is carried out. @type {Set<HTMLDialogElement>} */
const dialogs = new Set();

/** Whoever leaves a screen has answered none of its questions. */
export function closeDialogs() {
  for (const dialog of dialogs) {
    dialog.returnValue = LEFT;
    dialog.close();
  }
}

/** @param {HTMLDialogElement} dialog */
function show(dialog) {
  dialogs.add(dialog);
  document.body.append(dialog);
  dialog.showModal();
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
  dialog.addEventListener('close', () => {
    dialog.remove();
    dialogs.delete(dialog);
  });
  show(dialog);
}

/**
 * Asks. Resolves to true when `act` has run without throwing; what it throws is shown in the dialog. Without `act` it only
 * tells. Closing it is a No, unless `act` runs already: then the answer waits for that, and who has left the screen by
 * then is told by a toast.
 * @param {{title: string, text: string, verb: string, danger?: boolean, fields?: HTMLElement[],
 *   act?: (values: Values) => Promise<unknown>, stays?: string}} question `stays`: it is closed by its button alone, and what
 *   the Escape key is answered with
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, verb, danger, fields = [], act, stays }) {
  const id = newId('dialog');
  let done = false;
  /** @type {Promise<unknown> | undefined} */
  let work;
  const dialog = h('dialog', { 'aria-labelledby': id });
  /** @param {Values} values */
  const submit = async (values) => {
    work = act?.(values);
    await work;
    done = dialog.returnValue !== LEFT;
    if (!done) toast(`${verb}: it is done.`);
    dialog.close();
  };
  const cancel = h('button', { type: 'button', class: 'quiet', onclick: () => dialog.close() }, 'Cancel');
  const confirm = submitButton(verb, { class: danger ? 'primary danger' : 'primary' });
  dialog.append(form({ submit }, h('h2', { id }, title), h('p', null, text), fields, actions(act && cancel, confirm)));
  if (stays) keepOpen(dialog, stays);
  show(dialog);
  return new Promise((resolve) => {
    dialog.addEventListener('close', async () => {
      dialog.remove();
      // What was asked for has taken away the button that had it.
      if (document.activeElement === document.body) focusHeading();
      await work?.catch(() => {});
      dialogs.delete(dialog);
      resolve(done);
    });
  });
}

/** @param {HTMLDialogElement} dialog @param {string} why */
function keepOpen(dialog, why) {
  // The gesture that goes back on a phone closes it, too, and no key is pressed for that.
  dialog.setAttribute('closedby', 'none');
  dialog.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape') return;
    event.preventDefault();
    part(dialog, '.form-problem').replaceChildren(h('p', null, why));
  });
}
