/** What is set once for an account: its name, when a low balance is told, and its end. Away from what is done every day. */

import { nameOf } from '../ui/account_list.js';
import { limitOf } from '../ui/amount.js';
import { groupDigits } from '../domain/account_number.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { field } from '../ui/form.js';
import { decimalsOf, formatMoney, formatPlain } from '../domain/money.js';
import { customerOf } from '../ui/people.js';
import { actsForOthers, mayAct } from '../domain/roles.js';
import { replaceWith } from '../ui/router.js';
import { actingFor, reloadIf, wayBack } from './account.js';
import { askForMovementNotices, movementNoticesInWords } from './notices.js';

/** @import { Account, Coffer } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function accountSettings(context) {
  const { bank, me, params, signal } = context;
  const account = await bank.account(params.number, { signal });
  const customer = await customerOf(context, account);
  const sendsMail = !customer && (await bank.about({ signal })).mail;
  const mayChange = mayAct(me) && account.status !== 'closed' && (!customer || actsForOthers(me));
  const content = [
    customer && actingFor(me, customer),
    wayBack(account, customer),
    h(
      'section',
      null,
      h('h1', { tabindex: -1 }, 'Settings'),
      h('p', { class: 'lead' }, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
    ),
    h(
      'ul',
      { class: 'card rows' },
      row('Name', nameOf(account), mayChange && button('Rename', () => rename(bank, account))),
      row('Low balance', alertInWords(account), mayChange && button('Change', () => changeAlert(bank, account))),
      sendsMail &&
        row(
          'Movements by mail',
          movementNoticesInWords(account),
          mayChange && button('Set an amount', () => changeNotices(bank, account)),
        ),
    ),
    mayChange &&
      !customer &&
      h(
        'section',
        null,
        h('h2', null, 'Close the account'),
        h(
          'ul',
          { class: 'card rows' },
          row(
            'Close for good',
            'It must be empty. Its history stays, but no money can move on it again.',
            button('Close', () => close(bank, account), 'danger secondary'),
          ),
        ),
      ),
  ];
  return { title: 'Settings', content };
}

/** @param {string} name @param {string} words @param {Child} action */
const row = (name, words, action) =>
  h('li', { class: 'row' }, h('div', null, h('p', null, h('b', null, name)), h('p', { class: 'hint' }, words)), action);

/** @param {string} words @param {() => unknown} onclick */
const button = (words, onclick, kind = 'secondary') => h('button', { type: 'button', class: kind, onclick }, words);

/** @param {Account} account */
function alertInWords({ alert_below: below, currency }) {
  return below === null
    ? 'Programs are not told when the balance gets low.'
    : `Programs are told when the balance falls below ${formatMoney(below, currency)}.`;
}

/** @param {Coffer} bank @param {Account} account */
const rename = (bank, account) =>
  ask({
    title: 'Rename the account',
    text: 'It tells your accounts apart. Only you and the bank see it.',
    verb: 'Rename',
    fields: [field({ name: 'label', label: 'Name', value: account.label ?? '', optional: true, characters: 50 })],
    act: ({ label }) => bank.renameAccount(account.account_number, label || null),
  }).then(reloadIf);

/** @param {Coffer} bank @param {Account} account */
const changeAlert = (bank, { account_number: number, alert_below: below, balance, currency }) =>
  ask({
    title: 'Tell my programs when the balance is low',
    text: 'A movement that takes the balance below this amount makes the event balance.below. Leave it empty to be told nothing.',
    verb: 'Save',
    fields: [
      field({
        name: 'alert_below',
        label: `When it falls below, in ${currency}`,
        optional: true,
        inputmode: 'decimal',
        autocomplete: 'off',
        value: below && formatPlain(below),
      }),
    ],
    act: ({ alert_below: typed }) =>
      bank.updateAccount(number, { alert_below: limitOf('alert_below', typed, decimalsOf(balance)) }),
  }).then(saved);

/** @param {Coffer} bank @param {Account} account */
const changeNotices = (bank, account) => askForMovementNotices(bank, account).then(saved);

/** @param {boolean} done */
function saved(done) {
  if (done) toast('Saved.');
  reloadIf(done);
}

/** @param {Coffer} bank @param {Account} account */
const close = (bank, account) =>
  ask({
    title: `Close ${nameOf(account)}?`,
    text: `This is about ${groupDigits(account.account_number)}. It must be empty. Its history stays, but no money can move on it again.`,
    verb: 'Close the account',
    danger: true,
    act: () => bank.closeAccount(account.account_number),
  }).then((done) => done && replaceWith(`/accounts/${account.account_number}`));
