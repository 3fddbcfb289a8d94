/** Staff: pending approvals, and those that were decided. */

import { ProblemError } from '../api/coffer.js';
import { groupDigits } from '../domain/account_number.js';
import { formatMoment } from '../domain/dates.js';
import { notCash } from '../domain/bank_accounts.js';
import { actsForOthers } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { HOLD } from '../domain/holds.js';
import { LIMITS, formatLimit } from '../domain/limits.js';
import { formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { paged } from '../ui/paged.js';
import { peopleReader } from '../ui/people.js';
import { link, rememberInAddress } from '../ui/router.js';
import { segmented } from '../ui/segmented.js';
import { staffWays } from '../ui/staff_ways.js';
import { countWaiting } from '../ui/waiting.js';

/** @import { Approval, Coffer, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** @type {[Approval['status'], string][]} */
const STATES = [
  ['pending', 'Waiting'],
  ['approved', 'Approved'],
  ['rejected', 'Rejected'],
  ['expired', 'Expired'],
];
/** @type {Record<Approval['status'], [string, string]>} */
const EMPTY = {
  pending: [
    'Nothing waits',
    'Large movements, holds and overdrafts, what has to do with staff themselves, and changes of roles appear here until somebody else decides.',
  ],
  approved: ['None', 'Nothing has been approved.'],
  rejected: ['None', 'Nothing has been rejected.'],
  expired: ['None', 'Everything was decided in time.'],
};
/** Approvals on a page: few, because the names beside each take up to six requests. */
const PAGE = 20;
const KINDS = {
  ...MOVEMENT_TYPES,
  limit_change: { name: 'Overdraft' },
  role_change: { name: 'Role change' },
  second_factor_reset: { name: 'Removal of a second factor' },
  password_reset: { name: 'Link to set a password' },
  erasure: { name: 'Erasure of a person' },
};

/**
 * @typedef {{bank: Coffer, me: User, people: ReturnType<typeof peopleReader>, decided: () => void}} Tools
 *   `decided` is called when one no longer waits
 */

/** @param {Context} context @returns {Screen} */
export function approvals(context) {
  const { bank, me, path, query, signal } = context;
  let status = stateOf(query.get('status'));
  const people = peopleReader(context);
  const heading = h('h1', { tabindex: -1 }, 'Approvals');
  const decided = () => {
    // The button that had it is gone with its row.
    heading.focus({ preventScroll: true });
    list.restart();
    countWaiting(bank);
  };
  const list = paged({
    into: h('ul', { class: 'card rows' }),
    signal,
    load: (cursor, mine) => bank.approvals({ status, cursor, limit: PAGE }, { signal: mine }),
    row: (approval) => rowOf({ bank, me, people, decided }, approval),
    empty: () => EMPTY[status],
  });
  /** @param {string} value */
  const choose = (value) => {
    status = stateOf(value);
    rememberInAddress(path, { status });
    list.restart();
  };
  const content = [heading, staffWays(me, path), segmented('State', STATES, status, choose), list];
  return { title: 'Approvals', content };
}

/** @param {string | null} text */
const stateOf = (text) => STATES.find(([state]) => state === text)?.[0] ?? 'pending';

/** @param {Tools} tools @param {Approval} approval */
function rowOf(tools, approval) {
  const { me } = tools;
  const from = approval.from_account ?? approval.account_number;
  return h(
    'li',
    { class: 'row approval' },
    h(
      'div',
      null,
      h('p', null, h('b', null, whatOf(approval)), ' ', stateChip(approval)),
      ways(tools, approval),
      approval.description && h('p', null, approval.description),
      approval.reference && h('p', { class: 'hint' }, `Reference: ${approval.reference}`),
      approval.reverses &&
        h(
          'p',
          null,
          'Reverses ',
          h('a', { href: link(`/accounts/${from}/entries/${approval.reverses}`) }, 'an earlier movement'),
        ),
      isLimits(approval) && h('p', { class: 'hint' }, limitsInWords(approval)),
      story(tools, approval).map((words) => h('p', { class: 'hint' }, words)),
      approval.transaction_id &&
        h('p', null, h('a', { href: link(`/accounts/${from}/entries/${approval.transaction_id}`) }, 'Receipt')),
      isHold(approval) &&
        approval.status === 'approved' &&
        h('p', null, h('a', { href: link(`/accounts/${from}/holds`) }, 'Holds on the account')),
      isLimits(approval) && h('p', null, h('a', { href: link(`/accounts/${from}/limits`) }, 'Limits of the account')),
    ),
    approval.status === 'pending' && mayDecide(me, approval) && decisions(tools, approval),
  );
}

/** Whether it is about what somebody may do, which admins decide, and not about money. @param {Approval} approval */
const isAccess = (approval) => approval.user_id !== undefined;

/** Whether it creates a hold instead of moving money at once. @param {Approval} approval */
const isHold = (approval) => approval.hold_expires_at !== undefined;

/** Whether it sets limits of an account. @param {Approval} approval */
const isLimits = (approval) => approval.limits !== undefined;

/** @param {Approval} approval @returns {string} */
const nameOf = (approval) => (isHold(approval) ? HOLD : KINDS[approval.type]).name;

/** @param {Approval} approval @returns {Child} */
function whatOf(approval) {
  if (approval.type === 'role_change') return `Role of ${approval.role}`;
  if (isAccess(approval)) return nameOf(approval);
  return [`${nameOf(approval)} of `, h('span', { class: 'amount' }, moneyOf(approval))];
}

/** @param {Approval} approval */
function moneyOf({ amount, limits, currency }) {
  const money = amount ?? limits?.overdraft;
  return money && currency ? formatMoney(money, currency) : '';
}

/** The limits beside the overdraft. @param {Approval} approval */
function limitsInWords({ limits, currency = '' }) {
  const set = LIMITS.flatMap(([name, words]) => {
    const value = limits?.[name] ?? null;
    return value === null ? [] : [`${words.toLowerCase()}: ${formatLimit(name, value, currency)}`];
  });
  return set.length ? `With these limits: ${set.join(', ')}.` : 'Without any limits.';
}

/**
 * From where to where, with the customers whose accounts those are and, where it waits, what they have; or whose access it is
 * about.
 * @param {Tools} tools @param {Approval} approval
 */
function ways({ people }, approval) {
  const { type, account_number: only, from_account: from, to_account: to, user_id: person, status } = approval;
  if (person) return h('p', null, 'For ', people.nameAndAddress(person));
  /** @param {string} words @param {string} number */
  const way = (words, number = '') =>
    h('p', null, `${words} `, h('span', { class: 'number' }, groupDigits(number)), ' · ', people.nameOfOwner(number));
  /** @param {string} number */
  const has = (number = '') => status === 'pending' && h('p', { class: 'hint' }, people.available(number));
  if (type === 'transfer') return [way('From', from), has(from), way('To', to)];
  if (type === 'limit_change') return [way('Of', only), has(only)];
  const against = notCash(approval);
  return [way(type === 'deposit' ? 'To' : 'From', only), has(only), against && h('p', null, `Against ${against}`)];
}

/** @param {User} me @param {Approval} approval */
const mayDecide = (me, approval) =>
  isAccess(approval) ? me.role === 'admin' && me.id !== approval.user_id : actsForOthers(me);
/** @param {Approval} approval @param {User} me */
const isOwn = (approval, me) => approval.requested_by === me.id;
/** @param {Approval} approval */
const isTakenBack = ({ status, requested_by: asker, decided_by: decider }) =>
  status === 'rejected' && asker === decider;

/** @param {Approval} approval */
function stateChip(approval) {
  const words = isTakenBack(approval) ? 'taken back' : Object.fromEntries(STATES)[approval.status].toLowerCase();
  return h('span', { class: `chip ${approval.status}` }, words);
}

/** The steps of an approval so far: a line each. @param {Tools} tools @param {Approval} approval */
function story({ me, people }, approval) {
  const {
    status,
    requested_by: asker,
    requested_at: askedAt,
    expires_at: end,
    decided_by: decider,
    decided_at: decidedAt,
    hold_expires_at: heldUntil,
  } = approval;
  /** @type {Child[]} */
  const lines = [['Asked for by ', people.nameAndAddress(asker), ` · ${formatMoment(askedAt)}`]];
  if (heldUntil) lines.push(`Keeps the money until ${formatMoment(heldUntil)}.`);
  const others = isOwn(approval, me) ? ' Somebody else must decide.' : '';
  if (status === 'pending') lines.push([`Waits until ${formatMoment(end)}.${others}`]);
  if (status === 'expired') lines.push([`Nobody had decided by ${formatMoment(end)}.`]);
  const verb = isTakenBack(approval) ? 'Taken back' : status === 'approved' ? 'Approved' : 'Rejected';
  if (decider && decidedAt)
    lines.push([`${verb} by `, people.nameAndAddress(decider), ` · ${formatMoment(decidedAt)}`]);
  return lines;
}

/** What follows: `none` when it is rejected, `text` and `done` when it is approved. @param {Approval} approval */
function consequencesOf(approval) {
  if (isAccess(approval))
    return { none: 'Nothing changes.', text: 'It counts from their next request on.', done: 'Approved.' };
  if (isLimits(approval))
    return { none: 'Nothing changes.', text: 'The limits count at once.', done: 'Approved and set.' };
  if (isHold(approval))
    return { none: 'No money is held.', text: 'The money is held at once.', done: 'Approved and held.' };
  return { none: 'No money moves.', text: 'The money moves at once.', done: 'Approved and booked.' };
}

/** Whether somebody else was quicker, or time was. @param {unknown} error */
const waitsNoLonger = (error) => error instanceof ProblemError && [404, 409].includes(error.status);

/** Whoever asked for it may only take it back. @param {Tools} tools @param {Approval} approval */
function decisions({ bank, me, decided }, approval) {
  const name = nameOf(approval).toLowerCase();
  const what = isAccess(approval) ? name : `${name} of ${moneyOf(approval)}`;
  /**
   * @param {string} verb
   * @param {{text: string, act: (id: string) => Promise<unknown>, done: string, class: string}} choice
   */
  const button = (verb, { text, act, done, ...attributes }) => {
    const decide = async () => {
      let isStale = false;
      const isDone = await ask({
        title: `${verb} the ${what}?`,
        text,
        verb,
        danger: verb !== 'Approve',
        act: () =>
          act(approval.id).catch((error) => {
            isStale = waitsNoLonger(error);
            throw error;
          }),
      });
      if (isDone) toast(done);
      if (isDone || isStale) decided();
    };
    return h('button', { type: 'button', 'aria-label': `${verb} the ${what}`, onclick: decide, ...attributes }, verb);
  };
  const { none, text, done } = consequencesOf(approval);
  const takeBack = { text: `It waits no longer. ${none}`, act: bank.reject, done: 'Taken back.', class: 'secondary' };
  const reject = { text: none, act: bank.reject, done: 'Rejected.', class: 'quiet' };
  const approve = { text, act: bank.approve, done, class: 'secondary' };
  return h(
    'div',
    { class: 'ways' },
    isOwn(approval, me) ? button('Take back', takeBack) : [button('Reject', reject), button('Approve', approve)],
  );
}
