/** Deposit, withdraw, transfer, hold: the form, a review of its effect, and the request, which takes effect once. */

import { ProblemError, newIdempotencyKey } from '../api/coffer.js';
import { nameOf } from '../ui/account_list.js';
import { amountField, checkedAmount, messageOf } from '../ui/amount.js';
import { groupDigits, parseAccountNumber } from '../domain/account_number.js';
import { CASH, bankAccountChoices } from '../domain/bank_accounts.js';
import { endOfDay, formatDay, formatMoment, isDay, localDate, startOfDay } from '../domain/dates.js';
import { h, toast } from '../ui/dom.js';
import {
  FieldProblem,
  UncertainOutcome,
  actions,
  controlOf,
  explain,
  field,
  form,
  isBeforeTheBooks,
  isUncertain,
  select,
  showProblem,
  submitButton,
} from '../ui/form.js';
import { HOLD, MAX_DAYS, USUAL_DAYS } from '../domain/holds.js';
import { add, decimalsOf, formatMoney, parseMoney, subtract, toMinor } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { actsForOthers } from '../domain/roles.js';
import { customerOf } from '../ui/people.js';
import { link, replaceWith } from '../ui/router.js';
import { notFound } from '../ui/states.js';
import { actingFor, wayBack } from './account.js';

/** @import { Account, BankAccount, Coffer, MovementOptions, NameCheck, Payee, Preview } from '../api/coffer.js' */
/** @import { Context, Screen } from '../app.js' */
/** @import { Child } from '../ui/dom.js' */
/** @import { Values } from '../ui/form.js' */

/**
 * @typedef {{name: string, verb: string, question: string, done: string,
 *   effect: (balance: string, amount: string) => string, changes: 'balance' | 'available'}} Kind
 */

const { deposit, withdrawal, transfer } = MOVEMENT_TYPES;
/** By the path of the form. @type {Record<string, Kind>} */
const KINDS = {
  [deposit.path]: { ...deposit, question: 'Pay in', done: 'is booked', effect: add, changes: 'balance' },
  [withdrawal.path]: { ...withdrawal, question: 'Pay out', done: 'is booked', effect: subtract, changes: 'balance' },
  [transfer.path]: { ...transfer, question: 'Send', done: 'is booked', effect: subtract, changes: 'balance' },
  [HOLD.path]: { ...HOLD, question: 'Hold', done: 'is created', effect: subtract, changes: 'available' },
};
const ANOTHER = 'another';

/** @param {Kind} kind */
const hasReceiver = (kind) => kind === KINDS.transfer || kind === KINDS.hold;

/**
 * @typedef {{amount: string, description: string, reference: string, receiver?: string, receiverName?: string, until?: string,
 *   against?: BankAccount, check?: NameCheck, remember?: boolean}} Plan `amount` and `until` as the bank wants them, and `against` where that is not its cash
 * @typedef {{plan: Plan, preview: Preview}} Reviewed the plan, and what the bank says that it would do
 * @typedef {{context: Context, kind: Kind, account: Account, receivers: Account[], payees: Payee[],
 *   bankAccounts: BankAccount[], customer: {id: string, name: string} | null, idempotencyKey: string}} Task
 * @typedef {{confirm: HTMLButtonElement, change: HTMLButtonElement, effect: ReturnType<typeof effectOf>,
 *   back: (error?: unknown) => void}} Card of the review
 */

/** @param {Context} context @returns {Promise<Screen>} */
export async function movement(context) {
  const { bank, me, params, signal } = context;
  const kind = KINDS[params.kind];
  if (!kind) return notFound();
  const account = await bank.account(params.number, { signal });
  const [receivers, customer, bankAccounts, payees] = await Promise.all([
    hasReceiver(kind) ? bank.allAccounts({ owner_id: account.owner_id }, { signal }) : [],
    customerOf(context, account),
    accountsOfBank(context, kind, account),
    kind === KINDS.transfer && account.owner_id === me.id ? bank.payees({ limit: 100 }, { signal }) : { data: [] },
  ]);
  // Made once for all that this form may send: however often it is pressed or retried, the money moves once.
  const task = {
    context,
    kind,
    account,
    receivers,
    payees: payees.data,
    bankAccounts,
    customer,
    idempotencyKey: newIdempotencyKey(),
  };
  const entry = fillIn(task, (reviewed) => stage.replaceChildren(review(task, reviewed, back)));
  const stage = h('div', null, entry);
  /** @param {unknown} [error] */
  const back = (error) => {
    stage.replaceChildren(entry);
    if (error) showProblem(entry, error);
    else controlOf(entry, 'amount').focus();
  };
  const content = h(
    'section',
    { class: 'narrow' },
    customer ? actingFor(me, customer) : wayBack(account, null),
    h('h1', null, kind.verb),
    h('p', { class: 'lead' }, `${nameOf(account)} · ${groupDigits(account.account_number)}`),
    stage,
  );
  return { title: kind.verb, content };
}

/**
 * The bank's own accounts, for staff who act for a customer to choose from.
 * @param {Context} context @param {Kind} kind @param {Account} account
 * @returns {Promise<BankAccount[]>}
 */
async function accountsOfBank({ bank, me, signal }, kind, account) {
  if (hasReceiver(kind) || account.owner_id === me.id || !actsForOthers(me)) return [];
  return (await bank.bankAccounts({ signal })).data;
}

/** @param {Task} task */
const homeOf = ({ account, customer }) => link(`/accounts/${account.account_number}`, { for: customer?.id });

/** The form. `next` gets a plan that could be carried out. @param {Task} task @param {(reviewed: Reviewed) => void} next */
function fillIn(task, next) {
  const { account, kind, context } = task;
  const decimals = decimalsOf(account.balance);
  const amount = amountField({ currency: account.currency, decimals });
  const effect = effectOf(task);
  const receiver = hasReceiver(kind) ? receiverFields(task) : [];
  amount.control.addEventListener('input', () => {
    effect.show(attempt(() => parseMoney(amount.control.value, decimals)));
  });
  /** @param {Values} values */
  const submit = async (values) => {
    if (values.remember && !values.receiver_name && (values.to ?? ANOTHER) === ANOTHER)
      throw new FieldProblem('receiver_name', 'Enter the name by which to remember them.');
    const plan = {
      amount: checkedAmount(values.amount, decimals),
      description: values.description,
      reference: values.reference,
      ...receiverOf(task, values),
      ...againstOf(task, values),
      ...untilOf(task, values),
    };
    task.account = await context.bank.account(account.account_number, { signal: context.signal });
    if (isTooMuch(task, plan.amount)) {
      const has = formatMoney(task.account.available, account.currency);
      throw new FieldProblem('amount', `There is ${has} available on this account.`);
    }
    try {
      const preview = await send(context.bank.preview, task, plan, { signal: context.signal });
      next({ plan: { ...plan, ...(await checkedName(context.bank, plan, values)) }, preview });
    } catch (error) {
      throw inFormsWords(error);
    }
  };
  return form(
    { submit, class: 'card' },
    receiver,
    amount,
    effect.list,
    againstField(task),
    field({
      name: 'description',
      label: 'Description',
      optional: true,
      hint: noteOf(task),
      characters: 140,
      autocapitalize: 'sentences',
      autocomplete: 'off',
    }),
    kind === KINDS.hold && lastDayField(),
    referenceField(),
    actions(h('a', { class: 'button quiet', href: homeOf(task) }, 'Cancel'), submitButton('Review')),
  );
}

/** Who will read the description. @param {Task} task */
function noteOf({ kind, customer }) {
  if (kind === KINDS.transfer) return 'Both statements show it.';
  if (kind === KINDS.hold) return 'Statements show it once the money moves.';
  return `${customer ? 'The customer’s' : 'Your'} statement shows it.`;
}

/** Few need it, so it is out of the way. */
function referenceField() {
  const reference = field({
    name: 'reference',
    label: 'Reference',
    optional: true,
    hint: 'Your own name for the movement, such as the number of an invoice. Each is used once. Only you and the bank see it.',
    characters: 64,
    autocomplete: 'off',
  });
  return h('details', { class: 'more' }, h('summary', null, 'More'), reference);
}

function lastDayField() {
  return field({
    name: 'expires_at',
    label: 'Last day',
    hint: 'After it the money is free again, unless it has moved.',
    type: 'date',
    value: localDate(USUAL_DAYS),
    min: localDate(0),
    max: localDate(MAX_DAYS),
  });
}

/** @param {Task} task @param {Values} values @returns {{until?: string}} */
function untilOf({ kind }, { expires_at: day }) {
  if (kind !== KINDS.hold) return {};
  const last = localDate(MAX_DAYS);
  if (!isDay(day) || day < localDate(0) || day > last)
    throw new FieldProblem('expires_at', `Choose a day from today to ${formatDay(startOfDay(last))}.`);
  return { until: endOfDay(day) };
}

/** @param {Task} task */
function receiverFields({ account, kind, receivers, payees }) {
  const own = receivers.filter((each) => {
    return (
      each.account_number !== account.account_number && each.currency === account.currency && each.status === 'open'
    );
  });
  const number = field({
    name: 'number',
    label: 'Receiver’s account number',
    inputmode: 'numeric',
    autocomplete: 'off',
    placeholder: '14 digits',
    maxlength: 24,
  });
  const isTransfer = kind === KINDS.transfer;
  const name = field({
    name: 'receiver_name',
    label: 'Receiver’s name',
    optional: true,
    hint: 'The bank says whether the account is theirs.',
    autocomplete: 'off',
    autocapitalize: 'words',
    characters: 100,
  });
  const remember = field({
    name: 'remember',
    label: 'Next time',
    optional: true,
    control: select([
      ['', 'Ask me again'],
      ['yes', 'Remember them by this name'],
    ]),
  });
  const unknown = isTransfer ? [number, name, remember] : [number];
  const known = payees.filter((each) => !receivers.some((one) => one.account_number === each.account_number));
  /** @type {[string, string][]} */
  const options = own.map((each) => [each.account_number, `${nameOf(each)} · ${groupDigits(each.account_number)}`]);
  options.push(...known.map(asChoice));
  if (kind === KINDS.hold) options.unshift([CASH, HOLD.cash]);
  if (!options.length) return unknown;
  const to = field({ name: 'to', label: 'To', control: select([...options, [ANOTHER, 'Another account…']]) });
  const update = () => {
    for (const each of unknown) each.hidden = to.control.value !== ANOTHER;
    number.control.required = !number.hidden;
  };
  to.control.addEventListener('change', update);
  update();
  return [to, ...unknown];
}

/** @param {Payee} payee @returns {[string, string]} */
const asChoice = (payee) => [payee.account_number, `${payee.name} · ${groupDigits(payee.account_number)}`];

/**
 * What the bank says of the receiver's name, where one was typed. A check that is not to be had keeps nobody from paying.
 * @param {Coffer} bank @param {Plan} plan @param {Values} values @returns {Promise<Partial<Plan>>}
 */
async function checkedName(bank, plan, { to = ANOTHER, receiver_name: name, remember }) {
  if (to !== ANOTHER || !name || !plan.receiver) return {};
  const known = { receiverName: name, remember: remember === 'yes' };
  try {
    return { ...known, check: await bank.checkName({ account_number: plan.receiver, name }) };
  } catch (error) {
    if (error instanceof ProblemError) return known;
    throw error;
  }
}

/** @param {Plan} plan */
function checkInWords({ check }) {
  if (!check) return null;
  if (check.result === 'match') return 'The account is theirs.';
  if (check.result === 'close_match') return `Nearly: the account is that of ${check.name}.`;
  return 'The bank cannot say that the account is theirs. Ask them for its number before you send.';
}

/** @param {Task} task @param {Values} values @returns {{receiver?: string, receiverName?: string}} */
function receiverOf({ kind, account, receivers, payees }, { to = ANOTHER, number }) {
  if (!hasReceiver(kind) || to === CASH) return {};
  const known = receivers.find((each) => each.account_number === to);
  if (known) return { receiver: known.account_number, receiverName: nameOf(known) };
  const payee = payees.find((each) => each.account_number === to);
  if (payee) return { receiver: payee.account_number, receiverName: payee.name };
  try {
    const receiver = parseAccountNumber(number);
    if (receiver !== account.account_number) return { receiver };
  } catch (error) {
    throw new FieldProblem('number', messageOf(error));
  }
  throw new FieldProblem('number', 'That is the account the money comes from.');
}

/** Nothing is to be chosen while the bank has its cash alone. @param {Task} task */
function againstField({ kind, bankAccounts }) {
  if (bankAccounts.length < 2) return null;
  return field({
    name: 'against',
    label: 'Against',
    hint: `The account of the bank that the money ${kind === KINDS.deposit ? 'comes from' : 'goes to'}.`,
    control: select(bankAccountChoices(bankAccounts), { value: CASH }),
  });
}

/** @param {Task} task @param {Values} values @returns {{against?: BankAccount}} */
function againstOf({ bankAccounts }, { against = CASH }) {
  return against === CASH ? {} : { against: bankAccounts.find(({ code }) => code === against) };
}

/** @template T @param {() => T} parse @returns {T | null} */
const attempt = (parse) => {
  try {
    return parse();
  } catch {
    return null;
  }
};

/** @param {Task} task @param {string} amount */
const after = ({ kind, account }, amount) => kind.effect(account[kind.changes], amount);
/** @param {Task} task @param {string} amount */
const isTooMuch = ({ kind, account }, amount) =>
  kind.effect === subtract && toMinor(amount) > toMinor(account.available);

/** The balance, or what of it is available, now and afterwards; `show` with an amount, or null while there is none. @param {Task} task */
function effectOf(task) {
  const now = h('dd', { class: 'amount' });
  const then = h('dd', { class: 'amount' });
  const list = h(
    'dl',
    { class: 'effect', 'aria-live': 'polite' },
    h('div', null, h('dt', null, task.kind.changes === 'balance' ? 'Balance now' : 'Available now'), now),
    h('div', null, h('dt', null, 'Afterwards'), then),
  );
  /** @param {string | null} value */
  const show = (value) => {
    const { currency, [task.kind.changes]: before } = task.account;
    now.textContent = formatMoney(before, currency);
    then.textContent = value ? formatMoney(after(task, value), currency) : '–';
    then.classList.toggle('too-little', value !== null && isTooMuch(task, value));
  };
  show(null);
  return { list, show };
}

/** @param {Task} task */
const confirmWords = ({ kind }) => `Confirm ${kind.name.toLowerCase()}`;

/**
 * The review of a movement, and the button that sends it.
 * @param {Task} task
 * @param {Reviewed} reviewed
 * @param {(error?: unknown) => void} back
 */
function review(task, { plan, preview }, back) {
  const { account, kind, customer } = task;
  const money = formatMoney(plan.amount, account.currency);
  const change = h('button', { type: 'button', class: 'quiet', onclick: () => back() }, 'Change');
  const confirm = submitButton(confirmWords(task));
  const submit = () => carryOut(task, plan, { confirm, change, effect, back });
  /** @param {string} term @param {...Child} value */
  const line = (term, ...value) => h('div', null, h('dt', null, term), h('dd', null, value));
  const effect = effectOf(task);
  effect.show(plan.amount);
  const heading = h('h2', { tabindex: -1 }, `${kind.question} `, h('span', { class: 'amount' }, money), '?');
  const card = form(
    { submit, class: 'card review' },
    heading,
    h(
      'dl',
      { class: 'facts' },
      customer && line('Customer', customer.name),
      line(kind === KINDS.deposit ? 'To' : 'From', `${nameOf(account)} · ${groupDigits(account.account_number)}`),
      plan.receiver && line('To', plan.receiverName && `${plan.receiverName} · `, groupDigits(plan.receiver)),
      plan.check && line('Name', checkInWords(plan)),
      kind === KINDS.hold && !plan.receiver && line('To', HOLD.cash),
      plan.against && line('Against', plan.against.name),
      plan.description && line('Description', plan.description),
      plan.reference && line('Reference', plan.reference),
      plan.until && line('Until', formatMoment(plan.until)),
      preview.status === 'pending_approval' && line('Approval', 'A second person has to agree first.'),
    ),
    effect.list,
    actions(change, confirm),
  );
  queueMicrotask(() => heading.focus());
  return card;
}

/**
 * @param {Task} task
 * @param {Plan} plan
 * @param {Card} card
 */
async function carryOut(task, plan, card) {
  const { context, account, customer, idempotencyKey, kind } = task;
  const answer = await send(context.bank, task, plan, { idempotencyKey }).catch((error) =>
    refused(task, plan, card, error),
  );
  if (!answer) return;
  // A hold is created whatever became of it since.
  const isDone = answer.status === 'posted' || (kind === KINDS.hold && answer.status !== 'pending_approval');
  if (isDone && plan.remember) await remember(context.bank, plan);
  toast(isDone ? `The ${kind.name.toLowerCase()} ${kind.done}.` : WAITS);
  // Whoever has left is not called back.
  if (context.signal.aborted) return;
  if (!isDone) return replaceWith('/staff/approvals');
  const place = kind === KINDS.hold ? 'holds' : `entries/${answer.id}`;
  replaceWith(`/accounts/${account.account_number}/${place}`, { for: customer?.id });
}

/**
 * Shows why the movement was not carried out, or that nobody knows whether it was.
 * @param {Task} task @param {Plan} plan @param {Card} card @param {unknown} error
 */
async function refused(task, plan, card, error) {
  const isStillUncertain = card.change.hidden && isBeforeTheBooks(error);
  const isOpen = isUncertain(error) || isStillUncertain;
  if (task.context.signal.aborted) return toast(lateWords(task, plan, isOpen ? null : error));
  if (isOpen) return stayUncertain(card, error);
  await beCertain(task, plan, card);
  const problem = inFormsWords(error);
  if (problem instanceof FieldProblem || (problem instanceof ProblemError && problem.errors.length))
    return card.back(problem);
  throw error;
}

/** What whoever has left is told. @param {Task} task @param {Plan} plan @param {unknown} error null where nobody knows */
function lateWords({ kind, account }, plan, error) {
  const what = `the ${kind.name.toLowerCase()} of ${formatMoney(plan.amount, account.currency)}`;
  if (error === null)
    return `It is not certain whether ${what} ${kind.done}. Look at the account before you try again.`;
  const problem = inFormsWords(error);
  return `T${what.slice(1)} was not made. ${problem instanceof FieldProblem ? problem.message : explain(problem)}`;
}

/** The money has moved: what becomes of the name is no reason to say otherwise. @param {Coffer} bank @param {Plan} plan */
async function remember(bank, { receiver = '', receiverName = '' }) {
  await bank.createPayee({ account_number: receiver, name: receiverName }).catch(() => {});
}

/**
 * Sends the movement, or asks for its preview.
 * @template Answer
 * @param {{[way in 'deposit' | 'withdraw' | 'transfer' | 'hold']: (terms: any, options?: MovementOptions) => Promise<Answer>}} ways
 * @param {Task} task @param {Plan} plan @param {MovementOptions} options
 */
function send(ways, { kind, account }, { amount, description, reference, receiver, until, against }, options) {
  const texts = { ...(description && { description }), ...(reference && { reference }) };
  const common = { amount, currency: account.currency, ...texts };
  const single = { account_number: account.account_number, ...common };
  const sent = receiver && { from_account: account.account_number, to_account: receiver, ...common };
  if (kind === KINDS.hold) return ways.hold({ ...(sent || single), expires_at: until }, options);
  if (sent) return ways.transfer(sent, options);
  const movement = { ...single, ...(against && { against: against.code }) };
  return kind === KINDS.deposit ? ways.deposit(movement, options) : ways.withdraw(movement, options);
}

const WAITS = 'This needs a second person: it waits for approval.';

export function leaveForApproval() {
  toast(WAITS);
  replaceWith('/staff/approvals');
}

/**
 * From here on only the same request may be sent again, which moves the money once.
 * @param {Card} card
 * @param {unknown} error
 */
function stayUncertain({ confirm, change }, error) {
  change.hidden = true;
  confirm.textContent = 'Try again';
  if (confirm.form) showProblem(confirm.form, new UncertainOutcome(error));
}

/** Nothing has moved: the plan may be changed, by what the account has now. @param {Task} task @param {Plan} plan @param {Card} card */
async function beCertain(task, plan, { confirm, change, effect }) {
  change.hidden = false;
  confirm.textContent = confirmWords(task);
  const { context, account } = task;
  task.account = await context.bank.account(account.account_number, { signal: context.signal }).catch(() => account);
  effect.show(plan.amount);
}

/** The same error about the fields of this form, where it is about fields. @param {unknown} error */
function inFormsWords(error) {
  if (!(error instanceof ProblemError)) return error;
  if (error.code === 'reference_taken')
    return new FieldProblem('reference', 'One of your movements has this reference. Each is used once.');
  /** @type {Record<string, string>} */
  const names = { '/to_account': '/number' };
  error.errors = error.errors.map((each) => ({ ...each, pointer: names[each.pointer] ?? each.pointer }));
  return error;
}
