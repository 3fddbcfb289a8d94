/** The limits of an account: how much may leave it, and what is used of that. Owners set their own, staff the bank's. */

import { nameOf } from '../ui/account_list.js';
import { messageOf } from '../ui/amount.js';
import { groupDigits } from '../domain/account_number.js';
import { formatMoment } from '../domain/dates.js';
import { ask } from '../ui/dialog.js';
import { h, toast } from '../ui/dom.js';
import { FieldProblem, field } from '../ui/form.js';
import { LIMITS, formatLimit, parseCount, parseLimit } from '../domain/limits.js';
import { decimalsOf, formatMoney, formatPlain, isPositive } from '../domain/money.js';
import { customerOf } from '../ui/people.js';
import { actsForOthers, mayAct } from '../domain/roles.js';
import { actingFor, reloadIf, wayBack } from './account.js';
import { leaveForApproval } from './movement.js';

/** @import { Coffer, Limits, NewLimits, User } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { LimitName } from '../domain/limits.js' */
/** @import { Child } from '../ui/dom.js' */
/** @import { Values } from '../ui/form.js' */

/** Whose limits are changed. @typedef {'own' | 'bank'} Side */

/** @param {Context} context @returns {Promise<Screen>} */
export async function limits(context) {
  const { bank, me, params, signal } = context;
  const account = await bank.account(params.number, { signal });
  const [shown, customer] = await Promise.all([
    bank.limits(account.account_number, { signal }),
    customerOf(context, account),
  ]);
  const side = sideOf(me, customer);
  const mayChange = side && mayAct(me) && account.status !== 'closed';
  const content = [
    customer && actingFor(me, customer),
    wayBack(account, customer),
    h(
      'section',
      null,
      h('h1', { tabindex: -1 }, 'Limits'),
      h('p', { class: 'lead' }, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
      h(
        'p',
        { class: 'hint' },
        'For money that leaves the account for somebody else. Nothing gives back what is used.',
      ),
      mayChange &&
        h(
          'div',
          { class: 'ways' },
          h(
            'button',
            { type: 'button', class: 'secondary', onclick: () => change(bank, shown, side) },
            WORDS[side].verb,
          ),
        ),
    ),
    card(shown),
  ];
  return { title: 'Limits', content };
}

/** @type {Record<Side, {verb: string, text: string}>} */
const WORDS = {
  own: {
    verb: 'Change my limits',
    text: 'What is lower counts at once, what is higher after 24 hours. Leave empty what you do not want to limit.',
  },
  bank: {
    verb: 'Change the bank’s limits',
    text: 'They count at once. Leave empty what is not to be limited.',
  },
};

/** Whose limits the caller sets, if any. @param {User} me @param {{id: string} | null} customer @returns {Side | null} */
function sideOf(me, customer) {
  if (!customer) return 'own';
  return actsForOthers(me) ? 'bank' : null;
}

/** @param {Limits} shown */
function card(shown) {
  const { currency, next_own: next } = shown;
  return h(
    'section',
    { class: 'card limits' },
    h(
      'dl',
      { class: 'facts' },
      fact('Overdraft', [isPositive(shown.overdraft) ? formatMoney(shown.overdraft, currency) : 'None']),
      LIMITS.map(([name, words]) => fact(words, linesOf(shown, name))),
    ),
    next && h('p', { class: 'hint', role: 'note' }, raiseInWords(shown, next)),
  );
}

/** @param {string} term @param {Child[]} lines of which the first is the fact itself */
function fact(term, [first, ...rest]) {
  return h(
    'div',
    null,
    h('dt', null, term),
    h(
      'dd',
      null,
      h('b', null, first),
      rest.map((line) => line && h('p', { class: 'hint' }, line)),
    ),
  );
}

/** @param {Limits} shown @param {LimitName} name @returns {Child[]} */
function linesOf(shown, name) {
  const { currency, [name]: limit } = shown;
  /** @param {string | number | null} value */
  const words = (value) => formatLimit(name, value, currency);
  const isSet = limit.bank !== null || limit.own !== null;
  const isCounted = 'used' in limit && limit.used !== null;
  return [
    words(limit.limit),
    isSet && `The bank: ${words(limit.bank)} · Own: ${words(limit.own)}`,
    'used' in limit && isCounted && `Used: ${words(limit.used)}`,
    'remaining' in limit &&
      limit.remaining !== null &&
      `Left: ${words(limit.remaining)}, until ${formatMoment(limit.resets_at)}`,
  ];
}

/** @param {Limits} shown @param {NonNullable<Limits['next_own']>} next */
function raiseInWords({ currency }, next) {
  const parts = LIMITS.map(([name, words]) => `${words.toLowerCase()}: ${formatLimit(name, next[name], currency)}`);
  return `Own limits from ${formatMoment(next.effective_at)} on: ${parts.join(', ')}.`;
}

/** @param {Coffer} bank @param {Limits} shown @param {Side} side */
async function change(bank, shown, side) {
  const { currency, overdraft, next_own: next } = shown;
  const decimals = decimalsOf(overdraft);
  /** @param {string} name @param {string} label @param {string | number | null} value */
  const input = (name, label, value) =>
    field({
      name,
      label,
      optional: true,
      inputmode: name === 'movements_per_day' ? 'numeric' : 'decimal',
      autocomplete: 'off',
      value: typeof value === 'string' ? formatPlain(value) : (value ?? ''),
    });
  let isWaiting = false;
  const done = await ask({
    title: WORDS[side].verb,
    text: WORDS[side].text,
    verb: 'Set the limits',
    fields: [
      ...(side === 'bank'
        ? [input('overdraft', `Overdraft in ${currency}`, isPositive(overdraft) ? overdraft : null)]
        : []),
      ...LIMITS.map(([name, words]) => {
        const label = name === 'movements_per_day' ? words : `${words}, in ${currency}`;
        return input(name, label, side === 'own' && next ? next[name] : shown[name][side]);
      }),
    ],
    act: async (values) => {
      const answer = await bank.setLimits(shown.account_number, limitsOf(values, decimals));
      isWaiting = answer.approval_id !== undefined;
    },
  });
  if (!done) return;
  if (isWaiting) return leaveForApproval();
  toast('The limits are set.');
  reloadIf(true);
}

/** What was typed, as the bank wants it. @param {Values} values @param {number} decimals @returns {NewLimits} */
function limitsOf(values, decimals) {
  const limits = Object.entries(values).map(([name, text]) => {
    try {
      return [name, name === 'movements_per_day' ? parseCount(text) : parseLimit(text, decimals)];
    } catch (error) {
      throw new FieldProblem(name, messageOf(error));
    }
  });
  return Object.fromEntries(limits);
}
