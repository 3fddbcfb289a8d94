/** API keys: made, kept, given another secret and revoked by their owner; seen by those who oversee. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Coffer, ProblemError } from '../../web/api/coffer.js';
import { Bank, PASSWORD, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('API keys', () => {
  let bank, browser, ada, admin;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    admin = freshEmail();
    bank.createAdmin(admin);
    ada = await bank.customer({ amount: '100' });
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const programWith = (apiKey) => new Coffer(bank.url, { apiKey });

  async function secretIn(page) {
    const dialog = page.getByRole('dialog', { name: 'Keep this key' });
    const secret = await dialog.locator('code').innerText();
    await dialog.getByRole('button', { name: 'I have kept it' }).click();
    return secret;
  }

  test('are made in the profile, and let a program call', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await visitor.text('No API keys');
    await page.getByRole('button', { name: 'New API key' }).click();
    const dialog = page.getByRole('dialog', { name: 'A new API key' });
    await dialog.getByLabel('Name').fill('Web shop');
    await dialog.getByLabel('It may').selectOption('Look and move money');
    await dialog.getByLabel('Most in 24 hours').fill('1.5');
    await dialog.getByLabel('Networks').fill('here');
    await look(page, '80-new-api-key');
    await dialog.getByRole('button', { name: 'Make the key' }).click();
    await dialog.locator('[data-field=per_day].wrong').waitFor();
    await dialog.getByLabel('Most in 24 hours').fill('5');
    await dialog.getByLabel('Networks').fill('127.0.0.0/8, ::1');
    await dialog.getByRole('button', { name: 'Make the key' }).click();
    await page.getByRole('dialog', { name: 'Keep this key' }).waitFor();
    await look(page, '81-keep-this-key');
    const secret = await secretIn(page);
    await visitor.text(/Look and move money · up to 5 in 24 hours/);
    assert.equal(await page.getByText(secret).count(), 0);

    const program = programWith(secret);
    const [account] = await program.allAccounts();
    assert.equal((await program.withdraw({ account_number: account.account_number, amount: '5' })).balance, '95.00');
    await assert.rejects(program.withdraw({ account_number: account.account_number, amount: '1' }), (error) => {
      assert.ok(error instanceof ProblemError);
      assert.deepEqual([error.code, error.remaining], ['api_key_limit_exceeded', '0.00']);
      return true;
    });

    await page.getByRole('button', { name: 'New secret for Web shop' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Make a new secret' }).click();
    const second = await secretIn(page);
    await programWith(secret).me();
    assert.equal((await programWith(second).me()).email, ada.email);

    await page.getByRole('button', { name: 'Revoke Web shop' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await visitor.text('No API keys');
    await assert.rejects(programWith(second).me(), { code: 'api_key_invalid' });
    await visitor.leave();
  });

  test('are seen and revoked by an admin', async () => {
    const signedIn = new Coffer(bank.url);
    await signedIn.signIn(ada.email, PASSWORD);
    const { api_key: secret } = await signedIn.createApiKey({ name: 'Till', scopes: ['read'] });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    const { id } = await signedIn.me();
    await visitor.go(`#/staff/users/${id}`, 'Ada Lovelace');
    await page.getByRole('list', { name: 'API keys' }).getByText('Till').waitFor();
    await page.getByRole('button', { name: 'Revoke their API keys' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await visitor.text('No API keys');
    await assert.rejects(programWith(secret).me(), { code: 'api_key_invalid' });
    await visitor.leave();
  });
});
