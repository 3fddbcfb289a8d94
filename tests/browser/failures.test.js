/** What a button does that the bank does not answer, or refuses: it says so, and can be pressed again. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APPROVAL_ABOVE, Bank, freshEmail } from './bank.js';
import { PostOffice } from './post_office.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a button', () => {
  let bank, browser, post;
  before(async () => {
    post = await PostOffice.open();
    bank = await Bank.open({ ...post.settings('https://bank.example'), COFFER_WEBHOOK_NETWORKS: '127.0.0.1' });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
    post.close();
  });

  const problem = {
    status: 500,
    contentType: 'application/problem+json',
    body: JSON.stringify({ status: 500, code: 'internal_error', title: 'Internal error', detail: 'It is broken.' }),
  };

  /** Presses it while what it asks for fails, and again when that works. */
  async function failsOnce({ page, text }, name, path, { method = 'POST' } = {}) {
    await page.route(path, (route) =>
      route.request().method() === method ? route.fulfill(problem) : route.fallback(),
    );
    const button = page.getByRole('button', { name }).first();
    await button.click();
    await page.locator('.toast').getByText('It is broken.').last().waitFor();
    await page
      .locator('.toast')
      .last()
      .evaluate((toast) => toast.remove());
    await page.unroute(path);
    await button.click();
  }

  test('of the profile says that its work has failed', async () => {
    const ada = await bank.customer();
    await bank.payee(ada);
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await failsOnce(visitor, 'Send the link again', '**/me/email_verification');
    await visitor.text('A link is on its way to');
    await failsOnce(visitor, 'Forget Bob', '**/me/payees/*', { method: 'DELETE' });
    await visitor.text('Bob is forgotten.');
    await failsOnce(visitor, 'New API key', '**/accounts', { method: 'GET' });
    await page.getByRole('dialog', { name: 'A new API key' }).getByRole('button', { name: 'Cancel' }).click();
    await failsOnce(visitor, 'Turn off', '**/me', { method: 'PATCH' });
    await visitor.text('The bank tells nobody whether a name');
    await visitor.go(await post.link(ada.email, 'Confirm your address'), 'Confirm your address');
    await failsOnce(visitor, 'Confirm', '**/email_verification');
    await visitor.heading('Thank you');
    await visitor.go('#/profile', 'Profile');
    await page.getByText('New sign-ins').waitFor();
    await failsOnce(visitor, 'Turn off', '**/me', { method: 'PATCH' });
    await visitor.text('The bank tells nobody when somebody signs in');
    await visitor.leave();
  });

  test('opens one question, however often it is pressed before the question is there', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    let asked = 0;
    let answer;
    const answered = new Promise((resolve) => (answer = resolve));
    await page.route('**/accounts', async (route) => {
      asked += 1;
      await answered;
      return route.continue();
    });
    await page.getByRole('button', { name: 'New API key' }).dblclick();
    answer();
    await page.getByRole('dialog').waitFor();
    assert.deepEqual([asked, await page.locator('dialog').count()], [1, 1]);
    await visitor.leave();
  });

  test('of a webhook says that its work has failed', async () => {
    const admin = freshEmail();
    bank.createAdmin(admin);
    const token = await bank.token(admin);
    const url = 'http://127.0.0.1:9/nobody-listens';
    const { id } = await bank.call('POST', '/webhooks', { token, body: { url } });
    const ada = await bank.customer({ amount: '5' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    await visitor.go(`#/staff/webhooks/${id}`, 'Webhook');
    await failsOnce(visitor, 'Send a test', '**/test');
    await page.getByRole('dialog', { name: 'It has not arrived' }).getByRole('button', { name: 'Close' }).click();
    const body = { account_number: ada.number, amount: '1' };
    await bank.call('POST', '/deposit', { token: ada.token, body });
    await failsOnce(visitor, /^Send again: /, '**/retry');
    await visitor.text('It is sent again.');
    await visitor.leave();
  });

  test('that decides what was decided meanwhile has the list and its number say so', async () => {
    const [clerk, ada] = [await bank.customer({ name: 'Clerk' }), await bank.customer()];
    await bank.giveRole(clerk, 'staff');
    const admin = freshEmail();
    bank.createAdmin(admin);
    const [asker, decider] = [await bank.token(clerk.email), await bank.token(admin)];
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 2) };
    const { id } = await bank.call('POST', '/deposit', { token: asker, body });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    await visitor.go('#/staff/approvals', 'Approvals');
    await page.getByRole('button', { name: /^Approve/ }).click();
    await bank.call('POST', `/approvals/${id}/reject`, { token: decider });
    await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await page.getByRole('dialog').locator('.form-problem p').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await visitor.text('Nothing waits');
    await page
      .getByRole('navigation', { name: 'Staff' })
      .getByRole('link', { name: 'Approvals', exact: true })
      .waitFor();
    await visitor.leave();
  });
});
