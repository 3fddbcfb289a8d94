/** Oneself: name and address, password, second factor, sessions, API keys, and leaving. */

import { utcDate } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { actions, field, form, part, submitButton, workButton } from '../ui/form.js';
import { passwordField } from '../ui/password.js';
import { later } from '../ui/states.js';
import { reloadIf } from './account.js';
import { apiKeys } from './api_keys.js';
import { signInNotices } from './notices.js';
import { payeeList } from './payees.js';
import { sessionList } from './sessions.js';
import { unverifiedNote } from './verify_address.js';

/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Screen} */
export function profile(context) {
  const { bank, signal } = context;
  const content = h(
    'div',
    { class: 'narrow' },
    h('h1', null, 'Profile'),
    section('You', details(context)),
    later(async () => onlyWith('Your address', await unverifiedNote(context)), signal, 0),
    section('Password', password(context)),
    section(
      'Second factor',
      later(async () => factor(await bank.secondFactor({ signal })), signal, 1),
    ),
    section('Confirmation', confirmation(context)),
    section('Payees', payeeList(context)),
    section('Name check', nameCheck(context)),
    later(async () => onlyWith('Mail', await signInNotices(context, reloadIf)), signal, 0),
    section('Sessions', sessionList(context)),
    section('API keys', apiKeys(context)),
    section('Your data', takeAlong(context)),
    section('Leave the bank', leave(context)),
  );
  return { title: 'Profile', content };
}

/** @param {string} title @param {...Child} content */
const section = (title, ...content) => h('section', { class: 'block' }, h('h2', null, title), content);

/** Nothing without content. @param {string} title @param {Child} content */
const onlyWith = (title, content) => (content ? section(title, content) : null);

/** @param {Context} context */
function details({ bank, me, session }) {
  const email = field({
    name: 'email',
    label: 'E-mail address',
    type: 'email',
    autocomplete: 'email',
    value: me.email,
    maxlength: 254,
  });
  const current = passwordField({
    name: 'current_password',
    label: 'Current password',
    hint: 'To change the address you sign in with.',
  });
  let saved = me;
  const update = () => {
    current.hidden = email.control.value.trim().toLowerCase() === saved.email;
    current.control.required = !current.hidden;
  };
  email.control.addEventListener('input', update);
  update();
  /** @param {Values} values */
  const submit = async ({ name, email: address, current_password: secret }) => {
    await bank.updateMe({ name, email: address, ...(secret && { current_password: secret }) });
    saved = await session.reload();
    show();
    toast('Saved.');
  };
  const show = () => {
    name.control.value = saved.name;
    email.control.value = saved.email;
    current.control.value = '';
    update();
  };
  const name = field({
    name: 'name',
    label: 'Name',
    value: me.name,
    autocomplete: 'name',
    autocapitalize: 'words',
    characters: 100,
  });
  return form({ submit, class: 'card' }, name, email, current, actions(submitButton('Save')));
}

/** @param {Context} context */
function password({ bank, me }) {
  const element = form(
    {
      class: 'card',
      submit: async (values) => {
        await bank.changePassword({ current_password: values.current_password, new_password: values.new_password });
        element.reset();
        part(element, '.strength').dataset.level = '';
        toast('The password is changed. Every other session has ended.');
      },
    },
    // Password managers want to know whose password this is.
    h('input', {
      type: 'text',
      name: 'username',
      autocomplete: 'username',
      value: me.email,
      hidden: true,
      'aria-hidden': 'true',
    }),
    passwordField({ name: 'current_password', label: 'Current password' }),
    passwordField({
      name: 'new_password',
      label: 'New password',
      isNew: true,
      hint: 'At least 8 characters. Every other session ends.',
    }),
    actions(submitButton('Change the password')),
  );
  return element;
}

/** @param {{enabled: boolean, recovery_codes_left: number}} state */
function factor({ enabled, recovery_codes_left: left }) {
  const words = enabled
    ? `Signing in asks for a code from your authenticator app. You have ${left} recovery ${left === 1 ? 'code' : 'codes'} left.`
    : 'Ask for a code from an authenticator app whenever somebody signs in with your password.';
  const state = h('span', { class: `chip ${enabled ? 'active' : 'closed'}` }, enabled ? 'on' : 'off');
  return h(
    'div',
    { class: 'card row' },
    h('div', null, h('p', null, h('b', null, 'Authenticator app '), state), h('p', { class: 'hint' }, words)),
    h('a', { class: 'button secondary', href: '#/profile/second-factor' }, enabled ? 'Turn off' : 'Set up'),
  );
}

/** @param {Context} context */
function confirmation({ bank, me, session }) {
  const limit = field({
    name: 'confirm_above',
    label: 'Ask again above',
    hint: 'When more than this leaves an account of yours at once, you confirm with your password or a code. Whole units of the account’s currency; empty for never.',
    optional: true,
    inputmode: 'numeric',
    autocomplete: 'off',
    value: me.confirm_above ?? '',
    maxlength: 13,
  });
  /** @param {Values} values */
  const submit = async ({ confirm_above: units }) => {
    await bank.updateMe({ confirm_above: units || null });
    limit.control.value = (await session.reload()).confirm_above ?? '';
    toast('Saved.');
  };
  return form({ submit, class: 'card' }, limit, actions(submitButton('Set the limit')));
}

/** @param {Context} context */
function nameCheck({ bank, me, session }) {
  const words = me.name_check
    ? 'Before others pay you, the bank tells them whether the name that they have typed is yours.'
    : 'The bank tells nobody whether a name that they have typed is yours.';
  const toggle = async () => {
    await bank.updateMe({ name_check: !me.name_check });
    await session.reload();
    reloadIf(true);
  };
  const state = h('span', { class: `chip ${me.name_check ? 'active' : 'closed'}` }, me.name_check ? 'on' : 'off');
  return h(
    'div',
    { class: 'card row' },
    h('div', null, h('p', null, h('b', null, 'Name check '), state), h('p', { class: 'hint' }, words)),
    workButton(me.name_check ? 'Turn off' : 'Turn on', toggle),
  );
}

/** @param {Context} context */
function takeAlong({ bank }) {
  const file = async () => ({ blob: await bank.exportMe(), name: `coffer-export-${utcDate(new Date())}.zip` });
  return h(
    'div',
    { class: 'card row' },
    h(
      'p',
      { class: 'hint' },
      'Accounts, movements, texts, sessions, and what the bank has noted: an archive of files.',
    ),
    h('div', { class: 'ways' }, downloadButton('Take everything of mine along', file)),
  );
}

/** @param {Context} context */
function leave({ bank, session }) {
  const onclick = async () => {
    const done = await ask({
      title: 'Leave the bank?',
      text: 'The bank forgets your name, address and password. This cannot be undone.',
      verb: 'Leave for good',
      danger: true,
      act: () => bank.closeMe(),
    });
    if (done) session.leave('You have left the bank.');
  };
  return h(
    'div',
    { class: 'card row' },
    h('p', { class: 'hint' }, 'Close every account first. The books keep what was booked.'),
    h('button', { type: 'button', class: 'secondary danger', onclick }, 'Leave'),
  );
}
