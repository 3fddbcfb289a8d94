/** How balances went over time, out of the lines of the passbooks. */

import { decimalsOf, toMinor } from './money.js';

/** Of one account. More would take long to read and could not be told apart on a chart. */
const MAX_ENTRIES = 2_000;

/**
 * @typedef {{at: number, minor: bigint}} Point from `at` (milliseconds) on the balance was `minor`
 */

/**
 * The sum of some accounts of one currency since a moment, or since the first was opened: a point at the start, one per movement, one for now.
 * @param {import('./api.js').Coffer} bank
 * @param {import('./api.js').Account[]} accounts
 * @param {number} since in milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<{points: Point[], decimals: number}>}
 */
export async function totalSince(bank, accounts, since, signal) {
  const histories = await Promise.all(accounts.map((account) => read(bank, account, since, signal)));
  const opened = Math.min(...accounts.map((account) => Date.parse(account.opened_at)));
  // Where a passbook was too long to read, the sum is known only from its oldest line on.
  const start = Math.max(since, opened, ...histories.map((history) => history.knownSince));
  const changes = together(histories.flatMap((history) => history.changes)).filter(({ at }) => at >= start);
  let minor = accounts.reduce((sum, account) => sum + toMinor(account.balance), 0n);
  minor -= changes.reduce((sum, change) => sum + change.minor, 0n);
  const points = [{ at: start, minor }];
  for (const change of changes) points.push({ at: change.at, minor: (minor += change.minor) });
  points.push({ at: Math.max(Date.now(), points.at(-1).at), minor });
  return { points, decimals: decimalsOf(accounts[0].balance) };
}

/** In order, and one per movement: what goes from one of these accounts to another changes nothing. */
function together(changes) {
  const movements = new Map();
  for (const { id, at, minor } of changes) movements.set(id, { at, minor: minor + (movements.get(id)?.minor ?? 0n) });
  return [...movements.values()].filter(({ minor }) => minor !== 0n).sort((a, b) => a.at - b.at);
}

async function read(bank, account, since, signal) {
  const changes = [];
  const from = new Date(since).toISOString();
  for await (const entry of bank.history(account.account_number, { from }, { signal })) {
    // Booked after the balance was read: not in it.
    if (entry.sequence > account.sequence) continue;
    if (changes.length === MAX_ENTRIES) return { changes, knownSince: changes.at(-1).at };
    const amount = toMinor(entry.amount);
    changes.push({ id: entry.id, at: Date.parse(entry.created_at), minor: entry.direction === 'credit' ? amount : -amount });
  }
  return { changes, knownSince: 0 };
}

/** @param {import('./api.js').Account[]} accounts @returns {Map<string, import('./api.js').Account[]>} by currency */
export function byCurrency(accounts) {
  const groups = new Map();
  for (const account of accounts) {
    if (!groups.has(account.currency)) groups.set(account.currency, []);
    groups.get(account.currency).push(account);
  }
  return groups;
}
