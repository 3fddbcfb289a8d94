/** The client that other pages import: what it promises, against a bank and against one that misbehaves. */

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { getEventListeners } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Coffer, NetworkError, ProblemError, SignedOutError, newIdempotencyKey } from '../../web/api/coffer.js';
import { APPROVAL_ABOVE, Bank, PASSWORD, freshEmail } from './bank.js';
import { until } from './until.js';

describe('the client', () => {
  let bank;
  before(async () => (bank = await Bank.open()));
  after(() => bank.close());

  /** A client whose requests can be watched, and answered otherwise: `answer` may return a response of its own. */
  function client(answer = () => undefined) {
    const requests = [];
    const fetch = async (url, init) => {
      const path = new URL(url).pathname;
      requests.push({ path, at: Date.now(), key: init.headers['Idempotency-Key'], token: init.headers.Authorization });
      return (await answer(path, requests)) ?? globalThis.fetch(url, init);
    };
    return { coffer: new Coffer({ baseUrl: bank.url, fetch }), requests };
  }

  const signedIn = async (person, answer) => {
    const made = client(answer);
    await made.coffer.signIn(person.email, PASSWORD);
    return made;
  };
  const busy = (status, headers = {}) =>
    new Response(JSON.stringify({ status, code: 'busy', title: 'Busy', detail: 'Not now.' }), {
      status,
      headers: { 'Content-Type': 'application/problem+json', ...headers },
    });

  test('tells of events as they happen, and misses none while the bank is away', async (t) => {
    const own = await Bank.open();
    t.after(() => own.close());
    const coffer = new Coffer(own.url);
    const { account, user } = await coffer.signUp({ name: 'Ada', email: 'events@example.com', password: PASSWORD });
    await coffer.signIn(user.email, PASSWORD);
    const deposit = (amount) => coffer.deposit({ account_number: account.account_number, amount });
    const { last_id: after } = await coffer.events();
    assert.equal(after, null);
    const stop = new AbortController();
    const amounts = [];
    const watching = coffer.watchEvents(
      ({ type, transaction }) => {
        if (type === 'transaction.posted') amounts.push(transaction.amount);
      },
      { signal: stop.signal, type: 'transaction.posted' },
    );
    // Once the stream has begun, which its first event shows.
    await until(async () => {
      await deposit('1');
      return amounts.length > 0;
    }, 'an event of the stream');
    await own.stop();
    await own.start();
    await deposit('2');
    await until(() => amounts.includes('2.00'), 'the event of the second deposit');
    stop.abort();
    await watching;
    const { data } = await coffer.events({ type: 'transaction.posted', limit: 100 });
    const booked = data.map((event) => event.transaction.amount);
    assert.deepEqual(amounts, booked.slice(-amounts.length));
  });

  const event = (id) => `id: ${id}\ndata: {"id": "${id}"}\n\n`;
  /** A client whose streams of events are these texts, one after the other, each cut at its end or left open. */
  function listener(streams, { isLeftOpen = false } = {}) {
    const opened = [];
    let closed = 0;
    const fetch = async (_url, { headers }) => {
      const text = streams[Math.min(opened.length, streams.length - 1)];
      opened.push({ at: Date.now(), after: headers['Last-Event-ID'] });
      const body = new ReadableStream({
        start(stream) {
          stream.enqueue(new TextEncoder().encode(text));
          if (!isLeftOpen) stream.close();
        },
        cancel: () => void closed++,
      });
      return new Response(body, { headers: { 'Content-Type': 'text/event-stream' } });
    };
    const coffer = new Coffer({ baseUrl: 'https://bank.example', apiKey: 'a key', fetch });
    return { coffer, opened, closed: () => closed };
  }

  test('comes back to a stream as soon as the bank asks to, however often it ends without an event', async () => {
    const { coffer, opened } = listener(['retry:300\n: listening\n\n']);
    const stop = new AbortController();
    const watching = coffer.watchEvents(() => {}, { signal: stop.signal });
    await until(() => opened.length === 5, 'the fifth stream');
    // Of the pause that goes on, and not one of each before it.
    assert.ok(getEventListeners(stop.signal, 'abort').length <= 1);
    stop.abort();
    await watching;
    const pauses = opened.slice(1).map(({ at }, index) => at - opened[index].at);
    assert.ok(
      pauses.every((ms) => ms >= 295),
      `came back after ${pauses}`,
    );
    // Were they counted as failures, it would be 300, 600, 900 and 1200.
    assert.ok(pauses.at(-1) < 900, `came back after ${pauses}`);
  });

  test('closes a stream when what it tells of throws', async () => {
    const { coffer, closed } = listener([event(1) + event(2)], { isLeftOpen: true });
    const told = [];
    const watching = coffer.watchEvents(
      ({ id }) => {
        told.push(id);
        throw new RangeError('a fault of the program');
      },
      { signal: new AbortController().signal },
    );
    await assert.rejects(watching, RangeError);
    assert.deepEqual([told, closed()], [['1'], 1]);
  });

  test('goes on behind the last event when a stream has brought what cannot be read', async () => {
    const { coffer, opened } = listener([`retry: 250\n\n${event(1)}data: {"id":\n\n`, event(2)]);
    const stop = new AbortController();
    const told = [];
    const watching = coffer.watchEvents(({ id }) => void told.push(id), { signal: stop.signal });
    await until(() => told.includes('2'), 'the event of the second stream');
    stop.abort();
    await watching;
    assert.deepEqual([told.slice(0, 2), opened[1].after], [['1', '2'], '1']);
  });

  test('signs up, signs in, moves money and signs out', async () => {
    const { coffer } = client();
    const { account, user } = await coffer.signUp({ name: 'Ada', email: 'client@example.com', password: PASSWORD });
    await coffer.signIn(user.email, PASSWORD);
    const entry = await coffer.deposit({ account_number: account.account_number, amount: '10.50' });
    assert.equal(entry.balance, '10.50');
    assert.equal((await coffer.account(account.account_number)).available, '10.50');
    await coffer.signOut();
    assert.equal(coffer.isSignedIn, false);
    await assert.rejects(coffer.me(), SignedOutError);
  });

  test('throws problems with their code and fields', async () => {
    const ada = await bank.customer();
    const { coffer } = await signedIn(ada);
    const tooMuch = await coffer.withdraw({ account_number: ada.number, amount: '5' }).catch((error) => error);
    assert.ok(tooMuch instanceof ProblemError);
    assert.equal(tooMuch.code, 'insufficient_funds');
    const wrong = await coffer.deposit({ account_number: ada.number, amount: '1.234' }).catch((error) => error);
    assert.equal(wrong.errors[0].pointer, '/amount');
    assert.equal(wrong.status, 422);
    assert.ok(wrong.requestId);
  });

  test('holds money, moves a part of it and lets it go', async () => {
    const ada = await bank.customer({ amount: '100' });
    const bob = await bank.customer();
    const { coffer } = await signedIn(ada);
    const order = { from_account: ada.number, to_account: bob.number, amount: '60' };
    const held = await coffer.hold(order);
    assert.deepEqual([held.status, held.balance], ['held', null]);
    assert.equal((await coffer.account(ada.number)).available, '40.00');
    const entry = await coffer.captureHold(held.id, { amount: '25' });
    assert.deepEqual([entry.id, entry.status, entry.balance], [held.id, 'posted', '75.00']);
    assert.equal((await coffer.getHold(held.id)).captured_amount, '25.00');
    const { id } = await coffer.hold({ account_number: ada.number, amount: '75' });
    const open = await coffer.holds(ada.number, { status: 'held' });
    assert.deepEqual(
      open.data.map((hold) => hold.id),
      [id],
    );
    assert.equal((await coffer.releaseHold(id)).status, 'released');
    const gone = await coffer.captureHold(id).catch((error) => error);
    assert.equal(gone.code, 'hold_released');
  });

  test('says what would happen, and nothing does', async () => {
    const ada = await bank.customer({ amount: '100' });
    const { coffer } = await signedIn(ada);
    const order = { account_number: ada.number, amount: '40' };
    const { preview, status, balance, hash } = await coffer.preview.withdraw(order);
    assert.deepEqual(
      { preview, status, balance, hash },
      { preview: true, status: 'posted', balance: '60.00', hash: null },
    );
    assert.equal((await coffer.preview.hold(order)).status, 'held');
    const refused = await coffer.preview.withdraw({ ...order, amount: '100.01' }).catch((error) => error);
    assert.equal(refused.code, 'insufficient_funds');
    const { balance: after, available } = await coffer.account(ada.number);
    assert.deepEqual([after, available], ['100.00', '100.00']);
  });

  test('sets limits, and tells what would pass', async () => {
    const ada = await bank.customer({ amount: '100' });
    const { coffer } = await signedIn(ada);
    const set = await coffer.setLimits(ada.number, { per_day: '50', movements_per_day: 9 });
    assert.deepEqual([set.per_day.own, set.per_day.bank, set.approval_id], ['50.00', null, undefined]);
    await coffer.withdraw({ account_number: ada.number, amount: '20' });
    const much = await coffer.withdraw({ account_number: ada.number, amount: '30.01' }).catch((error) => error);
    const { code, limit, allowed, used, remaining, requested, currency } = much;
    assert.deepEqual([code, limit, allowed, used], ['limit_exceeded', 'per_day', '50.00', '20.00']);
    assert.deepEqual([remaining, requested, currency], ['30.00', '30.01', 'USD']);
    const now = await coffer.limits(ada.number);
    assert.deepEqual([now.per_day.remaining, now.movements_per_day.remaining], ['30.00', 8]);
    assert.equal(much.resetsAt, now.per_day.resets_at);
    const little = await coffer.withdraw({ account_number: ada.number, amount: '80.01' }).catch((error) => error);
    assert.deepEqual([little.available, little.held, little.shortBy], ['80.00', '0.00', '0.01']);
  });

  test('says of an API key what the bank says, and signs nobody in with one', async () => {
    const ada = await bank.customer();
    const { coffer } = await signedIn(ada);
    const { api_key: secret, id } = await coffer.createApiKey({ name: 'Till', scopes: ['read'] });
    await coffer.revokeApiKey(id);
    for (const [apiKey, code] of [
      [secret, 'api_key_invalid'],
      ['nonsense', 'invalid_token'],
    ]) {
      const refused = await new Coffer(bank.url, { apiKey }).me().catch((error) => error);
      assert.deepEqual([refused instanceof ProblemError, refused.status, refused.code], [true, 401, code]);
    }
    const asked = [];
    const program = new Coffer(bank.url, { apiKey: secret, fetch: async (url) => asked.push(url) });
    const begins = [
      () => program.signIn(ada.email, PASSWORD),
      () => program.prove({ password: PASSWORD }),
      () => program.resume(),
    ];
    for (const begin of begins) await assert.rejects(begin(), /nobody signs in/);
    assert.deepEqual(asked, []);
  });

  test('renews an access token once for all that meet its end', async () => {
    const ada = await bank.customer();
    let rejected = 0;
    const { coffer, requests } = await signedIn(ada, (path, all) => {
      const isRenewed = all.some((each) => each.path === '/refresh');
      return path === '/me' && !isRenewed && ++rejected ? busy(401) : undefined;
    });
    const people = await Promise.all(Array.from({ length: 8 }, () => coffer.me()));
    assert.ok(people.every(({ id }) => id === ada.id));
    assert.equal(rejected, 8);
    assert.equal(requests.filter(({ path }) => path === '/refresh').length, 1);
  });

  test('says that nobody is signed in any more when renewing fails', async () => {
    const ada = await bank.customer();
    const { coffer } = await signedIn(ada);
    for (const { id } of (await coffer.sessions()).data)
      await bank.call('DELETE', `/me/sessions/${id}`, { token: ada.token }).catch(() => {});
    let told = 0;
    coffer.addEventListener('signed-out', () => told++);
    await assert.rejects(coffer.me(), SignedOutError);
    assert.equal(told, 1);
    assert.equal(coffer.isSignedIn, false);
  });

  test('sends a movement again with the same key until it is answered', async () => {
    const ada = await bank.customer();
    let lost = 2;
    const { coffer, requests } = await signedIn(ada, (path) => {
      if (path === '/deposit' && lost-- > 0) throw new TypeError('connection reset');
    });
    await coffer.deposit({ account_number: ada.number, amount: '5' });
    const keys = requests.filter(({ path }) => path === '/deposit').map(({ key }) => key);
    assert.equal(keys.length, 3);
    assert.equal(new Set(keys).size, 1);
    assert.equal(await bank.balance(ada), '5.00');
  });

  const html = { 'Content-Type': 'text/html' };
  const breaksOff = (status = 200, type = 'application/json') => {
    const body = new ReadableStream({ pull: (stream) => stream.error(new TypeError('terminated')) });
    return new Response(body, { status, headers: { 'Content-Type': type } });
  };
  const PAGE = '<!doctype html><title>Sign in to this network</title>';
  /** Answers that arrive as these, although the bank has given a good one. */
  const UNREADABLE = {
    'breaks off': () => breaksOff(),
    'ends too early': () => new Response('{"id": "01'),
    'is a page of the network': () => new Response(PAGE, { headers: html }),
    'is empty': () => new Response(''),
  };
  for (const [how, answer] of Object.entries(UNREADABLE)) {
    test(`sends a movement again with the same key when the answer ${how}`, async () => {
      const ada = await bank.customer();
      let left = 2;
      const { coffer, requests } = await signedIn(ada, async (path, all) => {
        if (path === '/accounts') return answer();
        if (path !== '/deposit' || left-- === 0) return undefined;
        const { key } = all.at(-1);
        const body = { account_number: ada.number, amount: '5' };
        await bank.call('POST', path, { token: ada.token, body, headers: { 'Idempotency-Key': key } });
        return answer();
      });
      await coffer.deposit({ account_number: ada.number, amount: '5' });
      const keys = requests.filter(({ path }) => path === '/deposit').map(({ key }) => key);
      assert.deepEqual([keys.length, new Set(keys).size], [3, 1]);
      assert.equal(await bank.balance(ada), '5.00');
      // It is not safe to repeat this.
      await assert.rejects(coffer.openAccount({}), NetworkError);
      assert.equal(requests.filter(({ path }) => path === '/accounts').length, 1);
    });
  }

  test('fetches a file again when it breaks off, and takes no page of the network for one', async () => {
    const ada = await bank.customer({ amount: '5' });
    const broken = [breaksOff(200, 'text/csv'), new Response(PAGE, { headers: html })];
    const { coffer } = await signedIn(ada, (path) => (path.includes('/statement') ? broken.pop() : undefined));
    const period = { from: '2020-01-01', to: '2020-01-02' };
    const file = await coffer.statementFile(ada.number, period, 'csv');
    assert.match(await file.text(), /^[^<]/);
    broken.push(breaksOff(200, 'application/zip'));
    const { coffer: other } = await signedIn(ada, (path) => (path === '/me/export' ? broken.pop() : undefined));
    assert.ok((await other.exportMe()).size > 0);
  });

  test('throws a problem when the answer of a refusal cannot be read', async () => {
    const ada = await bank.customer();
    const { coffer } = await signedIn(ada, (path) => {
      if (path === '/accounts') return breaksOff(422, 'application/problem+json');
      if (path === '/deposit') return new Response(PAGE, { status: 403, headers: html });
    });
    const broken = await coffer.openAccount({}).catch((error) => error);
    assert.deepEqual([broken instanceof ProblemError, broken.status], [true, 422]);
    const page = await coffer.deposit({ account_number: ada.number, amount: '5' }).catch((error) => error);
    assert.deepEqual([page instanceof ProblemError, page.status, page.code], [true, 403, 'unexpected_answer']);
  });

  test('tells with a refusal that an earlier try had no answer', async () => {
    const ada = await bank.customer();
    const { coffer, requests } = await signedIn(ada, async (path, all) => {
      if (path !== '/deposit') return undefined;
      if (all.filter((each) => each.path === path).length > 1) return busy(429, { 'Retry-After': '600' });
      const body = { account_number: ada.number, amount: '5' };
      await bank.call('POST', path, { token: ada.token, body, headers: { 'Idempotency-Key': all.at(-1).key } });
      throw new TypeError('connection reset');
    });
    const deposit = () => coffer.deposit({ account_number: ada.number, amount: '5' }).catch((error) => error);
    const refused = await deposit();
    assert.deepEqual([refused.status, refused.cause?.message], [429, 'connection reset']);
    assert.equal((await deposit()).cause, undefined);
    assert.equal(requests.filter(({ path }) => path === '/deposit').length, 3);
  });

  test('asks for what is named, and for nothing else, whatever the name holds', async () => {
    const ada = await bank.customer();
    const { coffer, requests } = await signedIn(ada);
    const { account, limits, getHold, apiKey, endSession } = coffer;
    for (const name of ['../me', '..', '.', '%2e%2e', 'a/../../me', '?limit=1', '#', 'ä b', '..\\me']) {
      for (const ask of [account, limits]) await assert.rejects(ask(name), { code: 'account_number_malformed' });
      for (const ask of [getHold, apiKey, endSession]) await assert.rejects(ask(name), { code: 'id_malformed' });
    }
    await coffer.account(ada.number);
    assert.equal(requests.at(-1).path, `/accounts/${ada.number}`);
  });

  test('comes back no sooner than Retry-After says', async () => {
    const ada = await bank.customer();
    let turnedAway = false;
    const { coffer, requests } = await signedIn(ada, (path) => {
      if (path !== '/me' || turnedAway) return undefined;
      turnedAway = true;
      return busy(503, { 'Retry-After': '1' });
    });
    await coffer.me();
    const [first, second] = requests.filter(({ path }) => path === '/me');
    assert.ok(second.at - first.at >= 1000);
  });

  test('does not wait when Retry-After asks for long, nor repeat what is not safe to', async () => {
    const ada = await bank.customer();
    const { coffer, requests } = await signedIn(ada, (path) => {
      if (path === '/me') return busy(429, { 'Retry-After': '600' });
      if (path === '/accounts') return busy(503);
    });
    const error = await coffer.me().catch((caught) => caught);
    assert.equal(error.retryAfterSeconds, 600);
    await assert.rejects(coffer.openAccount({}), ProblemError);
    assert.equal(requests.filter(({ path }) => path === '/me').length, 1);
    assert.equal(requests.filter(({ path }) => path === '/accounts').length, 1);
  });

  test('gives up in the end, and says that there was no answer', async () => {
    const ada = await bank.customer();
    const { coffer, requests } = await signedIn(ada, (path) => {
      if (path === '/me') throw new TypeError('connection refused');
    });
    await assert.rejects(coffer.me(), NetworkError);
    assert.equal(requests.filter(({ path }) => path === '/me').length, 5);
  });

  test('reads a history of many pages as one', async () => {
    const ada = await bank.customer({ amount: '100' });
    const { coffer } = await signedIn(ada);
    for (let day = 0; day < 7; day++)
      await coffer.withdraw({ account_number: ada.number, amount: '1', description: `No. ${day}` });
    const read = [];
    for await (const entry of coffer.history(ada.number, { limit: 3 })) read.push(entry.sequence);
    assert.deepEqual(read, [8, 7, 6, 5, 4, 3, 2, 1]);
  });

  test('finds movements by reference, metadata and amount', async () => {
    const [ada, clerk] = [await bank.customer(), await bank.customer({ name: 'Clerk' })];
    await bank.giveRole(clerk, 'staff');
    const { coffer } = await signedIn(ada);
    const metadata = { order: '42', shop: 'Zürich & Co' };
    const order = { account_number: ada.number, amount: '10', reference: 'INV-1', metadata };
    const first = await coffer.deposit(order);
    assert.deepEqual([first.reference, first.metadata], ['INV-1', metadata]);
    const taken = await coffer.deposit(order).catch((error) => error);
    assert.deepEqual([taken.code, taken.transactionId], ['reference_taken', first.id]);
    const plain = await coffer.deposit({ account_number: ada.number, amount: '20' });
    assert.deepEqual([plain.reference, plain.metadata], [null, {}]);
    assert.equal((await coffer.findByReference(ada.number, 'INV-1')).id, first.id);
    assert.equal(await coffer.findByReference(ada.number, 'INV-2'), null);
    const found = async (filter) => {
      const read = [];
      for await (const entry of coffer.history(ada.number, filter)) read.push(entry.id);
      return read;
    };
    assert.deepEqual(await found({ metadata }), [first.id]);
    assert.deepEqual(await found({ metadata: { order: '43' } }), []);
    assert.deepEqual(await found({ min_amount: '10.01', direction: 'credit' }), [plain.id]);
    await coffer.renameAccount(ada.number, 'Shop');
    const noted = await coffer.updateAccount(ada.number, { metadata: { till: '3', floor: null } });
    assert.deepEqual([noted.label, noted.metadata], ['Shop', { till: '3' }]);

    const { coffer: staff } = await signedIn(clerk);
    const all = [];
    for await (const entry of staff.movements({ metadata, limit: 1 })) all.push(entry.account_number);
    assert.deepEqual(all, [ada.number]);
    const reversal = await staff.reverse(first.id, 'A mistake', { reference: 'R-1', metadata: { case: '7' } });
    assert.deepEqual([reversal.reference, reversal.metadata], ['R-1', { case: '7' }]);
  });

  test('keeps accounts of the bank itself, and undoes a group', async () => {
    const [ada, boss] = [await bank.customer({ amount: '100' }), { email: freshEmail() }];
    bank.createAdmin(boss.email);
    const { coffer } = await signedIn(boss);
    const fees = await coffer.openBankAccount({ code: 'fees', name: 'Fees earned', kind: 'income' });
    assert.deepEqual(await coffer.bankAccount('fees'), fees);
    assert.deepEqual(
      (await coffer.bankAccounts()).data.map(({ code }) => code),
      ['cash', 'fees'],
    );
    const fee = { type: 'withdrawal', account_number: ada.number, amount: '2.50', against: 'fees' };
    const { data } = await coffer.batch({ group: 'MAY', atomic: true, transactions: [fee, fee] });
    assert.deepEqual([data[0].transaction.group, data[0].transaction.against], ['MAY', 'fees']);
    const dollars = async () => (await coffer.trialBalance()).data.find(({ currency }) => currency === 'USD');
    const ofFees = ({ accounts }) => accounts.find(({ code }) => code === 'fees').balance;
    assert.deepEqual([ofFees(await dollars()), (await dollars()).sum], ['-5.00', '0.00']);
    const found = [];
    for await (const entry of coffer.movements({ group: 'MAY', against: 'fees' })) found.push(entry.amount);
    assert.deepEqual(found, ['2.50', '2.50']);
    assert.equal((await coffer.reverseGroup(data[1].transaction.id, 'A mistake')).booked, 2);
    assert.equal(ofFees(await dollars()), '0.00');
    const withdrawals = (await coffer.totals()).today.movements.find(({ type }) => type === 'withdrawal');
    assert.ok(withdrawals.count >= 2);
  });

  test('takes the address of the bank alone', async () => {
    const ada = await bank.customer();
    for (const where of [bank.url, `${bank.url}/`, new URL(bank.url), { baseUrl: bank.url }]) {
      const coffer = new Coffer(where);
      await coffer.signIn(ada.email, PASSWORD);
      assert.equal((await coffer.me()).id, ada.id);
    }
    assert.throws(() => new Coffer(), /where the bank is/);
  });

  test('finds a bank behind a path', async () => {
    const asked = [];
    const fetch = async (url) => (asked.push(url), new Response('{}'));
    await new Coffer('https://example.com/bank', { fetch }).about();
    assert.deepEqual(asked, ['https://example.com/bank/bank']);
  });

  test('answers with one kind of thing, whether a movement is booked or waits', async () => {
    const [ada, clerk, boss] = [
      await bank.customer(),
      await bank.customer({ name: 'Clerk' }),
      await bank.customer({ name: 'Boss' }),
    ];
    await bank.giveRole(clerk, 'staff');
    await bank.giveRole(boss, 'staff');
    const [{ coffer }, { coffer: other }] = [await signedIn(clerk), await signedIn(boss)];
    const booked = await coffer.deposit({ account_number: ada.number, amount: '5' });
    assert.equal(booked.status, 'posted');
    assert.equal(booked.balance, '5.00');

    const large = { account_number: ada.number, amount: String(APPROVAL_ABOVE + 1), description: 'House sale' };
    const options = { idempotencyKey: newIdempotencyKey() };
    const waiting = await coffer.deposit(large, options);
    assert.equal(waiting.status, 'pending_approval');
    const { expires_at: expiresAt, ...members } = waiting;
    assert.ok(Date.parse(expiresAt) > Date.now());
    assert.deepEqual(Object.keys(members).sort(), Object.keys(booked).sort());
    assert.deepEqual([waiting.balance, waiting.sequence, waiting.hash], [null, null, null]);
    assert.equal(waiting.account_number, ada.number);
    assert.equal(waiting.direction, 'credit');

    await other.approve(waiting.id);
    const posted = await coffer.deposit(large, options);
    assert.equal(posted.status, 'posted');
    assert.equal(posted.balance, '10006.00');

    const refused = await coffer.withdraw({ account_number: ada.number, amount: '20000' }).catch((error) => error.code);
    assert.equal(refused, 'insufficient_funds');
    const rejected = await coffer.reverse(posted.id, 'A mistake', options).catch((error) => error);
    assert.equal(rejected.code, 'idempotency_key_reused');
    const reversal = await coffer.reverse(posted.id, 'A mistake');
    assert.equal(reversal.status, 'pending_approval');
    assert.equal(reversal.direction, 'debit');
    assert.equal(reversal.reverses, posted.id);
  });

  test('is a package that a program installs', async () => {
    const project = mkdtempSync(join(tmpdir(), 'coffer-client-'));
    const inProject = { cwd: project, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] };
    const client = new URL('../../web/api', import.meta.url).pathname;
    try {
      const [{ filename, files }] = JSON.parse(execFileSync('npm', ['pack', client, '--json'], inProject));
      assert.deepEqual(files.map(({ path }) => path).sort(), [
        'LICENSE',
        'README.md',
        'coffer.d.ts',
        'coffer.js',
        'package.json',
      ]);
      writeFileSync(join(project, 'package.json'), '{"private": true, "type": "module"}');
      execFileSync('npm', ['install', '--offline', '--no-audit', '--no-fund', `./${filename}`], inProject);
      const example = readFileSync(new URL('../../examples/node.js', import.meta.url), 'utf8');
      writeFileSync(join(project, 'program.js'), example.replace('../web/api/coffer.js', 'coffer-client'));
      const said = execFileSync('node', ['program.js', bank.url], inProject);
      assert.match(
        said,
        /The deposit is posted; the balance is 100\.50 USD\.\ninsufficient_funds: .+\n.+ deposit 100\.50 Salary\n$/,
      );
    } finally {
      rmSync(project, { recursive: true });
    }
  });
});
