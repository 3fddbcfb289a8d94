/** The profile: what is changed there is compared with what was saved last, and each error can be seen. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank, PASSWORD, freshEmail } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

describe('the profile', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** Somebody at the profile, with the form about themselves. */
  async function atProfile() {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    const form = page.locator('form').filter({ hasText: 'E-mail address' });
    return {
      ada,
      visitor,
      page,
      form,
      address: form.getByLabel('E-mail address'),
      current: form.getByLabel('Current password', { exact: true }),
      save: () => form.getByRole('button', { name: 'Save' }).click(),
    };
  }

  test('asks for the password for each change of the address, and for no other', async () => {
    const { ada, visitor, form, address, current, save } = await atProfile();
    for (const email of [freshEmail(), ada.email]) {
      await address.fill(email.toUpperCase());
      await current.fill(PASSWORD);
      await save();
      await visitor.text('Saved.');
      // As the bank has saved it; and the password is not there to be sent once more.
      await current.waitFor({ state: 'hidden' });
      assert.equal(await address.inputValue(), email);
    }
    await form.getByLabel('Name', { exact: true }).fill('Ada King');
    await save();
    await visitor.page.locator('.toast').getByText('Saved.').waitFor();
    assert.equal((await bank.call('GET', '/me', { token: await bank.token(ada.email) })).name, 'Ada King');
    await visitor.leave();
  });

  test('shows the error of a field that is hidden, and no success beside it', async () => {
    const { ada, visitor, page, form, save } = await atProfile();
    await save();
    await page.locator('.toast').getByText('Saved.').waitFor();
    // In another browser: this one compares with an address that is not hers any more.
    const body = { email: freshEmail(), current_password: PASSWORD };
    await bank.call('PATCH', '/me', { token: ada.token, body });
    await save();
    await form.locator('.form-problem').getByText(/./).first().waitFor();
    assert.equal(await page.locator('.toast').count(), 0);
    await visitor.leave();
  });
});
