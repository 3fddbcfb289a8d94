/** The holds on an account: what is kept for movements to come, and what became of it. */

import { newIdempotencyKey } from '../api/coffer.js';
import { chip, nameOf } from '../ui/account_list.js';
import { amountField, checkedAmount } from '../ui/amount.js';
import { groupDigits } from '../domain/account_number.js';
import { formatMoment } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { throwUncertain } from '../ui/form.js';
import { HOLD, HOLD_STATES } from '../domain/holds.js';
import { icon } from '../ui/icons.js';
import { decimalsOf, formatMoney, isPositive } from '../domain/money.js';
import { paged } from '../ui/paged.js';
import { customerOf } from '../ui/people.js';
import { actsForOthers, mayAct } from '../domain/roles.js';
import { link, rememberInAddress } from '../ui/router.js';
import { segmented } from '../ui/segmented.js';
import { actingFor, wayBack } from './account.js';

/** @import { Account, Coffer, Hold, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** @type {Record<Hold['status'] | '', [string, string]>} */
const EMPTY = {
  '': ['No holds', 'A hold keeps money on the account for a movement to come.'],
  held: ['Nothing is held', 'No hold keeps money on this account.'],
  captured: ['None', 'No hold has been captured.'],
  released: ['None', 'No hold has been released.'],
  expired: ['None', 'No hold has expired.'],
};
/** Holds on a page. */
const PAGE = 20;

/**
 * @typedef {{bank: Coffer, me: User, account: Account, entry: (id: string) => string, decided: () => void}} Tools
 *   `entry` is the address of a receipt; `decided` is called when a hold keeps nothing any more
 */

/** @param {Context} context @returns {Promise<Screen>} */
export async function holds(context) {
  const { bank, me, params, path, query, signal } = context;
  const account = await bank.account(params.number, { signal });
  const customer = await customerOf(context, account);
  const base = `/accounts/${account.account_number}`;
  const ways = { for: customer?.id };
  let status = stateOf(query.get('status'));
  const heading = h('h1', { tabindex: -1 }, 'Holds');
  const decided = () => {
    // The button that had it is gone with its row.
    heading.focus({ preventScroll: true });
    list.restart();
  };
  /** @param {string} id */
  const entry = (id) => link(`${base}/entries/${id}`, ways);
  const list = paged({
    into: h('ul', { class: 'card rows', 'aria-label': 'Holds' }),
    signal,
    load: (cursor, mine) => bank.holds(account.account_number, { status, cursor, limit: PAGE }, { signal: mine }),
    row: (hold) => rowOf({ bank, me, account, entry, decided }, hold),
    empty: () => EMPTY[status],
  });
  /** @param {string} value */
  const choose = (value) => {
    status = stateOf(value);
    rememberInAddress(path, { ...ways, status });
    list.restart();
  };
  const content = [
    customer && actingFor(me, customer),
    wayBack(account, customer),
    h(
      'section',
      null,
      heading,
      h('p', { class: 'lead' }, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
      isPositive(account.held) &&
        h('p', { class: 'hint' }, 'What waits for approval keeps money, too. It is not in this list.'),
      mayAct(me) &&
        account.status === 'open' &&
        h(
          'div',
          { class: 'ways' },
          h('a', { class: 'button secondary', href: link(`${base}/${HOLD.path}`, ways) }, icon('lock'), HOLD.verb),
        ),
    ),
    segmented('State', HOLD_STATES, status, choose),
    list,
  ];
  return { title: 'Holds', content };
}

/** @param {string | null} text */
const stateOf = (text) => HOLD_STATES.find(([state]) => state === text)?.[0] ?? '';

/** @param {Tools} tools @param {Hold} hold */
function rowOf(tools, hold) {
  const isOpen = hold.status === 'held';
  return h(
    'li',
    { class: 'row hold' },
    h(
      'div',
      null,
      h('p', null, h('b', { class: 'amount' }, moneyOf(hold)), ' ', chip(hold.status)),
      hold.description && h('p', null, hold.description),
      hold.reference && h('p', { class: 'hint' }, `Reference: ${hold.reference}`),
      h('p', null, receiverOf(hold)),
      story(hold).map((words) => h('p', { class: 'hint' }, words)),
      isOpen &&
        mayAct(tools.me) &&
        !mayRelease(tools.me, tools.account, hold) &&
        h('p', { class: 'hint' }, 'Only the bank captures or releases it.'),
      hold.status === 'captured' && h('p', null, h('a', { href: tools.entry(hold.id) }, 'Receipt')),
    ),
    isOpen && mayRelease(tools.me, tools.account, hold) && decisions(tools, hold),
  );
}

/** @param {Hold} hold */
const moneyOf = ({ amount, currency }) => formatMoney(amount, currency);

/** @param {Hold} hold @returns {Child} */
function receiverOf({ to_account: to }) {
  return to ? ['To ', h('span', { class: 'number' }, groupDigits(to))] : HOLD.cash;
}

/** The steps of a hold so far: a line each. @param {Hold} hold */
function story(hold) {
  const { status, captured_amount: captured, currency, decided_at: decidedAt, expires_at: end } = hold;
  const lines = [`${hold.created_by_bank ? 'Created by the bank' : 'Created'} · ${formatMoment(hold.created_at)}`];
  if (status === 'held') lines.push(`Until ${formatMoment(end)}`);
  if (status === 'expired') lines.push(`Expired · ${formatMoment(end)}`);
  if (captured && decidedAt) lines.push(`Captured ${formatMoney(captured, currency)} · ${formatMoment(decidedAt)}`);
  if (status === 'released' && decidedAt) lines.push(`Released · ${formatMoment(decidedAt)}`);
  return lines;
}

/** The bank releases any hold, its owner those of theirs. @param {User} me @param {Account} account @param {Hold} hold */
const mayRelease = (me, account, hold) =>
  mayAct(me) && (account.owner_id === me.id ? !hold.created_by_bank : actsForOthers(me));

/** Each side captures what it has created. @param {User} me @param {Account} account @param {Hold} hold */
const mayCapture = (me, account, hold) =>
  mayRelease(me, account, hold) && account.status === 'open' && hold.created_by_bank === (account.owner_id !== me.id);

/** @param {Tools} tools @param {Hold} hold */
function decisions(tools, hold) {
  const what = `the hold of ${moneyOf(hold)}`;
  /** @param {string} verb @param {string} name of its class @param {(tools: Tools, hold: Hold) => unknown} act */
  const button = (verb, name, act) =>
    h(
      'button',
      { type: 'button', class: name, 'aria-label': `${verb} ${what}`, onclick: () => act(tools, hold) },
      verb,
    );
  return h(
    'div',
    { class: 'ways' },
    button('Release', 'quiet', release),
    mayCapture(tools.me, tools.account, hold) && button('Capture', 'secondary', capture),
  );
}

/** @param {Tools} tools @param {Hold} hold */
async function release({ bank, decided }, hold) {
  const done = await ask({
    title: `Release the hold of ${moneyOf(hold)}?`,
    text: 'The money is free again. A hold that is released cannot be captured.',
    verb: 'Release',
    danger: true,
    act: () => bank.releaseHold(hold.id),
  });
  if (!done) return;
  toast('The hold is released.');
  decided();
}

/** All of it or a part: once, however often the button is pressed. @param {Tools} tools @param {Hold} hold */
async function capture({ bank, entry }, hold) {
  const idempotencyKey = newIdempotencyKey();
  const decimals = decimalsOf(hold.amount);
  const done = await ask({
    title: `Capture the hold of ${moneyOf(hold)}?`,
    text: 'The money moves at once. A hold is captured once.',
    verb: 'Capture',
    fields: [
      amountField({
        currency: hold.currency,
        decimals,
        value: hold.amount,
        hint: 'All of it, or less. The rest is free again.',
      }),
    ],
    act: async ({ amount }) => {
      const capture = { amount: checkedAmount(amount, decimals) };
      await bank.captureHold(hold.id, capture, { idempotencyKey }).catch(throwUncertain);
    },
  });
  if (!done) return;
  toast('The hold is captured.');
  location.hash = entry(hold.id);
}
