/** One entry of an account's history, with the hash that seals it. */

import { groupDigits } from '../domain/account_number.js';
import { notCash } from '../domain/bank_accounts.js';
import { newIdempotencyKey } from '../api/coffer.js';
import { formatExactMoment } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { field, throwUncertain } from '../ui/form.js';
import { icon } from '../ui/icons.js';
import { formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { link, replaceWith } from '../ui/router.js';
import { actsForOthers } from '../domain/roles.js';
import { notFound } from '../ui/states.js';
import { signed } from '../ui/passbook.js';
import { reloadIf } from './account.js';
import { leaveForApproval } from './movement.js';

/** @import { Coffer, Entry, Transaction } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function receipt(context) {
  const { bank, me, params, query, signal } = context;
  const entry = await find(bank, params, signal);
  // Nothing is in the books yet, or ever will be.
  if (entry.status !== 'posted') return notFound();
  const title = MOVEMENT_TYPES[entry.type].name;
  const home = link(`/accounts/${params.number}`, { for: query.get('for') });
  const content = h(
    'section',
    { class: 'narrow' },
    h('a', { class: 'way-back', href: home }, icon('back'), 'Back to the account'),
    h(
      'article',
      { class: 'card receipt' },
      h('header', null, h('h1', null, title), h('p', { class: `receipt-amount ${entry.direction}` }, signed(entry))),
      facts(entry, (id) => link(`/accounts/${params.number}/entries/${id}`, { for: query.get('for') })),
      seal(entry.hash),
    ),
    h(
      'div',
      { class: 'actions no-print' },
      actsForOthers(me) &&
        !entry.reverses &&
        !entry.reversed_by && [
          h('button', { type: 'button', class: 'secondary', onclick: () => reverse(context, entry) }, 'Reverse'),
          entry.group &&
            h(
              'button',
              { type: 'button', class: 'secondary', onclick: () => reverseGroup(context, entry) },
              'Reverse the group',
            ),
        ],
      h('button', { type: 'button', class: 'secondary', onclick: () => print() }, icon('print'), 'Print'),
      h('a', { class: 'button primary', href: home }, 'Done'),
    ),
  );
  return { title: `${title} receipt`, content };
}

/** A transfer between two of one's own accounts has two entries; the bank gives the sender's unless asked for a history. @param {Coffer} bank @param {Context['params']} params @param {AbortSignal} signal @returns {Promise<Transaction>} */
async function find(bank, { number, id }, signal) {
  const entry = await bank.transaction(id, { signal });
  if (entry.account_number === number || entry.status !== 'posted') return entry;
  const moment = Date.parse(entry.created_at);
  const around = { from: entry.created_at, to: new Date(moment + 1).toISOString(), type: entry.type };
  for await (const each of bank.history(number, around, { signal })) if (each.id === id) return { ...entry, ...each };
  return entry;
}

/** Asks for a reason, and reverses the movement: once, however often the button is pressed. @param {Context} context @param {Entry} entry */
async function reverse({ bank, params, query }, entry) {
  const idempotencyKey = newIdempotencyKey();
  let reversal = /** @type {Transaction | null} */ (null);
  await ask({
    title: `Reverse this ${entry.type}?`,
    text: `${formatMoney(entry.amount, entry.currency)} goes back to where it came from, as a new movement. A reversal cannot be reversed.`,
    verb: 'Reverse',
    danger: true,
    fields: [reasonField()],
    act: async ({ reason }) => {
      reversal = await bank.reverse(entry.id, reason || undefined, { idempotencyKey }).catch(throwUncertain);
    },
  });
  if (!reversal) return;
  if (reversal.status !== 'posted') return leaveForApproval();
  toast(`The ${entry.type} is reversed.`);
  replaceWith(`/accounts/${params.number}/entries/${reversal.id}`, { for: query.get('for') });
}

/** Reverses all movements of the group, or none. @param {Context} context @param {Entry} entry */
async function reverseGroup({ bank }, entry) {
  const idempotencyKey = newIdempotencyKey();
  let count = 0;
  const done = await ask({
    title: `Reverse all of ${entry.group}?`,
    text: 'Every movement of this group goes back to where it came from, or none of them.',
    verb: 'Reverse the group',
    danger: true,
    fields: [reasonField()],
    act: async ({ reason }) => {
      const { booked } = await bank
        .reverseGroup(entry.id, reason || undefined, { idempotencyKey })
        .catch(throwUncertain);
      count = booked;
    },
  });
  if (done) toast(count === 1 ? 'The movement is reversed.' : `${count} movements are reversed.`);
  reloadIf(done);
}

const reasonField = () =>
  field({
    name: 'reason',
    label: 'Reason',
    optional: true,
    hint: 'The statement and the audit log show it.',
    characters: 140,
    autocomplete: 'off',
  });

/** @param {Entry} entry @param {(id: string) => string} hrefOf */
function facts(entry, hrefOf) {
  /** @param {string} term @param {...Child} value */
  const line = (term, ...value) => h('div', null, h('dt', null, term), h('dd', null, value));
  return h(
    'dl',
    { class: 'facts' },
    entry.description && line('Description', entry.description),
    entry.reference && line('Reference', entry.reference),
    entry.group && line('Group', entry.group),
    Object.entries(entry.metadata).map(([key, value]) => line(`Metadata · ${key}`, value)),
    line('Account', groupDigits(entry.account_number)),
    entry.counterparty && line(entry.direction === 'credit' ? 'From' : 'To', groupDigits(entry.counterparty)),
    notCash(entry) && line('Against', notCash(entry)),
    line('When', formatExactMoment(entry.created_at)),
    line('Balance afterwards', h('span', { class: 'amount' }, formatMoney(entry.balance, entry.currency))),
    line('Entry in the passbook', `No. ${entry.sequence}`),
    line('Movement', h('code', null, entry.id)),
    entry.reverses && line('Reverses', h('a', { href: hrefOf(entry.reverses) }, 'an earlier movement')),
    entry.reversed_by && line('Reversed', h('a', { href: hrefOf(entry.reversed_by) }, 'by a later movement')),
  );
}

/** @param {string} hash */
function seal(hash) {
  const copy = async () => {
    await navigator.clipboard.writeText(hash);
    toast('The seal is copied.');
  };
  return h(
    'div',
    { class: 'seal' },
    icon('lock'),
    h(
      'div',
      null,
      h('p', { class: 'seal-title' }, 'Seal'),
      h('code', { class: 'hash' }, hash),
      h(
        'p',
        { class: 'hint' },
        'SHA-256 over this entry and the seal of the entry before. Whoever changes an entry breaks every seal after it.',
      ),
    ),
    navigator.clipboard &&
      h(
        'button',
        { type: 'button', class: 'icon-button no-print', 'aria-label': 'Copy the seal', onclick: copy },
        icon('copy'),
      ),
  );
}
