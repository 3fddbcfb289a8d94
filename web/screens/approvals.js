/** Staff: what waits for a second person. */

import { chip } from '../account_list.js';
import { groupDigits } from '../account_number.js';
import { formatMoment } from '../dates.js';
import { ask } from '../dialog.js';
import { h, toast } from '../dom.js';
import { formatMoney } from '../money.js';
import { paged } from '../paged.js';
import { link, rememberInAddress } from '../router.js';
import { segmented } from '../segmented.js';
import { actsForOthers, staffWays } from '../staff_ways.js';

const STATES = [['pending', 'Waiting'], ['approved', 'Approved'], ['rejected', 'Rejected']];
const NAMES = { deposit: 'Deposit', withdrawal: 'Withdrawal', transfer: 'Transfer' };

/** @param {import('../app.js').Context} context @returns {import('../app.js').Screen} */
export function approvals({ bank, me, path, query, signal }) {
  let status = query.get('status') ?? 'pending';
  const names = nameReader(bank, signal);
  const list = paged({
    into: h('ul', { class: 'card rows' }),
    signal,
    load: (cursor, mine) => bank.approvals({ status, cursor }, { signal: mine }),
    row: (approval) => rowOf({ bank, me, names, decided: () => list.restart() }, approval),
    empty: () => (status === 'pending' ? ['Nothing waits', 'Large movements for customers appear here until a second person decides.'] : ['None', 'Nothing has been decided that way.']),
  });
  const choose = (value) => {
    status = value;
    rememberInAddress(path, { status });
    list.restart();
  };
  const content = [h('h1', null, 'Staff'), staffWays(me, path), segmented('State', STATES, status, choose), list];
  return { title: 'Approvals', content };
}

/** Names of people by id, each asked for once. */
function nameReader(bank, signal) {
  const known = new Map();
  return (id) => {
    if (!known.has(id)) known.set(id, bank.user(id, { signal }).then(({ name }) => name, () => id));
    const place = h('span', null, '…');
    known.get(id).then((name) => (place.textContent = name));
    return place;
  };
}

function rowOf(tools, approval) {
  const { me, names } = tools;
  const from = approval.from_account ?? approval.account_number;
  const ways = approval.to_account ? `${groupDigits(from)} to ${groupDigits(approval.to_account)}` : groupDigits(from);
  const isOwn = approval.requested_by === me.id;
  return h(
    'li',
    { class: 'row approval' },
    h(
      'div',
      null,
      h('p', null, h('b', null, `${NAMES[approval.type]} of `, h('span', { class: 'amount' }, formatMoney(approval.amount, approval.currency))), ' ', chip(approval.status)),
      h('p', { class: 'number' }, ways),
      approval.description && h('p', null, approval.description),
      h('p', { class: 'hint' }, 'Asked for by ', names(approval.requested_by), ` · ${formatMoment(approval.requested_at)}`),
      approval.decided_by && h('p', { class: 'hint' }, 'Decided by ', names(approval.decided_by), ` · ${formatMoment(approval.decided_at)}`),
      approval.transaction_id && h('p', null, h('a', { href: link(`/accounts/${from}/entries/${approval.transaction_id}`) }, 'Receipt')),
    ),
    approval.status === 'pending' && (isOwn ? h('p', { class: 'hint' }, 'Somebody else must decide.') : actsForOthers(me) && decisions(tools, approval)),
  );
}

function decisions({ bank, decided }, approval) {
  const money = formatMoney(approval.amount, approval.currency);
  const what = `${NAMES[approval.type].toLowerCase()} of ${money}`;
  const decide = (verb, text, act, done) => async () => {
    const isDone = await ask({ title: `${verb} the ${what}?`, text, verb, danger: verb === 'Reject', act });
    if (!isDone) return;
    toast(done);
    decided();
  };
  const approve = decide('Approve', 'The money moves at once.', () => bank.approve(approval.id), 'Approved and booked.');
  const reject = decide('Reject', 'No money moves.', () => bank.reject(approval.id), 'Rejected.');
  return h(
    'div',
    { class: 'ways' },
    h('button', { type: 'button', class: 'quiet', 'aria-label': `Reject the ${what}`, onclick: reject }, 'Reject'),
    h('button', { type: 'button', class: 'secondary', 'aria-label': `Approve the ${what}`, onclick: approve }, 'Approve'),
  );
}
