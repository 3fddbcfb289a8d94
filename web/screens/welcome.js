/** Before one is signed in: sign in, or become a customer. */

import { ProblemError } from '../api/coffer.js';
import { h } from '../ui/dom.js';
import { actions, explain, field, form, part, submitButton } from '../ui/form.js';
import { currencyField } from '../ui/currency.js';
import { passwordField } from '../ui/password.js';

/** @import { Coffer } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function signIn(context) {
  return { title: 'Sign in', class: 'welcome', content: [pitch(), await signInCard(context)] };
}

/**
 * @param {Context} context
 * @param {{email?: string, note?: string}} [known] the address, and what has happened, of somebody who has just signed up
 */
async function signInCard({ bank, session, signal }, { email: address, note } = {}) {
  const [signUpIsOpen, sendsMail] = await Promise.all([isOpen(bank, signal), mails(bank, signal)]);
  const email = emailField(address);
  const password = passwordField({ name: 'password', label: 'Password' });
  const code = codeField();
  code.hidden = true;
  code.control.required = false;
  /** @param {Values} values */
  const submit = async (values) => {
    try {
      await session.signIn(values.email, values.password, values.code || undefined);
    } catch (error) {
      if (!(error instanceof ProblemError && error.code === 'second_factor_required')) throw error;
      for (const each of [email, password]) each.hidden = true;
      code.hidden = false;
      code.control.required = true;
      code.control.focus();
    }
  };
  return h(
    'section',
    { class: 'card entrance' },
    h('h1', { tabindex: -1 }, 'Sign in'),
    note && h('p', { role: 'status' }, note),
    unprotected(),
    form({ submit }, email, password, code, actions(submitButton('Sign in', { class: 'primary wide' }))),
    forgotten(sendsMail),
    h(
      'p',
      { class: 'aside' },
      'New here? ',
      signUpIsOpen ? h('a', { href: '#/sign-up' }, 'Open an account') : BY_STAFF,
    ),
  );
}

/** @param {Context} context @returns {Promise<Screen>} */
export async function signUp(context) {
  const { bank, session, signal } = context;
  if (!(await isOpen(bank, signal))) return signIn(context);
  /** @param {Values} values */
  const submit = async ({ name, email, password, currency }) => {
    await bank.signUp({ name, email, password, ...(currency && { currency }) });
    history.replaceState(null, '', '#/');
    try {
      await session.signIn(email, password);
    } catch (error) {
      await leadToSignIn(email, error);
    }
  };
  /** The account is there all the same: whoever signed up again would be told that the address is taken. @param {string} email @param {unknown} error */
  const leadToSignIn = async (email, error) => {
    if (signal.aborted) throw error;
    const note = `Your account is open, but you could not be signed in. ${explain(error)}`;
    const next = await signInCard(context, { email, note });
    card.replaceWith(next);
    document.title = 'Sign in · Coffer';
    part(next, 'h1').focus();
  };
  const card = h(
    'section',
    { class: 'card entrance' },
    h('h1', null, 'Open an account'),
    unprotected(),
    form(
      { submit },
      field({ name: 'name', label: 'Your name', autocomplete: 'name', autocapitalize: 'words', characters: 100 }),
      emailField(),
      passwordField({
        name: 'password',
        label: 'Password',
        isNew: true,
        hint: 'At least 8 characters. A few random words are strong and easy to remember.',
      }),
      currencyField(bank),
      actions(submitButton('Open the account', { class: 'primary wide' })),
    ),
    h('p', { class: 'aside' }, 'Already a customer? ', h('a', { href: '#/' }, 'Sign in')),
  );
  return { title: 'Open an account', class: 'welcome', content: [pitch(), card] };
}

const BY_STAFF = 'The bank opens the first account for you: please ask its staff.';

/** Whether people sign up themselves. Where the bank does not say, it will when they try. @param {Coffer} bank @param {AbortSignal} signal */
async function isOpen(bank, signal) {
  try {
    return (await bank.about({ signal })).sign_up !== 'staff';
  } catch {
    return true;
  }
}

/** Whether the bank mails links. Where it does not say, its staff give them. @param {Coffer} bank @param {AbortSignal} signal */
async function mails(bank, signal) {
  try {
    return (await bank.about({ signal })).mail;
  } catch {
    return false;
  }
}

/** What helps who has lost the password. @param {boolean} sendsMail */
function forgotten(sendsMail) {
  const words = 'Forgot your password?';
  if (sendsMail) return h('p', { class: 'aside' }, h('a', { href: '#/lost-password' }, words));
  return h(
    'details',
    { class: 'aside' },
    h('summary', null, words),
    h('p', null, 'Ask the bank: its staff give you a link by which you set another one.'),
  );
}

export function pitch() {
  return h(
    'section',
    { class: 'pitch', 'aria-label': 'About Coffer' },
    h('p', { class: 'pitch-line' }, 'A strong-box for your money.'),
    h(
      'ul',
      null,
      h('li', null, 'Exact to the last cent'),
      h('li', null, 'Every entry sealed by the one before it'),
      h('li', null, 'Yours to see, download and check'),
    ),
  );
}

/** Browsers keep the cookie of a session only where nobody can read along. Whoever is signed out for that must learn why. */
function unprotected() {
  if (isSecureContext) return null;
  const here = `http://localhost${location.port && `:${location.port}`}`;
  return h(
    'div',
    { class: 'unprotected', role: 'note' },
    h(
      'p',
      null,
      h('b', null, 'This connection is not encrypted.'),
      ' Others on the network could read what you type, and your browser will not keep you signed in: you will have to sign in again after a reload, and after 15 minutes.',
    ),
    h(
      'p',
      null,
      'If you run this bank, give it a certificate (',
      h('code', null, 'COFFER_TLS_CERT'),
      ' and ',
      h('code', null, 'COFFER_TLS_KEY'),
      '), or open it on its own machine as ',
      h('code', null, here),
      '.',
    ),
  );
}

/** @param {string} [value] */
const emailField = (value) =>
  field({
    name: 'email',
    label: 'E-mail address',
    type: 'email',
    value,
    autocomplete: 'username',
    inputmode: 'email',
    spellcheck: 'false',
    maxlength: 254,
  });

const codeField = () =>
  field({
    name: 'code',
    label: 'Code',
    hint: 'From your authenticator app, or one of your recovery codes.',
    autocomplete: 'one-time-code',
    spellcheck: 'false',
    maxlength: 64,
  });
