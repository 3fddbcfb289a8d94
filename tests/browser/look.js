/** Every screen, looked at: by axe for what keeps people out, and kept as pictures for our own eyes. */

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import axe from 'axe-core';

const PICTURES = new URL('../../target/screenshots/', import.meta.url).pathname;
const WIDTHS = { phone: 390, desktop: 1280 };
const SCHEMES = ['light', 'dark'];

/**
 * @param {import('playwright-core').Page} page
 * @param {string} name of the screen
 */
export async function look(page, name) {
  mkdirSync(PICTURES, { recursive: true });
  const before = page.viewportSize();
  await hush(page);
  for (const scheme of SCHEMES) {
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    for (const [device, width] of Object.entries(WIDTHS)) {
      await page.setViewportSize({ width, height: 844 });
      await settled(page);
      await page.setViewportSize({
        width,
        height: await page.evaluate(() => Math.max(844, document.documentElement.scrollHeight)),
      });
      await settled(page);
      await page.screenshot({ path: `${PICTURES}${name}-${device}-${scheme}.png` });
      assert.deepEqual(await violations(page), [], `${name}, ${device}, ${scheme}`);
      const overhang = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overhang <= 0, `${name} is ${overhang} pixels wider than a ${device}`);
    }
  }
  await page.emulateMedia({ colorScheme: 'light' });
  await page.setViewportSize(before);
}

/** Passing words would cover what is below them. */
const hush = (page) => page.evaluate(() => document.getElementById('toasts').replaceChildren());

/** Nothing is loading any more, and what was laid out anew is painted. */
async function settled(page) {
  await page.waitForFunction(() => !document.querySelector('.skeleton'));
  await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
}

async function violations(page) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe.source);
  const results = await page.evaluate(() => axe.run(document, { resultTypes: ['violations'] }));
  return results.violations.map(({ id, nodes }) => ({
    id,
    at: nodes.map((node) => `${node.target} ${node.failureSummary}`),
  }));
}
