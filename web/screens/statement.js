/** A statement of a period: to read, to print, and to download. */

import { nameOf } from '../ui/account_list.js';
import { groupDigits } from '../domain/account_number.js';
import { formatUtcDay, startOfUtcDay, usualPeriods } from '../domain/dates.js';
import { h } from '../ui/dom.js';
import { downloadButton } from '../ui/download.js';
import { icon, mark } from '../ui/icons.js';
import { LOCALE, decimalsOf, formatMoney, formatPlain, fromMinor } from '../domain/money.js';
import { entryBefore } from '../domain/passbook.js';
import { customerOf } from '../ui/people.js';
import { rememberInAddress } from '../ui/router.js';
import { later } from '../ui/states.js';
import { about, whatClass } from '../ui/passbook.js';
import { wayBack } from './account.js';
import { periodChooser, periodOf } from './statement_period.js';

/** @import { Account, Coffer, Entry, Statement } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { EntryBalance } from '../domain/passbook.js' */
/** @import { Period } from '../domain/dates.js' */
/** @import { Child } from '../ui/dom.js' */

/** Movements of a period that is drawn whole, some 50 pages on paper. A browser that lays out many more of them stands still. */
const MAX_MOVEMENTS = 2_000;

/**
 * @typedef {{bank: Coffer, account: Account, holder: {name: string}, period: Period, signal: AbortSignal}} Asked
 */

/** @param {Context} context @returns {Promise<Screen>} */
export async function statement(context) {
  const { bank, me, params, query, path, signal } = context;
  const account = await bank.account(params.number, { signal });
  const customer = await customerOf(context, account);
  const sheet = h('div');
  /** @param {Period} period */
  const show = (period) => {
    rememberInAddress(path, { for: customer?.id, ...period });
    sheet.replaceChildren(
      later(() => read({ bank, account, holder: customer ?? me, period, signal }, periods.shorten), signal, 6),
    );
  };
  const asked = periodOf(query);
  const periods = periodChooser(asked, show);
  const content = h(
    'section',
    { class: 'statement-screen' },
    wayBack(account, customer),
    h('h1', { class: 'no-print' }, 'Statement'),
    periods.element,
    sheet,
  );
  show(asked ?? usualPeriods()['this-month']);
  return { title: `Statement ${groupDigits(params.number)}`, content };
}

/**
 * The statement or, when it is too long for a page, its balances and other ways to get it.
 * @param {Asked} asked
 * @param {(period: Period) => void} shorten
 */
async function read(asked, shorten) {
  const { bank, account, period, signal } = asked;
  const [before, last] = await Promise.all([
    entryBefore(bank, account, startOfUtcDay(period.from), signal),
    entryBefore(bank, account, startOfUtcDay(period.to, 1), signal),
  ]);
  const length = last.sequence - before.sequence;
  if (length > MAX_MOVEMENTS) return tooLong(asked, { before, last, length }, shorten);
  const shown = await bank.statement(account.account_number, period, { signal });
  const printButton = h(
    'button',
    { type: 'button', class: 'secondary', onclick: () => print() },
    icon('print'),
    'Print',
  );
  return sheetOf(asked, [printButton], [sums(shown), movements(shown)]);
}

/**
 * @param {Asked} asked
 * @param {{before: EntryBalance, last: EntryBalance, length: number}} extent
 * @param {(period: Period) => void} shorten
 */
function tooLong(asked, { before, last, length }, shorten) {
  const { account, period } = asked;
  /** @param {EntryBalance} entry */
  const money = ({ minor }) => fromMinor(minor, decimalsOf(account.balance));
  const count = new Intl.NumberFormat(LOCALE).format;
  const isOneDay = period.from === period.to;
  const shorter = h(
    'button',
    { type: 'button', class: 'secondary', onclick: () => shorten(period) },
    'Choose a shorter period',
  );
  return sheetOf(
    asked,
    [],
    [
      sums({ currency: account.currency, opening_balance: money(before), closing_balance: money(last) }),
      h(
        'div',
        { class: 'state' },
        h('p', { class: 'state-title' }, `${count(length)} movements are too many for a page`),
        h(
          'p',
          null,
          `A page shows up to ${count(MAX_MOVEMENTS)}. The CSV file above has all of them${isOneDay ? '' : ', or you can choose a shorter period'}.`,
        ),
        !isOneDay && shorter,
      ),
    ],
  );
}

/** @param {Asked} asked @param {Child[]} buttons @param {Child[]} content */
function sheetOf({ bank, account, holder, period }, buttons, content) {
  /** @param {'csv' | 'json'} format */
  const file = (format) => async () => ({
    blob: await bank.statementFile(account.account_number, period, format),
    name: `coffer-${account.account_number}-${period.from}-${period.to}.${format}`,
  });
  /** @param {'csv' | 'json'} format @param {string} words */
  const button = (format, words) => downloadButton(words, file(format));
  return [
    h('div', { class: 'actions no-print' }, button('csv', 'CSV'), button('json', 'JSON'), buttons),
    h('article', { class: 'card sheet' }, letterhead(account, holder, period), content),
  ];
}

/** @param {Account} account @param {{name: string}} holder @param {Period} period */
function letterhead(account, holder, { from, to }) {
  return h(
    'header',
    { class: 'letterhead' },
    h('p', { class: 'brand' }, mark(), h('span', null, 'Coffer')),
    h(
      'div',
      null,
      h('h2', null, 'Account statement'),
      h('p', null, `${formatUtcDay(from)} – ${formatUtcDay(to)} (UTC)`),
      h('p', null, holder.name),
      h('p', null, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
    ),
  );
}

/**
 * Totals are left out where they are not known.
 * @param {Pick<Statement, 'currency' | 'opening_balance' | 'closing_balance'> & Partial<Statement>} shown
 */
function sums(shown) {
  /** @param {string} term @param {string} [amount] */
  const sum = (term, amount) =>
    amount && h('div', null, h('dt', null, term), h('dd', { class: 'amount' }, formatMoney(amount, shown.currency)));
  return h(
    'dl',
    { class: 'sums' },
    sum('Opening balance', shown.opening_balance),
    sum('In', shown.total_in),
    sum('Out', shown.total_out),
    sum('Closing balance', shown.closing_balance),
  );
}

/** @param {Statement} shown */
function movements({ movements: entries, currency }) {
  if (!entries.length) return h('p', { class: 'hint centred' }, 'No movements in this period.');
  // Roles are written out: on a small screen the style makes this no table any more, and browsers then forget.
  /** @param {string} words @param {string} [name] */
  const head = (words, name) => h('th', { role: 'columnheader', scope: 'col', class: name }, words);
  /** @param {string} name @param {...Child} content */
  const cell = (name, ...content) => h('td', { role: 'cell', class: name }, content);
  /** @param {Entry} entry */
  const row = (entry) =>
    h(
      'tr',
      { role: 'row' },
      cell('date', formatUtcDay(entry.created_at)),
      cell(
        whatClass(entry.description),
        h('span', null, entry.description ?? about(entry)),
        entry.description && h('span', { class: 'hint' }, about(entry)),
      ),
      cell('amount moved', formatPlain(entry.direction === 'credit' ? entry.amount : `-${entry.amount}`)),
      cell('amount after', formatPlain(entry.balance)),
    );
  const columns = h(
    'tr',
    { role: 'row' },
    head('Date'),
    head('Movement'),
    head(`Amount (${currency})`, 'amount'),
    head(`Balance (${currency})`, 'amount'),
  );
  const group = { role: 'rowgroup' };
  const table = h(
    'table',
    { class: 'lines', role: 'table' },
    h('thead', group, columns),
    h('tbody', group, entries.map(row)),
  );
  // Keyboards scroll what they can focus.
  return h('div', { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': 'Movements' }, table);
}
