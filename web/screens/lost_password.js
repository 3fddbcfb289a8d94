/** Lost passwords: have a link mailed. The answer is the same for everybody, so that nobody learns who is a customer. */

import { flat, h } from '../ui/dom.js';
import { actions, field, form, submitButton } from '../ui/form.js';
import { pitch, signIn } from './welcome.js';

/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function lostPassword(context) {
  const { bank, signal } = context;
  if (!(await bank.about({ signal })).mail) return signIn(context);
  const back = h('p', { class: 'aside' }, h('a', { href: '#/' }, 'Back to signing in'));
  const card = h('section', { class: 'card entrance' });
  /** @param {Values} values */
  const submit = async ({ email }) => {
    await bank.requestPasswordReset(email);
    card.replaceChildren(
      ...flat([
        h('h1', { tabindex: -1 }, 'Look at your mail'),
        h('p', { role: 'status' }, `If you are a customer, a link to set another password is on its way to ${email}.`),
        h(
          'p',
          { class: 'hint' },
          'It counts for an hour. If nothing comes, look among unwanted mail, or ask the bank.',
        ),
        back,
      ]),
    );
    card.querySelector('h1')?.focus();
  };
  const address = field({
    name: 'email',
    label: 'E-mail address',
    type: 'email',
    autocomplete: 'username',
    inputmode: 'email',
    spellcheck: 'false',
    maxlength: 254,
  });
  card.replaceChildren(
    ...flat([
      h('h1', null, 'Forgot your password?'),
      h('p', null, 'We mail you a link by which you set another one.'),
      form({ submit }, address, actions(submitButton('Mail me a link', { class: 'primary wide' }))),
      back,
    ]),
  );
  return { title: 'Forgot your password?', class: 'welcome', content: [pitch(), card] };
}
