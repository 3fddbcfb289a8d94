/** What somebody writes is text, and stays text, wherever it is shown. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

const ATTACK = '<img src=x onerror="alert(1)"><b>x</b>';
const ATTACKS_LABEL = '<svg onload=alert(2)>"\'{{7*7}}';

describe('markup in a text field', () => {
  let bank, browser, mallory, page;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    mallory = await Visitor.arrive(browser, bank);
    page = mallory.page;
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const shown = async (text) => {
    await page.getByText(text, { exact: false }).first().waitFor();
    const elements = await page.evaluate(
      () => document.querySelectorAll('main img[src=x], main [onload], main [onerror]').length,
    );
    assert.equal(elements, 0);
  };

  test('is shown as text where it is a name, a label, a description', async () => {
    await mallory.signUp({ name: ATTACK, email: freshEmail() });
    await shown(ATTACK);
    await mallory.go('#/open-account', 'Open an account');
    await page.locator('input[name=label]').fill(ATTACKS_LABEL);
    await page.getByRole('button', { name: 'Open the account' }).click();
    await shown(ATTACKS_LABEL);
    await page.getByRole('link', { name: 'Pay in' }).click();
    await mallory.heading('Pay in');
    await mallory.plan({ amount: '5', description: ATTACK });
    await shown(ATTACK);
    await mallory.confirm().click();
    await page.locator('.hash').waitFor();
    await shown(ATTACK);
    await page.getByRole('link', { name: 'Done' }).click();
    await page.locator('.passbook a').first().waitFor();
    await shown(ATTACK);
    await page.getByLabel('Text').fill(ATTACK);
    await page.locator('.passbook a').first().waitFor();
    await page.getByRole('link', { name: 'Statement' }).click();
    await page.locator('.sheet').waitFor();
    await shown(ATTACK);
    await mallory.go('#/profile', 'Profile');
    assert.equal(await page.getByLabel('Name', { exact: true }).inputValue(), ATTACK);
  });

  test('is shown as text where it is wrong', async () => {
    await mallory.go('#/', /Hello/);
    await page.getByRole('link', { name: /svg/ }).click();
    for (const field of ['Amount in USD']) {
      await page.getByRole('link', { name: 'Pay out' }).click();
      await mallory.heading('Pay out');
      await page.getByLabel(field).fill(ATTACK);
      await page.getByRole('button', { name: 'Review' }).click();
      await page.locator('.field.wrong').waitFor();
    }
    await page.evaluate((attack) => (location.hash = `#/accounts/${encodeURIComponent(attack)}`), ATTACK);
    await mallory.heading('Nothing here');
    await page.goto(`${bank.url}/#/accounts/1?for=${encodeURIComponent(ATTACK)}&text=${encodeURIComponent(ATTACK)}`);
    await mallory.heading('Nothing here');
  });

  test('is shown as text to the staff', async () => {
    const email = 'boss@example.com';
    bank.createAdmin(email);
    await page.goto(`${bank.url}/#/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await mallory.heading('Sign in');
    await mallory.signIn(email);
    await mallory.heading(/Hello/);
    await mallory.go('#/staff/customers', 'Customers');
    await shown(ATTACK);
    await page.getByLabel('Name, e-mail address or account number').fill('<img');
    await page.getByRole('link', { name: /<img/ }).click();
    await mallory.heading(ATTACK);
    await shown(ATTACKS_LABEL);
    await page.getByRole('button', { name: 'Freeze', exact: true }).click();
    await shown(ATTACK);
    await page.getByRole('dialog').getByLabel('Reason').fill(ATTACK);
    await page.getByRole('dialog').getByRole('button', { name: 'Freeze' }).click();
    await page.getByRole('button', { name: 'Release', exact: true }).waitFor();
    await mallory.go('#/staff/audit', 'Audit log');
    await shown(ATTACK);
  });

  test('runs nothing, calls nobody, breaks no policy', async () => {
    await mallory.leave();
  });

  test('would not run even if a script wrote it into the page', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const outcome = await visitor.page.evaluate(() => {
      try {
        document.body.innerHTML = '<img src=x onerror="alert(3)">';
        return 'written';
      } catch (error) {
        return error.name;
      }
    });
    assert.equal(outcome, 'TypeError');
    await visitor.context.close();
  });
});
