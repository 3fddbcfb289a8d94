/** The balance of an account at a moment, without reading its whole history. */

import { toMinor } from './money.js';

/** @import { Account, Coffer } from '../api/coffer.js' */
/** @typedef {{sequence: number, minor: bigint}} EntryBalance an entry's sequence, and the balance after it in minor units */

/**
 * The last entry before a moment; sequence 0 when there is none.
 * @param {Coffer} bank
 * @param {Account} account
 * @param {number} moment in milliseconds
 * @param {AbortSignal} signal
 * @returns {Promise<EntryBalance>}
 */
export async function entryBefore(bank, account, moment, signal) {
  if (account.sequence === 0 || Date.parse(account.opened_at) >= moment) return { sequence: 0, minor: 0n };
  const to = new Date(moment).toISOString();
  const { data } = await bank.historyPage(account.account_number, { to, limit: 1 }, { signal });
  return data.length ? { sequence: data[0].sequence, minor: toMinor(data[0].balance) } : { sequence: 0, minor: 0n };
}
