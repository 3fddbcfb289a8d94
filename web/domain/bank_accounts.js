/** The bank's own accounts: what customers pay into and are paid out of. */

/** @import { BankAccount, BankAccountKind } from '../api/coffer.js' */

/** The code of the one that every bank has, and that movements are against unless another one is named. */
export const CASH = 'cash';

/** @satisfies {Record<BankAccountKind, string>} */
export const BANK_ACCOUNT_KINDS = {
  income: 'Income',
  expense: 'Expense',
  asset: 'Asset',
  liability: 'Liability',
  equity: 'Equity',
};

/** All customers' accounts are one line of a trial balance, which has this code. */
const CUSTOMERS = 'customers';

/** What a line of a trial balance is called. @param {{code: string, name: string}} line */
export const nameOfLine = ({ code, name }) => (code === CUSTOMERS ? 'Customers’ accounts' : name);

/** The code of the account that a movement is against, where that is worth a word. @param {{against?: string | null}} movement */
export const notCash = ({ against }) => (against && against !== CASH ? against : null);

/** For a field to choose from. @param {BankAccount[]} accounts @returns {[string, string][]} */
export const bankAccountChoices = (accounts) => accounts.map(({ code, name }) => [code, name]);
