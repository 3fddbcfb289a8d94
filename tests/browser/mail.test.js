/** Mail: a lost password, an address that is confirmed, and what the bank tells. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank } from './bank.js';
import { look } from './look.js';
import { PostOffice } from './post_office.js';
import { until } from './until.js';
import { Visitor, openBrowser } from './visitor.js';

const NEW_PASSWORD = 'nanoseconds of copper wire';

describe('mail', () => {
  let bank, browser, post;
  before(async () => {
    post = await PostOffice.open();
    bank = await Bank.open(post.settings('https://bank.example'));
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
    post.close();
  });

  test('who has forgotten the password sets another one by a link', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    const ask = async (email) => {
      await page.getByRole('link', { name: 'Forgot your password?' }).click();
      await visitor.heading('Forgot your password?');
      if (email === ada.email) await look(page, '90-lost-password');
      await page.getByLabel('E-mail address').fill(email);
      await page.getByRole('button', { name: 'Mail me a link' }).click();
      await visitor.heading('Look at your mail');
      const words = await page.locator('.card').innerText();
      return words.replaceAll(email, 'ADDRESS');
    };
    const toNobody = await ask('nobody@example.com');
    await page.getByRole('link', { name: 'Back to signing in' }).click();
    assert.equal(await ask(ada.email), toNobody);
    await look(page, '91-link-on-its-way');
    await visitor.go(await post.link(ada.email, 'Set another password'), 'Set your password');
    await page.getByLabel('New password', { exact: true }).fill(NEW_PASSWORD);
    await page.getByRole('button', { name: 'Set the password' }).click();
    await visitor.heading('Sign in');
    await page.getByLabel('E-mail address').fill(ada.email);
    await page.getByLabel('Password', { exact: true }).fill(NEW_PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await visitor.heading('Hello, Ada Lovelace');
    // The mail has shown whose address it is.
    await visitor.go('#/profile', 'Profile');
    await page.getByText('New sign-ins').waitFor();
    assert.equal(await page.getByText('not confirmed yet').count(), 0);
    await visitor.leave();
  });

  test('an address is confirmed by a link, which a second click finds used', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go('#/profile', 'Profile');
    await page.getByText('not confirmed yet').waitFor();
    await look(page, '92-profile-unconfirmed');
    await page.getByRole('button', { name: 'Send the link again' }).click();
    await visitor.text('A link is on its way to');
    const link = await post.link(ada.email, 'Confirm your address');
    const other = await visitor.openTab(link);
    await other.getByRole('button', { name: 'Confirm' }).click();
    await visitor.heading('Thank you', other);
    await other.reload();
    await other.getByRole('button', { name: 'Confirm' }).click();
    await visitor.heading('This link counts no more', other);
    await look(other, '93-link-counts-no-more');
    await page.reload();
    await page.getByText('New sign-ins').waitFor();
    assert.equal(await page.getByText('not confirmed yet').count(), 0);
    await visitor.leave();
  });

  test('movements above an amount are told of by mail', async () => {
    const ada = await bank.customer({ amount: '10' });
    await bank.call('POST', '/email_verification', {
      body: { token: (await post.link(ada.email, 'Confirm your address')).split('/').pop() },
    });
    const visitor = await Visitor.arrive(browser, bank);
    const { page } = visitor;
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    await visitor.text('You get no mail about movements.');
    await page.getByRole('button', { name: 'Set an amount' }).click();
    await page.getByLabel('Mail me above, in USD').fill('49.99');
    await page.getByRole('button', { name: 'Save' }).click();
    await visitor.text('You get a mail about each movement of more than $49.99, once your address is confirmed.');
    const body = { account_number: ada.number, amount: '50' };
    await bank.call('POST', '/deposit', { token: await bank.token(ada.email), body });
    await until(() => post.mails.some(({ text }) => text.includes('50.00 USD')), 'a mail about the deposit');
    await visitor.leave();
  });
});

describe('a bank without mail', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  test('has its staff help who has forgotten the password', async () => {
    const ada = await bank.customer();
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.page.getByText('Forgot your password?').click();
    await visitor.text('its staff give you a link');
    await visitor.signedInAs(ada);
    await visitor.go(`#/accounts/${ada.number}/settings`, 'Settings');
    assert.equal(await visitor.page.getByText('Movements by mail').count(), 0);
    await visitor.leave();
  });
});
