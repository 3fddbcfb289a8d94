/**
 * A program that becomes a customer, pays in, and reads its history, by the client that every bank serves:
 *
 *     node examples/node.js http://127.0.0.1:8080
 *
 * In a project of your own, `npm install` the folder web/api and import from 'coffer-client'.
 */

import { Coffer, ProblemError } from '../web/api/coffer.js';

const [, , address = 'http://127.0.0.1:8080'] = process.argv;
const bank = new Coffer(address);
const person = { name: 'Ada Lovelace', email: `ada.${Date.now()}@example.com`, password: 'a lamp in the harbour fog' };

const { account } = await bank.signUp(person);
await bank.signIn(person.email, person.password);

const { status, balance } = await bank.deposit({
  account_number: account.account_number,
  amount: '100.50',
  description: 'Salary',
});
console.log(`The deposit is ${status}; the balance is ${balance} ${account.currency}.`);

try {
  await bank.withdraw({ account_number: account.account_number, amount: '1000' });
} catch (error) {
  // Every refusal has a code for programs and words for people.
  if (!(error instanceof ProblemError)) throw error;
  console.log(`${error.code}: ${error.message}`);
}

for await (const entry of bank.history(account.account_number)) {
  console.log(entry.created_at, entry.type, entry.amount, entry.description);
}
await bank.signOut();
