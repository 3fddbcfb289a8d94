/** Holds: their words, and how long they last. */

/** @import { Hold } from '../api/coffer.js' */

/** `path`: of the form, below the account's. `cash`: where the money goes if it goes to no account. */
export const HOLD = /** @type {const} */ ({
  name: 'Hold',
  verb: 'Create a hold',
  path: 'hold',
  cash: 'Cash, to be paid out',
});

/** @type {[Hold['status'] | '', string][]} */
export const HOLD_STATES = [
  ['', 'All'],
  ['held', 'Held'],
  ['captured', 'Captured'],
  ['released', 'Released'],
  ['expired', 'Expired'],
];

/** Days until the last one of a hold, counted from today, if nobody chooses another. */
export const USUAL_DAYS = 7;
/** The most days: the bank keeps money for 31 times 24 hours, and the last day counts to its end. */
export const MAX_DAYS = 30;
