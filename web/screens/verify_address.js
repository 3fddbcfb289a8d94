/** An address that is verified: by the link that was mailed to it, or by another one. */

import { ProblemError } from '../api/coffer.js';
import { h, toast } from '../ui/dom.js';
import { workButton } from '../ui/form.js';
import { pitch } from './welcome.js';

/** @import { Context, Screen } from '../app.js' */

/**
 * Where the link in the mail leads. A button, because programs that look through mail follow links, and must not use it up.
 * @param {Context} context
 * @returns {Screen}
 */
export function verifyAddress({ bank, params, me, session }) {
  const card = h('section', { class: 'card entrance' });
  /** @param {string} title @param {string} words */
  const tell = (title, words) => {
    const heading = h('h1', { tabindex: -1 }, title);
    card.replaceChildren(heading, h('p', { role: 'status' }, words), h('a', { class: 'button', href: '#/' }, 'Go on'));
    heading.focus();
  };
  const confirm = async () => {
    try {
      await bank.verifyEmail(params.token);
    } catch (error) {
      if (!(error instanceof ProblemError && error.code === 'verification_link_not_found')) throw error;
      const words =
        'It was used, or has expired, or your address has changed since. Your profile has another one sent.';
      return tell('This link counts no more', words);
    }
    if (me) await session.reload();
    tell('Thank you', 'Your address is confirmed.');
  };
  card.replaceChildren(
    h('h1', null, 'Confirm your address'),
    h('p', null, 'From then on the bank can tell you by mail what matters.'),
    workButton('Confirm', confirm, { class: 'primary wide' }),
  );
  return { title: 'Confirm your address', class: 'welcome', content: [pitch(), card] };
}

/** Of somebody whose address is not confirmed yet, where the bank sends mail. @param {Context} context */
export async function unverifiedNote({ bank, me, signal }) {
  if (me.email_verified || !(await bank.about({ signal })).mail) return null;
  const send = async () => {
    await bank.sendEmailVerification();
    toast(`A link is on its way to ${me.email}.`);
  };
  return h(
    'div',
    { class: 'card row' },
    h(
      'div',
      null,
      h('p', null, h('b', null, me.email), ' ', h('span', { class: 'chip closed' }, 'not confirmed yet')),
      h('p', { class: 'hint' }, 'Until then the bank tells you nothing of sign-ins and movements by mail.'),
    ),
    h('div', { class: 'ways' }, workButton('Send the link again', send)),
  );
}
