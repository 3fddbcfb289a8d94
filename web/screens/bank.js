/** Those who work here: the bank's trial balance, and its own accounts. */

import { BANK_ACCOUNT_KINDS, nameOfLine } from '../domain/bank_accounts.js';
import { formatDay, formatMoment } from '../domain/dates.js';
import { formatMoney, toMinor } from '../domain/money.js';
import { opensBankAccounts } from '../domain/roles.js';
import { ask } from '../ui/dialog.js';
import { announce, flat, h, toast } from '../ui/dom.js';
import { figures } from '../ui/figures.js';
import { FieldProblem, actions, field, form, select, submitButton } from '../ui/form.js';
import { peopleReader } from '../ui/people.js';
import { rememberInAddress } from '../ui/router.js';
import { staffWays } from '../ui/staff_ways.js';
import { empty, later } from '../ui/states.js';

/** @import { BankAccount, BankAccountKind, Coffer, TrialBalance } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Values } from '../ui/form.js' */

/** @param {Context} context @returns {Promise<Screen>} */
export async function bankScreen(context) {
  const { bank, me, path, signal } = context;
  // The cheaper of the two comes first, so that it refuses those who may see neither.
  const { data: opened } = await bank.bankAccounts({ signal });
  const content = [h('h1', null, 'The bank'), staffWays(me, path), trialBalance(context), ownAccounts(context, opened)];
  return { title: 'The bank', content };
}

/** @param {Context} context */
function trialBalance({ bank, path, query, signal }) {
  const place = h('div');
  const at = field({
    name: 'at',
    label: 'As of',
    hint: 'Empty means now.',
    type: 'datetime-local',
    value: query.get('at') ?? '',
    required: false,
  });
  const read = async () => balances(await bank.trialBalance({ at: momentOf(at.control) }, { signal }));
  const submit = async () => {
    // Asked for here and not in its place, because what the bank refuses belongs beside the field.
    const shown = await read();
    place.replaceChildren(...flat(shown));
    announce('The trial balance is shown.');
    rememberInAddress(path, { at: at.control.value });
  };
  place.append(later(read, signal, 5));
  return h(
    'section',
    { 'aria-labelledby': 'trial-heading' },
    h('h2', { id: 'trial-heading' }, 'Trial balance'),
    h(
      'p',
      { class: 'hint' },
      'What the bank has or has spent is positive, and what it owes or has earned is negative. The sum is zero.',
    ),
    form({ submit, class: 'custom-period no-print' }, at, actions(submitButton('Show', { class: 'secondary' }))),
    place,
  );
}

/** The moment that was typed, which is a local one; undefined for now. @param {HTMLInputElement | HTMLSelectElement} control */
function momentOf({ value, validity }) {
  const moment = new Date(value);
  // A browser keeps what is half typed to itself.
  const isUnreadable = validity.badInput || (value && Number.isNaN(moment.getTime()));
  if (isUnreadable) throw new FieldProblem('at', 'Enter a day and a time.');
  return value ? moment.toISOString() : undefined;
}

/** @param {TrialBalance} shown */
function balances({ at, data }) {
  const moment = formatMoment(at);
  if (!data.length) return empty('Nothing yet', `Nothing was in the books on ${moment}.`);
  return [h('div', { class: 'panels' }, data.map(ledger)), h('p', { class: 'hint' }, `Balances as of ${moment}.`)];
}

/** @param {TrialBalance['data'][number]} ledger */
function ledger({ currency, accounts, sum }) {
  const isSound = toMinor(sum) === 0n;
  const rows = accounts.map((line) => [
    [nameOfLine(line), h('span', { class: 'hint' }, line.code)],
    BANK_ACCOUNT_KINDS[line.kind],
    formatMoney(line.balance, currency),
  ]);
  const total = ['Sum', '', h('span', { class: isSound ? '' : 'too-little' }, formatMoney(sum, currency))];
  return h(
    'div',
    { class: 'card' },
    !isSound &&
      h(
        'p',
        { class: 'form-problem', role: 'alert' },
        'These books do not sum to zero: run ',
        h('code', null, 'coffer doctor'),
      ),
    figures(currency, ['Account', 'Kind', 'Balance'], rows, total),
  );
}

/** @param {Context} context @param {BankAccount[]} opened */
function ownAccounts(context, opened) {
  const people = peopleReader(context);
  /** @param {BankAccount} account */
  const row = (account) => rowOf(people, account);
  const list = h('ul', { class: 'card rows' }, opened.map(row));
  const open = async () => {
    const account = await openAnother(context.bank);
    if (!account) return;
    list.append(row(account));
    toast(`${account.name} is open.`);
  };
  return h(
    'section',
    { 'aria-labelledby': 'own-heading' },
    h(
      'div',
      { class: 'section-head' },
      h('h2', { id: 'own-heading' }, 'The bank’s own accounts'),
      opensBankAccounts(context.me) &&
        h('button', { type: 'button', class: 'secondary', onclick: open }, 'New account'),
    ),
    list,
  );
}

/** @param {ReturnType<typeof peopleReader>} people @param {BankAccount} account */
function rowOf(people, { code, name, kind, opened_at: at, opened_by: by }) {
  return h(
    'li',
    { class: 'row' },
    h(
      'div',
      null,
      h('p', null, h('b', null, name)),
      h('p', { class: 'hint' }, `${code} · ${BANK_ACCOUNT_KINDS[kind]}`),
      at && h('p', { class: 'hint' }, `Opened on ${formatDay(at)}`, by && [' by ', people.name(by)]),
    ),
  );
}

/** @param {Coffer} bank @returns {Promise<BankAccount | null>} the new one; null if nobody has opened it */
async function openAnother(bank) {
  /** @type {BankAccount | null} */
  let opened = null;
  const kinds = /** @type {[BankAccountKind, string][]} */ (Object.entries(BANK_ACCOUNT_KINDS));
  await ask({
    title: 'A new account of the bank',
    text: 'It is there for good, in every currency. Staff choose it when they pay in or out what is not cash.',
    verb: 'Open the account',
    fields: [
      field({
        name: 'name',
        label: 'Name',
        placeholder: 'Fees earned',
        autocomplete: 'off',
        autocapitalize: 'sentences',
        characters: 100,
      }),
      field({
        name: 'code',
        label: 'Code',
        hint: 'Customers see it in their histories. Use a to z, 0 to 9 and _, a letter first.',
        placeholder: 'fees',
        autocomplete: 'off',
        spellcheck: 'false',
        characters: 32,
      }),
      field({ name: 'kind', label: 'Kind', control: select(kinds) }),
    ],
    /** @param {Values} values */
    act: async ({ code, name, kind }) => {
      opened = await bank.openBankAccount({ code, name, kind: /** @type {BankAccountKind} */ (kind) });
    },
  });
  return opened;
}
