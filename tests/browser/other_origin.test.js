/** Pages of other origins that the bank lets call. */

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { after, before, describe, test } from 'node:test';
import { Bank, PASSWORD } from './bank.js';
import { openBrowser } from './visitor.js';

const EXAMPLE = readFileSync(new URL('../../examples/fetch.html', import.meta.url));

describe('a page of another origin', () => {
  let bank, browser, site, origin;
  before(async () => {
    site = createServer((_, answer) => answer.setHeader('Content-Type', 'text/html').end(EXAMPLE)).listen(
      0,
      '127.0.0.1',
    );
    await once(site, 'listening');
    origin = `http://127.0.0.1:${site.address().port}`;
    bank = await Bank.open({ COFFER_CORS_ORIGINS: origin });
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
    site.close();
  });

  test('shows a balance by plain fetch', async () => {
    const ada = await bank.customer({ amount: '12.50' });
    const page = await browser.newPage();
    await page.goto(origin);
    await page.getByLabel('Bank').fill(bank.url);
    await page.getByLabel('E-mail address').fill(ada.email);
    await page.getByLabel('Password').fill('wrong as can be');
    await page.getByRole('button').click();
    await page.getByText('The e-mail address or the password is wrong.').waitFor();
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button').click();
    await page.getByText(`${ada.number}: 12.50 USD`).waitFor();
  });

  test('imports the client from the running bank', async () => {
    const ada = await bank.customer({ amount: '7' });
    const page = await browser.newPage();
    await page.goto(origin);
    const balance = await page.evaluate(
      async ({ module, email, password }) => {
        const { Coffer } = await import(module);
        const coffer = new Coffer();
        await coffer.signIn(email, password);
        const history = coffer.history((await coffer.allAccounts())[0].account_number);
        const { value: entry } = await history.next();
        return entry.balance;
      },
      { module: `${bank.url}/web/api/coffer.js`, email: ada.email, password: PASSWORD },
    );
    assert.equal(balance, '7.00');
  });

  test('is not answered if the bank does not know it', async () => {
    const page = await browser.newPage();
    await page.goto(`${origin.replace('127.0.0.1', 'localhost')}/`);
    const outcome = await page.evaluate(
      (url) =>
        fetch(`${url}/livez`).then(
          () => 'answered',
          (error) => error.name,
        ),
      bank.url,
    );
    assert.equal(outcome, 'TypeError');
  });
});
