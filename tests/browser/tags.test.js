/** Reference and metadata: written with a movement, shown on its receipt, and found again. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a movement', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const deposit = ({ token, number }, amount, more) =>
    bank.call('POST', '/deposit', { token, body: { account_number: number, amount, ...more } });

  /** The movements that a list shows. */
  const shown = (page) => page.locator('.what a').allInnerTexts();

  async function signedIn(person) {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(person);
    return visitor;
  }

  test('has a reference that is used once, and its receipt shows it', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await signedIn(ada);
    const { page } = visitor;
    const refer = async (reference) => {
      await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
      await page.getByText('More', { exact: true }).click();
      await page.getByLabel('Reference').fill(reference);
    };
    await refer('INV-7');
    await visitor.plan({ amount: '10', description: 'Books' });
    assert.match(await page.locator('.review').innerText(), /INV-7/);
    await look(page, '60-review-with-reference');
    await visitor.confirm().click();
    await visitor.heading('Withdrawal');
    await visitor.text('INV-7');
    await look(page, '61-receipt-with-reference');

    await refer('INV-7');
    await page.getByLabel(/^Amount in/).fill('10');
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('One of your movements has this reference.');
    assert.equal(await page.getByLabel('Reference').evaluate((input) => input === document.activeElement), true);
    await look(page, '62-reference-taken');
    await page.getByLabel('Reference').fill('x'.repeat(65));
    await page.getByText('More', { exact: true }).click();
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('Enter at most 64 characters.');
    await page.getByLabel('Reference').fill('INV-8');
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.confirm().click();
    await visitor.heading('Withdrawal');
    await visitor.text('INV-8');
    assert.equal(await bank.balance(ada), '80.00');
    await visitor.leave();
  });

  test('is found in the history by what was written to it', async () => {
    const ada = await bank.customer();
    const bob = await bank.customer({ name: 'Bob' });
    await deposit(ada, '10', { description: 'First', reference: 'R-1', metadata: { order: '42', shop: 'web' } });
    await deposit(ada, '20', { description: 'Second', metadata: { order: '43' } });
    const body = { from_account: ada.number, to_account: bob.number, amount: '5', description: 'Third' };
    await bank.call('POST', '/transfer', { token: ada.token, body });
    const visitor = await signedIn(ada);
    const { page } = visitor;
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('Third');
    await page.getByText('More filters').click();
    await look(page, '63-more-filters');
    const expect = async (label, value, expected) => {
      const control = page.getByLabel(label);
      await (label === 'Direction' ? control.selectOption(value) : control.fill(value));
      await page.waitForFunction(
        (wanted) => [...document.querySelectorAll('.what a')].map((each) => each.innerText).join() === wanted,
        expected.join(),
      );
      await (label === 'Direction' ? control.selectOption('') : control.fill(''));
      await page.waitForFunction(() => document.querySelectorAll('.what a').length === 3);
    };
    await expect('Reference', 'R-1', ['First']);
    await expect('Metadata', 'order = 43', ['Second']);
    await expect('At least', '10', ['Second', 'First']);
    await expect('At most', '10', ['Third', 'First']);
    await expect('Direction', 'debit', ['Third']);
    await expect('With account', bob.number, ['Third']);
    await page.getByLabel('Metadata').fill('order');
    await visitor.text('Write it as key=value.');
    assert.equal((await shown(page)).length, 3);
    await page.getByLabel('Metadata').fill('order=42');
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 1);
    // The address remembers it.
    await page.reload();
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 1);
    assert.equal(await page.getByLabel('Metadata').inputValue(), 'order=42');
    await page.getByText('First').click();
    await visitor.heading('Deposit');
    await visitor.text('Metadata · order');
    await visitor.leave();
  });

  test('of anybody is found by those who work here', async () => {
    const [ada, bob, clerk] = [
      await bank.customer({ name: 'Ada' }),
      await bank.customer({ name: 'Bob' }),
      await bank.customer({ name: 'Charles Clerk' }),
    ];
    await bank.giveRole(clerk, 'staff');
    await deposit(ada, '11', { description: 'From Ada', reference: 'same', metadata: { batch: 'x' } });
    await deposit(bob, '12', { description: 'From Bob', reference: 'same', metadata: { batch: 'x' } });
    const visitor = await signedIn(clerk);
    const { page } = visitor;
    await visitor.go('#/staff/customers', 'Customers');
    await page.getByRole('link', { name: 'All movements' }).click();
    await visitor.heading('All movements');
    await visitor.text('From Bob');
    await page.getByText('More filters').click();
    await page.getByLabel('Metadata').fill('batch=x');
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 2);
    assert.deepEqual(await shown(page), ['From Bob', 'From Ada']);
    await look(page, '64-all-movements');
    await page.getByLabel('At most').fill('11');
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 1);
    await page.getByText('From Ada').click();
    await visitor.heading('Deposit');
    await visitor.text('same');
    await visitor.leave();
  });

  test('in a group is found and reversed with the others', async () => {
    const [ada, bob, clerk] = [
      await bank.customer({ name: 'Ada', amount: '50' }),
      await bank.customer({ name: 'Bob' }),
      await bank.customer({ name: 'Charles Clerk' }),
    ];
    await bank.giveRole(clerk, 'staff');
    const pay = (amount) => ({ type: 'transfer', from_account: ada.number, to_account: bob.number, amount });
    const batch = { atomic: true, group: 'RUN-1', transactions: [pay('5'), pay('6')] };
    await bank.call('POST', '/transactions/batch', { token: ada.token, body: batch });
    const visitor = await signedIn(clerk);
    const { page } = visitor;
    await visitor.go('#/staff/movements', 'All movements');
    await page.getByText('More filters').click();
    await page.getByLabel('Group').fill('RUN-1');
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 2);
    await page.locator('.what a').first().click();
    await visitor.heading('Transfer');
    await visitor.text('RUN-1');
    await page.getByRole('button', { name: 'Reverse the group' }).click();
    await look(page, '65-reverse-a-group');
    await page.getByRole('dialog').getByRole('button', { name: 'Reverse the group' }).click();
    await visitor.text('2 movements are reversed.');
    await page.getByText('by a later movement').waitFor();
    assert.equal(await page.getByRole('button', { name: 'Reverse the group' }).count(), 0);
    assert.equal(await bank.balance(ada), '50.00');
    await visitor.leave();
  });
});
