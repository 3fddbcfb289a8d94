/** Names of people of whom a screen has only an id, or the number of an account. */

import { ProblemError } from '../api/coffer.js';
import { formatMoney } from '../domain/money.js';
import { h } from './dom.js';

/** @import { Account, Coffer, User } from '../api/coffer.js' */
/** @typedef {{name: string, id?: string, email?: string}} Person */
/** @typedef {{bank: Coffer, me: User, signal: AbortSignal}} Context */

/** @type {Person} */
const YOU = { name: 'you' };
/** The bank has forgotten who that was. @type {Person} */
const GONE = { name: 'somebody who has left' };

/**
 * Reads each person once, and shows the name when it has arrived.
 * @param {Context} context
 */
export function peopleReader({ bank, me, signal }) {
  /** @param {string} id @returns {Promise<Person>} */
  const read = async (id) => (id === me.id ? YOU : bank.user(id, { signal }).catch(asGone));
  const user = once(read);
  const account = once((number) => bank.account(number, { signal }));
  const owner = once(async (number) => user((await account(number)).owner_id));
  /**
   * @template T
   * @param {Promise<T>} reading
   * @param {string} fallback
   * @param {(read: T) => (Node | string)[]} draw
   */
  const place = (reading, fallback, draw) => {
    const element = h('span', null, '…');
    reading.then(
      (read) => element.replaceChildren(...draw(read)),
      () => (element.textContent = fallback),
    );
    return element;
  };
  /** @param {Person} person */
  const linked = ({ id, name }) => (id ? h('a', { href: `#/staff/users/${id}` }, name) : name);
  return {
    /** @param {string} id of a user */
    name: (id) => place(user(id), id, (person) => [linked(person)]),
    /** Where a link would be in the way. @param {string} id of a user */
    plain: (id) => place(user(id), id, ({ name }) => [name]),
    /** @param {string} id of a user */
    nameAndAddress: (id) => place(user(id), id, (person) => [linked(person), person.email ? `, ${person.email}` : '']),
    /** @param {string} number of an account */
    nameOfOwner: (number) => place(owner(number), '–', (person) => [linked(person)]),
    /** What the account has now. @param {string} number */
    available: (number) =>
      place(account(number), '', ({ available, currency }) => [`${formatMoney(available, currency)} available now`]),
  };
}

/**
 * Whose account it is; null if it is the caller's own.
 * @param {Context} context
 * @param {Account} account
 * @returns {Promise<{id: string, name: string} | null>}
 */
export async function customerOf({ bank, me, signal }, account) {
  if (account.owner_id === me.id) return null;
  return bank.user(account.owner_id, { signal }).catch((error) => ({ ...asGone(error), id: account.owner_id }));
}

/** @template T @param {(key: string) => Promise<T>} read @returns {(key: string) => Promise<T>} which reads each key once */
function once(read) {
  /** @type {Map<string, Promise<T>>} */
  const known = new Map();
  return (key) => {
    const reading = known.get(key) ?? read(key);
    known.set(key, reading);
    return reading;
  };
}

/** @param {unknown} error */
function asGone(error) {
  if (error instanceof ProblemError && error.status === 404) return GONE;
  throw error;
}
