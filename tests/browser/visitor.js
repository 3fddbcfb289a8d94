/** Somebody with a browser. Whatever goes wrong in a page unnoticed fails the test that had it open. */

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { PASSWORD } from './bank.js';

/** A page that waits for longer than this waits for something that does not come. */
const PATIENCE_MS = 10_000;

/** @param {...string} flags of Chromium @returns {Promise<import('playwright-core').Browser>} */
export function openBrowser(...flags) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', ...flags],
  });
}

export class Visitor {
  /** What no page may do: throw, log an error, break the policy, call another host, open a dialog. */
  complaints = [];

  /** @param {import('playwright-core').Browser} browser @param {import('./bank.js').Bank} bank */
  static async arrive(browser, bank, options = {}) {
    const visitor = new Visitor();
    visitor.bank = bank;
    visitor.context = await browser.newContext({
      locale: 'en-US',
      timezoneId: 'UTC',
      viewport: { width: 1280, height: 900 },
      ...options,
    });
    visitor.context.setDefaultTimeout(PATIENCE_MS);
    visitor.page = await visitor.openTab();
    return visitor;
  }

  async openTab(hash = '') {
    const page = await this.context.newPage();
    page.on('pageerror', (error) => this.complaints.push(`threw ${error}`));
    page.on('dialog', (dialog) => (this.complaints.push(`dialog ${dialog.message()}`), dialog.dismiss()));
    page.on('console', (message) => {
      // Chromium reports every answer of 4xx and every lost connection this way.
      const isAnswer = message.text().startsWith('Failed to load resource');
      // And this, where a page has come over plain HTTP from another machine: there the header can do nothing.
      const isOpenerPolicy = message.text().startsWith('The Cross-Origin-Opener-Policy header has been ignored');
      if (message.type() === 'error' && !isAnswer && !isOpenerPolicy) this.complaints.push(`console ${message.text()}`);
    });
    page.on('request', (request) => {
      const isOurs = request.url().startsWith(this.bank.url) || /^(data|blob):/.test(request.url());
      if (!isOurs) this.complaints.push(`called ${request.url()}`);
    });
    await page.goto(`${this.bank.url}/${hash}`);
    return page;
  }

  async leave() {
    await this.context.close();
    assert.deepEqual(this.complaints, []);
  }

  // Verbs

  async signUp({ name = 'Ada Lovelace', email }) {
    await this.page.getByRole('link', { name: 'Open an account' }).click();
    await this.page.getByLabel('Your name').fill(name);
    await this.page.getByLabel('E-mail address').fill(email);
    await this.page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await this.page.getByRole('button', { name: 'Open the account' }).click();
    await this.heading(`Hello, ${name}`);
  }

  async signIn(email, page = this.page) {
    await page.getByLabel('E-mail address').fill(email);
    await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
  }

  async signedInAs(person) {
    await this.signIn(person.email);
    await this.heading(`Hello, ${person.name}`);
  }

  /** Goes to a screen and waits until it is there. */
  async go(hash, heading, page = this.page) {
    await page.evaluate((to) => (location.hash = to), hash);
    await this.heading(heading, page);
  }

  heading(name, page = this.page) {
    return page.getByRole('heading', { name, level: 1 }).first().waitFor();
  }

  /** Fills in the form of a movement and goes on to the review. */
  async plan({ amount, description }) {
    await this.page.getByLabel(/^Amount in/).fill(amount);
    if (description) await this.page.locator('input[name=description]').fill(description);
    await this.page.getByRole('button', { name: 'Review' }).click();
    await this.page.locator('.review').waitFor();
  }

  confirm() {
    return this.page.getByRole('button', { name: /^Confirm/ });
  }

  text(content) {
    return this.page.getByText(content).first().waitFor();
  }
}
