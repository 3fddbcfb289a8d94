/** People of whom a screen has only an id, or the number of an account. */

import { h } from './dom.js';

const YOU = { name: 'you' };
/** The bank has forgotten who that was. */
const GONE = { name: 'somebody who has left' };

/**
 * Reads each of them once, and puts the name into its place when it comes.
 * @param {{bank: import('../api/coffer.js').Coffer, me: import('../api/coffer.js').User, signal: AbortSignal}} context
 */
export function peopleReader({ bank, me, signal }) {
  const user = once((id) => (id === me.id ? Promise.resolve(YOU) : bank.user(id, { signal }).catch(asGone)));
  const owner = once((number) => bank.account(number, { signal }).then((account) => user(account.owner_id)));
  const place = (reading, fallback, draw) => {
    const element = h('span', null, '…');
    reading.then(
      (person) => element.replaceChildren(...draw(person)),
      () => (element.textContent = fallback),
    );
    return element;
  };
  const linked = ({ id, name }) => (id ? h('a', { href: `#/staff/users/${id}` }, name) : name);
  return {
    /** @param {string} id of a user */
    name: (id) => place(user(id), id, (person) => [linked(person)]),
    /** @param {string} id of a user */
    nameAndAddress: (id) => place(user(id), id, (person) => [linked(person), person.email ? `, ${person.email}` : '']),
    /** @param {string} number of an account */
    nameOfOwner: (number) => place(owner(number), '–', (person) => [linked(person)]),
  };
}

/**
 * Whose account it is; null if it is the caller's own.
 * @param {{bank: import('../api/coffer.js').Coffer, me: import('../api/coffer.js').User, signal: AbortSignal}} context
 * @param {import('../api/coffer.js').Account} account
 */
export async function customerOf({ bank, me, signal }, account) {
  if (account.owner_id === me.id) return null;
  return bank.user(account.owner_id, { signal }).catch((error) => ({ ...asGone(error), id: account.owner_id }));
}

/** @template T @param {(key: string) => Promise<T>} read @returns {(key: string) => Promise<T>} which reads each key once */
function once(read) {
  const known = new Map();
  return (key) => {
    if (!known.has(key)) known.set(key, read(key));
    return known.get(key);
  };
}

function asGone(error) {
  if (error.status === 404) return GONE;
  throw error;
}
