/** What those see and do who look after customers. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { APPROVAL_ABOVE, Bank, PASSWORD, freshEmail } from './bank.js';
import { look } from './look.js';
import { totp } from './totp.js';
import { Visitor, openBrowser } from './visitor.js';
import { sentenceOf } from '../../web/domain/audit_words.js';

describe('the staff', () => {
  let bank, browser, boss, clerk, ada, bossEmail;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    bossEmail = freshEmail();
    bank.createAdmin(bossEmail);
    ada = await bank.customer({ amount: '50' });
    await bank.call('POST', '/accounts', { token: ada.token, body: { label: 'Savings', currency: 'EUR' } });
    clerk = await bank.customer({ name: 'Charles Clerk' });
    await bank.giveRole(clerk, 'staff');
    boss = await Visitor.arrive(browser, bank);
    await boss.signIn(bossEmail);
    await boss.heading(/Hello/);
  });
  after(async () => {
    await boss.leave();
    await browser.close();
    await bank.close();
  });

  test('is nothing that a customer sees', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    assert.equal(await visitor.page.getByRole('link', { name: 'Staff' }).count(), 0);
    await visitor.go('#/staff/customers', 'Customers');
    await visitor.page.locator('.part-failure').waitFor();
    await visitor.leave();
  });

  test('look a customer up', async () => {
    const { page } = boss;
    await page.getByRole('link', { name: 'Customers' }).click();
    await boss.heading('Customers');
    await page.locator('.people li').first().waitFor();
    await look(page, '27-staff');
    await page.getByLabel('Name, e-mail address or account number').fill('lovel');
    await page.waitForFunction(() => document.querySelectorAll('.people li').length === 1);
    await page.getByRole('link', { name: /Ada Lovelace/ }).click();
    await boss.heading('Ada Lovelace');
    await look(page, '28-customer');
  });

  test('begin with what the bank holds, and find a customer from there', async () => {
    const visitor = await Visitor.arrive(browser, bank, { viewport: { width: 390, height: 844 } });
    const { page } = visitor;
    await visitor.signedInAs(clerk);
    assert.match(page.url(), /#\/staff$/);
    await page.locator('.tiles').getByText('Held in USD').waitFor();
    await page.getByRole('link', { name: /waits? for approval/ }).click();
    await visitor.heading('Approvals');
    await visitor.go('#/staff', 'Hello, Charles Clerk');
    await page.getByRole('searchbox', { name: 'Find a customer' }).fill('lovel');
    await page.getByRole('button', { name: 'Find' }).click();
    await visitor.heading('Customers');
    await page.waitForFunction(() => document.querySelectorAll('.people li').length === 1);
    assert.equal(await page.getByLabel('Name, e-mail address or account number').inputValue(), 'lovel');
    // Of the ways that have no room, the one that is open is in sight.
    await visitor.go('#/staff/bank', 'The bank');
    const right = await page.locator('.tabs [aria-current]').evaluate((tab) => tab.getBoundingClientRect().right);
    assert.ok(right <= 390, `${right}`);
    await visitor.go('#/', 'My accounts');
    await page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .waitFor();
    await visitor.leave();
  });

  test('freeze and release a customer and an account', async () => {
    const { page } = boss;
    await page.getByRole('button', { name: 'Freeze', exact: true }).click();
    await page.getByRole('dialog').getByLabel('Reason').fill('Lost phone');
    await page.getByRole('dialog').getByRole('button', { name: 'Freeze' }).click();
    const release = page.getByRole('button', { name: 'Release', exact: true });
    await release.waitFor();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.text(/The bank has frozen your access/);
    await look(visitor.page, '29-frozen');
    await visitor.leave();
    await release.click();
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).click();
    await page.getByRole('button', { name: 'Freeze', exact: true }).waitFor();
    await page.getByRole('button', { name: `Freeze USD account ${ada.number}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Freeze' }).click();
    await page.getByRole('button', { name: `Release USD account ${ada.number}` }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Release' }).click();
    await page.getByRole('button', { name: `Freeze USD account ${ada.number}` }).waitFor();
  });

  test('act for a customer, and see for whom', async () => {
    const { page } = boss;
    await page
      .locator('.accounts')
      .getByRole('link', { name: /USD account/ })
      .click();
    await boss.text('You act for Ada Lovelace.');
    await look(page, '30-acting-for');
    await page.getByRole('link', { name: 'Pay in' }).click();
    await boss.heading('Pay in');
    await boss.plan({ amount: '25', description: 'At the counter' });
    await boss.confirm().click();
    await boss.text('+$25.00');
    assert.equal(await bank.balance(ada), '75.00');
  });

  test('see whose account it is, however they came there', async () => {
    const { page } = boss;
    await boss.go(`#/accounts/${ada.number}`, 'USD account');
    await boss.text('You act for Ada Lovelace.');
    assert.equal(await page.getByRole('button', { name: 'Rename' }).count(), 0);
    await boss.go(`#/accounts/${ada.number}/statement`, 'Statement');
    assert.match(await page.locator('.letterhead').innerText(), /Ada Lovelace/);
    const visitor = await Visitor.arrive(browser, bank);
    const auditor = await bank.customer({ name: 'Ann Auditor' });
    await bank.giveRole(auditor, 'auditor');
    await visitor.signedInAs(auditor);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('You look at an account of Ada Lovelace.');
    assert.equal(await visitor.page.getByRole('link', { name: 'Pay in' }).count(), 0);
    await visitor.leave();
  });

  test('need a second person for a large movement', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signIn(clerk.email);
    await visitor.heading('Hello, Charles Clerk');
    await visitor.go(`#/accounts/${ada.number}/deposit?for=${ada.id}`, 'Pay in');
    await visitor.plan({ amount: String(APPROVAL_ABOVE * 2), description: 'House sold' });
    await visitor.confirm().click();
    await visitor.text('it waits for approval');
    await visitor.text('Somebody else must decide.');
    await visitor.text('House sold');
    assert.equal(await bank.balance(ada), '75.00');
    await boss.go('#/staff/approvals', 'Approvals');
    await boss.text('House sold');
    await boss.text('Charles Clerk');
    await boss.text(/^To .* · Ada Lovelace$/);
    await look(boss.page, '31-approvals');
    await boss.page.getByRole('button', { name: /^Approve/ }).click();
    await boss.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await boss.text('Nothing waits');
    await look(boss.page, '32-no-approvals');
    assert.equal(await bank.balance(ada), '20075.00');
    await visitor.leave();
  });

  test('undo a mistake, once, and the customer sees both', async () => {
    const customer = await bank.customer({ name: 'Mary Somerville', amount: '75' });
    const { page } = boss;
    await boss.go(`#/accounts/${customer.number}?for=${customer.id}`, 'USD account');
    await page.getByRole('link', { name: /Salary/ }).click();
    await boss.heading('Deposit');
    await page.getByRole('button', { name: 'Reverse' }).click();
    await look(page, '39-reverse');
    await page.getByRole('dialog').getByLabel('Reason').fill('Booked twice');
    await page.getByRole('dialog').getByRole('button', { name: 'Reverse' }).dblclick();
    await boss.heading('Withdrawal');
    await look(page, '40-reversal');
    assert.match(await page.locator('.facts').innerText(), /Booked twice/);
    assert.equal(await page.getByRole('button', { name: 'Reverse' }).count(), 0);
    await page.getByRole('link', { name: 'an earlier movement' }).click();
    await boss.heading('Deposit');
    assert.equal(await page.getByRole('button', { name: 'Reverse' }).count(), 0);
    await page.getByRole('link', { name: 'by a later movement' }).waitFor();
    assert.equal(await bank.balance(customer), '0.00');
    assert.equal((await bank.movements(customer)).length, 2);
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(customer);
    await visitor.go(`#/accounts/${customer.number}`, 'USD account');
    await visitor.page.getByRole('link', { name: /Booked twice/ }).click();
    await visitor.heading('Withdrawal');
    assert.equal(await visitor.page.getByRole('button', { name: 'Reverse' }).count(), 0);
    await visitor.leave();
  });

  test('may say no to a large movement', async () => {
    const token = await bank.token(clerk.email);
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 2) };
    await bank.call('POST', '/deposit', { token, body });
    await boss.go('#/staff/customers', 'Customers');
    await boss.go('#/staff/approvals', 'Approvals');
    await boss.page.getByRole('button', { name: /^Reject/ }).click();
    await boss.page.getByRole('dialog').getByRole('button', { name: 'Reject' }).click();
    await boss.text('Nothing waits');
    await boss.page.getByText('Rejected', { exact: true }).click();
    await boss.page.locator('.chip.rejected').waitFor();
    assert.equal(await bank.balance(ada), '20075.00');
  });

  test('see who asked and how long it waits, and may take their own back', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    const token = await bank.token(clerk.email);
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 3), description: 'Boat sold' };
    const { id } = await bank.call('POST', '/deposit', { token, body });
    const { expires_at: end } = await bank.call('GET', `/approvals/${id}`, { token });
    const day = new Date(end).toLocaleDateString('en-US', { dateStyle: 'medium', timeZone: 'UTC' });
    await boss.go('#/staff/customers', 'Customers');
    await boss.go('#/staff/approvals', 'Approvals');
    await boss.text(`Asked for by Charles Clerk, ${clerk.email}`);
    await boss.text(`Waits until ${day}`);
    await visitor.signIn(clerk.email);
    await visitor.heading('Hello, Charles Clerk');
    await visitor.go('#/staff/approvals', 'Approvals');
    await visitor.text('Asked for by you');
    assert.equal(await page.getByRole('button', { name: /^(Approve|Reject)/ }).count(), 0);
    await look(page, '35-own-approval');
    await page.getByRole('button', { name: /^Take back/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
    await visitor.text('Nothing waits');
    assert.equal(await page.locator(':focus').innerText(), 'Approvals');
    await page.getByText('Rejected', { exact: true }).click();
    await visitor.text('Taken back by you');
    assert.equal(await bank.balance(ada), '20075.00');
    await visitor.leave();
  });

  test('see what nobody decided in time', async () => {
    const { page } = boss;
    const token = await bank.token(clerk.email);
    const body = { account_number: ada.number, amount: String(APPROVAL_ABOVE * 4), description: 'House sold late' };
    const { id } = await bank.call('POST', '/deposit', { token, body });
    const requested = await bank.call('GET', `/approvals/${id}`, { token });
    // A week is too long for a test: the bank's answer of then.
    const expired = { ...requested, status: 'expired', expires_at: '2026-01-08T12:00:00.000000Z' };
    await page.route('**/approvals?status=expired*', (route) =>
      route.fulfill({ json: { data: [expired], has_more: false, next_cursor: null } }),
    );
    await page.getByText('Expired', { exact: true }).click();
    await boss.text('Nobody had decided by Jan 8, 2026');
    await page.locator('.chip.expired').waitFor();
    assert.equal(await page.getByRole('button', { name: /^(Approve|Reject|Take back)/ }).count(), 0);
    assert.match(page.url(), /status=expired/);
    await look(page, '36-expired-approvals');
    await page.unroute('**/approvals?status=expired*');
    await boss.go('#/staff/customers', 'Customers');
    await boss.go('#/staff/approvals?status=expired', 'Approvals');
    await boss.text('Everything was decided in time.');
    await bank.call('POST', `/approvals/${requested.id}/reject`, { token });
  });

  test('need a second person to undo a large movement, who is told what it undoes', async () => {
    const customer = await bank.customer({ name: 'Sophie Germain', amount: String(APPROVAL_ABOVE + 1) });
    const { page } = boss;
    await boss.go(`#/accounts/${customer.number}?for=${customer.id}`, 'USD account');
    await page.getByRole('link', { name: /Salary/ }).click();
    await boss.heading('Deposit');
    await page.getByRole('button', { name: 'Reverse' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Reverse' }).click();
    await boss.heading('Approvals');
    const waiting = page.locator('.approval').filter({ hasText: 'Sophie Germain' });
    await waiting.getByRole('link', { name: 'an earlier movement' }).click();
    await boss.heading('Deposit');
    await boss.go('#/staff/approvals', 'Approvals');
    await waiting.getByRole('button', { name: /^Take back/ }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Take back' }).click();
    await waiting.waitFor({ state: 'detached' });
  });

  test('give roles by two admins and read the audit log', async () => {
    const { page } = boss;
    await boss.go(`#/staff/users/${clerk.id}`, 'Charles Clerk');
    await page.getByRole('button', { name: 'Change the role' }).click();
    await page.getByRole('dialog').getByLabel('Role').selectOption('auditor');
    await page.getByRole('dialog').getByRole('button', { name: 'Change the role' }).click();
    await boss.text('A second admin must approve it.');
    await boss.go('#/staff/approvals', 'Approvals');
    await boss.text('Role of auditor');
    await boss.text(/^For Charles Clerk/);
    await page.getByRole('button', { name: /^Take back/ }).waitFor();
    await look(page, '42-role-waits');
    const second = freshEmail();
    bank.createAdmin(second);
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signIn(second);
    await visitor.heading(/Hello/);
    await visitor.go('#/staff/approvals', 'Approvals');
    await visitor.page.getByRole('button', { name: /^Approve the role change/ }).click();
    await visitor.page.getByRole('dialog').getByRole('button', { name: 'Approve' }).click();
    await visitor.text('Nothing waits');
    await visitor.leave();
    await boss.go(`#/staff/users/${clerk.id}`, 'Charles Clerk');
    await page.locator('.title-row .chip').filter({ hasText: 'auditor' }).waitFor();
    await boss.go('#/staff/audit', 'Audit log');
    await boss.text(/changed the role of Charles Clerk/);
    await look(page, '33-audit-log');
    // Each opens to all that there is to know.
    const frozen = page.locator('.audit details').filter({ hasText: 'You froze Ada Lovelace' });
    await frozen.locator('summary').click();
    await frozen.getByText('user_frozen').waitFor();
    await frozen.locator('dd').filter({ hasText: 'Lost phone' }).waitFor();
    assert.match(await frozen.locator('.facts').innerText(), /Address\s+127\.0\.0\.1.*Hash\s+[0-9a-f]{64}/s);
    await look(page, '84-audit-record');
    await page.getByLabel('What happened').selectOption('user_frozen');
    await boss.text('Lost phone');
    const kinds = (await bank.call('GET', '/openapi.json')).components.schemas.Action.enum;
    const offered = await page
      .getByLabel('What happened')
      .locator('option')
      .evaluateAll((all) => all.map((each) => each.value).filter(Boolean));
    const [groups, single] = [
      offered.filter((value) => value.includes(',')),
      offered.filter((value) => !value.includes(',')),
    ];
    assert.deepEqual(single.toSorted(), kinds.toSorted());
    // And each is said in words of its own.
    const wordless = kinds.filter((action) =>
      sentenceOf({ action, concerns: [] }).some((part) => String(part).startsWith('did this')),
    );
    assert.deepEqual(wordless, []);
    assert.ok(
      groups.length > 3 &&
        groups
          .join()
          .split(',')
          .every((kind) => kinds.includes(kind)),
    );
    await page.getByLabel('What happened').selectOption('role_changed');
    await page.waitForFunction(() =>
      [...document.querySelectorAll('.sentence')].every((each) => / changed the role of /.test(each.textContent)),
    );
  });

  test('find what the audit log has about somebody, and take it along', async () => {
    const { page } = boss;
    const customer = await bank.customer({ name: 'Emmy Noether', amount: '5' });
    await boss.go(`#/staff/users/${customer.id}`, 'Emmy Noether');
    await page.getByRole('link', { name: 'All that the audit log has about them' }).click();
    await page.locator('.audit').getByText('became a customer').waitFor();
    const about = page.getByLabel('Person or account');
    assert.equal(await about.inputValue(), customer.id);
    const rows = () => page.locator('.audit li').evaluateAll((all) => all.map((row) => row.innerText));
    assert.ok((await rows()).every((row) => !row.includes('Lost phone')));
    // By address, by account, and by what nobody has.
    await about.fill(customer.email);
    await page.getByLabel('What happened').selectOption('account_opened');
    await page.waitForFunction(
      () =>
        document.querySelectorAll('.sentence').length === 1 &&
        /opened account/.test(document.querySelector('.sentence').textContent),
    );
    await about.fill(customer.number);
    await page.getByLabel('What happened').selectOption('');
    await page.locator('.sentence').first().waitFor();
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV' }).click(),
    ]);
    assert.match(download.suggestedFilename(), /^coffer-audit-\d{4}-\d{2}-\d{2}\.csv$/);
    const lines = readFileSync(await download.path(), 'utf8')
      .split('\r\n')
      .filter(Boolean);
    assert.match(lines[0], /^\ufeffsequence,created_at,action/);
    assert.ok(
      lines.length > 1 && lines.slice(1).every((line) => line.includes(customer.number) || line.includes('audit_read')),
      lines.join('\n'),
    );
    // By who did it.
    await page.getByText('More filters').click();
    await page.getByLabel('Done by').fill(bossEmail);
    await page.waitForFunction(() => {
      const all = [...document.querySelectorAll('.sentence')];
      return all.length > 0 && all.every((each) => each.textContent.startsWith('you '));
    });
    await page.getByLabel('By the API key, or to it').fill('not an id');
    await boss.text('Enter the whole id of a key.');
    await page.getByRole('button', { name: 'Clear the filters' }).click();
    await about.fill('nobody.of.that.name@example.com');
    await boss.text('Nobody is found by that.');
    await boss.text('No records');
  });

  test('read the audit log on a phone without moving it sideways', async () => {
    const visitor = await Visitor.arrive(browser, bank, { viewport: { width: 320, height: 700 } });
    await visitor.signIn(bossEmail);
    await visitor.heading(/Hello/);
    // Long words from outside: a request's id, a name without a space.
    await bank.call('PATCH', `/accounts/${ada.number}`, { token: ada.token, body: { label: 'W'.repeat(50) } });
    await visitor.go('#/staff/audit', 'Audit log');
    await visitor.page.locator('.sentence').first().waitFor();
    const overhang = () =>
      visitor.page.evaluate(() => {
        const frame = document.querySelector('.audit');
        return [document.documentElement.scrollWidth - innerWidth, frame.scrollWidth - frame.clientWidth];
      });
    assert.deepEqual(await overhang(), [0, 0]);
    await look(visitor.page, '41-audit-log-on-a-phone');
    await visitor.leave();
  });

  test('make customers, where people do not sign up themselves', async (t) => {
    const closed = await Bank.open({ COFFER_SIGN_UP: 'staff', COFFER_SWAGGER_UI: 'false' });
    t.after(() => closed.close());
    const email = freshEmail();
    closed.createAdmin(email);
    const stranger = await Visitor.arrive(browser, closed);
    await stranger.heading('Sign in');
    await stranger.text('please ask its staff');
    assert.equal(await stranger.page.getByRole('link', { name: 'Open an account' }).count(), 0);
    await look(stranger.page, '42-sign-up-by-staff');
    await stranger.page.evaluate(() => (location.hash = '#/sign-up'));
    await stranger.heading('Sign in');
    await stranger.leave();

    const visitor = await Visitor.arrive(browser, closed);
    const { page } = visitor;
    await visitor.signIn(email);
    await visitor.heading(/Hello/);
    await visitor.go('#/staff/customers', 'Customers');
    await page.getByRole('button', { name: 'New customer' }).click();
    await look(page, '43-new-customer');
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Their name').fill('Grace Hopper');
    const customer = freshEmail();
    await dialog.getByLabel('Their e-mail address').fill(customer);
    await dialog.getByRole('button', { name: 'Open the account' }).click();
    const handedOver = page.getByRole('dialog', { name: 'A link for Grace Hopper' });
    const link = await handedOver.locator('code').innerText();
    await look(page, '44-a-link-for-a-customer');
    await handedOver.getByRole('button', { name: 'I have kept it' }).click();
    await visitor.heading('Grace Hopper');

    const grace = await Visitor.arrive(browser, closed);
    await grace.page.goto(link);
    await grace.heading('Set your password');
    await look(grace.page, '45-set-your-password');
    await grace.page.getByLabel('New password', { exact: true }).fill(PASSWORD);
    await grace.page.getByRole('button', { name: 'Set the password' }).click();
    await grace.signIn(customer);
    await grace.heading(/Hello/);
    await grace.leave();
    const again = await Visitor.arrive(browser, closed);
    await again.page.goto(link);
    await again.page.getByLabel('New password', { exact: true }).fill(PASSWORD);
    await again.page.getByRole('button', { name: 'Set the password' }).click();
    await again.text(/There is no such link/);
    await again.leave();

    await page.getByRole('button', { name: 'Open an account' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('Travel');
    await page.getByRole('dialog').getByRole('button', { name: 'Open the account' }).click();
    await page.getByRole('link', { name: /Travel/ }).waitFor();
    await page.getByLabel('A note').fill('Called about a lost card');
    await page.getByRole('button', { name: 'Note it' }).click();
    await page.getByRole('list', { name: 'Notes' }).getByText('Called about a lost card').waitFor();
    await look(page, '46-a-customer-with-notes');
    // She has lost it: a second admin must agree to a link.
    await page.getByRole('button', { name: 'Link to set a password' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Make the link' }).click();
    await visitor.text(/A second admin must approve it/);
    await visitor.go('#/staff/approvals', 'Approvals');
    await visitor.text('Link to set a password');
    await visitor.leave();
  });

  test('whose role takes a second factor are led to it, and then have their rights', async (t) => {
    const strict = await Bank.open({ COFFER_STAFF_SECOND_FACTOR: 'true' });
    t.after(() => strict.close());
    const email = freshEmail();
    strict.createAdmin(email);
    const visitor = await Visitor.arrive(browser, strict);
    const { page } = visitor;
    await visitor.signIn(email);
    await visitor.heading('Second factor');
    await visitor.text('Your role needs a second factor.');
    await page.evaluate(() => (location.hash = '#/staff'));
    await visitor.heading('Second factor');
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByLabel('Code').fill(totp(await page.locator('.secret').innerText()));
    await page.getByRole('button', { name: 'Turn on' }).click();
    await page.getByRole('button', { name: 'I have kept them' }).click();
    await visitor.heading('Profile');
    await page.getByRole('link', { name: 'Staff' }).click();
    await visitor.heading(/Hello/);
    await visitor.leave();
  });
});
