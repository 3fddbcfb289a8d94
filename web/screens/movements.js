/** Staff, admins and auditors: the movements of the whole bank, as the account saw them that was acted on. */

import { groupDigits } from '../domain/account_number.js';
import { formatTime } from '../domain/dates.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { h } from '../ui/dom.js';
import { asked, filterOf, movementFilters } from '../ui/movement_filters.js';
import { paged } from '../ui/paged.js';
import { rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';
import { about, dayRow, nothing, signed } from './history.js';

/** @import { Entry } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Properties } from '../ui/dom.js' */
/** @import { Filter } from '../ui/movement_filters.js' */

/** @param {Context} context @returns {Screen} */
export function movements({ bank, me, path, query, signal }) {
  const chosen = filterOf((name) => query.get(name));
  const body = h('tbody', { role: 'rowgroup' });
  const list = paged({
    into: body,
    frame: table(body),
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
  const content = [
    h('h1', null, 'All movements'),
    staffWays(me, path),
    h('p', { class: 'hint' }, 'In the order in which they were asked for. What you are shown is on record.'),
    movementFilters(chosen, { name: 'Filter all movements', change, signal }),
    list,
  ];
  return { title: 'All movements', content };
}

// Roles are written out, as in a passbook.
/** @param {HTMLElement} body */
function table(body) {
  /** @param {string} words @param {Properties} [attributes] */
  const head = (words, attributes) => h('th', { role: 'columnheader', scope: 'col', ...attributes }, words);
  const heads = [head('Movement'), head('Account', { class: 'amount' }), head('Amount', { class: 'amount' })];
  return h(
    'table',
    { class: 'passbook card', role: 'table', 'aria-label': 'All movements' },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)),
    body,
  );
}

/** @param {Entry} entry */
function row(entry) {
  const base = `#/accounts/${entry.account_number}`;
  const hint = [formatTime(entry.created_at), about(entry), entry.reference].filter(Boolean).join(' · ');
  return h(
    'tr',
    { role: 'row', class: entry.direction },
    h(
      'td',
      { role: 'cell', class: 'what' },
      h('a', { href: `${base}/entries/${entry.id}` }, entry.description ?? MOVEMENT_TYPES[entry.type].name),
      h('span', { class: 'hint' }, hint),
    ),
    h(
      'td',
      { role: 'cell', class: 'amount after' },
      h('a', { href: base, class: 'number' }, groupDigits(entry.account_number)),
    ),
    h('td', { role: 'cell', class: 'amount moved' }, signed(entry)),
  );
}
