/** One account: what is on it, what may be done with it, and everything that happened. */

import { chip, nameOf } from '../ui/account_list.js';
import { groupDigits } from '../domain/account_number.js';
import { flat, h, toast } from '../ui/dom.js';
import { icon } from '../ui/icons.js';
import { formatMoney, isPositive } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { customerOf } from '../ui/people.js';
import { link } from '../ui/router.js';
import { whileSeen } from '../ui/while_seen.js';
import { actsForOthers, mayAct } from '../domain/roles.js';
import { accountHistory } from './history.js';

/** @import { Account, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Picture } from '../ui/icons.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function account(context) {
  const { bank, me, params, signal } = context;
  const shown = await bank.account(params.number, { signal });
  const customer = await customerOf(context, shown);
  const above = head(context, shown, customer);
  const history = accountHistory(context, shown, customer);
  watch(context, shown, (changed) => {
    above.show(changed);
    history.refresh();
  });
  const content = [
    customer ? actingFor(me, customer) : h('a', { class: 'way-back', href: '#/' }, icon('back'), 'Overview'),
    above.element,
    history,
  ];
  return { title: nameOf(shown), content };
}

/**
 * The bank tells when the account changes, while the screen is shown and can be seen.
 * @param {Context} context
 * @param {Account} shown
 * @param {(account: Account) => void} onChange
 */
function watch({ bank, signal }, shown, onChange) {
  let { etag } = shown;
  whileSeen(signal, (mine) => {
    /** @param {Account} account */
    const note = (account) => {
      ({ etag } = account);
      if (!mine.aborted) onChange(account);
    };
    // Who has been signed out hears of it in another way, and the account is as it was shown.
    bank.watchAccount(shown.account_number, note, { signal: mine, etag }).catch(() => {});
  });
}

/** The way back to an account from what is about it. @param {Account} account @param {{id: string} | null} customer for whom staff acts */
export const wayBack = (account, customer) =>
  h(
    'a',
    { class: 'way-back', href: link(`/accounts/${account.account_number}`, { for: customer?.id }) },
    icon('back'),
    nameOf(account),
  );

/** @param {User} me @param {{id: string, name: string}} customer */
export function actingFor(me, customer) {
  const words = actsForOthers(me) ? 'You act for ' : 'You look at an account of ';
  const back = h('a', { href: `#/staff/users/${customer.id}` }, customer.name);
  return h('p', { class: 'acting', role: 'note' }, icon('staff'), h('span', null, words, back, '.'));
}

/**
 * What stands above the history. `show` brings it in step with the account.
 * @param {Context} context
 * @param {Account} shown
 * @param {{id: string} | null} customer
 */
function head(context, shown, customer) {
  const element = h('section', { class: 'account-head' });
  const balance = h('div', { role: 'status' });
  /** @param {Account} account */
  const show = (account) => {
    const isOtherwise = !element.firstChild || account.label !== shown.label || account.status !== shown.status;
    shown = account;
    balance.replaceChildren(...flat(amounts(account)));
    // What can be pressed stays where it is, with the focus, unless it is no longer the same.
    if (isOtherwise) element.replaceChildren(...flat(headOf(context, account, customer, balance)));
  };
  show(shown);
  return { element, show };
}

/** @param {Account} shown */
function amounts(shown) {
  return [
    h('p', { class: 'balance' }, formatMoney(shown.balance, shown.currency)),
    shown.available !== shown.balance && h('p', { class: 'hint' }, availableInWords(shown)),
  ];
}

/**
 * @param {Context} context
 * @param {Account} shown
 * @param {{id: string} | null} customer
 * @param {HTMLElement} balance
 */
function headOf({ me }, shown, customer, balance) {
  const isOpen = shown.status === 'open';
  const ways = { for: customer?.id };
  const base = `/accounts/${shown.account_number}`;
  /** @param {string} path @param {Picture} picture @param {string} words @param {string} kind */
  const way = (path, picture, words, kind = 'quiet') =>
    h('a', { class: `button ${kind}`, href: link(`${base}/${path}`, ways) }, icon(picture), words);
  return [
    h('div', { class: 'title-row' }, h('h1', null, nameOf(shown)), !isOpen && chip(shown.status)),
    copyableNumber(shown.account_number),
    balance,
    shown.status === 'frozen' &&
      h('p', { class: 'hint' }, 'The bank has frozen this account: no money moves, in or out.'),
    mayAct(me) &&
      isOpen &&
      h(
        'div',
        { class: 'ways daily' },
        Object.values(MOVEMENT_TYPES).map(({ path, icon, verb }) => way(path, icon, verb, 'secondary')),
      ),
    h(
      'div',
      { class: 'ways views' },
      way('holds', 'lock', 'Holds'),
      way('limits', 'limit', 'Limits'),
      way('statement', 'statement', 'Statement'),
      way('settings', 'settings', 'Settings'),
    ),
  ];
}

/** Where it differs from the balance. @param {Account} shown */
function availableInWords({ held, available, currency }) {
  const words = `Available: ${formatMoney(available, currency)}`;
  return isPositive(held) ? `Held: ${formatMoney(held, currency)} · ${words}` : words;
}

/** @param {string} number */
function copyableNumber(number) {
  const copy = async () => {
    await navigator.clipboard.writeText(number);
    toast('The account number is copied.');
  };
  const words = `Copy the account number`;
  return h(
    'p',
    { class: 'number' },
    h('span', null, groupDigits(number)),
    navigator.clipboard &&
      h(
        'button',
        { type: 'button', class: 'icon-button', 'aria-label': words, title: words, onclick: copy },
        icon('copy'),
      ),
  );
}

/** Shows the screen anew when something has changed. @param {boolean} changed */
export function reloadIf(changed) {
  if (changed) dispatchEvent(new HashChangeEvent('hashchange', { oldURL: location.href, newURL: location.href }));
}
