/** Leaving a screen: its questions are answered with No, and what is under way is told, and does not call one back. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { groupDigits } from '../../web/domain/account_number.js';
import { Bank } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

/** Closed until it is opened. */
function gate() {
  let open;
  const opened = new Promise((resolve) => (open = resolve));
  return { opened, open };
}

describe('leaving a screen', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  async function signedIn(person) {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(person);
    return visitor;
  }
  const noDialog = (page) => page.getByRole('dialog').waitFor({ state: 'detached' });

  test('closes the question about an account, which names it', async () => {
    const ada = await bank.customer();
    const visitor = await signedIn(ada);
    const { page } = visitor;
    await visitor.go(`#/accounts/${ada.number}`, 'USD account');
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    await page.getByRole('button', { name: 'Close' }).click();
    await page.getByRole('dialog', { name: 'Close USD account?' }).getByText(groupDigits(ada.number)).waitFor();
    await page.goBack();
    await visitor.heading('USD account');
    await noDialog(page);
    assert.equal((await bank.call('GET', `/accounts/${ada.number}`, { token: ada.token })).status, 'open');
    await visitor.leave();
  });

  test('is a No to the question who one is, and the money stays', async () => {
    const ada = await bank.customer({ amount: '100' });
    await bank.call('PATCH', '/me', { token: ada.token, body: { confirm_above: '10' } });
    const visitor = await signedIn(ada);
    const { page } = visitor;
    bank.forgetProofs();
    await page.reload();
    await visitor.heading('Hello, Ada Lovelace');
    await visitor.go(`#/accounts/${ada.number}/withdraw`, 'Pay out');
    await visitor.plan({ amount: '30' });
    await visitor.confirm().click();
    await page.getByRole('dialog', { name: 'Confirm that it is you' }).waitFor();
    await page.goBack();
    await visitor.heading('Hello, Ada Lovelace');
    await noDialog(page);
    await visitor.text(/withdrawal of \$30\.00 was not made\. .*did not confirm that it is you/);
    assert.equal(await bank.balance(ada), '100.00');
    await visitor.leave();
  });

  /** Confirms a movement and leaves before it is answered, as `answer` has it. */
  async function leaveBeforeTheAnswer(visitor, person, amount, answer) {
    const { page } = visitor;
    await visitor.go(`#/accounts/${person.number}/withdraw`, 'Pay out');
    await visitor.plan({ amount });
    const left = gate();
    await page.route('**/withdraw', async (route) => {
      await left.opened;
      return answer(route);
    });
    const asked = page.waitForRequest('**/withdraw');
    await visitor.confirm().click();
    await asked;
    await visitor.go('#/profile', 'Profile');
    left.open();
  }
  const stays = async (visitor) => {
    assert.equal(new URL(visitor.page.url()).hash, '#/profile');
    await visitor.leave();
  };

  test('before a movement is booked is told of it, and stays where one is', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await signedIn(ada);
    await leaveBeforeTheAnswer(visitor, ada, '30', (route) => route.continue());
    await visitor.text('The withdrawal is booked.');
    assert.equal(await bank.balance(ada), '70.00');
    await stays(visitor);
  });

  test('before a movement is refused is told of it', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await signedIn(ada);
    await leaveBeforeTheAnswer(visitor, ada, '30', async (route) => {
      await bank.call('POST', '/withdraw', { token: ada.token, body: { account_number: ada.number, amount: '90' } });
      return route.continue();
    });
    await visitor.text(/The withdrawal of \$30\.00 was not made\. There is \$10\.00 available/);
    await stays(visitor);
  });

  test('before a movement that is never answered is told that it is not certain', async () => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await signedIn(ada);
    await leaveBeforeTheAnswer(visitor, ada, '30', (route) => route.abort('connectionreset'));
    await visitor.text(/It is not certain whether the withdrawal of \$30\.00 is booked/);
    await stays(visitor);
  });

  test('before an account is open is told that it is, and stays where one is', async () => {
    const ada = await bank.customer();
    const visitor = await signedIn(ada);
    const { page } = visitor;
    await visitor.go('#/open-account', 'Open an account');
    const left = gate();
    await page.route('**/accounts', async (route) => {
      if (route.request().method() === 'POST') await left.opened;
      return route.continue();
    });
    const asked = page.waitForRequest((request) => request.method() === 'POST');
    await page.getByRole('button', { name: 'Open the account' }).click();
    await asked;
    await visitor.go('#/profile', 'Profile');
    left.open();
    await visitor.text('The account is open.');
    await stays(visitor);
  });

  /** Renames the account, and closes the question before that is answered. */
  async function closeBeforeTheAnswer(visitor, ada, close) {
    const { page } = visitor;
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    const left = gate();
    await page.route(`**/accounts/${ada.number}`, async (route) => {
      if (route.request().method() === 'PATCH') await left.opened;
      return route.continue();
    });
    await page.getByRole('button', { name: 'Rename' }).click();
    await page.getByRole('dialog').getByLabel('Name').fill('Rainy days');
    await page.getByRole('dialog').getByRole('button', { name: 'Rename' }).click();
    await close();
    await noDialog(page);
    left.open();
  }

  test('while a question is carried out is told what became of it', async () => {
    const ada = await bank.customer();
    const visitor = await signedIn(ada);
    await closeBeforeTheAnswer(visitor, ada, () => visitor.page.goBack());
    await visitor.text('Rename: it is done.');
    // As well as whoever has closed it before.
    await closeBeforeTheAnswer(visitor, ada, async () => {
      await visitor.page.keyboard.press('Escape');
      await visitor.page.goBack();
    });
    await visitor.text('Rename: it is done.');
    await visitor.leave();
  });

  test('is something else than closing a question that is carried out, whose outcome then shows', async () => {
    const ada = await bank.customer();
    const visitor = await signedIn(ada);
    await closeBeforeTheAnswer(visitor, ada, () => visitor.page.keyboard.press('Escape'));
    await visitor.text('Rainy days · ');
    await visitor.leave();
  });
});
