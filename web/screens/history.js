/** The passbook of an account: filtered, and read on as one scrolls. */

import { startOfDay, formatDay, formatTime } from '../domain/dates.js';
import { groupDigits } from '../domain/account_number.js';
import { h } from '../ui/dom.js';
import { field, select } from '../ui/form.js';
import { formatMoney } from '../domain/money.js';
import { paged } from '../ui/paged.js';
import { link, rememberInAddress } from '../ui/router.js';
import { whenTypedOut } from '../ui/typing.js';

const NAMES = { deposit: 'Deposit', withdrawal: 'Withdrawal', transfer: 'Transfer' };

/**
 * @param {import('../app.js').Context} context
 * @param {import('../api/coffer.js').Account} account
 * @param {import('../api/coffer.js').User | null} customer
 */
export function accountHistory({ bank, query, path, signal }, account, customer) {
  const chosen = Object.fromEntries(['type', 'text', 'from', 'to'].map((name) => [name, query.get(name) ?? '']));
  const body = h('tbody', { role: 'rowgroup' });
  const list = paged({
    into: body,
    frame: table(body),
    signal,
    load: (cursor, mine) => bank.historyPage(account.account_number, { ...asked(chosen), cursor }, { signal: mine }),
    row: (entry, previous) => [dayRow(entry, previous), row(entry, customer?.id)],
    empty: () => nothing(chosen),
  });
  const change = (changes) => {
    Object.assign(chosen, changes);
    rememberInAddress(path, { for: customer?.id, ...chosen });
    list.restart();
  };
  return h(
    'section',
    { 'aria-labelledby': 'history-heading' },
    h('h2', { id: 'history-heading' }, 'History'),
    filters(chosen, change, signal),
    list,
  );
}

/** Local days become moments. `to` is the last day that counts. */
function asked({ type, text, from, to }) {
  return { type, text, from: from && startOfDay(from), to: to && startOfDay(to, 1) };
}

function nothing(chosen) {
  return Object.values(chosen).some(Boolean)
    ? ['Nothing like that', 'No movement fits these filters.']
    : ['Nothing yet', 'Movements appear here as soon as money comes in.'];
}

function filters(chosen, change, signal) {
  const kinds = [
    ['', 'All kinds'],
    ['deposit', 'Deposits'],
    ['withdrawal', 'Withdrawals'],
    ['transfer', 'Transfers'],
  ];
  const type = field({ name: 'type', label: 'Kind', control: select(kinds, { value: chosen.type }), required: false });
  const text = field({
    name: 'text',
    label: 'Text',
    type: 'search',
    value: chosen.text,
    placeholder: 'Search descriptions',
    maxlength: 140,
    required: false,
  });
  const day = (name, label) => field({ name, label, type: 'date', value: chosen[name], required: false });
  const fields = [text, type, day('from', 'From'), day('to', 'To')];
  const read = () => change(Object.fromEntries(fields.map(({ control }) => [control.name, control.value.trim()])));
  const onsubmit = (event) => event.preventDefault();
  const bar = h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter the history', onsubmit }, fields);
  whenTypedOut(bar, read, signal);
  return bar;
}

// Roles are written out: on a small screen the style makes these no table any more, and browsers then forget.
function table(body) {
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

function dayRow(entry, previous) {
  const day = formatDay(entry.created_at);
  if (previous && formatDay(previous.created_at) === day) return [];
  return h('tr', { class: 'day', role: 'row' }, h('th', { role: 'rowheader', scope: 'rowgroup', colspan: 3 }, day));
}

function row(entry, owner) {
  const href = link(`/accounts/${entry.account_number}/entries/${entry.id}`, { for: owner });
  return h(
    'tr',
    { role: 'row', class: entry.direction },
    h(
      'td',
      { role: 'cell', class: 'what' },
      h('a', { href }, entry.description ?? NAMES[entry.type]),
      h('span', { class: 'hint' }, [formatTime(entry.created_at), about(entry)].filter(Boolean).join(' · ')),
    ),
    h('td', { role: 'cell', class: 'amount moved' }, signed(entry)),
    h('td', { role: 'cell', class: 'amount after' }, formatMoney(entry.balance, entry.currency)),
  );
}

/** @param {import('../api/coffer.js').Entry} entry @returns {string} with a plus or minus */
export function signed({ direction, amount, currency }) {
  return formatMoney(direction === 'credit' ? amount : `-${amount}`, currency, { sign: 'always' });
}

/** @param {import('../api/coffer.js').Entry} entry @returns {string} what kind of movement it was, and with whom */
export function about({ type, direction, counterparty }) {
  if (!counterparty) return NAMES[type];
  return `${direction === 'credit' ? 'From' : 'To'} ${groupDigits(counterparty)}`;
}
