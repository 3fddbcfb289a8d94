/**
 * The JavaScript client of a Coffer bank. No dependencies; any page may import it from the running server
 * (with its origin in `COFFER_CORS_ORIGINS` when that is another one):
 *
 *     import { Coffer } from 'https://bank.example.com/web/api/coffer.js';
 *
 *     const bank = new Coffer();
 *     await bank.signIn('ada@example.com', 'correct horse battery staple');
 *     const [account] = (await bank.accounts()).data;
 *     await bank.deposit({ account_number: account.account_number, amount: '100.50' });
 *     for await (const entry of bank.history(account.account_number)) console.log(entry.amount, entry.balance);
 *
 * What it takes care of: an access token that has expired is renewed once, however many calls meet it; what is safe to
 * send twice is sent again when there is no answer or the bank is busy, as late as `Retry-After` asks; each movement
 * has an `Idempotency-Key`, so that it happens once; when the bank asks for the password or a code once more, `askForProof`
 * can ask for it, and the request is repeated. Whatever goes wrong is a {@link ProblemError} with the `code` of
 * the problem document, or a {@link NetworkError}.
 *
 * Amounts are decimal strings, `"100.50"`, on the way in and out. Never make a Number of one.
 */

import { ProblemError, SignedOutError, isAskedForProof } from './errors.js';
import { BearerSession, CookieSession } from './session.js';
import { send } from './transport.js';

export { CofferError, NetworkError, ProblemError, SignedOutError, isAskedForProof } from './errors.js';

/**
 * A name for one movement. Make it when its form opens and keep it until the bank has answered.
 * @returns {string}
 */
export function newIdempotencyKey() {
  // Not `crypto.randomUUID`, which pages on plain HTTP do not have.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * @typedef {{id: string, name: string, email: string, role: 'customer' | 'staff' | 'admin' | 'auditor',
 *   status: 'active' | 'frozen', created_at: string}} User
 * @typedef {User & {confirm_above: string | null}} Profile
 * @typedef {{id: string, user_agent: string | null, address: string | null, created_at: string, last_used_at: string,
 *   expires_at: string, second_factor: boolean, proven_at: string, current: boolean}} Session
 * @typedef {{account_number: string, owner_id: string, currency: string, label: string | null,
 *   status: 'open' | 'frozen' | 'closed', balance: string, available: string, held: string,
 *   sequence: number, opened_at: string}} Account
 * @typedef {{id: string, type: 'deposit' | 'withdrawal' | 'transfer', account_number: string,
 *   counterparty: string | null, direction: 'credit' | 'debit', amount: string, currency: string, balance: string,
 *   sequence: number, description: string | null, created_at: string, hash: string, reverses?: string,
 *   reversed_by?: string}} Entry
 * @typedef {{id: string, status: 'pending' | 'approved' | 'rejected' | 'expired',
 *   type: Entry['type'] | 'role_change' | 'second_factor_reset',
 *   account_number?: string, from_account?: string, to_account?: string, amount?: string, currency?: string,
 *   user_id?: string, role?: User['role'], description: string | null, reverses: string | null, requested_by: string, requested_at: string,
 *   expires_at: string, decided_by: string | null, decided_at: string | null, transaction_id: string | null}} Approval
 * @typedef {{sequence: number, created_at: string, action: string, actor_id: string | null, subject: string | null,
 *   address: string | null, request_id: string | null, client_request_id: string | null, detail: string | null,
 *   concerns: string[], hash: string}} AuditRecord
 * @typedef {{action?: string, actor_id?: string, user_id?: string, account_number?: string, from?: string,
 *   to?: string}} AuditFilter `action` may be several with commas
 * @typedef {{account_number: string, amount: string, currency?: string, description?: string}} Movement
 * @typedef {{from_account: string, to_account: string, amount: string, currency?: string, description?: string}} Transfer
 * @typedef {{type?: Entry['type'], from?: string, to?: string, text?: string, limit?: number}} HistoryFilter
 * @typedef {{signal?: AbortSignal}} Options
 * @typedef {Options & {idempotencyKey?: string}} MovementOptions
 */

/**
 * @template T
 * @typedef {{data: T[], has_more: boolean, next_cursor: string | null}} Page
 */

export class Coffer extends EventTarget {
  #baseUrl;
  #session;
  #fetch;
  #askForProof;
  #asking = null;

  /**
   * @param {object} [options]
   * @param {string | URL} [options.baseUrl] where the bank is; where this module came from if left out
   * @param {'bearer' | 'cookie'} [options.session] `bearer` keeps both tokens in this object. `cookie`, for pages that
   *   the bank serves itself, leaves the refresh token to the browser: it outlives a reload and is shared by all tabs
   * @param {typeof fetch} [options.fetch]
   * @param {(problem: ProblemError) => Promise<boolean>} [options.askForProof] called when the bank wants password or code
   *   once more (`recent_sign_in_required`). Have it call {@link prove} and answer `true`: then the request is repeated.
   *   With `false` the problem is thrown, as it is without this option
   *
   * Events: `signed-in` and `signed-out`, when another tab has done it or the bank has ended the session.
   */
  constructor({ baseUrl = new URL('/', import.meta.url), session = 'bearer', fetch = globalThis.fetch, askForProof } = {}) {
    super();
    this.#baseUrl = baseUrl;
    this.#fetch = fetch.bind(globalThis);
    this.#askForProof = askForProof;
    const onChange = (change) => this.dispatchEvent(new Event(change));
    this.#session = session === 'cookie' ? new CookieSession(onChange) : new BearerSession();
  }

  /** Whether somebody is, as far as this side knows. */
  get isSignedIn() {
    return this.#session.accessToken !== null;
  }

  /**
   * How the bank is set up; for everybody.
   * @returns {Promise<{sign_up: 'open' | 'staff', currency: string, self_service_deposits: boolean, swagger_ui: boolean}>}
   */
  about = async ({ signal } = {}) => read(await send(this.#fetch, this.#url('bank'), { method: 'GET', signal }, { repeatable: false }));

  // Signing in and out

  /**
   * Becomes a customer with a first account. Does not sign in. Where {@link Coffer#about} says `sign_up: 'staff'`, only
   * {@link Coffer#createCustomer} makes customers.
   * @param {{name: string, email: string, password: string, currency?: string}} person
   * @returns {Promise<{user: User, account: Account}>}
   */
  signUp(person) {
    return this.#anonymous('create_account', person);
  }

  /**
   * @param {string} email
   * @param {string} password
   * @param {string} [code] of the second factor, or a recovery code; asked for by a problem `second_factor_required`
   */
  async signIn(email, password, code) {
    this.#session.accept(await this.#anonymous('login', { email, password, ...(code && { code }) }));
  }

  /**
   * `cookie` only: takes up the session of before the reload.
   * @returns {Promise<boolean>} whether there was one
   */
  async resume() {
    try {
      await this.#renew();
      return true;
    } catch (error) {
      if (error instanceof SignedOutError) return false;
      throw error;
    }
  }

  /** Ends the session, in every tab. Throws if the bank cannot be told: then it has not ended. */
  async signOut() {
    try {
      await this.#call('POST', 'logout', { headers: this.#session.headers });
    } catch (error) {
      if (!(error instanceof SignedOutError)) throw error;
    }
    this.#session.end();
  }

  // The caller

  /** @returns {Promise<Profile>} */
  me = (options) => this.#get('me', {}, options);
  /**
   * Shows password or code once more: for five minutes this session may do what cannot be taken back.
   * @param {{password: string} | {code: string}} proof
   */
  async prove(proof) {
    this.#session.exchange(await this.#call('POST', 'me/proof', { body: proof }));
  }
  /**
   * @param {{name?: string, email?: string, current_password?: string, confirm_above?: string | null}} changes
   *   `confirm_above` in whole units, or null for none
   * @returns {Promise<Profile>}
   */
  updateMe = (changes) => this.#call('PATCH', 'me', { body: changes });
  /** @param {{current_password: string, new_password: string}} passwords */
  changePassword = (passwords) => this.#call('PUT', 'me/password', { body: passwords });
  /** Leaves the bank. Needs every account closed. */
  closeMe = async () => (await this.#call('DELETE', 'me'), this.#session.end());
  /** @param {{cursor?: string, limit?: number}} [query] @returns {Promise<Page<Session>>} newest first */
  sessions = (query, options) => this.#get('me/sessions', query, options);
  endSession = (id) => this.#call('DELETE', `me/sessions/${id}`);
  /** @returns {Promise<{enabled: boolean, required: boolean, recovery_codes_left: number}>} */
  secondFactor = (options) => this.#get('me/second_factor', {}, options);
  /** @returns {Promise<{secret: string, otpauth_uri: string, qr_svg: string}>} not in force until it is confirmed */
  enrolSecondFactor = (password) => this.#call('POST', 'me/second_factor', { body: { password } });
  /** @returns {Promise<{recovery_codes: string[]}>} shown this once */
  async confirmSecondFactor(code) {
    const codes = await this.#call('POST', 'me/second_factor/confirm', { body: { code } });
    // The access token of before says that this session began without, which some roles may not use.
    await this.#renew();
    return codes;
  }
  removeSecondFactor = (password, code) => this.#call('POST', 'me/second_factor/remove', { body: { password, code } });

  // Accounts

  /** @param {{owner_id?: string, cursor?: string, limit?: number}} [query] @returns {Promise<Page<Account>>} */
  accounts = (query, options) => this.#get('accounts', query, options);
  /** @returns {Promise<Account[]>} every account, over all pages */
  async allAccounts(query, options) {
    const accounts = [];
    for await (const account of this.#pages((page) => this.accounts({ ...query, ...page }, options))) accounts.push(account);
    return accounts;
  }
  /** @returns {Promise<Account>} */
  account = (number, options) => this.#get(`accounts/${number}`, {}, options);
  /** @param {{currency?: string, label?: string}} account @returns {Promise<Account>} */
  openAccount = (account) => this.#call('POST', 'accounts', { body: account });
  /** @param {string | null} label @returns {Promise<Account>} */
  renameAccount = (number, label) => this.#call('PATCH', `accounts/${number}`, { body: { label } });
  closeAccount = (number) => this.#call('DELETE', `accounts/${number}`);
  /** @param {string} [at] a moment in the past, as RFC 3339 */
  balance = (number, at, options) => this.#get('balance', { account_number: number, at }, options);

  // Movements

  /** @param {Movement} movement @param {MovementOptions} [options] @returns {Promise<Entry | Approval>} */
  deposit = (movement, options) => this.#move('deposit', movement, options);
  /** @param {Movement} movement @param {MovementOptions} [options] @returns {Promise<Entry | Approval>} */
  withdraw = (movement, options) => this.#move('withdraw', movement, options);
  /** @param {Transfer} transfer @param {MovementOptions} [options] @returns {Promise<Entry | Approval>} */
  transfer = (transfer, options) => this.#move('transfer', transfer, options);
  /** @param {{atomic?: boolean, transactions: object[]}} batch @param {MovementOptions} [options] */
  batch = (batch, options) => this.#move('transactions/batch', batch, options);

  /** @returns {Promise<Entry>} */
  transaction = (id, options) => this.#get(`transactions/${id}`, {}, options);
  /** @param {HistoryFilter & {cursor?: string}} [filter] @returns {Promise<Page<Entry>>} newest first */
  historyPage = (number, filter, options) => this.#get('transactions', { account_number: number, ...filter }, options);
  /** @param {HistoryFilter} [filter] @returns {AsyncGenerator<Entry>} newest first, read page by page as it is used */
  history = (number, filter, options) =>
    this.#pages((page) => this.historyPage(number, { limit: 200, ...filter, ...page }, options));
  /** @param {{from: string, to: string}} period dates, whose whole UTC day counts, or moments */
  statement = (number, period, options) => this.#get(`accounts/${number}/statement`, { ...period, format: 'json' }, options);
  /** @param {'json' | 'csv'} format @returns {Promise<Blob>} the statement as a file */
  async statementFile(number, { from, to }, format) {
    const url = this.#url(`accounts/${number}/statement`, { from, to, format });
    return (await this.#authorized(url, { method: 'GET' }, true)).blob();
  }

  // For staff, admins and auditors

  /** @param {string} [reason] for statement and audit log @param {MovementOptions} [options] @returns {Promise<Entry | Approval>} */
  reverse = (id, reason, options) => this.#move(`transactions/${id}/reverse`, { reason }, options);
  /** @param {{search?: string, role?: string, cursor?: string, limit?: number}} query @returns {Promise<Page<User>>} */
  users = (query, options) => this.#get('users', query, options);
  /** @returns {Promise<User>} */
  user = (id, options) => this.#get(`users/${id}`, {}, options);
  /** @param {'active' | 'frozen'} status @param {string} [reason] for the audit log @returns {Promise<User>} */
  setUserStatus = (id, status, reason) => this.#call('PUT', `users/${id}/status`, { body: { status, reason } });
  /** @param {'open' | 'frozen'} status @param {string} [reason] for the audit log @returns {Promise<Account>} */
  setAccountStatus = (number, status, reason) =>
    this.#call('PUT', `accounts/${number}/status`, { body: { status, reason } });
  /**
   * Where movements need approval, so does this: by another admin.
   * @param {User['role']} role @returns {Promise<User | Approval>}
   */
  setUserRole = (id, role) => this.#call('PUT', `users/${id}/role`, { body: { role } });
  /**
   * For those who have lost their app and their recovery codes. Where movements need approval, so does this.
   * @returns {Promise<Approval | undefined>}
   */
  removeUserSecondFactor = (id) => this.#call('DELETE', `users/${id}/second_factor`);
  endUserSessions = (id) => this.#call('DELETE', `users/${id}/sessions`);
  /**
   * Makes somebody else a customer, with a first account; for staff and admins. They should change the password at once.
   * @param {{name: string, email: string, password: string, currency?: string}} person
   * @returns {Promise<{user: User, account: Account}>}
   */
  createCustomer = (person) => this.#call('POST', 'create_account', { body: person });
  /** @param {AuditFilter & {cursor?: string, limit?: number}} [query] @returns {Promise<Page<AuditRecord>>} newest first */
  audit = (query, options) => this.#get('audit', { ...query, format: 'json' }, options);
  /** @param {AuditFilter} [query] @returns {Promise<Blob>} all of it as CSV */
  async auditFile(query) {
    return (await this.#authorized(this.#url('audit', { ...query, format: 'csv' }), { method: 'GET' }, true)).blob();
  }
  /** @param {{status?: Approval['status'], cursor?: string, limit?: number}} query @returns {Promise<Page<Approval>>} */
  approvals = (query, options) => this.#get('approvals', query, options);
  /** @returns {Promise<Approval>} */
  approval = (id, options) => this.#get(`approvals/${id}`, {}, options);
  /** @returns {Promise<Approval>} with the `transaction_id` of what was booked, if it was a movement */
  approve = (id) => this.#call('POST', `approvals/${id}/approve`);
  /** Or, by whoever asked for it, takes it back. @returns {Promise<Approval>} */
  reject = (id) => this.#call('POST', `approvals/${id}/reject`);

  // How

  #get(path, query, { signal } = {}) {
    return this.#authorized(this.#url(path, query), { method: 'GET', signal }, true).then(read);
  }

  #move(path, body, { idempotencyKey = newIdempotencyKey(), signal } = {}) {
    return this.#call('POST', path, { body, signal, headers: { 'Idempotency-Key': idempotencyKey }, repeatable: true });
  }

  async #call(method, path, { body, headers, signal, repeatable = method === 'PUT' } = {}) {
    return read(await this.#authorized(this.#url(path), { method, signal, ...jsonBody(body, headers) }, repeatable));
  }

  async #anonymous(path, body, options) {
    const init = { method: 'POST', ...jsonBody(body, this.#session.headers), ...options };
    return read(await send(this.#fetch, this.#url(path), init, { repeatable: false }));
  }

  /** Once more when the bank has asked for a proof, and has got it. */
  async #authorized(url, init, repeatable) {
    try {
      return await this.#withToken(url, init, repeatable);
    } catch (error) {
      if (!isAskedForProof(error) || !this.#askForProof) throw error;
      // Several requests ask once.
      this.#asking ??= this.#askForProof(error).finally(() => (this.#asking = null));
      if (!(await this.#asking)) throw error;
      return this.#withToken(url, init, repeatable);
    }
  }

  /** With the access token, and once more with a new one if it no longer counts. */
  async #withToken(url, init, repeatable) {
    const attempt = (token) => {
      const headers = { ...init.headers, Authorization: `Bearer ${token}` };
      return send(this.#fetch, url, { ...init, headers }, { repeatable });
    };
    const token = this.#session.accessToken;
    if (token) {
      try {
        return await attempt(token);
      } catch (error) {
        if (!(error instanceof ProblemError && error.status === 401) || isAskedForProof(error)) throw error;
      }
    }
    // Another call or tab may have brought a new token while this one was on its way.
    if (!token || this.#session.accessToken === token) await this.#renew();
    return attempt(this.#session.accessToken);
  }

  async #renew() {
    const wasSignedIn = this.isSignedIn;
    try {
      await this.#session.renew((body, options) => this.#anonymous('refresh', body, options));
    } catch (error) {
      if (!(error instanceof ProblemError && error.status === 401)) throw error;
      if (wasSignedIn) this.#session.end();
      if (wasSignedIn) this.dispatchEvent(new Event('signed-out'));
      throw new SignedOutError({ ...error, detail: error.detail, request_id: error.requestId });
    }
  }

  async *#pages(readPage) {
    let page;
    do {
      page = await readPage(page ? { cursor: page.next_cursor } : {});
      yield* page.data;
    } while (page.has_more);
  }

  #url(path, query = {}) {
    const url = new URL(path, this.#baseUrl);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined && value !== null && value !== '') url.searchParams.set(name, value);
    }
    return url.href;
  }
}

function jsonBody(body, headers = {}) {
  if (body === undefined) return { headers };
  return { headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

async function read(response) {
  return response.status === 204 ? undefined : response.json();
}
