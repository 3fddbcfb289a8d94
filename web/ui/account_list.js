/** Accounts in a list, each with its balance. */

import { groupDigits } from '../domain/account_number.js';
import { h } from './dom.js';
import { icon } from './icons.js';
import { formatMoney } from '../domain/money.js';
import { link } from './router.js';

/** @import { Account } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */

/** @param {Account} account @returns {string} */
export const nameOf = (account) => account.label ?? `${account.currency} account`;

/** @param {string} status */
export const chip = (status) => h('span', { class: `chip ${status}` }, status);

/** The bank lists accounts by their numbers, which mean nothing. @param {Account[]} accounts */
export const oldestFirst = (accounts) =>
  [...accounts].sort((a, b) => Date.parse(a.opened_at) - Date.parse(b.opened_at));

/**
 * @param {Account[]} accounts
 * @param {{owner?: string, beside?: (account: Account) => Child}} [options] `owner`: the customer for whom staff acts;
 *   `beside`: what may be done with an account
 */
export function accountList(accounts, { owner, beside } = {}) {
  /** @param {Account} account */
  const closed = ({ status }) => Number(status === 'closed');
  const inOrder = oldestFirst(accounts).sort((a, b) => closed(a) - closed(b));
  return h(
    'ul',
    { class: 'accounts card' },
    inOrder.map((account) => row(account, owner, beside?.(account))),
  );
}

/** @param {Account} account @param {string | undefined} owner @param {Child} beside */
function row(account, owner, beside) {
  return h(
    'li',
    { class: account.status },
    h(
      'a',
      { href: link(`/accounts/${account.account_number}`, { for: owner }) },
      h(
        'span',
        { class: 'account-name' },
        h('b', null, nameOf(account), ' ', account.status !== 'open' && chip(account.status)),
        h('span', { class: 'number' }, groupDigits(account.account_number)),
      ),
      h('span', { class: 'amount' }, formatMoney(account.balance, account.currency)),
      icon('next'),
    ),
    beside,
  );
}
