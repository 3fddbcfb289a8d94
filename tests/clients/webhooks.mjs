// webhooks.mjs BANK ADMIN PASSWORD LIBRARY: has a bank send events to this process, and checks their signatures with the
// library of the Standard Webhooks specification (npm) in the directory LIBRARY, and those of version v1a, which the library does
// not know, by its text. Prints each message as a line of JSON, for the library of another language.

import assert from 'node:assert/strict';
import { createPublicKey, verify } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { text } from 'node:stream/consumers';
import { Coffer } from '../../web/api/coffer.js';

const [address, email, password, library] = process.argv.slice(2);
const { Webhook } = createRequire(`${library}/`)('standardwebhooks');
/** Which the bank lets webhooks lead to. */
const OWN = '127.0.0.2';
/** What comes before the 32 bytes of an Ed25519 key in DER (RFC 8410). */
const ED25519_IN_DER = Buffer.from('302a300506032b6570032100', 'hex');
const PATIENCE_MS = 20_000;

const waiting = [];
const server = createServer(async (request, response) => {
  const body = await text(request);
  response.writeHead(204).end();
  waiting.shift()?.({ headers: request.headers, body });
});
await new Promise((listening) => server.listen(0, OWN, listening));
const nextMessage = () =>
  new Promise((resolve, reject) => {
    waiting.push(resolve);
    setTimeout(() => reject(new Error('no message arrived')), PATIENCE_MS).unref();
  });

const bank = new Coffer(address);
await bank.signIn(email, password);
const first = await bank.createWebhook({ url: `http://${OWN}:${server.address().port}/`, types: ['account.opened'] });
await messageIsSignedBy(first);
const second = await bank.rotateWebhookSecret(first.id);
// The former secret signs beside the new one.
await messageIsSignedBy(first, second);
const tested = nextMessage();
assert.equal((await bank.testWebhook(first.id)).delivered, true);
assert.equal(new Webhook(second.secret).verify((await tested).body, (await tested).headers).type, 'webhook.test');
assert.throws(() => new Webhook(first.secret.replace(/.{4}=$/, 'AAA=')).verify('{}', {}));
await bank.deleteWebhook(first.id);
server.close();

async function messageIsSignedBy(...webhooks) {
  const arrives = nextMessage();
  const { account_number: number } = await bank.openAccount({ currency: 'USD' });
  const { headers, body } = await arrives;
  for (const { secret, public_key: key } of webhooks) {
    assert.equal(new Webhook(secret).verify(body, headers).data.account_number, number);
    assert.throws(() => new Webhook(secret).verify(`${body} `, headers));
    assert.ok(isSignedByKeyPair(key, headers, body), 'a signature of version v1a');
    console.log(JSON.stringify({ secret, headers, body }));
  }
}

function isSignedByKeyPair(publicKey, headers, body) {
  const der = Buffer.concat([ED25519_IN_DER, Buffer.from(publicKey.replace('whpk_', ''), 'base64')]);
  const key = createPublicKey({ key: der, format: 'der', type: 'spki' });
  const signed = Buffer.from(`${headers['webhook-id']}.${headers['webhook-timestamp']}.${body}`);
  const signatures = headers['webhook-signature'].split(' ').filter((each) => each.startsWith('v1a,'));
  return signatures.some((each) => verify(null, signed, key, Buffer.from(each.slice(4), 'base64')));
}
