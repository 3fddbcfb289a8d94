/** Webhooks: made, tried, looked at and ended by an admin. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { until } from './until.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a webhook', () => {
  let bank, browser, receiver, admin, ada, page;
  /** What the program answers. */
  let status = 204;
  let arrived = 0;
  before(async () => {
    bank = await Bank.open({ COFFER_WEBHOOK_NETWORKS: '127.0.0.1' });
    browser = await openBrowser();
    receiver = createServer((request, response) => {
      arrived += 1;
      response.writeHead(status).end();
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const email = freshEmail();
    bank.createAdmin(email);
    ada = await bank.customer({ amount: '100' });
    admin = await Visitor.arrive(browser, bank);
    ({ page } = admin);
    await admin.signIn(email);
    await admin.heading(/^Hello/);
  });
  after(async () => {
    await browser.close();
    receiver.close();
    await bank.close();
  });

  const dialog = (name) => page.getByRole('dialog', { name });
  const rows = () => page.getByRole('list', { name: 'Deliveries' }).getByRole('listitem');

  test('is made by an admin, whose program then hears of what happens', async () => {
    await admin.go('#/staff/webhooks', 'Webhooks');
    await admin.text('No webhooks');
    await page.getByRole('button', { name: 'New webhook' }).click();
    const asked = dialog('A new webhook');
    await asked.getByLabel('URL').fill('http://10.0.0.1/');
    await look(page, '94-new-webhook');
    await asked.getByRole('button', { name: 'Make the webhook' }).click();
    await asked.locator('[data-field=url].wrong').waitFor();
    await asked.getByLabel('URL').fill(`http://127.0.0.1:${receiver.address().port}/coffer`);
    await asked.getByLabel('Types').fill('transaction.posted, account.frozen');
    await asked.getByLabel('What it is for').fill('Ships what is paid');
    await asked.getByRole('button', { name: 'Make the webhook' }).click();
    const kept = dialog('Keep this secret');
    assert.match(await kept.locator('code').innerText(), /^whsec_/);
    await kept.getByRole('button', { name: 'I have kept it' }).click();
    await admin.heading('Webhook');
    await admin.text('transaction.posted, account.frozen');
    await bank.call('POST', '/deposit', { token: ada.token, body: { account_number: ada.number, amount: '1' } });
    await until(() => arrived > 0, 'a delivery');
    await page.reload();
    await rows().first().waitFor();
    await admin.text(/delivered/);
    await look(page, '95-webhook');
  });

  test('is tried by a test, whose outcome is told', async () => {
    await page.getByRole('button', { name: 'Send a test' }).click();
    await dialog('It has arrived').getByRole('button', { name: 'Close' }).click();
    status = 500;
    await page.getByRole('button', { name: 'Send a test' }).click();
    await dialog('It has not arrived').getByText('Answered 500').waitFor();
    await dialog('It has not arrived').getByRole('button', { name: 'Close' }).click();
  });

  test('gets again what it has had', async () => {
    status = 204;
    const before = arrived;
    await page.getByRole('button', { name: 'Send again: transaction.posted' }).first().click();
    await admin.text('It is sent again.');
    await until(() => arrived > before, 'the delivery again');
    await page.getByRole('button', { name: 'Send events again' }).click();
    const asked = dialog('Send events again');
    await asked.getByLabel('Since').fill('2026-01-01T00:00');
    await asked.getByRole('button', { name: 'Send again' }).click();
    await admin.text(/(is|are) sent again/);
    await until(() => arrived > before + 1, 'the events again');
  });

  test('is disabled, enabled, and deleted', async () => {
    await page.getByRole('button', { name: 'Disable' }).click();
    await dialog('Disable the webhook?').getByRole('button', { name: 'Disable' }).click();
    await admin.text('An admin has disabled it.');
    await page.getByRole('button', { name: 'Enable' }).click();
    await dialog('Enable the webhook?').getByRole('button', { name: 'Enable' }).click();
    await page.getByText('An admin has disabled it.').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'New secret' }).click();
    await dialog('A new secret?').getByRole('button', { name: 'Make a new secret' }).click();
    await dialog('Keep this secret').getByRole('button', { name: 'I have kept it' }).click();
    await page.getByRole('button', { name: 'Delete' }).click();
    await dialog('Delete the webhook?').getByRole('button', { name: 'Delete' }).click();
    await admin.text('No webhooks');
  });
});
