/** Money moves once, and exactly as it was typed. */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { Bank, PASSWORD } from './bank.js';
import { openCuttingProxy } from './cutting_proxy.js';
import { groupDigits } from '../../web/domain/account_number.js';
import { look } from './look.js';
import { Visitor, openBrowser } from './visitor.js';

describe('money', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** Somebody signed in, at the form of a movement. */
  async function at(kind, person, options) {
    const visitor = await Visitor.arrive(browser, bank, options);
    await visitor.signedInAs(person);
    await visitor.go(
      `#/accounts/${person.number}/${kind}`,
      { deposit: 'Pay in', withdraw: 'Pay out', transfer: 'Transfer' }[kind],
    );
    return visitor;
  }

  test('moves once by a double click', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    await visitor.plan({ amount: '30' });
    await visitor.confirm().dblclick();
    await visitor.text('-$30.00');
    assert.equal(await bank.balance(ada), '70.00');
    await visitor.leave();
  });

  test('moves once by a double click that beats the script, too', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    await visitor.plan({ amount: '30' });
    await visitor.page.evaluate(() => {
      const form = document.querySelector('.review');
      for (let press = 0; press < 5; press++) form.dispatchEvent(new Event('submit', { cancelable: true }));
    });
    await visitor.text('-$30.00');
    assert.equal(await bank.balance(ada), '70.00');
    await visitor.leave();
  });

  test('moves once when the answers get lost and it is tried again', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    const { page } = visitor;
    const keys = new Set();
    let lost = 0;
    await page.route('**/withdraw', async (route) => {
      keys.add(route.request().headers()['idempotency-key']);
      const response = await route.fetch();
      if (++lost <= 6) return route.abort('connectionreset');
      return route.fulfill({ response });
    });
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    const again = page.getByRole('button', { name: 'Try again' });
    await again.waitFor();
    await visitor.text(/Trying again is safe/);
    assert.equal(await page.getByRole('button', { name: 'Change' }).count(), 0);
    await look(page, '25-uncertain');
    await again.click();
    await visitor.text('-$30.00');
    assert.equal(keys.size, 1);
    assert.equal(await bank.balance(ada), '70.00');
    await visitor.leave();
  });

  test('moves once when the answers break off and it is tried again', async (t) => {
    const ada = await bank.customer({ amount: '100' });
    let isBroken = true;
    const keys = new Set();
    const proxy = await openCuttingProxy(bank.url, ({ url, headers }) => {
      if (url !== '/withdraw') return false;
      keys.add(headers['idempotency-key']);
      return isBroken;
    });
    t.after(proxy.close);
    const visitor = await Visitor.arrive(browser, proxy);
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    const again = visitor.page.getByRole('button', { name: 'Try again' });
    await again.waitFor();
    await visitor.text(/It is not certain whether the bank has done it/);
    isBroken = false;
    await again.click();
    await visitor.text('-$30.00');
    assert.equal(keys.size, 1);
    assert.equal(await bank.balance(ada), '70.00');
    await visitor.leave();
  });

  test('does not move again by the back button', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    await visitor.text('-$30.00');
    await visitor.page.goBack();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.page.goForward();
    await visitor.text('-$30.00');
    assert.equal((await bank.movements(ada)).length, 2);
    await visitor.leave();
  });

  test('is refused beside the field when there is too little', async () => {
    const ada = await bank.customer({ amount: '5' });
    const visitor = await at('withdraw', ada);
    await visitor.page.getByLabel('Amount in USD').fill('7');
    await visitor.page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('There is $5.00 available on this account.');
    await look(visitor.page, '26-too-little');
    await visitor.leave();
  });

  test('is refused by the bank when it has gone meanwhile, and the plan can be changed', async () => {
    const ada = await bank.customer({ amount: '5' });
    const visitor = await at('withdraw', ada);
    await visitor.plan({ amount: '4' });
    await bank.call('POST', '/withdraw', { token: ada.token, body: { account_number: ada.number, amount: '3' } });
    await visitor.confirm().click();
    await visitor.text(/There is \$2\.00 available on this account/);
    await visitor.page.getByRole('button', { name: 'Change' }).click();
    await visitor.plan({ amount: '2' });
    await visitor.confirm().click();
    await visitor.text('-$2.00');
    assert.equal(await bank.balance(ada), '0.00');
    await visitor.leave();
  });

  test('moves once when an answer gets lost and the bank then asks to wait', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    const { page } = visitor;
    const problem = { status: 429, code: 'too_many_movements', title: 'Too many', detail: 'Too many movements.' };
    let asked = 0;
    await page.route('**/withdraw', async (route) => {
      await route.fetch();
      if (asked++ === 0) return route.abort('connectionreset');
      const headers = { 'Retry-After': '600', 'Content-Type': 'application/problem+json' };
      return route.fulfill({ status: 429, headers, body: JSON.stringify(problem) });
    });
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    await visitor.text(/Please try again in 10 minutes\. It is not certain/);
    assert.equal(await page.getByRole('button', { name: 'Change' }).count(), 0);
    await page.unroute('**/withdraw');
    await page.getByRole('button', { name: 'Try again' }).click();
    await visitor.text('-$30.00');
    assert.equal(await bank.balance(ada), '70.00');
    await visitor.leave();
  });

  test('can be planned anew when it is tried again and refused, and only then', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await at('withdraw', ada);
    const { page } = visitor;
    let answer = (route) => route.abort('connectionreset');
    await page.route('**/withdraw', (route) => answer(route));
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    const again = page.getByRole('button', { name: 'Try again' });
    await again.waitFor();
    // This is refused before the bank looks for the movement: whether it was booked is as uncertain as before.
    const problem = { status: 403, code: 'access_frozen', title: 'Frozen', detail: 'Your access is frozen.' };
    const contentType = 'application/problem+json';
    answer = (route) => route.fulfill({ status: 403, contentType, body: JSON.stringify(problem) });
    await again.click();
    await visitor.text(/Your access is frozen\. It is not certain/);
    assert.equal(await page.getByRole('button', { name: 'Change' }).count(), 0);
    answer = (route) => route.continue();
    await bank.call('POST', '/withdraw', { token: ada.token, body: { account_number: ada.number, amount: '90' } });
    await again.click();
    await visitor.text(/There is \$10\.00 available on this account/);
    await page.locator('.review .effect').getByText('$10.00', { exact: true }).waitFor();
    await page.getByRole('button', { name: 'Change' }).click();
    await visitor.plan({ amount: '10' });
    await visitor.confirm().click();
    await visitor.text('-$10.00');
    assert.equal(await bank.balance(ada), '0.00');
    await visitor.leave();
  });

  test('goes to a mistyped account number never', async () => {
    const ada = await bank.customer({ amount: '5' });
    const bob = await bank.customer({ name: 'Bob' });
    const visitor = await at('transfer', ada);
    const number = visitor.page.getByLabel('Receiver’s account number');
    await number.fill(bob.number.slice(0, 13) + ((Number(bob.number[13]) + 1) % 10));
    await visitor.page.getByLabel('Amount in USD').fill('1');
    await visitor.page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('A digit is mistyped: the check digits do not fit.');
    await number.fill(bob.number.replace(/(....)/g, '$1 '));
    await visitor.plan({ amount: '1' });
    await visitor.confirm().click();
    await visitor.text('-$1.00');
    assert.equal(await bank.balance(bob), '1.00');
    await visitor.leave();
  });

  test('asks for the name by which to remember somebody before it goes to them', async () => {
    const ada = await bank.customer({ amount: '5' });
    const bob = await bank.customer({ name: 'Bob' });
    const visitor = await at('transfer', ada);
    const { page } = visitor;
    await page.getByLabel('Receiver’s account number').fill(bob.number);
    await page.getByLabel('Next time').selectOption('Remember them by this name');
    await page.getByLabel('Amount in USD').fill('1');
    await page.getByRole('button', { name: 'Review' }).click();
    await page.locator('[data-field=receiver_name] .error').getByText('Enter the name').waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.name), 'receiver_name');
    await page.getByLabel('Receiver’s name').fill('Bob');
    await page.getByRole('button', { name: 'Review' }).click();
    await visitor.confirm().click();
    await visitor.text('-$1.00');
    const { data } = await bank.call('GET', '/me/payees', { token: ada.token });
    assert.deepEqual(
      data.map(({ name }) => name),
      ['Bob'],
    );
    await visitor.leave();
  });

  test('goes to somebody new after a look at the name, and to them again by it', async () => {
    const ada = await bank.customer({ amount: '5' });
    const bob = await bank.customer({ name: 'Bob Babbage' });
    const visitor = await at('transfer', ada);
    const { page } = visitor;
    await page.getByLabel('Receiver’s account number').fill(bob.number);
    await page.getByLabel('Receiver’s name').fill('Bob Babage');
    await page.getByLabel('Next time').selectOption('Remember them by this name');
    await visitor.plan({ amount: '1' });
    await visitor.text('Nearly: the account is that of Bob Babbage.');
    await look(page, '82-name-check');
    await visitor.confirm().click();
    await visitor.text('-$1.00');
    await visitor.go(`#/accounts/${ada.number}/transfer`, 'Transfer');
    await page.getByLabel('To', { exact: true }).selectOption({ label: `Bob Babage · ${groupDigits(bob.number)}` });
    await visitor.plan({ amount: '2' });
    await visitor.confirm().click();
    await visitor.text('-$2.00');
    assert.equal(await bank.balance(bob), '3.00');
    await visitor.go('#/profile', 'Profile');
    await look(page, '83-payees');
    await page.getByRole('button', { name: 'Forget Bob Babage' }).click();
    await visitor.text('Bob Babage is forgotten.');
    await visitor.leave();
  });

  test('is written as people of the locale write it, and sent exactly', async () => {
    const ada = await bank.customer({ currency: 'EUR' });
    const visitor = await at('deposit', ada, { locale: 'de-DE' });
    await visitor.plan({ amount: '1.234,50' });
    await visitor.text('1.234,50 €');
    await visitor.confirm().click();
    await visitor.text('+1.234,50 €');
    assert.equal(await bank.balance(ada), '1234.50');
    await visitor.leave();
  });

  test('is read whole on a phone, however much it is', async () => {
    const ada = await bank.customer({ amount: '987654321.09' });
    const visitor = await at('withdraw', ada, { locale: 'en-GB', viewport: { width: 390, height: 844 } });
    const isCut = (selector) =>
      visitor.page
        .locator(selector)
        .evaluateAll((found) => found.some((each) => each.scrollWidth > each.clientWidth + 1));
    await visitor.page.getByLabel('Amount in USD').fill('1');
    assert.equal(await isCut('.effect dd'), false);
    await visitor.go('#/', 'Hello, Ada Lovelace');
    assert.equal(await isCut('.accounts a'), false);
    assert.equal(
      await visitor.page.locator('.accounts .number').evaluate((number) => number.getClientRects().length),
      1,
    );
    await look(visitor.page, '39-much-money');
    await visitor.leave();
  });

  test('has as many decimals as its currency', async () => {
    const ada = await bank.customer({ currency: 'JPY' });
    const visitor = await at('deposit', ada);
    await visitor.page.getByLabel('Amount in JPY').fill('100.5');
    await visitor.page.getByRole('button', { name: 'Review' }).click();
    await visitor.text('This currency has no decimals. Enter a whole number.');
    await visitor.plan({ amount: '1,000' });
    await visitor.confirm().click();
    await visitor.text('+¥1,000');
    assert.equal(await bank.balance(ada), '1000');
    await visitor.leave();
  });

  test('is read right, whatever is typed', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    const read = (text, decimals, locale) =>
      visitor.page.evaluate(
        async (of) => {
          const { parseMoney, notationOf } = await import('/web/domain/money.js');
          try {
            return parseMoney(of.text, of.decimals, notationOf(of.locale));
          } catch (error) {
            return error.constructor.name;
          }
        },
        { text, decimals, locale },
      );
    const cases = [
      ['1,234.50', 2, 'en-US', '1234.50'],
      ['1.234,50', 2, 'en-US', '1234.50'],
      ['1,234', 2, 'en-US', '1234.00'],
      ['1.234', 2, 'en-US', 'AmountError'],
      ['1.234', 3, 'en-US', '1.234'],
      ['$ 12', 2, 'en-US', '12.00'],
      ['1.234,50', 2, 'de-DE', '1234.50'],
      ['1,234.50', 2, 'de-DE', '1234.50'],
      ['1.234', 2, 'de-DE', '1234.00'],
      ['1,234', 3, 'de-DE', '1.234'],
      ['12.5', 2, 'de-DE', '12.50'],
      ['5 €', 2, 'de-DE', '5.00'],
      ['1\u202f234,5', 2, 'fr-FR', '1234.50'],
      ['1’234.50', 2, 'de-CH', '1234.50'],
      ['1,23,456.7', 2, 'en-IN', '123456.70'],
      ['١٬٢٣٤٫٥', 2, 'ar-EG', '1234.50'],
      ['.5', 2, 'en-US', '0.50'],
      ['007', 0, 'en-US', '7'],
      ['92233720368547758.07', 2, 'en-US', '92233720368547758.07'],
      ['', 2, 'en-US', 'AmountError'],
      ['0.00', 2, 'en-US', 'AmountError'],
      ['-5', 2, 'en-US', 'AmountError'],
      ['1e5', 2, 'en-US', 'AmountError'],
      ['1.2.3', 2, 'en-US', 'AmountError'],
      ['1,2,3', 2, 'en-US', 'AmountError'],
      ['0,500', 2, 'en-US', 'AmountError'],
      ['<b>5</b>', 2, 'en-US', 'AmountError'],
    ];
    for (const [text, decimals, locale, expected] of cases)
      assert.equal(await read(text, decimals, locale), expected, `${text} in ${locale}`);
    await visitor.leave();
  });

  test('moves by keyboard alone', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    /** Presses Tab until the focus, which must be seen, is on what is called `name`. */
    const tabTo = async (name) => {
      for (let presses = 0; presses < 30; presses++) {
        await page.keyboard.press('Tab');
        const { words, outline } = await page.evaluate(() => {
          const { activeElement: at } = document;
          return { words: at.labels?.[0]?.innerText ?? at.innerText, outline: getComputedStyle(at).outlineStyle };
        });
        assert.equal(outline, 'solid', `the focus cannot be seen on ${words}`);
        if (words.includes(name)) return;
      }
      assert.fail(`Tab does not lead to ${name}`);
    };
    const type = (text) => page.keyboard.type(text);
    const enter = () => page.keyboard.press('Enter');
    await visitor.heading('Sign in');
    await tabTo('E-mail address');
    await type(ada.email);
    await tabTo('Password');
    await type(PASSWORD);
    await enter();
    await visitor.heading('Hello, Ada Lovelace');
    await page.locator('.hero .skeleton').waitFor({ state: 'detached' });
    await tabTo('USD account');
    await enter();
    await visitor.heading('USD account');
    await tabTo('Pay out');
    await enter();
    await visitor.heading('Pay out');
    await tabTo('Amount in USD');
    await type('12');
    await enter();
    await page.locator('.review').waitFor();
    await tabTo('Confirm withdrawal');
    await enter();
    await visitor.text('-$12.00');
    assert.equal(await bank.balance(ada), '88.00');
    await visitor.leave();
  });

  test('of a history too long to draw is drawn at moments, as it was', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    // Two accounts of a bank that books an hour of a year's movements each, and counts what is asked of it.
    const drawn = await visitor.page.evaluate(async () => {
      const { totalSince } = await import('/web/domain/balances.js');
      const [HOUR_MS, LINES] = [3_600_000, 365 * 24];
      const now = Date.now();
      const opened = now - LINES * HOUR_MS - 1;
      const entry = (sequence) => ({
        sequence,
        balance: `${sequence}.00`,
        created_at: new Date(opened + sequence * HOUR_MS).toISOString(),
      });
      const account = { sequence: LINES, balance: `${LINES}.00`, opened_at: new Date(opened).toISOString() };
      let requests = 0;
      const historyPage = async (number, { to }) => {
        requests++;
        const sequence = Math.ceil((Date.parse(to) - opened) / HOUR_MS) - 1;
        return { data: sequence > 0 ? [entry(sequence)] : [] };
      };
      const accounts = [
        { ...account, account_number: '1' },
        { ...account, account_number: '2' },
      ];
      const { points, isSampled } = await totalSince({ historyPage }, accounts, 0, new AbortController().signal);
      const asItWas = points.slice(0, -1).map(({ at }) => 200 * Math.max(0, Math.ceil((at - opened) / HOUR_MS) - 1));
      return {
        isSampled,
        requests,
        minor: points.map(({ minor }) => Number(minor)),
        expected: [...asItWas, 200 * LINES],
      };
    });
    assert.equal(drawn.isSampled, true);
    assert.deepEqual(drawn.minor, drawn.expected);
    assert.equal(drawn.minor.length, 92);
    assert.ok(drawn.requests <= 200, `${drawn.requests} requests`);
    await visitor.leave();
  });

  test('of a long period is not drawn, but taken along as a file', async () => {
    const ada = await bank.customer({ amount: '5000' });
    const withdrawal = { type: 'withdrawal', account_number: ada.number, amount: '1' };
    const batch = { atomic: true, transactions: Array(1_000).fill(withdrawal) };
    for (let half = 0; half < 2; half++)
      await bank.call('POST', '/transactions/batch', { token: ada.token, body: batch });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.text(/^Too many movements to draw each/);
    assert.match(await page.getByRole('img', { name: /^Balance/ }).getAttribute('aria-label'), /\$3,000\.00 now/);
    await look(page, '37-long-history-chart');
    await visitor.go(`#/accounts/${ada.number}/statement`, 'Statement');
    await visitor.text('2,001 movements are too many for a page');
    assert.match(await page.locator('.sums').innerText(), /\$0\.00[\s\S]*\$3,000\.00/);
    assert.equal(await page.locator('.sheet table').count(), 0);
    await look(page, '38-long-statement');
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'CSV' }).click(),
    ]);
    assert.equal(
      readFileSync(await file.path(), 'utf8')
        .trim()
        .split('\r\n').length,
      1 + 1 + 2_001 + 1,
    );
    const yesterday = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const shorter = page.getByRole('button', { name: 'Choose a shorter period' });
    // On the first day of a month the month is one day long, and no period is shorter.
    if (await shorter.count()) {
      await shorter.click();
      assert.equal(await page.locator(':focus').getAttribute('name'), 'from');
    } else {
      await page.getByText('Other', { exact: true }).click();
      await page.getByLabel('First day').fill(yesterday);
    }
    await page.getByLabel('Last day').fill(yesterday);
    await page.getByRole('button', { name: 'Show', exact: true }).click();
    await visitor.text('No movements in this period.');
    await visitor.leave();
  });

  test('of 2,000 movements is drawn whole', async () => {
    const ada = await bank.customer({ amount: '5000' });
    const withdrawal = { type: 'withdrawal', account_number: ada.number, amount: '1' };
    for (const count of [1_000, 999]) {
      await bank.call('POST', '/transactions/batch', {
        token: ada.token,
        body: { atomic: true, transactions: Array(count).fill(withdrawal) },
      });
    }
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.page.locator('.u-over').waitFor();
    assert.equal(await visitor.page.getByText('Too many movements').count(), 0);
    await visitor.go(`#/accounts/${ada.number}/statement`, 'Statement');
    await visitor.page.waitForFunction(() => document.querySelectorAll('.sheet tbody tr').length === 2_000);
    await visitor.page.getByRole('button', { name: 'Print' }).waitFor();
    await visitor.leave();
  });

  test('of a long history appears as one scrolls', async () => {
    const ada = await bank.customer({ amount: '1000' });
    const withdrawal = { type: 'withdrawal', account_number: ada.number, amount: '1' };
    await bank.call('POST', '/transactions/batch', {
      token: ada.token,
      body: { atomic: true, transactions: Array(180).fill(withdrawal) },
    });
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.text('$820.00');
    await visitor.page.waitForFunction(() => {
      scrollTo(0, document.body.scrollHeight);
      return document.querySelectorAll('.passbook .what').length === 181;
    });
    await visitor.page.locator('.passbook').getByText('Salary').waitFor();
    await visitor.leave();
  });
});
