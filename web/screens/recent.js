/** What moved last, on all accounts of one person. */

import { nameOf } from '../ui/account_list.js';
import { wayFrom } from '../ui/choose_account.js';
import { h } from '../ui/dom.js';
import { formatDay } from '../domain/dates.js';
import { formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { about, signed } from '../ui/passbook.js';
import { link } from '../ui/router.js';
import { later } from '../ui/states.js';

/** @import { Account, Coffer, Entry } from '../api/coffer.js' */

/** As many as one reads at a glance. */
const SHOWN = 6;

/** @param {Coffer} bank @param {Account[]} accounts that have moved @param {AbortSignal} signal */
export function recentMovements(bank, accounts, signal) {
  const byNumber = new Map(accounts.map((account) => [account.account_number, account]));
  const read = async () => {
    /** @param {string} number */
    const last = async (number) => (await bank.historyPage(number, { limit: SHOWN }, { signal })).data;
    const entries = (await Promise.all([...byNumber.keys()].map(last))).flat();
    const rows = newest(entries).map((entry) => h('li', null, row(entry, byNumber)));
    return h('ul', { class: 'card rows recent', 'aria-label': 'Recent movements' }, rows);
  };
  return h(
    'section',
    { 'aria-labelledby': 'recent-heading' },
    h(
      'div',
      { class: 'section-head' },
      h('h2', { id: 'recent-heading' }, 'Recent movements'),
      wayFrom('Whole history', '', accounts, { class: 'quiet' }),
    ),
    later(read, signal, SHOWN),
  );
}

/** One row for each movement: a transfer between two of these accounts is in the history of both. @param {Entry[]} entries */
function newest(entries) {
  /** @type {Map<string, Entry>} */
  const movements = new Map();
  for (const entry of entries)
    if (!movements.has(entry.id) || entry.direction === 'debit') movements.set(entry.id, entry);
  const moment = (/** @type {Entry} */ { created_at: at }) => Date.parse(at);
  return [...movements.values()].sort((a, b) => moment(b) - moment(a)).slice(0, SHOWN);
}

/** @param {Entry} entry @param {Map<string, Account>} accounts */
function row(entry, accounts) {
  const [own, other] = [accounts.get(entry.account_number), accounts.get(entry.counterparty ?? '')];
  const names = own && [nameOf(own), other && nameOf(other)].filter(Boolean).join(' to ');
  // What stays with the same person is neither gain nor loss.
  const amount = other ? formatMoney(entry.amount, entry.currency) : signed(entry);
  const heading = entry.description ?? MOVEMENT_TYPES[entry.type].name;
  const what = !entry.description && !other && about(entry) !== heading && about(entry);
  return h(
    'a',
    { href: link(`/accounts/${entry.account_number}/entries/${entry.id}`), class: other ? '' : entry.direction },
    h(
      'span',
      { class: 'account-name' },
      h('b', null, heading),
      h(
        'span',
        { class: 'hint' },
        [formatDay(entry.created_at), what, accounts.size > 1 && names].filter(Boolean).join(' · '),
      ),
    ),
    h('span', { class: 'amount moved' }, amount),
  );
}
