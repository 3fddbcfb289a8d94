/** The passbook of an account: its entries, filtered, loaded page by page as one scrolls. */

import { formatDay, formatTime } from '../domain/dates.js';
import { groupDigits } from '../domain/account_number.js';
import { h } from '../ui/dom.js';
import { decimalsOf, formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { asked, filterOf, isFiltered, movementFilters } from '../ui/movement_filters.js';
import { paged } from '../ui/paged.js';
import { link, rememberInAddress } from '../ui/router.js';

/** @import { Account, Entry } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */
/** @import { Properties } from '../ui/dom.js' */
/** @import { Filter } from '../ui/movement_filters.js' */

/**
 * @param {Context} context
 * @param {Account} account
 * @param {{id: string} | null} customer
 * @returns {HTMLElement & {refresh: () => void}}
 */
export function accountHistory({ bank, query, path, signal }, account, customer) {
  const chosen = filterOf((name) => query.get(name));
  const decimals = decimalsOf(account.balance);
  const body = h('tbody', { role: 'rowgroup' });
  const list = paged({
    into: body,
    frame: table(body),
    signal,
    load: (cursor, mine) =>
      bank.historyPage(account.account_number, { ...asked(chosen, decimals), cursor }, { signal: mine }),
    row: (entry, previous) => [dayRow(entry, previous), row(entry, customer?.id)],
    empty: () => nothing(chosen),
  });
  /** @param {Filter} changes */
  const change = (changes) => {
    Object.assign(chosen, changes);
    rememberInAddress(path, { for: customer?.id, ...chosen });
    list.restart();
  };
  const section = h(
    'section',
    { 'aria-labelledby': 'history-heading' },
    h('h2', { id: 'history-heading' }, 'History'),
    movementFilters(chosen, { name: 'Filter the history', decimals, change, signal }),
    list,
  );
  return Object.assign(section, { refresh: list.refresh });
}

/** @param {Filter} chosen @returns {[string, string]} */
export function nothing(chosen) {
  return isFiltered(chosen)
    ? ['Nothing like that', 'No movement fits these filters.']
    : ['Nothing yet', 'Movements appear here as soon as money comes in.'];
}

// Roles are written out: on a small screen the style makes these no table any more, and browsers then forget.
/** @param {HTMLElement} body */
function table(body) {
  /** @param {string} words @param {Properties} [attributes] */
  const head = (words, attributes) => h('th', { role: 'columnheader', scope: 'col', ...attributes }, words);
  return h(
    'table',
    { class: 'passbook card', role: 'table', 'aria-labelledby': 'history-heading' },
    h(
      'thead',
      { role: 'rowgroup' },
      h(
        'tr',
        { role: 'row' },
        head('Movement'),
        head('Amount', { class: 'amount' }),
        head('Balance', { class: 'amount' }),
      ),
    ),
    body,
  );
}

/** @param {Entry} entry @param {Entry | undefined} previous */
export function dayRow(entry, previous) {
  const day = formatDay(entry.created_at);
  if (previous && formatDay(previous.created_at) === day) return [];
  return h('tr', { class: 'day', role: 'row' }, h('th', { role: 'rowheader', scope: 'rowgroup', colspan: 3 }, day));
}

/** @param {Entry} entry @param {string | undefined} owner */
function row(entry, owner) {
  const href = link(`/accounts/${entry.account_number}/entries/${entry.id}`, { for: owner });
  return h(
    'tr',
    { role: 'row', class: entry.direction },
    h(
      'td',
      { role: 'cell', class: 'what' },
      h('a', { href }, entry.description ?? MOVEMENT_TYPES[entry.type].name),
      h('span', { class: 'hint' }, [formatTime(entry.created_at), about(entry)].filter(Boolean).join(' · ')),
    ),
    h('td', { role: 'cell', class: 'amount moved' }, signed(entry)),
    h('td', { role: 'cell', class: 'amount after' }, formatMoney(entry.balance, entry.currency)),
  );
}

/** @param {Pick<Entry, 'direction' | 'amount' | 'currency'>} entry @returns {string} with a plus or minus */
export function signed({ direction, amount, currency }) {
  return formatMoney(direction === 'credit' ? amount : `-${amount}`, currency, { sign: 'always' });
}

/** @param {Entry} entry @returns {string} what kind of movement it was, and with whom */
export function about({ type, direction, counterparty }) {
  if (!counterparty) return MOVEMENT_TYPES[type].name;
  return `${direction === 'credit' ? 'From' : 'To'} ${groupDigits(counterparty)}`;
}
