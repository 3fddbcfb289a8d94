/** Every account, what they hold together, how that went, and what moved last. */

import { changeOf, byCurrency, totalSince } from '../domain/balances.js';
import { accountList, oldestFirst } from '../ui/account_list.js';
import { balanceChart } from '../ui/chart.js';
import { wayFrom, wayTo } from '../ui/choose_account.js';
import { groupDigits } from '../domain/account_number.js';
import { h } from '../ui/dom.js';
import { icon } from '../ui/icons.js';
import { add, formatMoney, fromMinor } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { mayAct, worksHere } from '../domain/roles.js';
import { segmented } from '../ui/segmented.js';
import { empty, later } from '../ui/states.js';
import { recentMovements } from './recent.js';

/** @import { Account, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

const DAY_MS = 86_400_000;
/** @type {[number, string][]} */
const PERIODS = [
  [30, '30 days'],
  [90, '90 days'],
  [365, '1 year'],
];

/** @param {Context} context @returns {Promise<Screen>} */
export async function overview(context) {
  const { bank, me, signal } = context;
  const accounts = await bank.allAccounts({}, { signal });
  const living = oldestFirst(accounts).filter(({ status }) => status !== 'closed');
  const moved = accounts.filter(({ sequence }) => sequence > 0);
  const first = living.find(({ status }) => status === 'open');
  const content = [
    // Those who work here are greeted where they do that.
    h('h1', { class: 'greeting' }, worksHere(me) ? 'My accounts' : `Hello, ${me.name}`),
    living.length > 0 && hero(context, living),
    first && moved.length === 0 && mayAct(me) && firstDay(first),
    h(
      'section',
      { 'aria-labelledby': 'accounts-heading' },
      h(
        'div',
        { class: 'section-head' },
        h('h2', { id: 'accounts-heading' }, 'Accounts'),
        living.length > 0 && h('a', { class: 'button quiet', href: '#/open-account' }, icon('plus'), 'Open an account'),
      ),
      living.length > 0 ? accountList(accounts) : noAccounts(),
    ),
    moved.length > 0 && recentMovements(bank, moved, signal),
  ];
  return { title: 'Overview', content };
}

function noAccounts() {
  const action = h('a', { class: 'button primary', href: '#/open-account' }, 'Open an account');
  return empty('Open your first account', 'It takes a moment. Then you can pay in, send and receive money.', action);
}

/** Nothing has ever moved: what comes next. @param {Account} account */
function firstDay(account) {
  return h(
    'section',
    { class: 'card first-day', 'aria-labelledby': 'first-day-heading' },
    h(
      'div',
      null,
      h('h2', { id: 'first-day-heading' }, 'Your account is open'),
      h(
        'p',
        null,
        'Pay in to begin, or have money sent to ',
        h('span', { class: 'number' }, groupDigits(account.account_number)),
        '.',
      ),
    ),
    h('a', { class: 'button primary', href: wayTo('/deposit', account) }, icon('deposit'), 'Pay in'),
  );
}

/** The totals; the chosen one with what may be done with it, and its chart. @param {Context} context @param {Account[]} accounts */
function hero({ bank, me, signal }, accounts) {
  const groups = byCurrency(accounts);
  const chosen = { currency: accounts[0].currency, days: 30 };
  const ways = h('div', { class: 'ways' });
  const course = h('div', { class: 'hero-course' });
  let round = new AbortController();
  const draw = () => {
    round.abort();
    round = new AbortController();
    const { signal: mine } = round;
    const { currency, days } = chosen;
    const group = groups.get(currency) ?? [];
    ways.replaceChildren(...waysFrom(me, group));
    const load = async () => courseOf(await totalSince(bank, group, Date.now() - days * DAY_MS, mine), currency, days);
    course.replaceChildren(later(load, mine, 1));
  };
  signal.addEventListener('abort', () => round.abort());
  /** @param {Partial<typeof chosen>} change */
  const choose = (change) => (Object.assign(chosen, change), draw());
  // On the first day there is one thing to do, which stands below.
  const hasMoved = accounts.some(({ sequence }) => sequence > 0);
  if (hasMoved) draw();
  return h(
    'section',
    { class: 'hero', 'aria-label': 'Totals' },
    totals(groups, (currency) => choose({ currency })),
    hasMoved && ways,
    hasMoved && course,
    hasMoved && segmented('Period of the chart', PERIODS, chosen.days, (days) => choose({ days: Number(days) })),
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

/** What may be done with the money of one currency; from which account is asked where there are several. @param {User} me @param {Account[]} accounts */
function waysFrom(me, accounts) {
  const open = accounts.filter(({ status }) => status === 'open');
  if (!mayAct(me) || !open.length) return [];
  return Object.values(MOVEMENT_TYPES).map(({ path, icon: picture, verb }) =>
    wayFrom(verb, `/${path}`, open, { content: [icon(picture), h('span', null, verb)] }),
  );
}

/**
 * How a total went: by how much it changed, and its line. Where nothing moved there is no line to see.
 * @param {Awaited<ReturnType<typeof totalSince>>} series @param {string} currency @param {number} days
 * @returns {Promise<Child>}
 */
async function courseOf(series, currency, days) {
  const { points, decimals, isSampled } = series;
  const period = PERIODS.find(([each]) => each === days)?.[1];
  const change = changeOf(points);
  if (change.isFlat) return h('p', { class: 'change' }, `Nothing has moved in ${period}.`);
  /** @param {bigint} minor @param {'auto' | 'always'} [sign] */
  const money = (minor, sign) => formatMoney(fromMinor(minor, decimals), currency, { sign });
  return [
    h(
      'p',
      { class: 'change' },
      h('b', null, money(change.total, 'always')),
      ` in ${period}`,
      // Between the moments of a sample, money may have come and gone; and where it only came, that is the change itself.
      !isSampled &&
        change.in > 0n &&
        change.out > 0n &&
        h('span', null, `${money(change.in)} in, ${money(change.out)} out`),
    ),
    await balanceChart({ ...series, currency }),
  ];
}
