/** An account that changes while somebody looks at it, and the client that tells of it. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { Coffer, ProblemError } from '../../web/api/coffer.js';
import { Bank, PASSWORD } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

describe('a change of an account', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const deposit = (person, amount) =>
    bank.call('POST', '/deposit', { token: person.token, body: { account_number: person.number, amount } });

  async function client(person, options = {}) {
    const coffer = new Coffer({ baseUrl: bank.url, ...options });
    await coffer.signIn(person.email, PASSWORD);
    return coffer;
  }

  test('in one tab is seen in the other', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    const other = await visitor.openTab(`#/accounts/${ada.number}`);
    await visitor.heading('USD account', other);
    assert.equal(await other.locator('.balance').textContent(), '$100.00');
    await visitor.page.getByRole('link', { name: 'Pay in' }).click();
    await visitor.plan({ amount: '20', description: 'Birthday' });
    await visitor.confirm().click();
    await other.getByText('$120.00').first().waitFor();
    await other.getByRole('link', { name: 'Birthday' }).waitFor();
    // What the bank does shows, too: a label, and money that is held.
    await bank.call('PATCH', `/accounts/${ada.number}`, { token: ada.token, body: { label: 'Savings' } });
    await visitor.heading('Savings', other);
    await bank.call('POST', '/holds', { token: ada.token, body: { account_number: ada.number, amount: '5' } });
    await other.getByText('Held: $5.00').waitFor();
    await visitor.leave();
  });

  test('takes nothing away from whoever is using the page', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    const way = visitor.page.getByRole('link', { name: 'Pay out', exact: true });
    await way.focus();
    await deposit(ada, '1');
    await visitor.text('$101.00');
    assert.ok(await way.evaluate((link) => link === document.activeElement));
    await visitor.leave();
  });

  test('is not waited for once the screen is left, or cannot be seen', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    const waits = (request) => request.headers().prefer === 'wait=25';
    const begins = () => page.waitForRequest(waits);
    const ends = () => page.waitForEvent('requestfailed', waits);
    let begun = begins();
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await begun;
    let ended = ends();
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { configurable: true, value: true });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await ended;
    await deposit(ada, '1');
    begun = begins();
    await page.evaluate(() => {
      Object.defineProperty(document, 'hidden', { configurable: true, value: false });
      document.dispatchEvent(new Event('visibilitychange'));
    });
    await begun;
    await visitor.text('$101.00');
    ended = ends();
    await visitor.go('#/', `Hello, ${ada.name}`);
    await ended;
    await visitor.leave();
  });

  test('is told by the client, until its signal ends it', async () => {
    const ada = await bank.customer({ amount: '10' });
    const coffer = await client(ada);
    const told = new EventTarget();
    const seen = [];
    const watching = new AbortController();
    const next = async (act) => {
      const change = once(told, 'change');
      await act();
      await change;
      return seen.at(-1);
    };
    let ended;
    const first = await next(() => {
      ended = coffer.watchAccount(
        ada.number,
        (account) => (seen.push(account.balance), told.dispatchEvent(new Event('change'))),
        { signal: watching.signal },
      );
    });
    assert.equal(first, '10.00');
    assert.equal(await next(() => deposit(ada, '5')), '15.00');
    assert.equal(await next(() => deposit(ada, '5')), '20.00');
    watching.abort();
    await ended;
    await deposit(ada, '5');
    assert.deepEqual(seen, ['10.00', '15.00', '20.00']);
  });

  test('is told after the bank was away', async () => {
    const ada = await bank.customer({ amount: '10' });
    const coffer = await client(ada);
    const watching = new AbortController();
    const told = new EventTarget();
    const { etag } = await coffer.account(ada.number);
    const onChange = (account) => told.dispatchEvent(Object.assign(new Event('change'), { account }));
    const ended = coffer.watchAccount(ada.number, onChange, { signal: watching.signal, etag });
    await bank.stop();
    await bank.start();
    const change = once(told, 'change');
    await deposit(ada, '5');
    assert.equal((await change)[0].account.balance, '15.00');
    watching.abort();
    await ended;
  });

  test('ends for good where the bank refuses', async () => {
    const [ada, bob] = [await bank.customer(), await bank.customer()];
    const coffer = await client(bob);
    const { signal } = new AbortController();
    await assert.rejects(
      coffer.watchAccount(ada.number, () => {}, { signal }),
      (error) => error instanceof ProblemError && error.code === 'account_not_found',
    );
  });

  test('has a version that movements may expect', async () => {
    const ada = await bank.customer({ amount: '10' });
    const coffer = await client(ada);
    const { etag } = await coffer.balance(ada.number);
    assert.equal(etag, '"1"');
    assert.equal((await coffer.historyPage(ada.number)).etag, etag);
    assert.deepEqual(Object.keys(await coffer.account(ada.number)).includes('etag'), false);
    assert.equal(await coffer.account(ada.number, { ifNoneMatch: etag }), null);
    assert.equal(await coffer.balance(ada.number, undefined, { ifNoneMatch: etag }), null);
    assert.equal(await coffer.historyPage(ada.number, {}, { ifNoneMatch: etag }), null);
    const withdraw = () => coffer.withdraw({ account_number: ada.number, amount: '1' }, { ifMatch: etag });
    assert.equal((await withdraw()).balance, '9.00');
    const refused = await withdraw().catch((error) => error);
    assert.deepEqual([refused.status, refused.code, refused.etag], [412, 'balance_moved_on', '"2"']);
    const waiting = coffer.balance(ada.number, undefined, { ifNoneMatch: refused.etag, wait: 25 });
    await deposit(ada, '2');
    assert.equal((await waiting).balance, '11.00');
  });

  test('is asked for at a measured pace where something on the way spoils the waiting', async () => {
    const ada = await bank.customer({ amount: '10' });
    let asked = 0;
    const fetch = (url, init) => {
      if (init.headers.Prefer) asked += 1;
      // As a proxy might: the preference is lost on the way.
      const { Prefer, ...headers } = init.headers;
      return globalThis.fetch(url, { ...init, headers });
    };
    const coffer = await client(ada, { fetch });
    const watching = new AbortController();
    const ended = coffer.watchAccount(ada.number, () => {}, { signal: watching.signal });
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    watching.abort();
    await ended;
    assert.equal(asked, 1);
  });
});
