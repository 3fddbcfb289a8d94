/** The passbook of an account: its entries, filtered, loaded page by page as one scrolls. */

import { startOfDay, formatDay, formatTime } from '../domain/dates.js';
import { groupDigits } from '../domain/account_number.js';
import { h } from '../ui/dom.js';
import { field, select } from '../ui/form.js';
import { formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES, movementTypeChoices } from '../domain/movement_types.js';
import { paged } from '../ui/paged.js';
import { link, rememberInAddress } from '../ui/router.js';
import { whenTypedOut } from '../ui/typing.js';

/** @import { Account, Entry, MovementType } from '../api/coffer.js' */
/** @import { Context } from '../app.js' */
/** @import { Properties } from '../ui/dom.js' */

/** @typedef {{type: MovementType | '', text: string, from: string, to: string}} Filter the days as a field has them */

/** @type {[MovementType | '', string][]} */
const KINDS = [['', 'All kinds'], ...movementTypeChoices()];

/**
 * @param {Context} context
 * @param {Account} account
 * @param {{id: string} | null} customer
 */
export function accountHistory({ bank, query, path, signal }, account, customer) {
  const chosen = filterOf((name) => query.get(name));
  const body = h('tbody', { role: 'rowgroup' });
  const list = paged({
    into: body,
    frame: table(body),
    signal,
    load: (cursor, mine) => bank.historyPage(account.account_number, { ...asked(chosen), cursor }, { signal: mine }),
    row: (entry, previous) => [dayRow(entry, previous), row(entry, customer?.id)],
    empty: () => nothing(chosen),
  });
  /** @param {Filter} changes */
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

/**
 * @param {(name: string) => string | null} read
 * @returns {Filter}
 */
function filterOf(read) {
  const type = KINDS.find(([kind]) => kind === read('type'))?.[0] ?? '';
  return { type, text: read('text') ?? '', from: read('from') ?? '', to: read('to') ?? '' };
}

/** Local days become moments. `to` is the last day that counts. @param {Filter} chosen */
function asked({ type, text, from, to }) {
  return { type, text, from: from && startOfDay(from), to: to && startOfDay(to, 1) };
}

/** @param {Filter} chosen @returns {[string, string]} */
function nothing(chosen) {
  return Object.values(chosen).some(Boolean)
    ? ['Nothing like that', 'No movement fits these filters.']
    : ['Nothing yet', 'Movements appear here as soon as money comes in.'];
}

/** @param {Filter} chosen @param {(filter: Filter) => void} change @param {AbortSignal} signal */
function filters(chosen, change, signal) {
  const type = field({ name: 'type', label: 'Kind', control: select(KINDS, { value: chosen.type }), required: false });
  const text = field({
    name: 'text',
    label: 'Text',
    type: 'search',
    value: chosen.text,
    placeholder: 'Search descriptions',
    maxlength: 140,
    required: false,
  });
  /** @param {'from' | 'to'} name @param {string} label */
  const day = (name, label) => field({ name, label, type: 'date', value: chosen[name], required: false });
  const fields = [text, type, day('from', 'From'), day('to', 'To')];
  /** @param {string} name */
  const valueOf = (name) => fields.find(({ control }) => control.name === name)?.control.value.trim() ?? null;
  const read = () => change(filterOf(valueOf));
  /** @param {Event} event */
  const onsubmit = (event) => event.preventDefault();
  const bar = h('form', { class: 'filters', role: 'search', 'aria-label': 'Filter the history', onsubmit }, fields);
  whenTypedOut(bar, read, signal);
  return bar;
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
function dayRow(entry, previous) {
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
