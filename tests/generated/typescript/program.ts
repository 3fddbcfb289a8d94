import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import createClient from 'openapi-fetch';
import type { components, paths } from './bank.js';

type Problem = components['schemas']['Problem'];
type Transaction = components['schemas']['Transaction'];

const { BANK, PASSWORD, CUSTOMER, ACCOUNT, STAFF, APPROVAL_ABOVE } = process.env as Record<string, string>;
assert(BANK && PASSWORD && CUSTOMER && ACCOUNT && STAFF && APPROVAL_ABOVE);

async function signIn(email: string, password: string) {
  const { data, error } = await createClient<paths>({ baseUrl: BANK! }).POST('/login', { body: { email, password } });
  assert(data, error?.detail);
  return createClient<paths>({ baseUrl: BANK!, headers: { Authorization: `Bearer ${data.access_token}` } });
}

const customer = await signIn(CUSTOMER, PASSWORD);
const deposited = await customer.POST('/deposit', {
  params: { header: { 'Idempotency-Key': randomUUID() } },
  body: { account_number: ACCOUNT, amount: '100.50', description: 'Salary' },
});
const posted: Transaction | undefined = deposited.data;
assert.equal(deposited.response.status, 201);
assert(posted);
assert.equal(posted.status, 'posted');
assert.equal(posted.type, 'deposit');
assert.equal(posted.balance, '100.50');
assert.equal(posted.sequence, 1);
assert.equal(posted.counterparty, null);

const refused = await customer.POST('/withdraw', { body: { account_number: ACCOUNT, amount: '1000' } });
const problem: Problem | undefined = refused.error;
assert(problem);
assert.equal(refused.response.status, 409);
assert.equal(problem.status, 409);
assert.equal(problem.code, 'insufficient_funds');

const staff = await signIn(STAFF, PASSWORD);
const requested = await staff.POST('/deposit', { body: { account_number: ACCOUNT, amount: `${APPROVAL_ABOVE}.01` } });
const pending: Transaction | undefined = requested.data;
assert.equal(requested.response.status, 202);
assert(pending);
assert.equal(pending.status, 'pending_approval');
assert.equal(pending.balance, null);
assert.equal(pending.amount, `${APPROVAL_ABOVE}.01`);
