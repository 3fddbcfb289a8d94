/** The bank's own accounts: what customers pay into and are paid out of. */

/** @import { BankAccountKind } from '../api/coffer.js' */

/** @satisfies {Record<BankAccountKind, string>} */
export const BANK_ACCOUNT_KINDS = {
  income: 'Income',
  expense: 'Expense',
  asset: 'Asset',
  liability: 'Liability',
  equity: 'Equity',
};
