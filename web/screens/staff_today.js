/** Staff, first of all: who is looked for, what waits, how much the bank holds, and what has moved today. */

import { formatDay, formatMoment, formatTime } from '../domain/dates.js';
import { LOCALE, formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { actsForOthers } from '../domain/roles.js';
import { h } from '../ui/dom.js';
import { figures } from '../ui/figures.js';
import { icon } from '../ui/icons.js';
import { link } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';
import { later } from '../ui/states.js';
import { waitingInWords } from '../ui/waiting.js';
import { newCustomer } from './customers.js';

/** @import { Totals } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** @param {Context} context @returns {Screen} */
export function staffToday({ bank, me, path, signal }) {
  const content = [
    h('h1', { class: 'greeting' }, `Hello, ${me.name}`),
    staffWays(me, path),
    h('div', { class: 'desk' }, lookUp(), actsForOthers(me) && newCustomer(bank)),
    h('a', { class: 'card notice', href: '#/staff/approvals' }, icon('check'), waitingInWords(), icon('next')),
    h(
      'section',
      { 'aria-labelledby': 'glance-heading' },
      h('h2', { id: 'glance-heading' }, 'The bank at a glance'),
      later(async () => glance(await bank.totals({ signal })), signal),
    ),
  ];
  return { title: 'Today', content };
}

/** Leads to the list of customers. */
function lookUp() {
  const words = 'Find a customer';
  const input = h('input', {
    type: 'search',
    name: 'search',
    'aria-label': words,
    placeholder: 'Name, e-mail address or account number',
    maxlength: 100,
    autocapitalize: 'off',
    autocomplete: 'off',
  });
  /** @param {Event} event */
  const onsubmit = (event) => {
    event.preventDefault();
    location.hash = link('/staff/customers', { search: input.value.trim() });
  };
  return h(
    'form',
    { class: 'look-up', role: 'search', 'aria-label': words, onsubmit },
    input,
    h('button', { class: 'primary' }, icon('search'), 'Find'),
  );
}

const { format: count } = new Intl.NumberFormat(LOCALE);

/** @param {Totals} totals */
function glance({ at, customers, accounts, balances, today }) {
  return [
    h(
      'dl',
      { class: 'tiles' },
      tile('Customers', count(customers.active), others(customers)),
      tile('Open accounts', count(accounts.open), others(accounts)),
      balances.map(({ currency, accounts, balance }) =>
        tile(`Held in ${currency}`, formatMoney(balance, currency), `on ${accountsInWords(accounts)}`, 'money'),
      ),
    ),
    h('div', { class: 'card' }, movementsOf(today)),
    h('p', { class: 'hint' }, `Counted on ${formatMoment(at)}.`),
  ];
}

/** @param {string} term @param {string} figure @param {string} hint */
const tile = (term, figure, hint, kind = '') =>
  h(
    'div',
    { class: `card tile ${kind}` },
    h('dt', null, term),
    h('dd', { class: 'amount' }, figure),
    h('dd', { class: 'hint' }, hint),
  );

/** Those that are in another state than most. @param {{frozen: number, closed: number}} counts */
function others({ frozen, closed }) {
  const parts = Object.entries({ frozen, closed }).filter(([, number]) => number > 0);
  return parts.map(([status, number]) => `${count(number)} ${status}`).join(' · ') || 'none frozen';
}

/** @param {number} number */
const accountsInWords = (number) => (number === 1 ? 'one account' : `${count(number)} accounts`);

/** @param {Totals['today']} today @returns {Child} */
function movementsOf({ since, movements }) {
  const caption = `Today, since ${formatTime(since)} on ${formatDay(since)}`;
  if (!movements.length) return h('p', { class: 'nothing' }, `${caption}: nothing has moved.`);
  const rows = movements.map(({ currency, type, count: number, amount }) => [
    MOVEMENT_TYPES[type].plural,
    `${count(number)} booked`,
    formatMoney(amount, currency),
  ]);
  return figures(caption, ['Movements', 'Number', 'Amount'], rows);
}
