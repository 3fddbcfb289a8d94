/** Limits of accounts: owners set their own, staff the bank's, and what is refused says what would pass. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APPROVAL_ABOVE, Bank } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a limit', () => {
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

  /** Somebody signed in, at the limits of an account. */
  async function at(number, person, options) {
    const visitor = await Visitor.arrive(browser, bank, options);
    await visitor.signedInAs(person);
    await visitor.go(`#/accounts/${number}`, 'USD account');
    await visitor.page.getByRole('link', { name: 'Limits' }).click();
    await visitor.heading('Limits');
    return visitor;
  }

  /** Fills in the form and sends it. */
  async function set(visitor, button, limits) {
    const { page } = visitor;
    await page.getByRole('button', { name: button }).click();
    for (const [label, value] of Object.entries(limits)) await page.getByRole('dialog').getByLabel(label).fill(value);
    await page.getByRole('dialog').getByRole('button', { name: 'Set the limits' }).click();
  }

  /** What stands beside a limit. */
  const fact = (visitor, name) =>
    visitor.page.locator('.facts > div', { has: visitor.page.getByText(name, { exact: true }) }).locator('dd');

  test('is set by the owner, lower at once and higher a day later', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at(ada.number, ada);
    const { page } = visitor;
    assert.equal(await fact(visitor, 'In a day').innerText(), 'Not limited');
    await look(page, '60-no-limits');
    await page.getByRole('button', { name: 'Change my limits' }).click();
    const dialog = page.getByRole('dialog');
    assert.equal(await dialog.getByLabel('Overdraft').count(), 0);
    await dialog.getByLabel('In a day, in USD').fill('many');
    await dialog.getByRole('button', { name: 'Set the limits' }).click();
    await dialog.locator('.wrong').waitFor();
    await look(page, '61-own-limits');
    await dialog.getByLabel('In a day, in USD').fill('50');
    await dialog.getByLabel('Movements in a day').fill('3');
    await dialog.getByRole('button', { name: 'Set the limits' }).click();
    await visitor.text('Left: $50.00, until');
    assert.match(
      await fact(visitor, 'In a day').innerText(),
      /^\$50\.00\s+The bank: Not limited · Own: \$50\.00\s+Used: \$0\.00/,
    );

    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await page.getByLabel(/^Amount in/).fill('60');
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.text(/^At most \$50\.00 may leave this account in a day: \$50\.00 is left until/);
    await look(page, '62-limit-exceeded');
    await visitor.plan({ amount: '20' });
    await visitor.confirm().click();
    await visitor.heading('Withdrawal');

    await visitor.go(`#/accounts/${ada.number}/limits`, 'Limits');
    await visitor.text('Left: $30.00, until');
    await set(visitor, 'Change my limits', { 'In a day, in USD': '80' });
    await visitor.text(/^Own limits from .* on: .*in a day: \$80\.00/);
    await visitor.text('Left: $30.00, until');
    await look(page, '63-raise-waits');
    await visitor.leave();
  });

  test('of the bank comes with an overdraft, and stands above the owner’s', async () => {
    const ada = await bank.customer({ amount: '100' });
    const staff = await at(ada.number, clerk);
    await staff.text('You act for Ada Lovelace.');
    await set(staff, 'Change the bank’s limits', { 'Overdraft in USD': '500', 'In a month, in USD': '1,000' });
    await staff.text('Left: $1,000.00, until');
    assert.equal(await fact(staff, 'Overdraft').innerText(), '$500.00');
    await staff.leave();

    const visitor = await at(ada.number, ada, { viewport: { width: 320, height: 700 } });
    const { page } = visitor;
    await set(visitor, 'Change my limits', { 'In a month, in USD': '1000.01' });
    await page
      .getByRole('dialog')
      .getByText(/bank allows 1000\.00 USD/)
      .waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    assert.ok((await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)) <= 0);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('Available: $600.00');
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await visitor.plan({ amount: '600' });
    await visitor.confirm().click();
    await visitor.heading('Withdrawal');
    assert.equal(await bank.balance(ada), '-500.00');
    await visitor.leave();
  });

  test('with a large overdraft waits for a second person', async () => {
    const ada = await bank.customer();
    const second = await bank.customer({ name: 'Dora Deputy' });
    await bank.giveRole(second, 'staff');
    const staff = await at(ada.number, clerk);
    await set(staff, 'Change the bank’s limits', {
      'Overdraft in USD': String(APPROVAL_ABOVE + 1),
      'Movements in a day': '4',
    });
    await staff.text('it waits for approval');
    await staff.leave();

    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(second);
    await visitor.go('#/staff/approvals', 'Approvals');
    await visitor.text(/^With these limits: .*movements in a day: 4/);
    await look(page, '64-overdraft-waits');
    await page.getByRole('button', { name: 'Approve the overdraft of $10,001.00' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await visitor.text('Nothing waits');
    await page.getByText('Approved', { exact: true }).click();
    await page.getByRole('link', { name: 'Limits of the account' }).click();
    await visitor.heading('Limits');
    assert.equal(await fact(visitor, 'Overdraft').innerText(), '$10,001.00');
    await visitor.leave();
  });
});
