/** What staff are told without asking: how many approvals wait, and where a person is signed in. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { APPROVAL_ABOVE, Bank, freshEmail } from './bank.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('what waits', () => {
  let bank, browser, boss, clerk, ada;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    boss = freshEmail();
    bank.createAdmin(boss);
    ada = await bank.customer({ amount: '50' });
    clerk = await bank.customer({ name: 'Charles Clerk' });
    await bank.giveRole(clerk, 'staff');
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** A movement of staff that needs a second person. */
  async function ask() {
    const token = await bank.token(clerk.email);
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 2), description: 'House sold' };
    await bank.call('POST', '/deposit', { token, body });
  }

  const tab = ({ page }, name) =>
    page.getByRole('navigation', { name: 'Staff' }).getByRole('link', { name, exact: true });

  test('is counted wherever the way to it is, and anew after a decision', async () => {
    await ask();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(boss);
    await visitor.heading(/Hello/);
    await tab(visitor, 'Approvals 1 waiting').waitFor();
    await page.getByRole('link', { name: 'Staff 1 waiting' }).waitFor();
    await visitor.text('One thing waits for approval');
    await look(page, '93-one-waits');
    await ask();
    // Coming to another screen is enough.
    await tab(visitor, 'Customers').click();
    await tab(visitor, 'Approvals 2 waiting').click();
    await visitor.heading('Approvals');
    for (const verb of ['Approve', 'Reject']) {
      await page
        .getByRole('button', { name: new RegExp(`^${verb}`) })
        .first()
        .click();
      await page.getByRole('dialog').getByRole('button', { name: verb }).click();
      const left = verb === 'Approve' ? 'Approvals 1 waiting' : 'Approvals';
      await tab(visitor, left).waitFor();
    }
    await tab(visitor, 'Today').click();
    await visitor.text('Nothing waits for approval');
    await visitor.leave();
  });

  test('is nothing where the bank does not say', async () => {
    await ask();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.page.route('**/approvals/count', (route) => route.fulfill({ status: 404, json: {} }));
    await visitor.signIn(boss);
    await visitor.heading(/Hello/);
    await visitor.text('What waits for approval');
    await tab(visitor, 'Approvals').waitFor();
    await visitor.leave();
  });

  test('leaves no trace in the audit log', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signIn(boss);
    await visitor.heading(/Hello/);
    await tab(visitor, 'Approvals 1 waiting').waitFor();
    const { data } = await bank.call('GET', '/audit?action=record_viewed', { token: await bank.token(boss) });
    assert.deepEqual(data, []);
    await visitor.leave();
  });
});

describe('the sessions of a person', () => {
  let bank, browser, boss, ada;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    boss = freshEmail();
    bank.createAdmin(boss);
    ada = await bank.customer();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const sessions = ({ page }) => page.getByRole('list', { name: 'Sessions' }).getByRole('listitem');

  test('are shown to the staff, who end one of them', async () => {
    const customer = await Visitor.arrive(browser, bank);
    await customer.signedInAs(ada);
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(boss);
    await visitor.heading(/Hello/);
    await visitor.go(`#/staff/users/${ada.id}`, 'Ada Lovelace');
    const browsers = sessions(visitor).filter({ hasText: 'Chrome on Linux' });
    await browsers.waitFor();
    assert.match(await browsers.innerText(), /Since .* last used .* 127\.0\.0\.1/);
    const before = await sessions(visitor).count();
    await look(page, '94-a-customer-with-sessions');
    await browsers.getByRole('button', { name: 'End the session of Chrome on Linux' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'End the session' }).click();
    await visitor.text('The session has ended.');
    assert.equal(await sessions(visitor).count(), before - 1);
    await customer.page.evaluate(() => (location.hash = '#/profile'));
    await customer.heading('Sign in');
    await visitor.go(`#/staff/audit?action=session_ended`, 'Audit log');
    await visitor.text(/ended a session of Ada Lovelace/);
    await visitor.leave();
    await customer.leave();
  });

  test('are only looked at by an auditor', async () => {
    const ann = await bank.customer({ name: 'Ann Auditor' });
    await bank.giveRole(ann, 'auditor');
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ann);
    await visitor.go(`#/staff/users/${ada.id}`, 'Ada Lovelace');
    await sessions(visitor).first().waitFor();
    assert.equal(await visitor.page.getByRole('button', { name: /^End the session of/ }).count(), 0);
    await visitor.leave();
  });

  test('are left out where the bank does not show them', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await page.route(/\/users\/[^/]+\/sessions\?/, (route) => route.fulfill({ status: 404, json: {} }));
    await visitor.signIn(boss);
    await visitor.heading(/Hello/);
    await visitor.go(`#/staff/users/${ada.id}`, 'Ada Lovelace');
    await page.getByRole('list', { name: 'Lately' }).waitFor();
    assert.equal(await page.getByRole('heading', { name: 'Sessions' }).isVisible(), false);
    await visitor.leave();
  });
});
