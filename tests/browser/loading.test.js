/** How the app comes into the browser: in few requests, small, and once. */

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Bank } from './bank.js';
import { Visitor, openBrowser } from './visitor.js';

/** Of a page that is opened for the first time, what it asks the API included. */
const MAX_REQUESTS = 12;
/** Of all that it loads, as it comes over the wire. */
const MAX_BYTES = 125_000;
/** What is smaller gains nothing by being compressed. */
const SMALL_BYTES = 1_000;

describe('the app', () => {
  let bank, browser;
  before(async () => {
    bank = await Bank.open();
    browser = await openBrowser();
  });
  after(async () => {
    await browser.close();
    await bank.close();
  });

  /** What the page asks for, when nothing of it is known yet, until it has what it needs. */
  async function coldLoad(visitor, heading) {
    const devtools = await visitor.context.newCDPSession(visitor.page);
    await devtools.send('Network.clearBrowserCache');
    // What is still under way for the page before is not counted.
    await visitor.page.goto('about:blank');
    const requests = [];
    visitor.page.on('requestfinished', (request) => requests.push(request));
    await visitor.page.goto(bank.url, { waitUntil: 'networkidle' });
    await visitor.heading(heading);
    const answers = [];
    for (const request of requests) {
      if (!request.url().startsWith(bank.url)) continue;
      const [response, sizes] = [await request.response(), await request.sizes()];
      answers.push({
        path: request.url().slice(bank.url.length),
        headers: response.headers(),
        bytes: sizes.responseBodySize,
      });
    }
    return answers;
  }

  function assertLight(answers) {
    const paths = answers.map(({ path }) => path);
    assert.ok(answers.length <= MAX_REQUESTS, `${answers.length} requests: ${paths.join(' ')}`);
    assert.ok(
      paths.some((path) => path.startsWith('/web/app.js?v=')),
      paths.join(' '),
    );
    const bytes = answers.reduce((sum, answer) => sum + answer.bytes, 0);
    assert.ok(bytes <= MAX_BYTES, `${bytes} bytes`);
    for (const { path, headers, bytes: size } of answers.filter((each) => each.path.startsWith('/web/'))) {
      assert.ok(headers['content-encoding'] === 'gzip' || size < SMALL_BYTES, `${path} has ${size} bytes`);
    }
    return `${answers.length} requests, ${bytes} bytes`;
  }

  test('needs few requests before one is signed in', async (t) => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.heading('Sign in');
    t.diagnostic(assertLight(await coldLoad(visitor, 'Sign in')));
    await visitor.leave();
  });

  test('needs few requests afterwards', async (t) => {
    const ada = await bank.customer({ amount: '100' });
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.signedInAs(ada);
    const answers = await coldLoad(visitor, `Hello, ${ada.name}`);
    await visitor.page.locator('.u-over').waitFor();
    t.diagnostic(assertLight(answers));
    await visitor.leave();
  });

  test('loads its files once', async () => {
    const visitor = await Visitor.arrive(browser, bank);
    await visitor.heading('Sign in');
    const devtools = await visitor.context.newCDPSession(visitor.page);
    await devtools.send('Network.enable');
    const asked = [];
    devtools.on('Network.responseReceived', ({ response }) => {
      if (!response.fromDiskCache && response.url.startsWith(`${bank.url}/web/`)) asked.push(response.url);
    });
    await visitor.page.goto('about:blank');
    await visitor.page.goto(bank.url, { waitUntil: 'networkidle' });
    await visitor.heading('Sign in');
    assert.deepEqual(
      asked.filter((url) => url.includes('?v=')),
      [],
    );
    await visitor.leave();
  });
});
