/** Being asked for password or code once more, in place, and going on with what one was about to do. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Coffer, ProblemError } from '../../web/api/coffer.js';
import { APPROVAL_ABOVE, Bank, PASSWORD, freshEmail } from './bank.js';
import { look } from './look.js';
import { totp } from './totp.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a recent proof', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** Signed in for so long that the proof is old. */
  async function hoursLater(visitor, heading) {
    bank.forgetProofs();
    await visitor.page.reload();
    await visitor.heading(heading);
  }
  const question = (page) => page.getByRole('dialog', { name: 'Confirm that it is you' });
  const confirm = async (page) => {
    await question(page).getByLabel('Password', { exact: true }).fill(PASSWORD);
    await question(page).getByRole('button', { name: 'Confirm' }).click();
    await question(page).waitFor({ state: 'detached' });
  };

  test('is asked for in place, with keyboard alone, and the account is closed', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    await hoursLater(visitor, 'Settings');
    await page.getByRole('button', { name: 'Close' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByRole('button', { name: 'Close the account' }).focus();
    await page.keyboard.press('Enter');
    await question(page).waitFor();
    await look(page, '35-proof');
    assert.equal(await page.evaluate(() => document.activeElement.name), 'password');
    // Escape leaves everything as it was, and says so.
    await page.keyboard.press('Escape');
    await question(page).waitFor({ state: 'detached' });
    await visitor.text('you did not confirm that it is you');
    await page.keyboard.press('Enter');
    await question(page).waitFor();
    await page.keyboard.type('not the password');
    await page.keyboard.press('Enter');
    const error = question(page).locator('[data-field=password] .error').filter({ hasText: /./ });
    await error.waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-invalid')), 'true');
    await page.keyboard.press('Control+A');
    await page.keyboard.type(PASSWORD);
    await page.keyboard.press('Enter');
    await page.locator('.chip').filter({ hasText: 'closed' }).waitFor();
    // Within five minutes it is not asked for again.
    await visitor.go('#/profile', 'Profile');
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Leave for good' }).click();
    await visitor.heading('Sign in');
    await visitor.leave();
  });

  test('is a code, or the password, of whoever has a second factor', async () => {
    const ada = await bank.customer();
    const enrolment = await bank.call('POST', '/me/second_factor', { token: ada.token, body: { password: PASSWORD } });
    const { recovery_codes: codes } = await bank.call('POST', '/me/second_factor/confirm', {
      token: ada.token,
      body: { code: totp(enrolment.secret) },
    });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(ada.email);
    await page.getByLabel('Code').fill(codes[0]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    await hoursLater(visitor, 'Settings');
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close the account' }).click();
    await question(page).getByLabel('Code').waitFor();
    await look(page, '36-proof-by-code');
    await question(page).getByRole('button', { name: 'Use the password instead' }).click();
    await question(page).getByLabel('Password', { exact: true }).fill('not the password');
    await question(page).getByRole('button', { name: 'Use a code instead' }).click();
    await question(page).getByLabel('Code').fill(codes[1]);
    await question(page).getByRole('button', { name: 'Confirm' }).click();
    await page.locator('.chip').filter({ hasText: 'closed' }).waitFor();
    await visitor.leave();
  });

  test('is asked for above one’s own limit, and the money moves once', async () => {
    const ada = await bank.customer({ amount: '1000' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    const limit = page.getByLabel('Ask again above');
    const set = page.locator('form').filter({ has: limit }).getByRole('button', { name: 'Set the limit' });
    await limit.fill('many');
    await set.click();
    await page.locator('[data-field=confirm_above] .error').filter({ hasText: /./ }).waitFor();
    await limit.fill('100');
    await set.click();
    await visitor.text('Saved.');
    await look(page, '37-profile-with-limit');
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await hoursLater(visitor, 'Pay out');
    await visitor.plan({ amount: '100' });
    await visitor.confirm().click();
    await visitor.text('-$100.00');
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await visitor.plan({ amount: '100.01' });
    await visitor.confirm().click();
    await confirm(page);
    await visitor.text('-$100.01');
    assert.equal(await bank.balance(ada), '799.99');
    assert.equal((await bank.movements(ada)).length, 3);
    // Nor is the limit taken away without it.
    await visitor.go('#/profile', 'Profile');
    await hoursLater(visitor, 'Profile');
    await limit.fill('');
    await set.click();
    await confirm(page);
    await visitor.text('Saved.');
    assert.equal((await bank.call('GET', '/me', { token: ada.token })).confirm_above, null);
    await visitor.leave();
  });

  test('is asked of the staff for roles, resets and approvals', async () => {
    const bossEmail = freshEmail();
    bank.createAdmin(bossEmail);
    const [ada, clerk] = [await bank.customer(), await bank.customer({ name: 'Charles Clerk' })];
    await bank.giveRole(clerk, 'staff');
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 2), description: 'House sold' };
    await bank.call('POST', '/deposit', { token: await bank.token(clerk.email), body });
    const boss = await Visitor.arrive(browser, bank);
    const { page } = boss;
    await boss.signIn(bossEmail);
    await boss.heading(/Hello/);
    await boss.go('#/staff/approvals', 'Approvals');
    await hoursLater(boss, 'Approvals');
    await page.getByRole('button', { name: /^Approve/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await confirm(page);
    await boss.text('Nothing waits');
    assert.equal(await bank.balance(ada), `${APPROVAL_ABOVE * 2}.00`);
    const act = async (name, verb) => {
      await hoursLater(boss, 'Charles Clerk');
      await page.getByRole('button', { name, exact: true }).click();
      if (name === 'Change the role') await page.getByRole('dialog').getByLabel('Role').selectOption('auditor');
      await page.getByRole('dialog').getByRole('button', { name: verb }).click();
      await confirm(page);
    };
    await boss.go(`#/staff/users/${clerk.id}`, 'Charles Clerk');
    await act('Change the role', 'Change the role');
    await boss.text('A second admin must approve it.');
    const token = await bank.token(bossEmail);
    const [waiting] = (await bank.call('GET', '/approvals?status=pending', { token })).data;
    await bank.call('POST', `/approvals/${waiting.id}/reject`, { token });
    await act('End their sessions', 'End the sessions');
    await boss.text('Their sessions have ended.');
    const again = await bank.token(clerk.email);
    const enrolment = await bank.call('POST', '/me/second_factor', { token: again, body: { password: PASSWORD } });
    await bank.call('POST', '/me/second_factor/confirm', { token: again, body: { code: totp(enrolment.secret) } });
    await act('Remove the second factor', 'Remove');
    await boss.text('A second admin must approve it.');
    assert.equal((await bank.call('GET', '/approvals?status=pending', { token })).data[0].type, 'second_factor_reset');
    await boss.leave();
  });

  test('that is guessed at too often leads back to the sign-in', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    await hoursLater(visitor, 'Settings');
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Close the account' }).click();
    for (let guess = 0; guess < 11; guess++) {
      await question(page).getByLabel('Password', { exact: true }).fill(`guess ${guess}`);
      const answered = page.waitForResponse((response) => response.url().endsWith('/me/proof'));
      await question(page).getByRole('button', { name: 'Confirm' }).click();
      await answered;
    }
    await visitor.heading('Sign in');
    assert.equal(await page.getByRole('dialog').count(), 0);
    await visitor.signIn(ada.email);
    await visitor.heading('Settings');
    await visitor.leave();
  });

  test('is something that a page of one’s own can ask for, once for all calls', async () => {
    const ada = await bank.customer();
    let asked = 0;
    const askForProof = async (problem) => {
      assert.equal(problem.code, 'recent_sign_in_required');
      asked += 1;
      await coffer.prove({ password: PASSWORD });
      return true;
    };
    const coffer = new Coffer({ baseUrl: bank.url, askForProof });
    const silent = new Coffer({ baseUrl: bank.url });
    const unwilling = new Coffer({ baseUrl: bank.url, askForProof: async () => false });
    const { account_number: second } = await bank.call('POST', '/accounts', { token: ada.token, body: {} });
    for (const client of [coffer, silent, unwilling]) await client.signIn(ada.email, PASSWORD);
    bank.forgetProofs();
    for (const client of [silent, unwilling, coffer]) await renew(client);
    for (const client of [silent, unwilling]) {
      const error = await client.closeAccount(second).catch((caught) => caught);
      assert.ok(error instanceof ProblemError);
      assert.equal(error.code, 'recent_sign_in_required');
      assert.equal(client.isSignedIn, true);
    }
    await Promise.all([coffer.closeAccount(second), coffer.closeAccount(ada.number)]);
    assert.equal(asked, 1);
    // The refresh token has stayed what it was.
    await renew(coffer);
    assert.equal((await coffer.me()).id, ada.id);
  });

  /** Has the client get its next access token. */
  const renew = (client) => client.resume();
});

describe('the list of sessions', () => {
  test('grows page by page', async (t) => {
    const bank = await Bank.open();
    const browser = await openBrowser();
    t.after(async () => {
      await browser.close();
      await bank.close();
    });
    const ada = await bank.customer();
    for (let device = 0; device < 25; device++) await bank.token(ada.email);
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    const rows = page.getByRole('list', { name: 'Sessions' }).getByRole('listitem');
    await page.waitForFunction(() => document.querySelectorAll('ul[aria-label=Sessions] li').length >= 20);
    if ((await rows.count()) < 27)
      await page
        .getByRole('button', { name: 'Show more' })
        .scrollIntoViewIfNeeded()
        .catch(() => {});
    await page.waitForFunction(() => document.querySelectorAll('ul[aria-label=Sessions] li').length === 27);
    await rows
      .last()
      .getByRole('button', { name: /^End the session/ })
      .click();
    await page.getByRole('dialog').getByRole('button', { name: 'End the session' }).click();
    await visitor.text('The session has ended.');
    assert.equal(await rows.count(), 26);
    await visitor.leave();
  });
});
