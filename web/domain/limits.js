/** Limits of accounts: their words, and what was typed for one. */

import { formatMoment } from './dates.js';
import { formatMoney, fromMinor, parseMoney } from './money.js';

/** @import { ProblemError } from '../api/coffer.js' */

/** @typedef {'per_movement' | 'per_day' | 'per_month' | 'movements_per_day'} LimitName */

/** What a person reads of each. @type {[LimitName, string][]} */
export const LIMITS = [
  ['per_movement', 'At once'],
  ['per_day', 'In a day'],
  ['per_month', 'In a month'],
  ['movements_per_day', 'Movements in a day'],
];

export const NOT_LIMITED = 'Not limited';

/**
 * A limit, or a part of it, for a person.
 * @param {LimitName} name
 * @param {string | number | null} value
 * @param {string} currency
 */
export function formatLimit(name, value, currency) {
  if (value === null) return NOT_LIMITED;
  return name === 'movements_per_day' ? String(value) : formatMoney(String(value), currency);
}

/**
 * What somebody typed for an amount that may be zero, as the bank wants it; null for nothing.
 * @param {string} text
 * @param {number} decimals
 */
export function parseLimit(text, decimals) {
  if (!text.trim()) return null;
  return /^0+([.,]0*)?$/.test(text.trim()) ? fromMinor(0n, decimals) : parseMoney(text, decimals);
}

/**
 * What somebody typed for a count; null for nothing.
 * @param {string} text
 */
export function parseCount(text) {
  if (!text.trim()) return null;
  if (!/^\d{1,7}$/.test(text.trim())) throw new Error('Enter a whole number such as 10.');
  return Number(text);
}

/** What would pass, where the bank has refused money for want of it. @param {ProblemError} error @returns {string | null} */
export function remedyOf(error) {
  if (error.code === 'insufficient_funds') return missing(error);
  return error.code === 'limit_exceeded' ? exceeded(error) : null;
}

/** @param {ProblemError} error */
function missing({ available, held, shortBy, currency }) {
  if (!available || !shortBy || !currency) return null;
  const isHeld = /[1-9]/.test(held ?? '');
  const words = isHeld ? ` ${formatMoney(held ?? '', currency)} of the balance is held.` : '';
  return `There is ${formatMoney(available, currency)} available on this account: ${formatMoney(shortBy, currency)} too little.${words}`;
}

/** @param {ProblemError} error */
function exceeded({ limit, allowed, remaining, resetsAt, currency }) {
  if (limit === 'movements_per_day' && allowed && resetsAt)
    return `Money may leave this account ${allowed} times a day, and has. Try again after ${formatMoment(resetsAt)}.`;
  if (!limit || !allowed || !remaining || !currency) return null;
  const most = formatMoney(allowed, currency);
  if (!resetsAt) return `At most ${most} may leave this account at once.`;
  const time = limit === 'per_month' ? 'month' : 'day';
  return `At most ${most} may leave this account in a ${time}: ${formatMoney(remaining, currency)} is left until ${formatMoment(resetsAt)}.`;
}
