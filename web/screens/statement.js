/** A statement of a period: to read, to print, and to take along. */

import { nameOf } from '../account_list.js';
import { groupDigits } from '../account_number.js';
import { formatUtcDay, usualPeriods } from '../dates.js';
import { h } from '../dom.js';
import { FieldProblem, actions, field, form, submitButton } from '../form.js';
import { icon, mark } from '../icons.js';
import { formatMoney, formatPlain } from '../money.js';
import { link, rememberInAddress } from '../router.js';
import { segmented } from '../segmented.js';
import { later } from '../states.js';
import { about } from './history.js';

const PERIODS = [['this-month', 'This month'], ['last-month', 'Last month'], ['this-year', 'This year'], ['custom', 'Other']];

/** @param {import('../app.js').Context} context @returns {Promise<import('../app.js').Screen>} */
export async function statement({ bank, me, params, query, path, signal }) {
  const owner = query.get('for');
  const [account, holder] = await Promise.all([
    bank.account(params.number, { signal }),
    owner ? bank.user(owner, { signal }) : me,
  ]);
  const sheet = h('div');
  const show = (period) => {
    rememberInAddress(path, { for: owner, ...period });
    const load = async () => sheetOf({ bank, account, holder, period }, await bank.statement(account.account_number, period, { signal }));
    sheet.replaceChildren(later(load, signal, 6));
  };
  const asked = { from: query.get('from') ?? '', to: query.get('to') ?? '' };
  const known = asked.from && asked.to;
  const content = h(
    'section',
    { class: 'statement-screen' },
    h('a', { class: 'way-back no-print', href: link(`/accounts/${params.number}`, { for: owner }) }, icon('back'), nameOf(account)),
    h('h1', { class: 'no-print' }, 'Statement'),
    chooser(known ? asked : null, show),
    sheet,
  );
  show(known ? asked : usualPeriods()['this-month']);
  return { title: `Statement ${groupDigits(params.number)}`, content };
}

function chooser(asked, show) {
  const periods = usualPeriods();
  const isUsual = ([, period]) => period.from === asked.from && period.to === asked.to;
  const chosen = asked ? (Object.entries(periods).find(isUsual)?.[0] ?? 'custom') : 'this-month';
  const day = (name, label) => field({ name, label, type: 'date', value: (asked ?? periods['this-month'])[name] });
  const submit = async ({ from, to }) => {
    if (to < from) throw new FieldProblem('to', 'The last day is before the first.');
    show({ from, to });
  };
  const custom = form({ submit, class: 'custom-period' }, day('from', 'First day'), day('to', 'Last day'), actions(submitButton('Show', { class: 'secondary' })));
  custom.hidden = chosen !== 'custom';
  const choose = (name) => {
    custom.hidden = name !== 'custom';
    if (name !== 'custom') show(periods[name]);
  };
  return h(
    'div',
    { class: 'no-print period' },
    segmented('Period', PERIODS, chosen, choose),
    custom,
    h('p', { class: 'hint' }, 'The bank’s days begin and end at midnight UTC.'),
  );
}

function sheetOf({ bank, account, holder, period }, shown) {
  const file = (format) => async () => {
    const blob = await bank.statementFile(account.account_number, period, format);
    save(blob, `coffer-${account.account_number}-${period.from}-${period.to}.${format}`);
  };
  const button = (format, words) => downloadButton(words, file(format));
  return [
    h(
      'div',
      { class: 'actions no-print' },
      button('csv', 'CSV'),
      button('json', 'JSON'),
      h('button', { type: 'button', class: 'secondary', onclick: () => print() }, icon('print'), 'Print'),
    ),
    h('article', { class: 'card sheet' }, letterhead(account, holder, period), sums(shown), movements(shown)),
  ];
}

function downloadButton(words, act) {
  const button = h('button', { type: 'button', class: 'secondary' }, icon('download'), words);
  const line = h('span', { class: 'part-failure', role: 'alert' });
  button.addEventListener('click', async () => {
    line.textContent = '';
    try {
      await act();
    } catch {
      line.textContent = 'The file did not arrive. Please try again.';
    }
  });
  return [button, line];
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  // The browser has taken hold of the data by the next turn.
  setTimeout(() => URL.revokeObjectURL(url));
}

function letterhead(account, holder, { from, to }) {
  return h(
    'header',
    { class: 'letterhead' },
    h('p', { class: 'brand' }, mark(), h('span', null, 'Coffer')),
    h(
      'div',
      null,
      h('h2', null, 'Account statement'),
      h('p', null, `${formatUtcDay(from)} – ${formatUtcDay(to)}`),
      h('p', null, holder.name),
      h('p', null, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
    ),
  );
}

function sums(shown) {
  const sum = (term, amount) => h('div', null, h('dt', null, term), h('dd', { class: 'amount' }, formatMoney(amount, shown.currency)));
  return h(
    'dl',
    { class: 'sums' },
    sum('Opening balance', shown.opening_balance),
    sum('In', shown.total_in),
    sum('Out', shown.total_out),
    sum('Closing balance', shown.closing_balance),
  );
}

function movements({ movements: entries, currency }) {
  if (!entries.length) return h('p', { class: 'hint centred' }, 'No movements in this period.');
  // Roles are written out: on a small screen the style makes this no table any more, and browsers then forget.
  const head = (words, name) => h('th', { role: 'columnheader', scope: 'col', class: name }, words);
  const cell = (name, ...content) => h('td', { role: 'cell', class: name }, content);
  const row = (entry) =>
    h(
      'tr',
      { role: 'row' },
      cell('date', formatUtcDay(entry.created_at)),
      cell('what', h('span', null, entry.description ?? about(entry)), entry.description && h('span', { class: 'hint' }, about(entry))),
      cell('amount moved', formatPlain(entry.direction === 'credit' ? entry.amount : `-${entry.amount}`)),
      cell('amount after', formatPlain(entry.balance)),
    );
  const columns = h('tr', { role: 'row' }, head('Date'), head('Movement'), head(`Amount (${currency})`, 'amount'), head(`Balance (${currency})`, 'amount'));
  const group = { role: 'rowgroup' };
  const table = h('table', { class: 'lines', role: 'table' }, h('thead', group, columns), h('tbody', group, entries.map(row)));
  // Keyboards scroll what they can focus.
  return h('div', { class: 'scroller', tabindex: 0, role: 'region', 'aria-label': 'Movements' }, table);
}
