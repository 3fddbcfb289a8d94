/** A program in TypeScript that uses the client by its declarations. It is compiled and not run. */

import { Coffer, NetworkError, ProblemError, newIdempotencyKey } from '../../../web/api/coffer.js';
import type { Account, CofferOptions, Entry, Page, Transaction } from '../../../web/api/coffer.js';

const options: CofferOptions = { session: 'bearer', askForProof: async (problem) => problem.code.length > 0 };
export const banks = [
  new Coffer(),
  new Coffer('http://127.0.0.1:8080'),
  new Coffer(new URL('https://a.example')),
  new Coffer(options),
];

export async function salary(bank: Coffer, account: Account, signal: AbortSignal): Promise<string> {
  const movement = { account_number: account.account_number, amount: '100.50', description: 'Salary' };
  const booked: Transaction = await bank.deposit(movement, { idempotencyKey: newIdempotencyKey(), signal });
  const all: Transaction[] = await Promise.all([
    bank.withdraw(movement),
    bank.transfer({ from_account: account.account_number, to_account: '10000000000277', amount: '1' }),
    bank.reverse(booked.id, 'A mistake'),
  ]);
  return booked.status === 'pending_approval' ? 'waits' : `${booked.balance ?? ''} ${all.length}`;
}

export async function texts(bank: Coffer, number: string): Promise<(string | null)[]> {
  const page: Page<Entry> = await bank.historyPage(number, { type: 'deposit', limit: 10 });
  const found = page.data.map((entry) => entry.description);
  for await (const entry of bank.history(number)) found.push(entry.description);
  return found;
}

export async function refused(bank: Coffer): Promise<string> {
  try {
    await bank.signIn('ada@example.com', 'a lamp in the harbour fog');
    return '';
  } catch (error) {
    if (error instanceof ProblemError) return `${error.code} ${error.errors.map(({ pointer }) => pointer).join()}`;
    if (error instanceof NetworkError) return error.message;
    throw error;
  }
}

export async function versions(bank: Coffer, number: string, signal: AbortSignal): Promise<string[]> {
  const { etag, balance } = await bank.account(number);
  const changed = await bank.account(number, { ifNoneMatch: etag ?? '', wait: 25, signal });
  const seen = [balance, changed?.balance ?? 'as it was'];
  await bank.withdraw({ account_number: number, amount: '1' }, { ifMatch: etag });
  await bank.watchAccount(number, (account) => seen.push(account.balance), { signal });
  return seen;
}

// What it must not take.

// @ts-expect-error: an amount is a string.
export const wrongAmount = (bank: Coffer) => bank.deposit({ account_number: '10000000000180', amount: 100.5 });
// @ts-expect-error: the amount is missing.
export const noAmount = (bank: Coffer) => bank.withdraw({ account_number: '10000000000180' });
// @ts-expect-error: there is no such kind of session.
export const wrongSession = new Coffer({ session: 'basic' });
// @ts-expect-error: it may be as it was.
export const noChange = async (bank: Coffer) => (await bank.account('10000000000180', { ifNoneMatch: '"1"' })).balance;
// @ts-expect-error: nothing is booked before it is posted.
export const notYet = (transaction: Transaction): string => transaction.balance;
