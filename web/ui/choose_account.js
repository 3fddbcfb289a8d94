/** Ways that begin at one of somebody's accounts, which is asked for where there are several. */

import { formatMoney } from '../domain/money.js';
import { nameOf } from './account_list.js';
import { tell } from './dialog.js';
import { h } from './dom.js';
import { link } from './router.js';

/** @import { Account } from '../api/coffer.js' */
/** @import { Child } from './dom.js' */

/**
 * @param {string} verb
 * @param {string} path below that of the account
 * @param {Account[]} accounts at least one
 * @param {{class?: string, content?: Child}} [options] `content`: what is to be seen in place of the verb
 */
export function wayFrom(verb, path, accounts, { content = verb, class: kind = '' } = {}) {
  if (accounts.length === 1) return h('a', { class: `button ${kind}`, href: wayTo(path, accounts[0]) }, content);
  const onclick = () => tell(`${verb}: which account?`, choices(path, accounts));
  return h('button', { type: 'button', class: kind, onclick }, content);
}

/** @param {string} path @param {Account} account */
export const wayTo = (path, { account_number: number }) => link(`/accounts/${number}${path}`);

/** @param {string} path @param {Account[]} accounts */
function choices(path, accounts) {
  /** @param {Account} account */
  const choice = (account) =>
    h(
      'a',
      { class: 'button secondary wide', href: wayTo(path, account) },
      h('span', null, nameOf(account)),
      h('span', { class: 'amount' }, formatMoney(account.balance, account.currency)),
    );
  return h(
    'ul',
    { class: 'choices' },
    accounts.map((account) => h('li', null, choice(account))),
  );
}
