/** The field in which one types an amount of money. */

import { parseLimit } from '../domain/limits.js';
import { formatPlain, fromMinor, parseMoney } from '../domain/money.js';
import { FieldProblem, field } from './form.js';

/**
 * @param {{currency: string, decimals: number, value?: string, hint?: string}} options `value` as the bank writes it
 */
export function amountField({ currency, decimals, value, hint }) {
  return field({
    name: 'amount',
    label: `Amount in ${currency}`,
    hint,
    inputmode: 'decimal',
    autocomplete: 'off',
    placeholder: formatPlain(fromMinor(0n, decimals)),
    class: 'amount-input',
    value: value && formatPlain(value),
  });
}

/**
 * What was typed there, as the bank wants it.
 * @param {string} text
 * @param {number} decimals
 */
export function checkedAmount(text, decimals) {
  try {
    return parseMoney(text, decimals);
  } catch (error) {
    throw new FieldProblem('amount', messageOf(error));
  }
}

/**
 * What was typed in a field for an amount that may be zero, as the bank wants it; null for nothing.
 * @param {string} name of the field
 * @param {string} text
 * @param {number} decimals
 */
export function limitOf(name, text, decimals) {
  try {
    return parseLimit(text, decimals);
  } catch (error) {
    throw new FieldProblem(name, messageOf(error));
  }
}

/** @param {unknown} error of a check, which has words for the one who typed it */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));
