/** Who is signed in, over reloads, tabs, restarts and factors. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank, PASSWORD, freshEmail } from './bank.js';
import { look } from './look.js';
import { totp } from './totp.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a session', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  test('outlives a reload, and many at once, without a secret that scripts could read', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    for (let round = 0; round < 3; round++) {
      // Leaves while the page still resumes its session, then waits for the last one.
      visitor.page.reload({ waitUntil: 'commit' }).catch(() => {});
      await visitor.page.reload({ waitUntil: 'commit' }).catch(() => {});
    }
    await visitor.heading('Hello, Ada Lovelace');
    const readable = await visitor.page.evaluate(() => [document.cookie, { ...localStorage }, { ...sessionStorage }]);
    assert.deepEqual(readable, ['', {}, {}]);
    await visitor.leave();
  });

  test('is shared by tabs: signing out of one ends the other, for good', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    const other = await visitor.openTab(`#/accounts/${ada.number}`);
    await visitor.heading('USD account', other);
    await visitor.page.getByRole('button', { name: 'Sign out' }).click();
    await visitor.heading('Sign in');
    await visitor.heading('Sign in', other);
    await other.reload();
    await visitor.heading('Sign in', other);
    assert.equal(await other.getByText('$').count(), 0);
    await visitor.leave();
  });

  test('is shared by tabs: signing in to one signs in the other', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const other = await visitor.openTab();
    await visitor.signedInAs(ada);
    await visitor.heading('Hello, Ada Lovelace', other);
    await visitor.leave();
  });

  test('survives that many tabs renew it together', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    const tabs = await Promise.all(Array.from({ length: 4 }, () => visitor.openTab()));
    await Promise.all(tabs.map((tab) => visitor.heading('Hello, Ada Lovelace', tab)));
    await Promise.all(tabs.map((tab) => tab.reload()));
    await Promise.all(tabs.map((tab) => visitor.heading('Hello, Ada Lovelace', tab)));
    await visitor.leave();
  });

  test('survives a restart of the bank, and says so while there is none', async () => {
    const ada = await bank.customer({ amount: '20' });
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await bank.stop();
    await visitor.page.evaluate((number) => (location.hash = `#/accounts/${number}`), ada.number);
    await visitor.heading('The bank cannot be reached');
    await look(visitor.page, '20-bank-unreachable');
    await bank.start();
    await visitor.page.getByRole('button', { name: 'Try again' }).click();
    await visitor.text('$20.00');
    await visitor.page.reload();
    await visitor.text('$20.00');
    await visitor.leave();
  });

  test('that could not be resumed is tried again, and each screen is then asked for once', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await page.route('**/refresh', (route) => route.abort());
    await page.reload();
    await page.getByText('The bank cannot be reached').waitFor();
    await page.unroute('**/refresh');
    await page.getByRole('button', { name: 'Try again' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    let asked = 0;
    page.on('request', (request) => request.url().endsWith(`/accounts/${ada.number}`) && asked++);
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    assert.equal(asked, 1);
    await visitor.leave();
  });

  test('tells when it is offline, and when it is not any more', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.context.setOffline(true);
    await visitor.text(/^You are offline/);
    await look(visitor.page, '21-offline');
    await visitor.context.setOffline(false);
    await visitor.page.getByText(/^You are offline/).waitFor({ state: 'hidden' });
    await visitor.leave();
  });

  test('that no browser would keep is announced as one', async (t) => {
    const elsewhere = await openBrowser('--host-resolver-rules=MAP bank.test 127.0.0.1');
    t.after(() => elsewhere.close());
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(elsewhere, { url: bank.url.replace('127.0.0.1', 'bank.test') });
    const note = visitor.page.getByRole('note').filter({ hasText: 'This connection is not encrypted.' });
    await note.waitFor();
    assert.match(await note.innerText(), /COFFER_TLS_CERT[\s\S]*http:\/\/localhost:\d+/);
    await look(visitor.page, '34-unprotected');
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.page.reload();
    await visitor.heading('Sign in');
    await note.waitFor();
    await visitor.page.getByRole('link', { name: 'Open an account' }).click();
    await visitor.heading('Open an account');
    await note.waitFor();
    await visitor.leave();
  });

  test('that cannot begin after a sign-up leads to the sign-in, with the account there', async () => {
    const email = freshEmail();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await page.route('**/login', (route) => route.abort());
    await page.getByRole('link', { name: 'Open an account' }).click();
    await page.getByLabel('Your name').fill('Ada Lovelace');
    await page.getByLabel('E-mail address').fill(email);
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Open the account' }).click();
    await visitor.heading('Sign in');
    await visitor.text(/^Your account is open, but you could not be signed in\. The bank did not answer/);
    assert.equal(await page.getByLabel('E-mail address').inputValue(), email);
    assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
    await page.unroute('**/login');
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.leave();
  });

  test('that is kept needs no such word', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.heading('Sign in');
    assert.equal(await visitor.page.getByRole('note').count(), 0);
    await visitor.leave();
  });

  test('that is ended from elsewhere leads back to the sign-in', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    const sessions = await bank.call('GET', '/me/sessions', { token: ada.token });
    const theirs = sessions.data.find(({ current }) => !current);
    await bank.call('DELETE', `/me/sessions/${theirs.id}`, { token: ada.token });
    await visitor.page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .click();
    await visitor.heading('Sign in');
    await visitor.text('You have been signed out.');
    await visitor.signIn(ada.email);
    await visitor.heading('USD account');
    await visitor.leave();
  });

  test('goes on when a link sets somebody else’s password, which says so', async () => {
    const [clerk, ada] = [await bank.customer({ name: 'Clerk' }), await bank.customer()];
    await bank.giveRole(clerk, 'staff');
    const body = { name: 'Bob', email: freshEmail() };
    const { invitation } = await bank.call('POST', '/users', { token: await bank.token(clerk.email), body });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go(`#/set-password/${invitation.token}`, 'Set your password');
    await visitor.text('You are signed in as Ada Lovelace. If the link was made for somebody else');
    await page.getByLabel('New password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Set the password' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.text(/^The password is set\.$/);
    await bank.token(body.email);
    await visitor.leave();
  });

  test('can be ended in the profile', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await visitor.page.getByRole('button', { name: /^End the session/ }).click();
    await visitor.page.getByRole('dialog').getByRole('button', { name: 'End the session' }).click();
    await visitor.text('The session has ended.');
    await assert.rejects(bank.call('GET', '/me', { token: ada.token }), /invalid_token/);
    await visitor.leave();
  });

  test('asks for the second factor of whoever has one', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile/second-factor', 'Second factor');
    await page.getByLabel('Password', { exact: true }).fill('a lamp in the harbour fog');
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByRole('img', { name: /^QR/ }).waitFor();
    await page.waitForFunction(() => document.querySelector('.qr').naturalWidth > 0);
    await look(page, '22-second-factor');
    await page.getByLabel('Code').fill('000000');
    await page.getByRole('button', { name: 'Turn on' }).click();
    await page.locator('[data-field=code] .error, .form-problem').filter({ hasText: /./ }).first().waitFor();
    await page.getByLabel('Code').fill(totp(await page.locator('.secret').innerText()));
    await page.getByRole('button', { name: 'Turn on' }).click();
    await page.locator('.codes li').first().waitFor();
    await look(page, '23-recovery-codes');
    const codes = await page.locator('.codes li').allInnerTexts();
    assert.equal(codes.length, 10);
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await visitor.heading('Profile');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await visitor.heading('Sign in');
    await visitor.signIn(ada.email);
    await page.getByLabel('Code').waitFor();
    await look(page, '24-sign-in-with-code');
    await page.getByLabel('Code').fill('not-a-code');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.locator('[data-field=code] .error').filter({ hasText: /./ }).waitFor();
    await page.getByLabel('Code').fill(codes[0]);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.go('#/profile', 'Profile');
    await visitor.text('You have 9 recovery codes left');
    await page.getByRole('link', { name: 'Turn off' }).click();
    await page.getByLabel('Password', { exact: true }).fill('a lamp in the harbour fog');
    await page.getByLabel('Code').fill(codes[1]);
    await page.getByRole('button', { name: 'Turn off' }).click();
    await visitor.text('The second factor is off.');
    await visitor.leave();
  });
});
