/** Days and moments, as this browser's user writes them. */

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const utcDay = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeZone: 'UTC' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const exactMoment = new Intl.DateTimeFormat(undefined, { dateStyle: 'long', timeStyle: 'long' });
const time = new Intl.DateTimeFormat(undefined, { timeStyle: 'short' });

const DAY_MS = 86_400_000;

/** @typedef {string | number | Date} Moment */
/** @typedef {{from: string, to: string}} Period in days, "2026-01-31", of which the last counts too */

/** @param {Moment} value */
export const formatDay = (value) => day.format(new Date(value));
/** Of a statement, whose days are UTC. @param {Moment} value */
export const formatUtcDay = (value) => utcDay.format(new Date(value));
/** @param {Moment} value */
export const formatMoment = (value) => moment.format(new Date(value));
/** @param {Moment} value */
export const formatExactMoment = (value) => exactMoment.format(new Date(value));
/** @param {Moment} value */
export const formatTime = (value) => time.format(new Date(value));

/**
 * The moment at which a local day begins, for the bank.
 * @param {string} date as `<input type=date>` has it, "2026-01-31"
 * @param {number} [daysLater]
 */
export function startOfDay(date, daysLater = 0) {
  const [year, month, dayOfMonth] = date.split('-').map(Number);
  return new Date(year, month - 1, dayOfMonth + daysLater).toISOString();
}

/** The last second of a local day, for the bank. @param {string} date "2026-01-31" */
export const endOfDay = (date) => new Date(Date.parse(startOfDay(date, 1)) - 1_000).toISOString();

/** A local day so many days from now, "2026-01-31". @param {number} daysLater */
export function localDate(daysLater) {
  const now = new Date();
  return utcDate(new Date(Date.UTC(now.getFullYear(), now.getMonth(), now.getDate() + daysLater)));
}

/** @param {string | null} text @returns {text is string} whether it is a day, such as "2026-01-31" */
export const isDay = (text) => /^\d{4}-\d{2}-\d{2}$/.test(text ?? '') && !Number.isNaN(Date.parse(text ?? ''));

/**
 * The moment at which a UTC day begins, in milliseconds.
 * @param {string} date "2026-01-31"
 * @param {number} [daysLater]
 */
export const startOfUtcDay = (date, daysLater = 0) => Date.parse(date) + daysLater * DAY_MS;

/** @param {Date} date @returns {string} its UTC day, "2026-01-31" */
export const utcDate = (date) => date.toISOString().slice(0, 10);

/**
 * The periods that a statement is usually asked for, in days of UTC.
 * @param {Date} [now]
 * @returns {Record<'this-month' | 'last-month' | 'this-year', Period>}
 */
export function usualPeriods(now = new Date()) {
  const [year, month] = [now.getUTCFullYear(), now.getUTCMonth()];
  /** @param {[year: number, month: number, day: number]} ymd */
  const date = (...ymd) => utcDate(new Date(Date.UTC(...ymd)));
  return {
    'this-month': { from: date(year, month, 1), to: utcDate(now) },
    'last-month': { from: date(year, month - 1, 1), to: date(year, month, 0) },
    'this-year': { from: date(year, 0, 1), to: utcDate(now) },
  };
}
