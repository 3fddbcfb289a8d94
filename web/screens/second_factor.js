/** The second factor: setting it up, its recovery codes, and turning it off. */

import { h, toast } from '../ui/dom.js';
import { actions, field, form, part, submitButton } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { passwordField } from '../ui/password.js';
import { replaceWith } from '../ui/router.js';

/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function secondFactor(context) {
  const { bank, me, signal } = context;
  const { enabled, required } = await bank.secondFactor({ signal });
  const stage = h('div', null);
  stage.append(enabled ? turnOff(context, required) : confirmPassword(context, stage));
  const content = h(
    'section',
    { class: 'narrow' },
    !me.mustEnrol && h('a', { class: 'way-back', href: '#/profile' }, icon('back'), 'Profile'),
    h('h1', null, 'Second factor'),
    me.mustEnrol && h('p', { class: 'lead' }, 'Your role needs a second factor. Please set it up to go on.'),
    stage,
  );
  return { title: 'Second factor', content };
}

const LEFT_TOO_EARLY =
  'The second factor is on, but you left before its recovery codes were shown. To have some, turn it off and on again.';

const cancel = () => h('a', { class: 'button quiet', href: '#/profile' }, 'Cancel');

/** @param {string} hint */
const codeField = (hint) =>
  field({
    name: 'code',
    label: 'Code',
    hint,
    inputmode: 'numeric',
    autocomplete: 'one-time-code',
    spellcheck: 'false',
    maxlength: 64,
  });

/** @param {Context} context @param {HTMLElement} stage */
function confirmPassword({ bank, me, session, signal }, stage) {
  /** @param {Values} values */
  const submit = async ({ password }) => {
    const enrolment = await bank.enrolSecondFactor(password);
    stage.replaceChildren(scan({ bank, session, signal }, enrolment, stage));
    part(stage, 'h2').focus();
  };
  return form(
    { submit, class: 'card' },
    h('p', null, 'You will need an authenticator app on your phone.'),
    passwordField({ name: 'password', label: 'Password', hint: 'To be sure that it is you.' }),
    actions(!me.mustEnrol && cancel(), submitButton('Continue')),
  );
}

/**
 * @param {Pick<Context, 'bank' | 'session' | 'signal'>} context
 * @param {{secret: string, otpauth_uri: string, qr_svg: string}} enrolment
 * @param {HTMLElement} stage
 */
function scan({ bank, session, signal }, { secret, otpauth_uri: uri, qr_svg: picture }, stage) {
  /** @param {Values} values */
  const submit = async ({ code }) => {
    const { recovery_codes: codes } = await bank.confirmSecondFactor(code);
    if (signal.aborted) return toast(LEFT_TOO_EARLY);
    stage.replaceChildren(recoveryCodes(codes, session));
    part(stage, 'h2').focus();
  };
  return form(
    { submit, class: 'card' },
    h('h2', { tabindex: -1 }, 'Scan this with your app'),
    h('img', {
      class: 'qr',
      alt: 'QR code for the authenticator app',
      src: `data:image/svg+xml;charset=utf-8,${encodeURIComponent(picture)}`,
    }),
    h(
      'p',
      { class: 'hint' },
      'Or type the key: ',
      h('code', { class: 'secret' }, secret.replace(/(.{4})(?=.)/g, '$1 ')),
      '. On this device, ',
      h('a', { href: uri }, 'open the app'),
      '.',
    ),
    codeField('The six digits that the app shows now.'),
    actions(submitButton('Turn on')),
  );
}

/** @param {string[]} codes @param {Context['session']} session */
function recoveryCodes(codes, session) {
  const finish = async () => {
    await session.reload();
    toast('The second factor is on.');
    replaceWith('/profile');
  };
  const copy = async () => {
    await navigator.clipboard.writeText(codes.join('\n'));
    toast('The codes are copied.');
  };
  return h(
    'div',
    { class: 'card' },
    h('h2', { tabindex: -1 }, 'Keep these recovery codes'),
    h('p', null, 'Each one signs you in once, should you lose the app. They are shown only now.'),
    h(
      'ul',
      { class: 'codes' },
      codes.map((code) => h('li', null, h('code', null, code))),
    ),
    actions(
      navigator.clipboard && h('button', { type: 'button', class: 'secondary', onclick: copy }, icon('copy'), 'Copy'),
      h('button', { type: 'button', class: 'secondary', onclick: () => print() }, icon('print'), 'Print'),
      h('button', { type: 'button', class: 'primary', onclick: finish }, 'I have kept them'),
    ),
  );
}

/** @param {Context} context @param {boolean} required */
function turnOff({ bank, signal }, required) {
  /** @param {Values} values */
  const submit = async ({ password, code }) => {
    await bank.removeSecondFactor(password, code);
    toast('The second factor is off.');
    if (!signal.aborted) replaceWith('/profile');
  };
  const words = required
    ? 'It is on. Your role needs one: if you turn it off, you must set up another at once.'
    : 'It is on: signing in asks for a code. Turning it off takes your password and a code.';
  return form(
    { submit, class: 'card' },
    h('p', null, words),
    passwordField({ name: 'password', label: 'Password' }),
    codeField('From your authenticator app, or a recovery code.'),
    actions(cancel(), submitButton('Turn off', { class: 'primary danger' })),
  );
}
