/** What a customer sees first: what there is, what may be done with it, how it went, and what moved last. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('the overview', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  async function signedIn(person, options) {
    const visitor = await Visitor.arrive(browser, bank, options);
    await visitor.signedInAs(person);
    return visitor;
  }

  /** Another account of somebody. */
  async function another(person, body) {
    return (await bank.call('POST', '/accounts', { token: person.token, body })).account_number;
  }

  const recent = ({ page }) => page.getByRole('list', { name: 'Recent movements' });

  test('leads from the first day to a first deposit', async () => {
    const nora = await bank.customer({ name: 'Nora New' });
    const visitor = await signedIn(nora);
    const { page } = visitor;
    await visitor.text('Your account is open');
    assert.equal(await page.locator('.chart').count(), 0);
    assert.equal(await recent(visitor).count(), 0);
    await look(page, '86-first-day');
    await page.getByRole('link', { name: 'Pay in' }).click();
    await visitor.heading('Pay in');
    await visitor.plan({ amount: '20', description: 'To begin' });
    await visitor.confirm().click();
    await visitor.text('+$20.00');
    await visitor.go('#/', 'Hello, Nora New');
    await recent(visitor).getByText('To begin').waitFor();
    assert.equal(await page.getByText('Your account is open').count(), 0);
    await visitor.leave();
  });

  test('leads who has no account to a first one', async () => {
    const ada = await bank.customer();
    await bank.call('DELETE', `/accounts/${ada.number}`, { token: ada.token });
    const visitor = await signedIn(ada);
    await visitor.text('Open your first account');
    await look(visitor.page, '87-no-account');
    await visitor.page.getByRole('link', { name: 'Open an account' }).click();
    await visitor.heading('Open an account');
    await visitor.leave();
  });

  test('has what may be done under the balance, from the account that is meant', async () => {
    const ada = await bank.customer({ amount: '100' });
    const savings = await another(ada, { label: 'Savings' });
    const visitor = await signedIn(ada, { viewport: { width: 390, height: 844 } });
    const { page } = visitor;
    await page.locator('.hero').getByRole('button', { name: 'Pay out' }).click();
    const dialog = page.getByRole('dialog', { name: 'Pay out: which account?' });
    await dialog.getByRole('link', { name: /Savings/ }).waitFor();
    await look(page, '88-which-account');
    await dialog.getByRole('link', { name: /Savings/ }).click();
    await visitor.heading('Pay out');
    assert.match(page.url(), new RegExp(`/accounts/${savings}/withdraw$`));
    assert.equal(await page.getByRole('dialog').count(), 0);
    // Of the one that is frozen nothing is asked.
    const boss = freshEmail();
    bank.createAdmin(boss);
    const token = await bank.token(boss);
    await bank.call('PUT', `/accounts/${savings}/status`, { token, body: { status: 'frozen' } });
    await visitor.go('#/', 'Hello, Ada Lovelace');
    await page.locator('.hero').getByRole('link', { name: 'Transfer' }).click();
    await visitor.heading('Transfer');
    assert.match(page.url(), new RegExp(`/accounts/${ada.number}/transfer$`));
    await visitor.leave();
  });

  test('shows by how much the total changed, and the line only where there is one', async () => {
    const ada = await bank.customer({ amount: '100' });
    const savings = await another(ada, { label: 'Savings' });
    await another(ada, { currency: 'JPY' });
    const { token, number } = ada;
    await bank.call('POST', '/withdraw', { token, body: { account_number: number, amount: '30' } });
    const between = { from_account: number, to_account: savings, amount: '20', description: 'For later' };
    await bank.call('POST', '/transfer', { token, body: between });
    const visitor = await signedIn(ada);
    const { page } = visitor;
    await visitor.text('$100.00 in, $30.00 out');
    assert.match(await page.locator('.change').innerText(), /^\+\$70\.00 in 30 days/);
    await page.locator('.u-over').waitFor();
    await look(page, '89-overview-with-change');
    await page.getByRole('button', { name: /Total in JPY/ }).click();
    await visitor.text('Nothing has moved in 30 days.');
    assert.equal(await page.locator('.chart').count(), 0);
    await page.getByText('1 year').click();
    await visitor.text('Nothing has moved in 1 year.');
    await visitor.leave();
  });

  test('shows what moved last, newest first, a transfer between one’s own accounts once', async () => {
    const ada = await bank.customer({ amount: '100' });
    const savings = await another(ada, { label: 'Savings' });
    const { token, number } = ada;
    const bob = await bank.customer({ name: 'Bob' });
    const send = (to, amount, description) =>
      bank.call('POST', '/transfer', { token, body: { from_account: number, to_account: to, amount, description } });
    await send(savings, '20', 'For later');
    await send(bob.number, '5', 'Lunch');
    const visitor = await signedIn(ada);
    const { page } = visitor;
    const rows = recent(visitor).getByRole('link');
    await rows.first().waitFor();
    const texts = await rows.allInnerTexts();
    assert.equal(texts.length, 3);
    assert.match(texts[0], /Lunch[\s\S]*USD account[\s\S]*-\$5\.00/);
    assert.match(texts[1], /For later[\s\S]*USD account to Savings\s+\$20\.00/);
    assert.match(texts[2], /Salary[\s\S]*\+\$100\.00/);
    await page.getByRole('button', { name: 'Whole history' }).click();
    await page
      .getByRole('dialog')
      .getByRole('link', { name: /USD account/ })
      .click();
    await visitor.heading('USD account');
    await visitor.go('#/', 'Hello, Ada Lovelace');
    await rows.first().click();
    await visitor.text('-$5.00');
    await visitor.leave();
  });
});

describe('an account', () => {
  let bank, browser, ada, visitor;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    ada = await bank.customer({ amount: '100' });
    visitor = await Visitor.arrive(browser, bank, { viewport: { width: 390, height: 844 } });
    await visitor.signedInAs(ada);
  });
  after(async () => {
    await visitor.leave();
    await browser.close();
    await bank.close();
  });

  test('has its filters behind one button on a phone, which says how many are set', async () => {
    const { page } = visitor;
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('Salary');
    const filter = page.getByRole('button', { name: /^Filter/ });
    assert.equal(await page.getByLabel('Kind').isVisible(), false);
    assert.equal(await filter.getAttribute('aria-expanded'), 'false');
    await filter.click();
    await page.getByLabel('Kind').selectOption('withdrawal');
    await page.getByLabel('Text').fill('nothing of that kind');
    await visitor.text('No movement fits these filters.');
    await page.getByRole('button', { name: 'Filter · 2', exact: true }).waitFor();
    await look(page, '90-filters-on-a-phone');
    await filter.click();
    assert.equal(await page.getByLabel('Kind').isVisible(), false);
    await page.reload();
    await visitor.text('No movement fits these filters.');
    await page.getByRole('button', { name: 'Filter · 2', exact: true }).waitFor();
    await filter.click();
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await visitor.text('Salary');
    await page.getByRole('button', { name: 'Filter', exact: true }).waitFor();
    assert.doesNotMatch(page.url(), /text=|type=/);
  });

  test('tells programs when its balance falls below an amount', async () => {
    const { page } = visitor;
    await page.getByRole('link', { name: 'Settings' }).click();
    await visitor.heading('Settings');
    await visitor.text('Programs are not told when the balance gets low.');
    await look(page, '91-account-settings');
    const change = page.getByRole('button', { name: 'Change' });
    const field = page.getByRole('dialog').getByLabel('When it falls below, in USD');
    const save = page.getByRole('dialog').getByRole('button', { name: 'Save' });
    await change.click();
    await field.fill('many');
    await save.click();
    await page.locator('[data-field=alert_below] .error').filter({ hasText: /./ }).waitFor();
    await field.fill('50');
    await look(page, '92-alert');
    await save.click();
    await visitor.text('Programs are told when the balance falls below $50.00.');
    const account = () => bank.call('GET', `/accounts/${ada.number}`, { token: ada.token });
    assert.equal((await account()).alert_below, '50.00');
    await change.click();
    assert.equal(await field.inputValue(), '50.00');
    await field.fill('');
    await save.click();
    await visitor.text('Programs are not told when the balance gets low.');
    assert.equal((await account()).alert_below, null);
  });

  test('is closed away from what is done every day', async () => {
    const { page } = visitor;
    await bank.call('POST', '/withdraw', { token: ada.token, body: { account_number: ada.number, amount: '100' } });
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    assert.equal(await page.getByRole('button', { name: 'Close' }).count(), 0);
    await page.getByRole('link', { name: 'Settings' }).click();
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close the account' }).click();
    await page.locator('.chip').filter({ hasText: 'closed' }).waitFor();
    await page.getByRole('link', { name: 'Settings' }).click();
    await visitor.heading('Settings');
    assert.equal(await page.getByRole('button', { name: /Close|Rename|Change/ }).count(), 0);
  });
});
