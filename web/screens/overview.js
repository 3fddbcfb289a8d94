/** Every account, what they hold together, and how that went. */

import { byCurrency, totalSince } from '../domain/balances.js';
import { accountList, oldestFirst } from '../ui/account_list.js';
import { balanceChart } from '../ui/chart.js';
import { h } from '../ui/dom.js';
import { icon } from '../ui/icons.js';
import { add, formatMoney } from '../domain/money.js';
import { segmented } from '../ui/segmented.js';
import { empty, later } from '../ui/states.js';

/** @import { Account, Coffer } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */

const DAY_MS = 86_400_000;
/** @type {[number, string][]} */
const PERIODS = [
  [30, '30 days'],
  [90, '90 days'],
  [365, '1 year'],
];

/** @param {Context} context @returns {Promise<Screen>} */
export async function overview({ bank, me, signal }) {
  const accounts = await bank.allAccounts({}, { signal });
  const living = oldestFirst(accounts).filter(({ status }) => status !== 'closed');
  const content = [
    h('h1', { class: 'greeting' }, `Hello, ${me.name}`),
    living.length > 0 && hero(bank, living, signal),
    h(
      'section',
      { 'aria-labelledby': 'accounts-heading' },
      h(
        'div',
        { class: 'section-head' },
        h('h2', { id: 'accounts-heading' }, 'Accounts'),
        h('a', { class: 'button quiet', href: '#/open-account' }, icon('plus'), 'Open an account'),
      ),
      living.length ? accountList(accounts) : noAccounts(),
    ),
  ];
  return { title: 'Overview', content };
}

function noAccounts() {
  const action = h('a', { class: 'button primary', href: '#/open-account' }, 'Open an account');
  return empty('No account yet', 'Open one to pay in, send and receive money.', action);
}

/** The totals; the chosen one with its chart. @param {Coffer} bank @param {Account[]} accounts @param {AbortSignal} signal */
function hero(bank, accounts, signal) {
  const groups = byCurrency(accounts);
  const chosen = { currency: accounts[0].currency, days: 30 };
  const chart = h('div', { class: 'hero-chart' });
  let round = new AbortController();
  const draw = () => {
    round.abort();
    round = new AbortController();
    const { signal: mine } = round;
    const since = Date.now() - chosen.days * DAY_MS;
    const { currency } = chosen;
    const load = async () =>
      balanceChart({ ...(await totalSince(bank, groups.get(currency) ?? [], since, mine)), currency });
    chart.replaceChildren(later(load, mine, 1));
  };
  signal.addEventListener('abort', () => round.abort());
  /** @param {Partial<typeof chosen>} change */
  const choose = (change) => (Object.assign(chosen, change), draw());
  draw();
  return h(
    'section',
    { class: 'hero', 'aria-label': 'Totals' },
    totals(groups, (currency) => choose({ currency })),
    chart,
    segmented('Period of the chart', PERIODS, chosen.days, (days) => choose({ days: Number(days) })),
  );
}

/** @param {Map<string, Account[]>} groups @param {(currency: string) => void} choose */
function totals(groups, choose) {
  const rows = [...groups].map(([currency, accounts], index) => {
    const sum = accounts.map(({ balance }) => balance).reduce(add);
    const value = [
      h('span', { class: 'hero-label' }, `Total in ${currency}`),
      h('span', { class: 'hero-amount' }, formatMoney(sum, currency)),
    ];
    if (groups.size === 1) return h('p', { class: 'total' }, value);
    const onclick = () => {
      for (const each of button.parentElement?.children ?? [])
        each.setAttribute('aria-pressed', String(each === button));
      choose(currency);
    };
    const button = h('button', { type: 'button', class: 'total', 'aria-pressed': String(index === 0), onclick }, value);
    return button;
  });
  return h('div', { class: 'totals' }, rows);
}
