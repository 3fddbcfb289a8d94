/** Small screens: large amounts and long texts are read whole, and the bar at the bottom covers nothing one is at. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank } from './bank.js';
import { cutTexts } from './cut.js';
import { Visitor, openBrowser } from './visitor.js';

const LONG = 'Salary with a very long description: Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen';

describe('a small screen', () => {
  let bank, browser, ada, clerk;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
    ada = await bank.customer({ name: 'Wolfeschlegelsteinhausenbergerdorff Wolfe+585, Senior', currency: 'KWD' });
    clerk = await bank.customer({ name: 'Clerk' });
    await bank.giveRole(clerk, 'staff');
    const body = { account_number: ada.number, amount: '999999999.999', description: LONG };
    for (let times = 0; times < 3; times++) await bank.call('POST', '/deposit', { token: ada.token, body });
    await bank.call('POST', '/accounts', { token: ada.token, body: { currency: 'USD' } });
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  const at = (width) => Visitor.arrive(browser, bank, { viewport: { width, height: 740 } });

  for (const width of [320, 360, 768]) {
    test(`of ${width} pixels shows large amounts and long texts whole`, async () => {
      const visitor = await at(width);
      const { page } = visitor;
      await visitor.signedInAs(ada);
      for (const [hash, heading] of [
        ['#/', /^Hello/],
        [`#/accounts/${ada.number}`, 'KWD account'],
        [`#/accounts/${ada.number}/statement`, 'Statement'],
        [`#/accounts/${ada.number}/settings`, 'Settings'],
        ['#/profile', 'Profile'],
      ]) {
        await visitor.go(hash, heading);
        await page.locator('[aria-busy=true], .skeleton').first().waitFor({ state: 'detached' });
        assert.deepEqual(await cutTexts(page), [], hash);
      }
      await visitor.leave();
    });

    test(`of ${width} pixels shows the staff all movements whole`, async () => {
      const visitor = await at(width);
      await visitor.signIn(clerk.email);
      await visitor.heading(/^Hello/);
      await visitor.go('#/staff/movements', 'All movements');
      await visitor.text(LONG);
      assert.deepEqual(await cutTexts(visitor.page), []);
      await visitor.leave();
    });
  }

  test('shows what the keyboard comes to above the bar at the bottom', async () => {
    const visitor = await at(360);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await page.getByRole('list', { name: 'Sessions' }).waitFor();
    await page.getByLabel('Name', { exact: true }).focus();
    let steps = 0;
    for (;;) {
      await page.keyboard.press('Tab');
      const { isEnd, bottom, bar } = await page.evaluate(() => ({
        isEnd: document.activeElement === document.body,
        bottom: document.activeElement.getBoundingClientRect().bottom,
        bar: document.querySelector('#header nav').getBoundingClientRect().top,
      }));
      if (isEnd) break;
      assert.ok(bottom <= bar, `${bottom} is below ${bar}`);
      steps += 1;
    }
    assert.ok(steps > 10, `after ${steps} steps`);
    await visitor.leave();
  });
});
