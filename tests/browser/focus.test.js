/** Where the keyboard is after something that it was on has gone: never at the top of the page, as if one had just come. */

import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { until } from './until.js';
import { Visitor, openBrowser } from './visitor.js';

describe('the focus', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open({ COFFER_WEBHOOK_NETWORKS: '127.0.0.1' });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** What has it: its name, or its words; nothing where nobody has it. */
  const focused = (page) =>
    page.evaluate(() => {
      const { activeElement: at } = document;
      return at === document.body ? '' : (at.getAttribute('aria-label') ?? at.innerText);
    });
  const on = (page, words) => until(async () => (await focused(page)).includes(words), `the focus on ${words}`);
  /** By the keyboard, as those do to whom the focus matters. */
  const press = async (button) => {
    await button.focus();
    await button.press('Enter');
  };

  test('goes to the button for a new key from the secret of one, which no key closes by mistake', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    const dialog = (name) => page.getByRole('dialog', { name });
    const keepTheSecret = async () => {
      const kept = dialog('Keep this key');
      await kept.waitFor();
      for (let times = 0; times < 3; times++) await page.keyboard.press('Escape');
      await kept.getByText('Nobody is shown it again.').waitFor();
      await press(kept.getByRole('button', { name: 'I have kept it' }));
      await kept.waitFor({ state: 'detached' });
      await on(page, 'New API key');
    };
    await press(page.getByRole('button', { name: 'New API key' }));
    await dialog('A new API key').getByLabel('Name').fill('Till');
    await press(dialog('A new API key').getByRole('button', { name: 'Make the key' }));
    await keepTheSecret();
    await press(page.getByRole('button', { name: 'New secret for Till' }));
    await press(dialog('A new secret for Till?').getByRole('button', { name: 'Make a new secret' }));
    await keepTheSecret();
    await press(page.getByRole('button', { name: 'Revoke Till' }));
    await press(dialog('Revoke Till?').getByRole('button', { name: 'Revoke' }));
    await visitor.text('The key is revoked.');
    await on(page, 'New API key');
    await visitor.leave();
  });

  test('stays in the row that is sent again, and goes to the title when a webhook is changed', async () => {
    const admin = freshEmail();
    bank.createAdmin(admin);
    const token = await bank.token(admin);
    const { id } = await bank.call('POST', '/webhooks', { token, body: { url: 'http://127.0.0.1:9/' } });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    await visitor.go(`#/staff/webhooks/${id}`, 'Webhook');
    const ada = await bank.customer({ amount: '5' });
    await bank.call('POST', '/deposit', { token: ada.token, body: { account_number: ada.number, amount: '1' } });
    await page.reload();
    await press(page.getByRole('button', { name: /^Send again: transaction.posted/ }).first());
    await visitor.text('It is sent again.');
    await on(page, 'tried');
    await press(page.getByRole('button', { name: 'Disable' }));
    await press(page.getByRole('dialog').getByRole('button', { name: 'Disable' }));
    await visitor.text('An admin has disabled it.');
    await on(page, 'Webhook');
    await press(page.getByRole('button', { name: 'New secret' }));
    await press(page.getByRole('dialog').getByRole('button', { name: 'Make a new secret' }));
    await press(page.getByRole('dialog').getByRole('button', { name: 'I have kept it' }));
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await on(page, 'Webhook');
    await visitor.leave();
  });

  test('goes on where a list does that is tried again', async () => {
    const ada = await bank.customer();
    await bank.payee(ada);
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    const problem = { status: 500, contentType: 'application/json', body: '{}' };
    // A list, and a part of a screen.
    for (const [path, heading, words] of [
      ['**/me/payees?*', 'Payees', 'Bob'],
      ['**/me/second_factor', 'Second factor', 'Authenticator app'],
    ]) {
      await page.route(path, (route) => route.fulfill(problem));
      await visitor.go('#/', /^Hello/);
      await visitor.go('#/profile', 'Profile');
      const part = page.locator('section.block').filter({ has: page.getByRole('heading', { name: heading }) });
      await press(part.getByRole('button', { name: 'Try again' }));
      await part.getByRole('button', { name: 'Try again' }).waitFor();
      await page.unroute(path);
      await press(part.getByRole('button', { name: 'Try again' }));
      await on(page, words);
    }
    await visitor.leave();
  });
});
