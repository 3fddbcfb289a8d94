/** Holds: money that nobody takes until it is captured or released. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APPROVAL_ABOVE, Bank } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a hold', () => {
  let bank, browser, clerk;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    clerk = await bank.customer({ name: 'Charles Clerk' });
    await bank.giveRole(clerk, 'staff');
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** Somebody signed in, at an account. */
  async function at(number, person, options) {
    const visitor = await Visitor.arrive(browser, bank, options);
    await visitor.signedInAs(person);
    await visitor.go(`#/accounts/${number}`, 'USD account');
    return visitor;
  }

  /** From the list of holds to the list with one more. */
  async function place(visitor, plan) {
    await visitor.page.getByRole('link', { name: 'Create a hold' }).click();
    await visitor.heading('Create a hold');
    await visitor.plan(plan);
    await visitor.confirm().click();
    await visitor.heading('Holds');
  }

  /** The answer to the question that is asked. */
  const answer = (visitor, verb) => visitor.page.getByRole('dialog').getByRole('button', { name: verb }).click();

  const decide = (visitor, verb, amount) =>
    visitor.page.getByRole('button', { name: `${verb} the hold of ${amount}` }).click();

  test('keeps money, and a part of it moves', async () => {
    const ada = await bank.customer({ amount: '100' });
    const bob = await bank.customer({ name: 'Bob' });
    const visitor = await at(ada.number, ada);
    const { page } = visitor;
    assert.equal(await page.getByText('Held:').count(), 0);
    await page.getByRole('link', { name: 'Holds' }).click();
    await visitor.heading('Holds');
    await visitor.text('No holds');
    await look(page, '44-no-holds');
    await page.getByRole('link', { name: 'Create a hold' }).click();
    await visitor.heading('Create a hold');
    await page.getByLabel('To', { exact: true }).selectOption('Another account…');
    await page.getByLabel('Receiver’s account number').fill(bob.number);
    await page.getByLabel('Last day').waitFor();
    await look(page, '45-hold');
    await visitor.plan({ amount: '60', description: 'Bicycle' });
    assert.match(await page.locator('.effect').innerText(), /\$100\.00[\s\S]*\$40\.00/);
    await look(page, '46-hold-review');
    await visitor.confirm().dblclick();
    await visitor.heading('Holds');
    await visitor.text('Bicycle');
    assert.equal(await page.locator('.hold').count(), 1);
    await look(page, '47-holds');

    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('Held: $60.00 · Available: $40.00');
    await look(page, '48-account-with-a-hold');
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await page.getByLabel('Amount in USD').fill('41');
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('There is $40.00 available on this account.');

    await visitor.go(`#/accounts/${ada.number}/holds`, 'Holds');
    await decide(visitor, 'Capture', '$60.00');
    const amount = page.getByRole('dialog').getByLabel('Amount in USD');
    assert.equal(await amount.inputValue(), '60.00');
    await amount.fill('60.01');
    await answer(visitor, 'Capture');
    await page.getByRole('dialog').locator('.wrong').waitFor();
    await look(page, '49-capture');
    await amount.fill('25');
    await answer(visitor, 'Capture');
    await visitor.heading('Transfer');
    await visitor.text('-$25.00');
    assert.deepEqual([await bank.balance(ada), await bank.balance(bob)], ['75.00', '25.00']);
    await page.goBack();
    await visitor.heading('Holds');
    await visitor.text(/^Captured \$25\.00/);
    assert.equal(await page.getByRole('button', { name: /the hold of/ }).count(), 0);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await page.locator('.passbook').getByText('Bicycle').waitFor();
    assert.equal(await page.getByText('Held:').count(), 0);
    await visitor.leave();
  });

  test('whose capture is not answered may have been captured, and is captured once', async () => {
    const ada = await bank.customer({ amount: '100' });
    const body = { account_number: ada.number, amount: '40' };
    await bank.call('POST', '/holds', { token: ada.token, body });
    const visitor = await at(ada.number, ada);
    const { page } = visitor;
    await visitor.go(`#/accounts/${ada.number}/holds`, 'Holds');
    let isLost = true;
    await page.route('**/capture', async (route) => {
      const response = await route.fetch();
      return isLost ? route.abort('connectionreset') : route.fulfill({ response });
    });
    await page.getByRole('button', { name: 'Capture the hold of $40.00' }).click();
    const capture = page.getByRole('dialog').getByRole('button', { name: 'Capture' });
    await capture.click();
    await visitor.text(/It is not certain whether the bank has done it\. Trying again is safe/);
    isLost = false;
    await capture.click();
    await visitor.text('-$40.00');
    assert.equal(await bank.balance(ada), '60.00');
    await visitor.leave();
  });

  test('is released, and its money is free again', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at(ada.number, ada);
    const { page } = visitor;
    await page.getByRole('link', { name: 'Holds' }).click();
    await visitor.heading('Holds');
    await place(visitor, { amount: '100', description: 'Deposit for the key' });
    await visitor.text('Cash, to be paid out');
    await decide(visitor, 'Release', '$100.00');
    await answer(visitor, 'Cancel');
    await decide(visitor, 'Release', '$100.00');
    await answer(visitor, 'Release');
    await page.locator('.chip.released').waitFor();
    assert.equal(await page.locator(':focus').innerText(), 'Holds');
    await page.getByText('Held', { exact: true }).click();
    await visitor.text('Nothing is held');
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    assert.equal(await page.getByText('Held:').count(), 0);
    assert.equal((await bank.movements(ada)).length, 1);
    await visitor.leave();
  });

  test('has a last day that is neither past nor far away', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/hold`, 'Create a hold');
    const day = (daysLater) => new Date(Date.now() + daysLater * 86_400_000).toISOString().slice(0, 10);
    assert.equal(await page.getByLabel('Last day').inputValue(), day(7));
    await page.getByLabel('Amount in USD').fill('1');
    for (const wrong of [-1, 31]) {
      await page.getByLabel('Last day').fill(day(wrong));
      await page.getByRole('button', { name: 'Review' }).click();
      await visitor.text(/^Choose a day from today to/);
    }
    await page.getByLabel('Last day').fill(day(30));
    await visitor.plan({ amount: '1' });
    await visitor.confirm().click();
    await visitor.heading('Holds');
    await visitor.text(/^Until .*11:59/);
    await visitor.leave();
  });

  test('of the bank is not the customer’s to end', async () => {
    const ada = await bank.customer({ amount: '100' });
    const staff = await at(ada.number, clerk);
    await staff.page.getByRole('link', { name: 'Holds' }).click();
    await staff.heading('Holds');
    await staff.text('You act for Ada Lovelace.');
    await place(staff, { amount: '30', description: 'Court order' });
    await staff.text(/^Created by the bank/);

    const visitor = await at(ada.number, ada, { viewport: { width: 320, height: 700 } });
    const { page } = visitor;
    await page.getByRole('link', { name: 'Holds' }).click();
    await visitor.heading('Holds');
    await visitor.text('Only the bank captures or releases it.');
    assert.equal(await page.getByRole('button', { name: /the hold of/ }).count(), 0);
    await place(visitor, { amount: '12.5' });
    await page.getByRole('button', { name: /^Capture/ }).waitFor();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    await look(page, '50-holds-of-a-customer-and-the-bank');
    await visitor.leave();

    await staff.page.reload();
    await staff.heading('Holds');
    // The customer’s own is not the bank’s to capture.
    assert.equal(await staff.page.getByRole('button', { name: 'Capture the hold of $12.50' }).count(), 0);
    await staff.page.getByRole('button', { name: 'Release the hold of $12.50' }).waitFor();
    await decide(staff, 'Capture', '$30.00');
    await answer(staff, 'Capture');
    await staff.heading('Withdrawal');
    await staff.text('-$30.00');
    assert.equal(await bank.balance(ada), '70.00');
    await staff.leave();
  });

  test('that is large waits for a second person, who is told what it is', async () => {
    const amount = APPROVAL_ABOVE + 1;
    const ada = await bank.customer({ amount: String(amount) });
    const second = await bank.customer({ name: 'Dora Deputy' });
    await bank.giveRole(second, 'staff');
    const staff = await at(ada.number, clerk);
    await staff.page.getByRole('link', { name: 'Holds' }).click();
    await staff.heading('Holds');
    await staff.page.getByRole('link', { name: 'Create a hold' }).click();
    await staff.heading('Create a hold');
    await staff.plan({ amount: String(amount) });
    await staff.confirm().click();
    await staff.text('it waits for approval');
    await staff.leave();

    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(second);
    await visitor.go('#/staff/approvals', 'Approvals');
    await visitor.text(/^Keeps the money until/);
    await look(page, '51-hold-waits');
    await page.getByRole('button', { name: 'Approve the hold of $10,001.00' }).click();
    await answer(visitor, 'Approve');
    await visitor.text('Nothing waits');
    await page.getByText('Approved', { exact: true }).click();
    await page.getByRole('link', { name: 'Holds on the account' }).first().click();
    await visitor.heading('Holds');
    await page.locator('.chip.held').waitFor();
    assert.equal(await bank.balance(ada), `${amount}.00`);
    await visitor.leave();
  });
});
