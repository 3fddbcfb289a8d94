/** What people read of a problem: never the paths, parameters and formats of the API, which are for programs. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { fieldErrorInWords, problemInWords } from '../../web/domain/problem_words.js';
import { Bank, freshEmail } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

const OF_THE_API = /\b(GET|POST|PUT|PATCH|DELETE)\b|[{}?`]|JSON|UUID|RFC|Retry-After|header|^\//;

describe('the words of a problem', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open({ COFFER_WEBHOOK_NETWORKS: '127.0.0.1' });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  test('are for people, whatever its code and detail', async () => {
    const { data: problems } = await bank.call('GET', '/problems');
    const details = [
      'Look it up: GET /things/{id} tells.',
      'Nothing is sent: enable it with PATCH /webhooks/{id}.',
      '{id}: send the id of a hold, a UUID.',
      '?from: send an RFC 3339 date and time.',
      '/amount: send the amount as a JSON string.',
      'Wait as long as Retry-After says.',
      'Leave the header Prefer out.',
      'It lies before `from`.',
    ];
    assert.ok(problems.length > 100);
    for (const { code, title = code } of problems) {
      for (const detail of details) {
        const field = { code, pointer: '/x', detail: detail.replace(/^\S+: /, '') };
        const said = [
          problemInWords({ code, title, detail }),
          problemInWords({ code, title, detail, errors: [field] }),
        ];
        for (const words of [...said, fieldErrorInWords({ ...field, detail })]) {
          assert.doesNotMatch(words, OF_THE_API, `${code}: ${words}`);
          assert.match(words, /^[A-Z].*\.$/);
        }
      }
    }
  });

  test('are left as the bank has them where they are for people', () => {
    const detail = '20.00 USD is available, 100.50 USD was asked for.';
    assert.equal(problemInWords({ code: 'insufficient_funds', title: 'Insufficient funds', detail }), detail);
    const field = { code: 'email_malformed', pointer: '/email', detail: 'send an address such as "ada@example.com"' };
    assert.equal(fieldErrorInWords(field), 'Enter an address such as "ada@example.com".');
  });

  test('are read on the screens that are refused', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await page.getByLabel('Ask again above').fill('many');
    await page.getByRole('button', { name: 'Set the limit' }).click();
    await page.locator('[data-field=confirm_above] .error').getByText('Enter a whole number').waitFor();
    await page.getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Leave for good' }).click();
    await page.getByRole('dialog').getByText('Every account must be closed first').waitFor();
    await visitor.leave();
  });

  test('stand at the field that they are about, also when it holds several values', async () => {
    const admin = freshEmail();
    bank.createAdmin(admin);
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(admin);
    await visitor.heading(/^Hello/);
    await visitor.go('#/staff/webhooks', 'Webhooks');
    await page.getByRole('button', { name: 'New webhook' }).click();
    const dialog = page.getByRole('dialog', { name: 'A new webhook' });
    await dialog.getByLabel('URL').fill('http://127.0.0.1:9/');
    await dialog.getByLabel('Types').fill('transaction.posted, payment.made');
    await dialog.getByRole('button', { name: 'Make the webhook' }).click();
    await dialog.locator('[data-field=types].wrong').waitFor();
    assert.doesNotMatch(await dialog.locator('[data-field=types] .error').innerText(), OF_THE_API);
    await dialog.getByRole('button', { name: 'Cancel' }).click();
    await visitor.go('#/profile', 'Profile');
    await page.getByRole('button', { name: 'New API key' }).click();
    const key = page.getByRole('dialog', { name: 'A new API key' });
    await key.getByLabel('Name').fill('Till');
    await key.getByLabel('Networks').fill('192.0.2.0/24, the office');
    await key.getByRole('button', { name: 'Make the key' }).click();
    await key.locator('[data-field=networks].wrong').waitFor();
    await visitor.leave();
  });
});
