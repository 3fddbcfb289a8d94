/** The types of movements, with their words and pictures. */

/** @import { MovementType } from '../api/coffer.js' */

/**
 * @typedef Words
 * @property {string} name of one movement
 * @property {string} plural
 * @property {string} verb of the button, and of the form that it opens
 * @property {string} path of that form, below the account's
 * @property {string} icon the name of its picture
 */

/** @satisfies {Record<MovementType, Words>} */
export const MOVEMENT_TYPES = /** @type {const} */ ({
  deposit: { name: 'Deposit', plural: 'Deposits', verb: 'Pay in', path: 'deposit', icon: 'deposit' },
  withdrawal: { name: 'Withdrawal', plural: 'Withdrawals', verb: 'Pay out', path: 'withdraw', icon: 'withdraw' },
  transfer: { name: 'Transfer', plural: 'Transfers', verb: 'Transfer', path: 'transfer', icon: 'transfer' },
});

/** @returns {[MovementType, string][]} types and their plurals, to choose from */
export function movementTypeChoices() {
  const types = /** @type {MovementType[]} */ (Object.keys(MOVEMENT_TYPES));
  return types.map((type) => [type, MOVEMENT_TYPES[type].plural]);
}
