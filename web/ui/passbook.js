/** The rows of a passbook: entries of one account, or of all. */

import { formatDay, formatTime } from '../domain/dates.js';
import { groupDigits } from '../domain/account_number.js';
import { notCash } from '../domain/bank_accounts.js';
import { formatMoney } from '../domain/money.js';
import { MOVEMENT_TYPES } from '../domain/movement_types.js';
import { h } from './dom.js';

/** @import { Entry } from '../api/coffer.js' */
/** @import { Properties } from './dom.js' */

// Roles are written out: on a small screen the style makes these no table any more, and browsers then forget.
/**
 * @param {HTMLElement} body
 * @param {[string, string]} amounts the headings of the columns beside the movement
 * @param {Properties} attributes
 */
export function passbook(body, amounts, attributes) {
  /** @param {string} words @param {Properties} [attributes] */
  const head = (words, attributes) => h('th', { role: 'columnheader', scope: 'col', ...attributes }, words);
  const heads = [head('Movement'), ...amounts.map((words) => head(words, { class: 'amount' }))];
  return h(
    'table',
    { class: 'passbook card', role: 'table', ...attributes },
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' }, heads)),
    body,
  );
}

/** @param {Entry} entry @param {Entry | undefined} previous */
export function dayRow(entry, previous) {
  const day = formatDay(entry.created_at);
  if (previous && formatDay(previous.created_at) === day) return [];
  return h('tr', { class: 'day', role: 'row' }, h('th', { role: 'rowheader', scope: 'rowgroup', colspan: 3 }, day));
}

/** A description with more characters has the width of a phone for itself, and the amounts stand below. */
const LONG = 40;

/** The class of a cell with this description. @param {string | null} description */
export const whatClass = (description) => ((description ?? '').length > LONG ? 'what long' : 'what');

/** What moved, with a link to it. @param {Entry} entry @param {string} href @param {string | null} [more] */
export function movementCell(entry, href, more) {
  return h(
    'td',
    { role: 'cell', class: whatClass(entry.description) },
    h('a', { href }, entry.description ?? MOVEMENT_TYPES[entry.type].name),
    h('span', { class: 'hint' }, [formatTime(entry.created_at), about(entry), more].filter(Boolean).join(' · ')),
  );
}

/** @param {Pick<Entry, 'direction' | 'amount' | 'currency'>} entry @returns {string} with a plus or minus */
export function signed({ direction, amount, currency }) {
  return formatMoney(direction === 'credit' ? amount : `-${amount}`, currency, { sign: 'always' });
}

/** @param {Entry} entry @returns {string} what kind of movement it was, and with whom */
export function about(entry) {
  const { name } = MOVEMENT_TYPES[entry.type];
  if (entry.counterparty) return `${entry.direction === 'credit' ? 'From' : 'To'} ${groupDigits(entry.counterparty)}`;
  // By its code, because customers cannot read the names of the bank's accounts.
  const against = notCash(entry);
  return against ? `${name} against ${against}` : name;
}
