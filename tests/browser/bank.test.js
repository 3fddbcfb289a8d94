/** The bank itself: its own accounts, what goes against them, its trial balance, and the bank at a glance. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('the bank', () => {
  let bank, browser, admin, clerk, ada;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    admin = freshEmail();
    bank.createAdmin(admin);
    clerk = await bank.customer({ name: 'Charles Clerk' });
    await bank.giveRole(clerk, 'staff');
    ada = await bank.customer({ amount: '100' });
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** An admin, at the screen of the bank. */
  async function atTheBank(options) {
    const visitor = await Visitor.arrive(browser, bank, options);
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    await visitor.page.getByRole('link', { name: 'The bank' }).click();
    await visitor.heading('The bank');
    return visitor;
  }

  /** Fills in the dialog and sends it. */
  async function open({ page }, { name, code, kind }) {
    const dialog = page.getByRole('dialog');
    await page.getByRole('button', { name: 'New account' }).click();
    await dialog.getByLabel('Name').fill(name);
    await dialog.getByLabel('Code').fill(code);
    await dialog.getByLabel('Kind').selectOption(kind);
    await dialog.getByRole('button', { name: 'Open the account' }).click();
    return dialog;
  }

  /** The cells of a table that has this caption, row by row. */
  async function cells({ page }, caption) {
    const table = page.getByRole('table', { name: caption });
    await table.waitFor();
    const rows = await table.locator('tbody tr, tfoot tr').all();
    return Promise.all(rows.map((row) => row.locator('th, td').allInnerTexts()));
  }

  test('has no screen for customers', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    assert.equal(await visitor.page.getByRole('link', { name: 'Staff' }).count(), 0);
    await visitor.go('#/staff/bank', 'This is not available');
    assert.equal(await visitor.page.getByRole('link', { name: 'The bank' }).count(), 0);
    await visitor.leave();
  });

  test('has its cash alone, which nobody has to choose', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(clerk);
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    assert.equal(await visitor.page.getByLabel('Against').count(), 0);
    await visitor.go('#/staff/bank', 'The bank');
    assert.deepEqual(await visitor.page.locator('.rows b').allInnerTexts(), ['Cash']);
    assert.equal(await visitor.page.getByRole('button', { name: 'New account' }).count(), 0);
    await visitor.leave();
  });

  test('opens accounts of its own, each with a code that no other has', async () => {
    const visitor = await atTheBank();
    const { page } = visitor;
    await look(page, '70-the-bank');
    const malformed = await open(visitor, { name: 'Fees earned', code: 'Fees!', kind: 'income' });
    await malformed.locator('[data-field=code] .error').getByText('Enter 1 to 32 of the characters').waitFor();
    await malformed.getByLabel('Code').fill('fees');
    await malformed.getByRole('button', { name: 'Open the account' }).click();
    await page.getByRole('listitem').filter({ hasText: 'Fees earned' }).getByText('fees · Income').waitFor();
    const again = await open(visitor, { name: 'Other fees', code: 'fees', kind: 'income' });
    await again.locator('[data-field=code] .error').getByText('Take another code.').waitFor();
    assert.equal(await again.getByLabel('Code').evaluate((input) => input === document.activeElement), true);
    await look(page, '71-code-is-taken');
    await again.getByRole('button', { name: 'Cancel' }).click();
    await open(visitor, { name: 'Interest paid', code: 'interest', kind: 'expense' });
    await visitor.text('Interest paid is open.');
    await page.reload();
    await visitor.heading('The bank');
    assert.deepEqual(await page.locator('.rows b').allInnerTexts(), ['Cash', 'Fees earned', 'Interest paid']);
    await visitor.go('#/staff/audit?action=bank_account_opened', 'Audit log');
    await visitor.text('income: Fees earned');
    await visitor.leave();
  });

  test('takes a fee, which its customer sees', async () => {
    const staff = await Visitor.arrive(browser, bank);
    const { page } = staff;
    await staff.signedInAs(clerk);
    await staff.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    const against = page.getByLabel('Against');
    assert.deepEqual(await against.locator('option').allInnerTexts(), ['Cash', 'Fees earned', 'Interest paid']);
    assert.equal(await against.inputValue(), 'cash');
    await staff.plan({ amount: '1', description: 'In cash' });
    assert.doesNotMatch(await page.locator('.review').innerText(), /Against/);
    await page.getByRole('button', { name: 'Change' }).click();
    await against.selectOption('fees');
    await look(page, '72-against');
    await staff.plan({ amount: '2.50', description: 'Card fee' });
    assert.match(await page.locator('.review').innerText(), /Against\s+Fees earned/);
    await staff.confirm().click();
    await staff.heading('Withdrawal');
    assert.match(await page.locator('.facts').innerText(), /Against\s+fees/);
    await look(page, '73-receipt-against');
    await staff.go(`#/accounts/${clerk.number}/deposit`, 'Pay in');
    assert.equal(await page.getByLabel('Against').count(), 0);
    await staff.leave();

    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    assert.equal(await visitor.page.getByLabel('Against').count(), 0);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('Withdrawal against fees');
    const hints = await visitor.page.locator('.what .hint').allInnerTexts();
    assert.match(hints[1], /Deposit$/);
    assert.equal(await bank.balance(ada), '97.50');
    await visitor.leave();
  });

  test('finds movements by the account that they are against', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(clerk);
    await visitor.go('#/staff/movements', 'All movements');
    await visitor.text('Salary');
    await page.getByText('More filters').click();
    await page.getByLabel('Against').selectOption('fees');
    await page.waitForFunction(() => document.querySelectorAll('.what a').length === 1);
    await look(page, '74-movements-against');
    // The address remembers it.
    await page.reload();
    await visitor.text('Card fee');
    assert.equal(await page.getByLabel('Against').inputValue(), 'fees');
    await visitor.leave();
  });

  test('sums to zero, and shows today at a glance', async () => {
    const visitor = await atTheBank();
    const { page } = visitor;
    assert.deepEqual(await cells(visitor, 'USD'), [
      ['Customers’ accounts\ncustomers', 'Liability', '-$97.50'],
      ['Cash\ncash', 'Asset', '$100.00'],
      ['Fees earned\nfees', 'Income', '-$2.50'],
      ['Sum', '', '$0.00'],
    ]);
    await look(page, '75-trial-balance');
    await page.getByRole('link', { name: 'Today' }).click();
    assert.deepEqual(await cells(visitor, /^Today, since/), [
      ['Deposits', '1 booked', '$100.00'],
      ['Withdrawals', '1 booked', '$2.50'],
    ]);
    assert.match(
      await page.locator('.tiles').innerText(),
      /Customers\s+\d+\s.*Held in USD\s+\$97\.50\s+on \d accounts/s,
    );
    await look(page, '85-today');

    await page.getByRole('link', { name: 'The bank' }).click();
    await page.getByLabel('As of').fill('2020-01-01T00:00');
    await page.getByRole('button', { name: 'Show' }).click();
    await visitor.text('Balances as of Jan 1, 2020');
    assert.deepEqual((await cells(visitor, 'USD')).at(-1), ['Sum', '', '$0.00']);
    await page.getByLabel('As of').fill('2999-01-01T00:00');
    await page.getByRole('button', { name: 'Show' }).click();
    await page.locator('[data-field=at] .error').getByText('Enter a moment that has passed.').waitFor();
    await page.getByLabel('As of').fill('');
    await page.getByRole('button', { name: 'Show' }).click();
    await visitor.text('-$97.50');
    await visitor.leave();
  });

  test('says when its books do not sum to zero', async () => {
    const visitor = await atTheBank({ viewport: { width: 320, height: 700 } });
    const { page } = visitor;
    await page.route('**/trial_balance*', async (route) => {
      const response = await route.fetch();
      const body = await response.json();
      body.data[0].sum = '123456789012345.67';
      body.data[0].accounts[0].balance = '-9876543210987654.32';
      await route.fulfill({ response, json: body });
    });
    await page.getByRole('button', { name: 'Show' }).click();
    await page.getByRole('alert').getByText('These books do not sum to zero: run coffer doctor').waitFor();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    await look(page, '76-not-zero');
    await visitor.leave();
  });
});
