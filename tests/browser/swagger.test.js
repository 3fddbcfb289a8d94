/** Swagger UI by hand, with the examples as they stand. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank } from './bank.js';
import { openBrowser } from './visitor.js';

/** Where the operations of these tests go. The page asks for accounts by itself, too. */
const PATHS = {
  create_account: '/create_account',
  login: '/login',
  logout: '/logout',
  deposit: '/deposit',
  withdraw: '/withdraw',
  transfer: '/transfer',
  batch: '/transactions/batch',
  show_balance: '/balance',
};

describe('Swagger UI', () => {
  let bank, browser, page;
  const complaints = [];
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    page = await browser.newPage();
    page.on('pageerror', (error) => complaints.push(String(error)));
    await page.goto(`${bank.url}/swagger-ui/`);
    await page.locator('.opblock').first().waitFor();
  });
  after(async () => {
    await browser.close();
    await bank.close();
    assert.deepEqual(complaints, []);
  });

  /** Executes an operation as it stands; answers with status and body. */
  async function execute(id) {
    const operation = page.locator(`[id="${id}"]`);
    if (!(await operation.getByRole('button', { name: 'Execute' }).isVisible())) {
      await operation.locator('.opblock-summary-control').click();
    }
    const answered = page.waitForResponse(
      (response) => new URL(response.url()).pathname === PATHS[id.split('-').pop()],
    );
    await operation.getByRole('button', { name: 'Execute' }).click();
    const response = await answered;
    await operation.locator('.live-responses-table .response-col_status').first().waitFor();
    return { status: response.status(), body: response.status() === 204 ? null : await response.json() };
  }

  test('shows the tags in the order a newcomer needs them', async () => {
    const tags = await page.locator('.opblock-tag').evaluateAll((found) => found.map((tag) => tag.dataset.tag));
    assert.deepEqual(tags.slice(0, 3), ['Sign in', 'Money', 'History']);
  });

  test('goes from sign-up to a balance with the examples', async () => {
    const joined = await execute('operations-Sign_in-create_account');
    assert.equal(joined.status, 201);
    assert.equal((await execute('operations-Money-deposit')).status, 401);
    // That is all: whoever signs in is authorized.
    assert.equal((await execute('operations-Sign_in-login')).status, 200);
    const deposit = await execute('operations-Money-deposit');
    assert.equal(deposit.status, 201);
    assert.equal(deposit.body.account_number, joined.body.account.account_number);
    const balance = await execute('operations-Money-show_balance');
    assert.equal(balance.body.balance, deposit.body.balance);
    for (const id of ['operations-Money-withdraw', 'operations-Money-deposit', 'operations-Money-transfer']) {
      assert.equal((await execute(id)).status, 201, id);
    }
    const batch = await execute('operations-Money-batch');
    assert.deepEqual([batch.status, batch.body.refused], [200, 0]);
  });

  test('looks up what it has been shown last by the examples of ids', async () => {
    const paid = await execute('operations-Money-deposit');
    const operation = page.locator('[id="operations-History-show_transaction"]');
    await operation.locator('.opblock-summary-control').click();
    const answered = page.waitForResponse((response) => response.url().endsWith(`/transactions/${paid.body.id}`));
    await operation.getByRole('button', { name: 'Execute' }).click();
    assert.equal((await answered).status(), 200);
  });

  test('shows its logo in colours that can be told from the bar', async () => {
    const fills = await page
      .locator('.topbar svg g path')
      .evaluateAll((paths) => paths.map((path) => getComputedStyle(path).fill));
    assert.ok(fills.includes('rgb(255, 255, 255)') && fills.includes('rgb(133, 234, 45)'), String(fills));
    assert.ok(!fills.includes('rgb(0, 0, 0)'), String(fills));
  });

  test('is still signed in after a reload', async () => {
    await page.reload();
    await page.locator('.opblock').first().waitFor();
    assert.equal((await execute('operations-Money-deposit')).status, 201);
  });

  /** Everything that the page leaves in the browser. */
  const stored = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }]));

  async function signIn() {
    const { body } = await execute('operations-Sign_in-login');
    assert.match(await stored(), /eyJ/);
    return body.access_token;
  }

  async function reload() {
    await page.reload();
    await page.locator('.opblock').first().waitFor();
  }

  test('forgets the token at its own logout', async () => {
    assert.match(await stored(), /eyJ.*coffer-own-account/);
    await page.locator('.auth-wrapper .authorize').first().click();
    await page.locator('.dialog-ux').getByText('Logout', { exact: true }).click();
    assert.equal(await stored(), '[{},{}]');
    await reload();
    assert.equal((await execute('operations-Money-deposit')).status, 401);
  });

  test('forgets the token when the session is ended by the call for that', async () => {
    await signIn();
    assert.equal((await execute('operations-Sign_in-logout')).status, 204);
    assert.equal(await stored(), '[{},{}]');
    await reload();
    assert.equal((await execute('operations-Money-deposit')).body.code, 'missing_token');
  });

  test('forgets a token that the bank no longer takes', async () => {
    await reload();
    const token = await signIn();
    await bank.call('POST', '/logout', { token });
    assert.equal((await execute('operations-Money-show_balance')).body.code, 'invalid_token');
    assert.equal(await stored(), '[{},{}]');
  });
});
