/**
 * Money as people write it, and as the bank does. The bank's amounts are decimal strings with exactly as many decimals
 * as the currency has, so an account's balance tells how many those are. Arithmetic is in minor units, as BigInt.
 */

/** How this browser's user writes numbers. */
export const LOCALE = navigator.language;

/** A currency's sign or name, before or after the number. */
const CURRENCY = /^[\p{L}\p{Sc}]+\.?|[\p{L}\p{Sc}]+\.?$/gu;
/** @type {Record<string, string>} */
const PLAIN_SEPARATORS = { '٫': '.', '٬': ',' };

/** @typedef {{decimal: '.' | ',', digits: string[]}} Notation */

/**
 * How a locale writes numbers.
 * @param {string} [locale]
 * @returns {Notation}
 */
export function notationOf(locale = LOCALE) {
  const format = new Intl.NumberFormat(locale, { useGrouping: false });
  const decimal = format.formatToParts(0.5).find((part) => part.type === 'decimal')?.value;
  const digits = Array.from({ length: 10 }, (_, digit) => format.format(digit));
  return { decimal: decimal === ',' ? ',' : '.', digits };
}

/** @param {string} amount such as "100.50" @returns {number} 2 */
export function decimalsOf(amount) {
  return amount.split('.')[1]?.length ?? 0;
}

/** @param {string} amount such as "-100.50" @returns {bigint} -10050n */
export function toMinor(amount) {
  return BigInt(amount.replace('.', ''));
}

/** @param {string} amount */
export const isPositive = (amount) => toMinor(amount) > 0n;

/** @param {bigint} minor @param {number} decimals @returns {string} as the bank writes it */
export function fromMinor(minor, decimals) {
  const sign = minor < 0n ? '-' : '';
  const digits = String(minor < 0n ? -minor : minor).padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  return sign + digits.slice(0, point) + (decimals ? `.${digits.slice(point)}` : '');
}

/** @param {string} a @param {string} b both with all decimals of one currency @returns {string} */
export function add(a, b) {
  return fromMinor(toMinor(a) + toMinor(b), decimalsOf(a));
}

/** @param {string} a @param {string} b both with all decimals of one currency @returns {string} */
export function subtract(a, b) {
  return fromMinor(toMinor(a) - toMinor(b), decimalsOf(a));
}

/**
 * With its currency, as this browser's user writes it. Exact: a string is not made a Number on the way.
 * @param {string} amount
 * @param {string} currency
 * @param {{sign?: 'auto' | 'always', locale?: string}} [options]
 */
export function formatMoney(amount, currency, { sign = 'auto', locale = LOCALE } = {}) {
  const decimals = decimalsOf(amount);
  const digits = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
  const signDisplay = sign === 'always' ? 'exceptZero' : 'auto';
  return new Intl.NumberFormat(locale, { style: 'currency', currency, signDisplay, ...digits }).format(exactly(amount));
}

/**
 * Without its currency, as it would be typed.
 * @param {string} amount
 */
export function formatPlain(amount, locale = LOCALE) {
  const decimals = decimalsOf(amount);
  return new Intl.NumberFormat(locale, { minimumFractionDigits: decimals, maximumFractionDigits: decimals }).format(
    exactly(amount),
  );
}

/** For `format`, which takes a number as a string but not any string. @param {string} amount */
const exactly = (amount) => /** @type {Intl.StringNumericLiteral} */ (amount);

/** Why what was typed is no amount, in words for the one who typed it. */
export class AmountError extends Error {}

/**
 * What somebody typed, as the bank wants it: "1,234.5", "1.234,50", "$ 1 234.50" become "1234.50".
 *
 * A separator that stands where only decimals can stand is the decimal separator, whatever the locale: in "1.234,50" it
 * is the comma. Where it could be either, as in "1.234", the locale decides.
 *
 * @param {string} text
 * @param {number} decimals of the currency
 * @param {Notation} [notation]
 * @returns {string}
 * @throws {AmountError}
 */
export function parseMoney(text, decimals, notation = notationOf()) {
  const plain = withPlainDigits(text, notation)
    .replace(/[\s\u00a0\u202f'’]/g, '')
    .replace(CURRENCY, '');
  if (!text.trim()) throw new AmountError('Enter an amount.');
  if (/^[-−]/.test(plain)) throw new AmountError('Enter the amount without a minus sign.');
  if (!/^[\d.,]*\d[\d.,]*$/.test(plain)) throw new AmountError(`Enter a number such as ${example(decimals)}.`);
  const [whole, fraction] = split(plain, notation);
  if (/[.,]/.test(fraction) || !isGrouped(whole)) throw new AmountError(`Enter a number such as ${example(decimals)}.`);
  if (fraction.length > decimals) throw new AmountError(tooManyDecimals(decimals));
  const digits = whole.replace(/[.,]/g, '').replace(/^0+(?=\d)/, '') || '0';
  const amount = digits + (decimals ? `.${fraction.padEnd(decimals, '0')}` : '');
  if (toMinor(amount) === 0n) throw new AmountError('Enter an amount greater than zero.');
  return amount;
}

/** Arabic digits and separators, for one, become ours. @param {string} text @param {Notation} notation */
function withPlainDigits(text, { digits }) {
  return Array.from(text, (char) => {
    const digit = digits.indexOf(char);
    return digit >= 0 ? String(digit) : (PLAIN_SEPARATORS[char] ?? char);
  }).join('');
}

/** Before and after the decimal separator. @param {string} plain @param {Notation} notation @returns {[string, string]} */
function split(plain, { decimal }) {
  const at = Math.max(plain.lastIndexOf('.'), plain.lastIndexOf(','));
  if (at < 0) return [plain, ''];
  const separator = plain[at];
  const alone = plain.indexOf(separator) === at;
  const both = plain.includes('.') && plain.includes(',');
  const couldBeGroup = isGrouped(plain) && /\d/.test(plain[0]);
  const isDecimal = alone && (both || separator === decimal || !couldBeGroup);
  return isDecimal ? [plain.slice(0, at), plain.slice(at + 1)] : [plain, ''];
}

/** Digits in groups of three, or, as in India, of two before the last three; or no groups at all. @param {string} whole */
function isGrouped(whole) {
  return /^\d*$/.test(whole) || (/^[1-9]\d{0,2}([.,])\d{2,3}(\1\d{2,3})*$/.test(whole) && /[.,]\d{3}$/.test(whole));
}

/** @param {number} decimals */
function example(decimals) {
  return formatPlain(fromMinor(125n * 10n ** BigInt(decimals), decimals));
}

/** @param {number} decimals */
function tooManyDecimals(decimals) {
  if (decimals === 0) return 'This currency has no decimals. Enter a whole number.';
  return `Enter at most ${decimals} digits after the ${notationOf().decimal === ',' ? 'comma' : 'point'}.`;
}
