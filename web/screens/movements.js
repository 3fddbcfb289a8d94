/** Staff, admins and auditors: the movements of the whole bank, as the account saw them that was acted on. */

import { groupDigits } from '../domain/account_number.js';
import { utcDate } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { asked, filterOf, movementFilters, nothing } from '../ui/movement_filters.js';
import { paged } from '../ui/paged.js';
import { dayRow, movementCell, passbook, signed } from '../ui/passbook.js';
import { rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';

/** @import { Entry } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Filter } from '../ui/movement_filters.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function movements({ bank, me, path, query, signal }) {
  const { data: bankAccounts } = await bank.bankAccounts({ signal });
  const chosen = filterOf((name) => query.get(name));
  // An address may name an account that this bank does not have.
  if (!bankAccounts.some(({ code }) => code === chosen.against)) chosen.against = '';
  const body = h('tbody', { role: 'rowgroup' });
  const list = paged({
    into: body,
    frame: passbook(body, ['Account', 'Amount'], { 'aria-label': 'All movements' }),
    signal,
    load: (cursor, mine) => bank.movementsPage({ ...asked(chosen), cursor }, { signal: mine }),
    row: (entry, previous) => [dayRow(entry, previous), row(entry)],
    empty: () => nothing(chosen),
  });
  /** @param {Filter} changes */
  const change = (changes) => {
    Object.assign(chosen, changes);
    rememberInAddress(path, chosen);
    list.restart();
  };
  const file = async () => ({
    blob: await bank.movementsFile(asked(chosen)),
    name: `movements-${utcDate(new Date())}.csv`,
  });
  const content = [
    h('h1', null, 'All movements'),
    staffWays(me, path),
    h('p', { class: 'hint' }, 'In the order in which they were asked for. What you are shown is on record.'),
    movementFilters(chosen, { name: 'Filter all movements', bankAccounts, change, signal }),
    h('div', { class: 'actions no-print' }, downloadButton('CSV', file)),
    list,
  ];
  return { title: 'All movements', content };
}

/** @param {Entry} entry */
function row(entry) {
  const base = `#/accounts/${entry.account_number}`;
  return h(
    'tr',
    { role: 'row', class: entry.direction },
    movementCell(entry, `${base}/entries/${entry.id}`, entry.reference),
    h(
      'td',
      { role: 'cell', class: 'amount after' },
      h('a', { href: base, class: 'number' }, groupDigits(entry.account_number)),
    ),
    h('td', { role: 'cell', class: 'amount moved' }, signed(entry)),
  );
}
