/** From the first visit to a printed statement. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a customer', () => {
  let bank, browser, ada, page;
  const email = freshEmail();

  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    ada = await Visitor.arrive(browser, bank);
    page = ada.page;
  });
  after(async () => {
    await browser.close();
    await bank.close();
    assert.deepEqual(ada.complaints, []);
  });

  test('is told what is wrong beside the field that caused it', async () => {
    await ada.heading('Sign in');
    await look(page, '01-sign-in');
    await ada.signIn('nobody@example.com');
    await ada.text('The e-mail address or the password is wrong.');
    assert.equal(await page.locator(':focus').getAttribute('name'), 'password');
    await page.getByRole('link', { name: 'Open an account' }).click();
    await ada.heading('Open an account');
    await page.getByLabel('Your name').fill('Ada Lovelace');
    await page.getByLabel('E-mail address').fill('ada.example.com');
    await page.getByLabel('Password', { exact: true }).fill('password123');
    await page.getByRole('button', { name: 'Open the account' }).click();
    const wrong = page.locator('.field.wrong');
    await wrong.first().waitFor();
    assert.equal(await wrong.count(), 2);
    assert.match(await page.locator('[data-field=email] .error').innerText(), /such as "ada@example.com"/);
    assert.match(await page.locator('[data-field=password] .error').innerText(), /guesser/);
    assert.equal(await page.locator(':focus').getAttribute('name'), 'email');
    assert.equal(await page.getByLabel('E-mail address').getAttribute('aria-invalid'), 'true');
    await look(page, '02-sign-up-with-errors');
  });

  test('sees how strong a password is', async () => {
    const password = page.getByLabel('Password', { exact: true });
    await password.fill('short');
    await ada.text('Too short');
    await password.fill('a lamp in the harbour fog');
    await ada.text('Strong');
    await page.getByRole('button', { name: 'Show password' }).click();
    assert.equal(await password.getAttribute('type'), 'text');
  });

  test('opens an account', async () => {
    await page.goto(bank.url);
    await ada.signUp({ email });
    await page.locator('.accounts li').waitFor();
    await look(page, '03-overview-of-a-new-customer');
    await page.locator('.accounts a').click();
    await ada.text('Nothing yet');
    await look(page, '04-account-without-movements');
  });

  test('pays in, having seen what it will do', async () => {
    await page.getByRole('link', { name: 'Pay in' }).click();
    await ada.heading('Pay in');
    await page.getByLabel('Amount in USD').fill('2,500.5');
    assert.match(await page.locator('.effect').innerText(), /\$0\.00[\s\S]*\$2,500\.50/);
    await look(page, '05-deposit');
    await ada.plan({ amount: '2,500.5', description: 'Salary' });
    await ada.text('Pay in $2,500.50?');
    await look(page, '06-deposit-review');
    await ada.confirm().click();
    await ada.heading('Deposit');
    await ada.text('+$2,500.50');
    assert.match(await page.locator('.hash').innerText(), /^[0-9a-f]{64}$/);
    await look(page, '07-receipt');
    await page.getByRole('link', { name: 'Done' }).click();
    await page.locator('.passbook').getByText('Salary').waitFor();
  });

  test('opens a second account and moves money over', async () => {
    await ada.go('#/open-account', 'Open an account');
    await page.locator('input[name=label]').fill('Savings');
    await look(page, '08-open-account');
    await page.getByRole('button', { name: 'Open the account' }).click();
    await ada.heading('Savings');
    await ada.go('#/', 'Hello, Ada Lovelace');
    await page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .click();
    await page.getByRole('link', { name: 'Transfer' }).click();
    await ada.heading('Transfer');
    await look(page, '09-transfer');
    await ada.plan({ amount: '600', description: 'For later' });
    await ada.text('Send $600.00?');
    await look(page, '10-transfer-review');
    await ada.confirm().click();
    await ada.text('-$600.00');
    await page.getByRole('link', { name: 'Done' }).click();
    await page.getByRole('link', { name: 'Pay out' }).click();
    await ada.heading('Pay out');
    await ada.plan({ amount: '40', description: 'Cash' });
    await ada.confirm().click();
    await ada.text('-$40.00');
  });

  test('sees the receiver’s side of a transfer on the receiving account', async () => {
    await ada.go('#/', 'Hello, Ada Lovelace');
    await page
      .locator('.accounts')
      .getByRole('link', { name: /Savings/ })
      .click();
    await page.locator('.passbook').getByText('For later').click();
    await ada.text('+$600.00');
  });

  test('sees totals and how they went', async () => {
    await ada.go('#/', 'Hello, Ada Lovelace');
    await ada.go('#/open-account', 'Open an account');
    await page.locator('select[name=currency]').selectOption('JPY');
    await page.getByRole('button', { name: 'Open the account' }).click();
    await ada.heading('JPY account');
    await ada.go('#/', 'Hello, Ada Lovelace');
    await page.locator('.u-over').waitFor();
    assert.match(await page.locator('.totals').innerText(), /\$2,460\.50/);
    assert.match(await page.locator('.totals').innerText(), /¥0/);
    assert.match(await page.getByRole('img', { name: /^Balance/ }).getAttribute('aria-label'), /\$2,460\.50 now/);
    await look(page, '11-overview');
  });

  test('finds movements by kind, date and text', async () => {
    await page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .click();
    const rows = page.locator('.passbook .what');
    await page.waitForFunction(() => document.querySelectorAll('.passbook .what').length === 3);
    await look(page, '12-account');
    await page.getByLabel('Kind').selectOption('withdrawal');
    await page.waitForFunction(() => document.querySelectorAll('.passbook .what').length === 1);
    assert.match(await rows.innerText(), /Cash/);
    await page.getByLabel('Kind').selectOption('');
    await page.getByLabel('Text').fill('SALA');
    await page.waitForFunction(() => document.querySelectorAll('.passbook .what').length === 1);
    assert.match(await rows.innerText(), /Salary/);
    await page.getByLabel('Text').fill('');
    await page.getByLabel('To', { exact: true }).fill('2001-01-01');
    await ada.text('No movement fits these filters.');
    await look(page, '13-history-with-nothing-found');
    assert.match(page.url(), /to=2001-01-01/);
    await page.reload();
    await ada.text('No movement fits these filters.');
  });

  test('takes a statement along, as a file and on paper', async () => {
    await ada.go('#/', 'Hello, Ada Lovelace');
    await page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .click();
    await page.getByRole('link', { name: 'Statement' }).click();
    await page.locator('.sums').waitFor();
    assert.match(
      await page.locator('.sums').innerText(),
      /\$0\.00[\s\S]*\$2,500\.50[\s\S]*\$640\.00[\s\S]*\$1,860\.50/,
    );
    await look(page, '14-statement');
    const csv = await download(page, 'CSV');
    assert.match(csv.name, /\.csv$/);
    assert.match(csv.text, /Salary/);
    const json = await download(page, 'JSON');
    assert.equal(JSON.parse(json.text).closing_balance, '1860.50');
    await page.emulateMedia({ media: 'print' });
    assert.equal(await page.locator('#header').isVisible(), false);
    assert.equal(await page.locator('.sheet').isVisible(), true);
    await page.pdf({
      path: new URL('../../target/screenshots/15-statement.pdf', import.meta.url).pathname,
      format: 'A4',
    });
    await page.emulateMedia({ media: 'screen' });
    await page.getByText('Last month').click();
    await ada.text('No movements in this period.');
    await page.getByText('Other', { exact: true }).click();
    await page.getByLabel('First day').fill('2026-02-01');
    await page.getByLabel('Last day').fill('2026-01-01');
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await ada.text('The last day is before the first.');
  });

  test('changes name, address and password', async () => {
    await ada.go('#/profile', 'Profile');
    await page.getByRole('list', { name: 'Sessions' }).waitFor();
    await look(page, '16-profile');
    await page.getByLabel('Name', { exact: true }).fill('Ada King');
    await page.getByRole('button', { name: 'Save' }).click();
    await ada.text('Saved.');
    await page.getByLabel('E-mail address').fill(freshEmail());
    await page
      .locator('form')
      .filter({ hasText: 'E-mail' })
      .getByLabel('Current password', { exact: true })
      .fill('not this one at all');
    await page.getByRole('button', { name: 'Save' }).click();
    await ada.text('The current password is wrong.');
    assert.equal(await page.locator(':focus').getAttribute('name'), 'current_password');
    const password = page.locator('form').filter({ hasText: 'New password' });
    await password.getByLabel('Current password', { exact: true }).fill('a lamp in the harbour fog');
    await password.getByLabel('New password', { exact: true }).fill('two lamps in the harbour fog');
    await password.getByRole('button', { name: 'Change the password' }).click();
    await ada.text('The password is changed.');
  });

  test('renames an account, and cannot close one that has money', async () => {
    await ada.go('#/', 'Hello, Ada King');
    await page
      .locator('.accounts')
      .getByRole('link', { name: /Savings/ })
      .click();
    assert.equal(await page.getByRole('button', { name: /Rename|Close/ }).count(), 0);
    await page.getByRole('link', { name: 'Settings' }).click();
    await ada.heading('Settings');
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('Rainy days');
    await look(page, '17-dialog');
    await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
    await ada.text('Rainy days · ');
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close the account' }).click();
    await page.getByRole('dialog').locator('.form-problem p').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });

  test('finds a way out of an address that means nothing', async () => {
    await ada.go('#/no/such/screen', 'Nothing here');
    for (const place of [
      'accounts/..%2Fme',
      'accounts/%2e%2e/limits',
      'accounts/12',
      'accounts/%3Flimit=1/statement',
    ]) {
      await ada.go('#/', /^Hello/);
      await ada.go(`#/${place}`, 'Nothing here');
    }
    await look(page, '18-nothing-here');
    await ada.go('#/accounts/10000000000001', 'This is not available');
    await look(page, '19-not-available');
    await page.getByRole('link', { name: 'Go to the overview' }).click();
    await ada.heading('Hello, Ada King');
  });
});

async function download(page, name) {
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name }).click()]);
  return { name: file.suggestedFilename(), text: readFileSync(await file.path(), 'utf8') };
}
