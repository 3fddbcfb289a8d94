/** The filters of a list of movements: of an account, or of the whole bank. */

import { parseAccountNumber } from '../domain/account_number.js';
import { bankAccountChoices } from '../domain/bank_accounts.js';
import { startOfDay } from '../domain/dates.js';
import { parseMoney } from '../domain/money.js';
import { movementTypeChoices } from '../domain/movement_types.js';
import { messageOf } from './amount.js';
import { filterBar } from './filter_bar.js';
import { field, select, setFieldError } from './form.js';

/** @import { BankAccount, HistoryFilter, MovementType } from '../api/coffer.js' */
/** @import { Field } from './form.js' */

/**
 * As the fields have it: days, amounts as they are typed, and metadata as `key=value`.
 * @typedef {{type: MovementType | '', text: string, from: string, to: string, reference: string, group: string,
 *   metadata: string, min_amount: string, max_amount: string, direction: 'credit' | 'debit' | '', counterparty: string,
 *   against: string}} Filter
 */

/** @type {[MovementType | '', string][]} */
const KINDS = [['', 'All kinds'], ...movementTypeChoices()];
/** @type {[Filter['direction'], string][]} */
const DIRECTIONS = [
  ['', 'In and out'],
  ['credit', 'Money in'],
  ['debit', 'Money out'],
];
/** More than any currency has. */
const MOST_DECIMALS = 4;
const PAIR = /^([a-z0-9_]{1,32})\s*=\s*(.+)$/;

/**
 * @param {(name: string) => string | null} read
 * @returns {Filter}
 */
export function filterOf(read) {
  const text = (/** @type {string} */ name) => read(name) ?? '';
  return {
    type: KINDS.find(([kind]) => kind === read('type'))?.[0] ?? '',
    text: text('text'),
    from: text('from'),
    to: text('to'),
    reference: text('reference'),
    group: text('group'),
    metadata: text('metadata'),
    min_amount: text('min_amount'),
    max_amount: text('max_amount'),
    direction: DIRECTIONS.find(([direction]) => direction === read('direction'))?.[0] ?? '',
    counterparty: text('counterparty'),
    against: text('against'),
  };
}

/**
 * As the bank wants it. Local days become moments, and `to` is the last day that counts. What cannot be read is left out.
 * @param {Filter} chosen
 * @param {number} [decimals] of the currency
 * @returns {HistoryFilter}
 */
export function asked(
  { type, text, from, to, reference, group, direction, against, ...typed },
  decimals = MOST_DECIMALS,
) {
  const pair = PAIR.exec(typed.metadata);
  /** @param {string} amount */
  const amount = (amount) => readable(amount, () => parseMoney(amount, decimals));
  return {
    type,
    text,
    from: from && startOfDay(from),
    to: to && startOfDay(to, 1),
    reference,
    group,
    direction,
    against,
    min_amount: amount(typed.min_amount),
    max_amount: amount(typed.max_amount),
    counterparty: readable(typed.counterparty, () => parseAccountNumber(typed.counterparty)),
    ...(pair && { metadata: { [pair[1]]: pair[2] } }),
  };
}

/** @param {string} typed @param {() => string} parse */
function readable(typed, parse) {
  if (!typed) return '';
  try {
    return parse();
  } catch {
    return '';
  }
}

/** Whether anything is asked for. @param {Filter} chosen */
export const isFiltered = (chosen) => Object.values(chosen).some(Boolean);

/**
 * @param {Filter} chosen
 * @param {{name: string, decimals?: number, bankAccounts?: BankAccount[], change: (filter: Filter) => void,
 *   signal: AbortSignal}} options `bankAccounts`: to choose from, for those who may read them
 */
export function movementFilters(chosen, { name, decimals = MOST_DECIMALS, bankAccounts = [], change, signal }) {
  const usual = usualFields(chosen);
  const others = [...otherFields(chosen), ...againstFields(chosen, bankAccounts)];
  const read = () => {
    const filter = filterOf(bar.read);
    if (complain(others, filter, decimals)) change(filter);
  };
  const bar = filterBar({ name, usual, others, change: read, signal });
  return bar;
}

/** @param {Filter} chosen @returns {Field[]} */
function usualFields(chosen) {
  /** @param {'from' | 'to'} name @param {string} label */
  const day = (name, label) => field({ name, label, type: 'date', value: chosen[name], required: false });
  return [
    searchField('text', 'Text', chosen.text, { placeholder: 'Search descriptions', maxlength: 140 }),
    field({ name: 'type', label: 'Kind', control: select(KINDS, { value: chosen.type }), required: false }),
    day('from', 'From'),
    day('to', 'To'),
  ];
}

/** @param {Filter} chosen @returns {Field[]} */
function otherFields(chosen) {
  return [
    searchField('reference', 'Reference', chosen.reference, { placeholder: 'The whole of it', maxlength: 64 }),
    searchField('group', 'Group', chosen.group, { placeholder: 'The whole of it', maxlength: 64 }),
    searchField('metadata', 'Metadata', chosen.metadata, { placeholder: 'order=42', maxlength: 180 }),
    searchField('min_amount', 'At least', chosen.min_amount, { inputmode: 'decimal', maxlength: 24 }),
    searchField('max_amount', 'At most', chosen.max_amount, { inputmode: 'decimal', maxlength: 24 }),
    field({
      name: 'direction',
      label: 'Direction',
      control: select(DIRECTIONS, { value: chosen.direction }),
      required: false,
    }),
    searchField('counterparty', 'With account', chosen.counterparty, {
      inputmode: 'numeric',
      placeholder: '14 digits',
      maxlength: 24,
    }),
  ];
}

/** None where every movement in cash is against the same account. @param {Filter} chosen @param {BankAccount[]} bankAccounts @returns {Field[]} */
function againstFields(chosen, bankAccounts) {
  if (bankAccounts.length < 2) return [];
  const choices = bankAccountChoices(bankAccounts);
  const control = select([['', 'Any account of the bank'], ...choices], { value: chosen.against });
  return [field({ name: 'against', label: 'Against', control, required: false })];
}

/** @param {string} name @param {string} label @param {string} value @param {Record<string, unknown>} attributes */
function searchField(name, label, value, attributes) {
  return field({ name, label, type: 'search', value, required: false, autocomplete: 'off', ...attributes });
}

/**
 * Says beside a field what cannot be read in it. Whether all can.
 * @param {Field[]} fields
 * @param {Filter} filter
 * @param {number} decimals
 */
function complain(fields, filter, decimals) {
  /** @type {Record<string, (typed: string) => unknown>} */
  const parsers = {
    metadata: pairOf,
    min_amount: (typed) => parseMoney(typed, decimals),
    max_amount: (typed) => parseMoney(typed, decimals),
    counterparty: parseAccountNumber,
  };
  let isFine = true;
  for (const each of fields) {
    const name = /** @type {keyof Filter} */ (each.control.name);
    let complaint = '';
    try {
      if (filter[name]) parsers[name]?.(filter[name]);
    } catch (error) {
      complaint = messageOf(error);
      isFine = false;
    }
    setFieldError(each, complaint);
  }
  return isFine;
}

/** @param {string} typed */
function pairOf(typed) {
  if (!PAIR.test(typed)) throw new Error('Write it as key=value.');
}

/** What stands where no movement is. @param {Filter} chosen @returns {[string, string]} */
export function nothing(chosen) {
  return isFiltered(chosen)
    ? ['Nothing like that', 'No movement fits these filters.']
    : ['Nothing yet', 'Movements appear here as soon as money comes in.'];
}
