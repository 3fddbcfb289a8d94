/** The passbook of an account: its entries, filtered, loaded page by page as one scrolls. */

import { h } from '../ui/dom.js';
import { decimalsOf, formatMoney } from '../domain/money.js';
import { asked, filterOf, movementFilters, nothing } from '../ui/movement_filters.js';
import { paged } from '../ui/paged.js';
import { dayRow, movementCell, passbook, signed } from '../ui/passbook.js';
import { link, rememberInAddress } from '../ui/router.js';

/** @import { Account, Entry } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */
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
    frame: passbook(body, ['Amount', 'Balance'], { 'aria-labelledby': 'history-heading' }),
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

/** @param {Entry} entry @param {string | undefined} owner */
function row(entry, owner) {
  const href = link(`/accounts/${entry.account_number}/entries/${entry.id}`, { for: owner });
  return h(
    'tr',
    { role: 'row', class: entry.direction },
    movementCell(entry, href),
    h('td', { role: 'cell', class: 'amount moved' }, signed(entry)),
    h('td', { role: 'cell', class: 'amount after' }, formatMoney(entry.balance, entry.currency)),
  );
}
