/** What the bank has about somebody: taken along by them, and erased by the bank. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('what the bank has about somebody', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  test('is taken along as an archive', async () => {
    const ada = await bank.customer({ amount: '50' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    const button = page.getByRole('button', { name: 'Take everything of mine along' });
    const [file] = await Promise.all([page.waitForEvent('download'), button.click()]);
    assert.match(file.suggestedFilename(), /^coffer-export-\d{4}-\d{2}-\d{2}\.zip$/);
    assert.equal(readFileSync(await file.path()).toString('latin1', 0, 2), 'PK');
    await visitor.leave();
  });

  test('is not taken along by whoever does not say who they are, and is told so', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    bank.forgetProofs();
    await page.reload();
    await visitor.go('#/profile', 'Profile');
    await page.getByRole('button', { name: 'Take everything of mine along' }).click();
    await page.getByRole('dialog', { name: 'Confirm that it is you' }).getByRole('button', { name: 'Cancel' }).click();
    await page.getByRole('alert').getByText('you did not confirm that it is you').waitFor();
    await visitor.leave();
  });

  test('is erased once every account is closed', async () => {
    const grace = await bank.customer({ name: 'Grace Hopper' });
    const email = freshEmail();
    bank.createAdmin(email);
    const boss = await Visitor.arrive(browser, bank);
    const { page } = boss;
    await boss.signIn(email);
    await boss.heading(/Hello/);
    await boss.go(`#/staff/users/${grace.id}`, 'Grace Hopper');
    await page.getByRole('button', { name: 'Erase', exact: true }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('nobody brings them back').waitFor();
    await look(page, '84-erase');
    await dialog.getByRole('button', { name: 'Erase for good' }).click();
    await dialog.getByText('Every account must be closed first').waitFor();
    await bank.call('DELETE', `/accounts/${grace.number}`, { token: grace.token });
    await dialog.getByRole('button', { name: 'Erase for good' }).click();
    await boss.text('A second admin must approve it.');
    await boss.go('#/staff/approvals', 'Approvals');
    await page.getByText('Erasure of a person').waitFor();
    await boss.leave();
  });
});
