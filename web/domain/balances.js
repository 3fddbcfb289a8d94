/** Balances over time, computed from the entries of accounts. */

import { decimalsOf, toMinor } from './money.js';
import { entryBefore } from './passbook.js';

/** @import { Account, Coffer } from '../api/coffer.js' */
/** @import { EntryBalance } from './passbook.js' */

/** Movements that are drawn one by one. More would take long to read and could not be told apart on a chart. */
const MAX_MOVEMENTS = 2_000;
/** Where there are more, the line goes through this many moments at most: as fine as a chart shows. */
const MAX_MOMENTS = 90;
/** Requests for all those moments of all accounts: less than half of what the bank takes from one caller at once. */
const MAX_READINGS = 180;

/**
 * @typedef {{at: number, minor: bigint}} Point at `at` (milliseconds) the balance was `minor`
 * @typedef {{account: Account, opening: EntryBalance}} Passbook `opening`: the last entry before the start
 * @typedef {Point & {id: string}} Change of a balance by `minor`, by the movement `id`
 */

/**
 * The sum of some accounts of one currency since a moment, or since the first was opened: a point at the start, one for
 * now, and one per movement between them, or, when `isSampled`, because there are too many, one per evenly spaced moment.
 * @param {Coffer} bank
 * @param {Account[]} accounts
 * @param {number} since in milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<{points: Point[], decimals: number, isSampled: boolean}>}
 */
export async function totalSince(bank, accounts, since, signal) {
  const start = Math.max(since, Math.min(...accounts.map((account) => Date.parse(account.opened_at))));
  /** @param {Account} account */
  const open = async (account) => ({ account, opening: await entryBefore(bank, account, start, signal) });
  const passbooks = await Promise.all(accounts.map(open));
  const movements = passbooks.reduce((count, { account, opening }) => count + account.sequence - opening.sequence, 0);
  const isSampled = movements > MAX_MOVEMENTS;
  const first = { at: start, minor: sum(passbooks.map(({ opening }) => opening.minor)) };
  const between = isSampled
    ? await evenlySpaced(bank, accounts, start, signal)
    : await afterEach(bank, passbooks, first, signal);
  const now = Math.max(Date.now(), first.at, between.at(-1)?.at ?? 0);
  const last = { at: now, minor: sum(accounts.map(({ balance }) => toMinor(balance))) };
  return { points: [first, ...between, last], decimals: decimalsOf(accounts[0].balance), isSampled };
}

/** @param {bigint[]} amounts */
const sum = (amounts) => amounts.reduce((total, minor) => total + minor, 0n);

/**
 * @param {Coffer} bank
 * @param {Passbook[]} passbooks
 * @param {Point} opening
 * @param {AbortSignal} signal
 * @returns {Promise<Point[]>} the sum after each movement
 */
async function afterEach(bank, passbooks, { at, minor }, signal) {
  const from = new Date(at).toISOString();
  const changes = await Promise.all(passbooks.map((passbook) => changesIn(bank, passbook, from, signal)));
  return together(changes.flat()).map((change) => ({ at: change.at, minor: (minor += change.minor) }));
}

/**
 * @param {Coffer} bank
 * @param {Passbook} passbook
 * @param {string} from
 * @param {AbortSignal} signal
 */
async function changesIn(bank, { account, opening }, from, signal) {
  /** @type {Change[]} */
  const changes = [];
  if (account.sequence === opening.sequence) return changes;
  for await (const entry of bank.history(account.account_number, { from }, { signal })) {
    // Booked after the balance was read: not in it.
    if (entry.sequence > account.sequence) continue;
    const amount = toMinor(entry.amount);
    changes.push({
      id: entry.id,
      at: Date.parse(entry.created_at),
      minor: entry.direction === 'credit' ? amount : -amount,
    });
  }
  return changes;
}

/**
 * Sorted by time, and one per movement: a transfer from one of these accounts to another changes nothing.
 * @param {Change[]} changes
 */
function together(changes) {
  /** @type {Map<string, Point>} */
  const movements = new Map();
  for (const { id, at, minor } of changes) movements.set(id, { at, minor: minor + (movements.get(id)?.minor ?? 0n) });
  return [...movements.values()].filter(({ minor }) => minor !== 0n).sort((a, b) => a.at - b.at);
}

/**
 * Every account at the same moments: a transfer from one to another must not show.
 * @param {Coffer} bank
 * @param {Account[]} accounts
 * @param {number} start
 * @param {AbortSignal} signal
 * @returns {Promise<Point[]>} the sum at moments between the start and now
 */
function evenlySpaced(bank, accounts, start, signal) {
  const parts = Math.min(MAX_MOMENTS, Math.floor(MAX_READINGS / accounts.length)) + 1;
  const step = (Date.now() - start) / parts;
  /** @param {number} at */
  const read = async (at) => {
    const entries = await Promise.all(accounts.map((account) => entryBefore(bank, account, at, signal)));
    return { at, minor: sum(entries.map(({ minor }) => minor)) };
  };
  return Promise.all(Array.from({ length: parts - 1 }, (_, index) => read(Math.round(start + (index + 1) * step))));
}

/**
 * By how much a line of {@link totalSince} rises, and, where it goes through every movement, what came in and went out.
 * @param {Point[]} points
 */
export function changeOf(points) {
  const steps = points.slice(1).map(({ minor }, index) => minor - points[index].minor);
  const [gains, losses] = [steps.filter((step) => step > 0n), steps.filter((step) => step < 0n)];
  return { total: sum(steps), in: sum(gains), out: -sum(losses), isFlat: !gains.length && !losses.length };
}

/** @param {Account[]} accounts @returns {Map<string, Account[]>} by currency */
export function byCurrency(accounts) {
  /** @type {Map<string, Account[]>} */
  const groups = new Map();
  for (const account of accounts) groups.set(account.currency, [...(groups.get(account.currency) ?? []), account]);
  return groups;
}
