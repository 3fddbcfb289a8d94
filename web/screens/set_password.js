/** A password by a one-time link: for who has lost theirs, and for new customers. */

import { h, toast } from '../ui/dom.js';
import { actions, form, submitButton } from '../ui/form.js';
import { passwordField } from '../ui/password.js';
import { replaceWith } from '../ui/router.js';
import { pitch } from './welcome.js';

/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Screen} */
export function setPassword({ bank, me, params, signal }) {
  /** @param {Values} values */
  const submit = async ({ new_password: password }) => {
    await bank.setPassword(params.token, password);
    if (!signal.aborted) replaceWith('/');
    // The link may be somebody else's than who is signed in here.
    toast(me ? 'The password is set.' : 'The password is set. Please sign in with it.');
  };
  const card = h(
    'section',
    { class: 'card entrance' },
    h('h1', null, 'Set your password'),
    h('p', null, 'The link that brought you here counts once.'),
    me &&
      h(
        'p',
        { role: 'note' },
        `You are signed in as ${me.name}. If the link was made for somebody else, it sets their password, not yours.`,
      ),
    form(
      { submit },
      passwordField({
        name: 'new_password',
        label: 'New password',
        isNew: true,
        hint: 'At least 8 characters. A few random words are strong and easy to remember.',
      }),
      actions(submitButton('Set the password', { class: 'primary wide' })),
    ),
  );
  return { title: 'Set your password', class: 'welcome', content: [pitch(), card] };
}
