/**
 * The JavaScript client of a Coffer bank: one file without dependencies, for browsers, Node 20 and later, Deno and Bun. It is
 * one on purpose: a page imports it with one request, and a program copies it.
 *
 * Pages import it from the running server (with their origin in `COFFER_CORS_ORIGINS` when that is another one), programs
 * from this file:
 *
 *     import { Coffer } from 'https://bank.example.com/web/api/coffer.js';
 *
 *     const bank = new Coffer('https://bank.example.com');
 *     await bank.signIn('ada@example.com', 'correct horse battery staple');
 *     const [account] = await bank.allAccounts();
 *     await bank.deposit({ account_number: account.account_number, amount: '100.50' });
 *     for await (const entry of bank.history(account.account_number)) console.log(entry.amount, entry.balance);
 *
 * A backend calls with an API key in place of a sign-in: `new Coffer(address, { apiKey: process.env.COFFER_API_KEY })`.
 *
 * What it takes care of: an access token that has expired is renewed once, however many calls meet it; what is safe to
 * send twice is sent again when there is no answer or the bank is busy, as late as `Retry-After` asks; each movement
 * has an `Idempotency-Key`, so that it happens once; when the bank asks for the password or a code once more,
 * `askForProof` can ask for it, and the request is repeated. Whatever goes wrong is a {@link ProblemError} with the `code`
 * of the problem document, or a {@link NetworkError}.
 *
 * Amounts are decimal strings, `"100.50"`, on the way in and out. Never make a Number of one.
 *
 * `coffer.d.ts` is made from the types in this file.
 *
 * @module
 */
/* @ts-self-types="./coffer.d.ts" */

// What can go wrong. Every error the client throws is one of these.

export class CofferError extends Error {
  name = 'CofferError';
}

/**
 * No answer, or one that broke off or cannot be read: no network, something between that answers in the bank's place, or the
 * bank is down. What was asked may or may not have been done.
 */
export class NetworkError extends CofferError {
  name = 'NetworkError';
}

/**
 * The answer was a problem document (RFC 9457). Tell kinds apart by `code`. With a `cause`, an earlier try of the same request
 * had no answer: what is refused before the bank looks into its books, such as 429, then does not say that it was not done.
 */
export class ProblemError extends CofferError {
  name = 'ProblemError';

  /**
   * @param {Problem} problem
   * @param {number | null} [retryAfterSeconds]
   * @param {string | null} [etag]
   */
  constructor(problem, retryAfterSeconds = null, etag = null) {
    super(problem.detail);
    this.status = problem.status;
    /** The same kind of problem always has the same code, such as `insufficient_funds`. */
    this.code = problem.code;
    this.title = problem.title;
    /** For a person: what happened and what to do. */
    this.detail = problem.detail;
    /** The bank's log has the same id. */
    this.requestId = problem.request_id ?? null;
    /**
     * The movement to look up, when the bank does not know whether it was booked (`outcome_unknown`), or when it has the
     * reference already (`reference_taken`).
     */
    this.transactionId = problem.transaction_id ?? null;
    /** The fields to correct. */
    this.errors = problem.errors ?? [];
    /** What the amounts below are in. */
    this.currency = problem.currency ?? null;
    /** What was asked for, of `insufficient_funds`, `limit_exceeded` and `overdraft_in_use`. */
    this.requested = problem.requested ?? null;
    /** What could be withdrawn, of `insufficient_funds`; and the next two. */
    this.available = problem.available ?? null;
    /** What holds and pending approvals keep. */
    this.held = problem.held ?? null;
    /** How much is missing. */
    this.shortBy = problem.short_by ?? null;
    /** The limit that was met, of `limit_exceeded`; and the next four. */
    this.limit = problem.limit ?? null;
    this.allowed = problem.allowed ?? null;
    this.used = problem.used ?? null;
    this.remaining = problem.remaining ?? null;
    /** When all of it is there again. */
    this.resetsAt = problem.resets_at ?? null;
    this.retryAfterSeconds = retryAfterSeconds;
    /** The version that the account has now, when a movement expected another one (`balance_moved_on`). */
    this.etag = etag;
  }
}

/** Nobody is signed in (any more). */
export class SignedOutError extends ProblemError {
  name = 'SignedOutError';
}

/**
 * Whether the bank wants password or code once more before it does this.
 * @param {unknown} error
 * @returns {error is ProblemError}
 */
export function isAskedForProof(error) {
  return error instanceof ProblemError && error.code === 'recent_sign_in_required';
}

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
 * A bank, and somebody who is signed in there or is going to be.
 *
 * Events: `signed-in` and `signed-out`, when another tab has done it or the bank has ended the session.
 */
export class Coffer extends EventTarget {
  #baseUrl;
  /** @type {BearerSession | CookieSession | KeySession} */
  #session;
  #fetch;
  #askForProof;
  /** @type {Promise<boolean> | null} */
  #asking = null;

  /**
   * @param {string | URL | CofferOptions} [where] the address of the bank, or options
   * @param {CofferOptions} [options] beside the address
   */
  constructor(where = {}, options = {}) {
    super();
    const all = typeof where === 'string' || where instanceof URL ? { ...options, baseUrl: where } : where;
    const { baseUrl = ownOrigin(), session = 'bearer', apiKey, fetch = globalThis.fetch, askForProof } = all;
    this.#baseUrl = asDirectory(baseUrl);
    this.#fetch = fetch.bind(globalThis);
    this.#askForProof = askForProof;
    /** @param {Change} change */
    const onChange = (change) => this.dispatchEvent(new Event(change));
    if (apiKey) this.#session = new KeySession(apiKey);
    else this.#session = session === 'cookie' ? new CookieSession(onChange) : new BearerSession();
  }

  /** Whether somebody is, as far as this side knows. */
  get isSignedIn() {
    return this.#session.accessToken !== null;
  }

  /**
   * How the bank is set up; for everybody.
   * @param {Options} [options]
   * @returns {Promise<About>}
   */
  about = async ({ signal } = {}) => {
    return send(this.#fetch, this.#url('bank'), { method: 'GET', signal }, { repeatable: false, read: readJson });
  };

  // Signing in and out

  /**
   * Becomes a customer with a first account. Does not sign in. Where {@link Coffer.about} says `sign_up: 'staff'`, only
   * {@link Coffer.createCustomer} makes customers.
   * @param {NewUser} person
   * @returns {Promise<{user: User, account: Account}>}
   */
  signUp(person) {
    return this.#anonymous('create_account', person);
  }

  /**
   * Sets a password by a one-time link; does not sign in. Ends every session of that user.
   * @param {string} token the end of the link
   * @param {string} password
   * @returns {Promise<void>}
   */
  setPassword(token, password) {
    return this.#anonymous('password_reset/confirm', { token, new_password: password });
  }

  /**
   * Has a link mailed by which whoever has this address sets a password, where {@link Coffer.about} says `mail: true`. Tells
   * nobody whether somebody has it.
   * @param {string} email
   * @returns {Promise<void>}
   */
  requestPasswordReset(email) {
    return this.#anonymous('password_reset', { email });
  }

  /**
   * Verifies an address by the link that was mailed to it.
   * @param {string} token the end of the link
   * @returns {Promise<void>}
   */
  verifyEmail(token) {
    return this.#anonymous('email_verification', { token });
  }

  /**
   * @param {string} email
   * @param {string} password
   * @param {string} [code] of the second factor, or a recovery code; asked for by a problem `second_factor_required`
   * @returns {Promise<void>}
   */
  async signIn(email, password, code) {
    this.#refuseWithKey();
    this.#session.accept(await this.#anonymous('login', { email, password, ...(code && { code }) }));
  }

  /**
   * `cookie` only: takes up the session of before the reload.
   * @returns {Promise<boolean>} whether there was one
   */
  async resume() {
    this.#refuseWithKey();
    try {
      await this.#renew();
      return true;
    } catch (error) {
      if (error instanceof SignedOutError) return false;
      throw error;
    }
  }

  /**
   * Ends the session, in every tab. Throws if the bank cannot be told: then it has not ended.
   * @returns {Promise<void>}
   */
  async signOut() {
    try {
      await this.#call('POST', 'logout', { headers: this.#session.headers });
    } catch (error) {
      if (!(error instanceof SignedOutError)) throw error;
    }
    this.#session.end();
  }

  // The caller

  /**
   * @param {Options} [options]
   * @returns {Promise<Profile>}
   */
  me = (options) => this.#get('me', {}, options);

  /**
   * Shows password or code once more: for five minutes this session may do what cannot be taken back.
   * @param {{password: string} | {code: string}} proof
   * @returns {Promise<void>}
   */
  async prove(proof) {
    this.#refuseWithKey();
    this.#session.exchange(await this.#call('POST', 'me/proof', { body: proof }));
  }

  /**
   * @param {{name?: string, email?: string, current_password?: string, confirm_above?: string | null,
   *   name_check?: boolean, sign_in_notices?: boolean}} changes
   *   `confirm_above` in whole units, or null for none
   * @returns {Promise<Profile>}
   */
  updateMe = (changes) => this.#call('PATCH', 'me', { body: changes });

  /**
   * Has another link mailed by which one's address is verified.
   * @returns {Promise<void>}
   */
  sendEmailVerification = () => this.#call('POST', 'me/email_verification');

  /**
   * @param {{current_password: string, new_password: string}} passwords
   * @returns {Promise<void>}
   */
  changePassword = (passwords) => this.#call('PUT', 'me/password', { body: passwords });

  /**
   * Leaves the bank. Needs every account closed.
   * @returns {Promise<void>}
   */
  async closeMe() {
    await this.#call('DELETE', 'me');
    this.#session.end();
  }

  /**
   * Everything that the bank has about oneself. Takes a recent proof.
   * @returns {Promise<Blob>} a zip archive of JSON files
   */
  exportMe = () => this.#file('me/export');

  /**
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Session>>} newest first
   */
  sessions = (query, options) => this.#get('me/sessions', query, options);

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  endSession = (id) => this.#call('DELETE', path`me/sessions/${id}`);

  /**
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<ApiKey>>} newest first, without their secrets
   */
  apiKeys = (query, options) => this.#get('me/api_keys', query, options);

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<ApiKey>}
   */
  apiKey = (id, options) => this.#get(path`me/api_keys/${id}`, {}, options);

  /**
   * By the key a program calls in the caller's name, as far as its scopes and bounds reach.
   * @param {NewApiKey} key
   * @returns {Promise<ApiKey & {api_key: string}>} `api_key` is its secret, shown this once
   */
  createApiKey = (key) => this.#call('POST', 'me/api_keys', { body: key });

  /**
   * Gives a key another secret; the former one counts for a while.
   * @param {string} id
   * @param {number} [overlapSeconds] a day if left out
   * @returns {Promise<ApiKey & {api_key: string}>}
   */
  rotateApiKey = (id, overlapSeconds) =>
    this.#call('POST', path`me/api_keys/${id}/rotate`, { body: { overlap_seconds: overlapSeconds } });

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  revokeApiKey = (id) => this.#call('DELETE', path`me/api_keys/${id}`);

  /**
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Payee>>} newest first
   */
  payees = (query, options) => this.#get('me/payees', query, options);

  /**
   * Remembers whom the caller pays, by a name of their own.
   * @param {{name: string, account_number: string}} payee
   * @returns {Promise<Payee>}
   */
  createPayee = (payee) => this.#call('POST', 'me/payees', { body: payee });

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  deletePayee = (id) => this.#call('DELETE', path`me/payees/${id}`);

  /**
   * Whether an account is that of whom one means to pay.
   * @param {{account_number: string, name: string}} whom
   * @returns {Promise<NameCheck>}
   */
  checkName = (whom) => this.#call('POST', 'name_check', { body: whom });

  /**
   * @param {Options} [options]
   * @returns {Promise<{enabled: boolean, required: boolean, recovery_codes_left: number}>}
   */
  secondFactor = (options) => this.#get('me/second_factor', {}, options);

  /**
   * @param {string} password
   * @returns {Promise<{secret: string, otpauth_uri: string, qr_svg: string}>} not in force until it is confirmed
   */
  enrolSecondFactor = (password) => this.#call('POST', 'me/second_factor', { body: { password } });

  /**
   * @param {string} code
   * @returns {Promise<{recovery_codes: string[]}>} shown this once
   */
  async confirmSecondFactor(code) {
    const codes = await this.#call('POST', 'me/second_factor/confirm', { body: { code } });
    // The access token of before says that this session began without, which some roles may not use.
    await this.#renew();
    return codes;
  }

  /**
   * @param {string} password
   * @param {string} code
   * @returns {Promise<void>}
   */
  removeSecondFactor = (password, code) => this.#call('POST', 'me/second_factor/remove', { body: { password, code } });

  // Accounts

  /**
   * @param {PageQuery & {owner_id?: string}} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Account>>}
   */
  accounts = (query, options) => this.#get('accounts', query, options);

  /**
   * @param {{owner_id?: string}} [query]
   * @param {Options} [options]
   * @returns {Promise<Account[]>} every account, over all pages
   */
  async allAccounts(query, options) {
    const accounts = [];
    for await (const account of pages((page) => this.accounts({ ...query, ...page }, options))) accounts.push(account);
    return accounts;
  }

  /**
   * With `ifNoneMatch` it is null while that is the version still.
   * @type {{(number: string, options?: Options): Promise<Account>,
   *   (number: string, options: IfChanged): Promise<Account | null>}}
   */
  account = (/** @type {string} */ number, /** @type {Options | IfChanged} */ options = {}) =>
    this.#get(path`accounts/${number}`, {}, options);

  /**
   * Tells of an account now, and each time that it changes, until the signal ends it. The bank answers when something has
   * changed: nothing is asked every few seconds. While there is no answer it tries again, ever less often.
   * @param {string} number
   * @param {(account: Account) => void} onChange
   * @param {{signal: AbortSignal, etag?: string}} options `etag`: the version that is known already, of which it does not tell
   * @returns {Promise<void>} when the signal has ended it
   * @throws {ProblemError} when the bank refuses it for good
   */
  async watchAccount(number, onChange, { signal, etag }) {
    let failures = 0;
    while (!signal.aborted) {
      const asked = Date.now();
      try {
        const account = etag
          ? await this.account(number, { ifNoneMatch: etag, wait: LONGEST_WAIT_SECONDS, signal })
          : await this.account(number, { signal });
        failures = 0;
        const isNew = account !== null && (!account.etag || account.etag !== etag);
        etag = account?.etag ?? etag;
        if (isNew) onChange(account);
        else await pause(asked + SHORTEST_ROUND_MS - Date.now(), signal);
        // Something on the way takes the tags off: nobody can tell what is new.
        if (!etag) await pause(LONGEST_WAIT_SECONDS * 1000, signal);
      } catch (error) {
        if (signal.aborted) return;
        const mayPass = error instanceof NetworkError || (error instanceof ProblemError && mayPassLater(error.status));
        if (!mayPass) throw error;
        failures += 1;
        await pause(Math.min(LONGEST_PAUSE_MS * failures, MOST_PAUSE_MS), signal).catch(() => {});
      }
    }
  }

  /**
   * What has happened, in its order. Send `last_id` as `after` to go on.
   * @param {EventFilter & {after?: string, limit?: number}} [query]
   * @param {Options} [options]
   * @returns {Promise<{data: BankEvent[], has_more: boolean, last_id: string | null}>}
   */
  events = (query, options) => this.#get('events', { ...query }, options);

  /**
   * Tells of each event as it happens, until the signal ends it. When the stream breaks off, it goes on behind the last event
   * that it has told of, so that none is missed; before the first one it knows no place to go on from, unless `after` is one.
   * It comes back as soon as the bank asks to, and ever less often while no stream opens.
   * @param {(event: BankEvent) => unknown} onEvent awaited before the next one
   * @param {EventFilter & {signal: AbortSignal, after?: string}} options `after`: the `id` of the last event that is known
   * @returns {Promise<void>} when the signal has ended it
   * @throws {ProblemError} when the bank refuses it for good; `events_missed` when some are not there any more
   */
  async watchEvents(onEvent, { signal, after, ...filter }) {
    let [failures, pauseMs] = [0, LONGEST_PAUSE_MS];
    while (!signal.aborted) {
      try {
        /** @type {Record<string, string>} */
        const headers = { Accept: 'text/event-stream', ...(after && { 'Last-Event-ID': after }) };
        const init = { method: 'GET', headers, signal };
        const how = { repeatable: true, read: openStream };
        const response = await this.#authorized(this.#url('events', filter), init, how);
        // Not only at the first event: a quiet bank may have none before something on the way ends the stream.
        failures = 0;
        for await (const { event, retryMs } of messagesOf(response)) {
          pauseMs = retryMs ?? pauseMs;
          if (!event) continue;
          await onEvent(event);
          after = event.id;
        }
      } catch (error) {
        if (signal.aborted) return;
        const isFinal = error instanceof ProblemError && !mayPassLater(error.status);
        if (isFinal || !(error instanceof CofferError)) throw error;
      }
      failures += 1;
      await pause(Math.min(pauseMs * failures, MOST_PAUSE_MS), signal).catch(() => {});
    }
  }

  /**
   * @param {{currency?: string, label?: string, owner_id?: string}} account `owner_id`: whose, for staff
   * @returns {Promise<Account>}
   */
  openAccount = (account) => this.#call('POST', 'accounts', { body: account });

  /**
   * How much may leave an account, and what is used of that.
   * @param {string} number
   * @param {Options} [options]
   * @returns {Promise<Limits>}
   */
  limits = (number, options) => this.#get(path`accounts/${number}/limits`, {}, options);

  /**
   * Sets all limits of an account at once: the bank's by staff, their own by owners.
   * @param {string} number
   * @param {NewLimits} limits what is left out is not limited
   * @returns {Promise<Limits>} as before with `approval_id` while somebody else has to approve them
   */
  setLimits = (number, limits) => this.#call('PUT', path`accounts/${number}/limits`, { body: limits });

  /**
   * @param {string} number
   * @param {string | null} label
   * @returns {Promise<Account>}
   */
  renameAccount = (number, label) => this.updateAccount(number, { label });

  /**
   * @param {string} number
   * @param {{label?: string | null, alert_below?: string | null, notify_above?: string | null,
   *   metadata?: Record<string, string | null>}} changes what is left out stays; null removes
   * @returns {Promise<Account>}
   */
  updateAccount = (number, changes) => this.#call('PATCH', path`accounts/${number}`, { body: changes });

  /**
   * @param {string} number
   * @returns {Promise<void>}
   */
  closeAccount = (number) => this.#call('DELETE', path`accounts/${number}`);

  /**
   * `at` is a moment in the past, as RFC 3339. With `ifNoneMatch`, and without `at`, it is null while that is the version
   * still.
   * @type {{(number: string, at?: string, options?: Options): Promise<Balance>,
   *   (number: string, at: undefined, options: IfChanged): Promise<Balance | null>}}
   */
  balance = (
    /** @type {string} */ number,
    /** @type {string | undefined} */ at = undefined,
    /** @type {Options | IfChanged} */ options = {},
  ) => this.#get('balance', { account_number: number, at }, options);

  // Movements

  /**
   * @param {Movement} movement
   * @param {MovementOptions} [options]
   * @returns {Promise<Transaction>}
   */
  deposit = (movement, options) => this.#move('deposit', movement, options);

  /**
   * @param {Movement} movement
   * @param {MovementOptions} [options]
   * @returns {Promise<Transaction>}
   */
  withdraw = (movement, options) => this.#move('withdraw', movement, options);

  /**
   * @param {Transfer} transfer
   * @param {MovementOptions} [options]
   * @returns {Promise<Transaction>}
   */
  transfer = (transfer, options) => this.#move('transfer', transfer, options);

  /**
   * Keeps money on its account for a movement to come.
   * @param {NewHold} hold
   * @param {MovementOptions} [options]
   * @returns {Promise<Transaction>} `held`, with the id of the hold
   */
  hold = (hold, options) => this.#move('holds', hold, options);

  /**
   * Moves what is held, once. The rest is free again.
   * @param {string} id
   * @param {{amount?: string}} [capture] all of it if left out
   * @param {MovementOptions} [options]
   * @returns {Promise<Transaction>} with the id of the hold
   */
  captureHold = (id, capture = {}, options) => this.#move(path`holds/${id}/capture`, capture, options);

  /**
   * The money is free again.
   * @param {string} id
   * @returns {Promise<Hold>}
   */
  releaseHold = (id) => this.#call('POST', path`holds/${id}/release`);

  /**
   * @param {string} number
   * @param {PageQuery & {status?: Hold['status'] | ''}} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Hold>>} newest first, with those that have ended
   */
  holds = (number, query, options) => this.#get('holds', { account_number: number, ...query }, options);

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<Hold>}
   */
  getHold = (id, options) => this.#get(path`holds/${id}`, {}, options);

  /**
   * @param {Batch} batch
   * @param {MovementOptions} [options]
   * @returns {Promise<BatchResult>}
   */
  batch = (batch, options) => this.#move('transactions/batch', batch, options);

  /**
   * What a movement would do if it were sent now: the balance after it, or that it would wait for a second person. What
   * would refuse it is thrown. Nothing happens.
   */
  preview = {
    /** @param {Movement} movement @param {Options} [options] @returns {Promise<Preview>} */
    deposit: (movement, options) => this.#preview('deposit', movement, options),
    /** @param {Movement} movement @param {Options} [options] @returns {Promise<Preview>} */
    withdraw: (movement, options) => this.#preview('withdraw', movement, options),
    /** @param {Transfer} transfer @param {Options} [options] @returns {Promise<Preview>} */
    transfer: (transfer, options) => this.#preview('transfer', transfer, options),
    /** @param {NewHold} hold @param {Options} [options] @returns {Promise<Preview>} */
    hold: (hold, options) => this.#preview('holds', hold, options),
    /** @param {string} id @param {{amount?: string}} [capture] @param {Options} [options] @returns {Promise<Preview>} */
    captureHold: (id, capture = {}, options) => this.#preview(path`holds/${id}/capture`, capture, options),
    /** @param {string} id @param {Options} [options] @returns {Promise<Preview>} */
    reverse: (id, options) => this.#preview(path`transactions/${id}/reverse`, {}, options),
  };

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<Transaction>}
   */
  transaction = (id, options) => this.#get(path`transactions/${id}`, {}, options);

  /**
   * Newest first. With `ifNoneMatch`, the first page is null while that is the version still.
   * @type {{(number: string, filter?: HistoryFilter & PageQuery, options?: Options): Promise<Page<Entry> & Versioned>,
   *   (number: string, filter: HistoryFilter, options: IfChanged): Promise<(Page<Entry> & Versioned) | null>}}
   */
  historyPage = (
    /** @type {string} */ number,
    /** @type {HistoryFilter & PageQuery} */ filter = {},
    /** @type {Options | IfChanged} */ options = {},
  ) => this.#get('transactions', { account_number: number, ...filter }, options);

  /**
   * @param {string} number
   * @param {HistoryFilter} [filter]
   * @param {Options} [options]
   * @returns {AsyncGenerator<Entry, void, void>} newest first, read page by page as it is used
   */
  history = (number, filter, options) =>
    pages((page) => this.historyPage(number, { limit: 200, ...filter, ...page }, options));

  /**
   * The movement of one's own that has this reference.
   * @param {string} number of the account that was acted on
   * @param {string} reference
   * @param {Options} [options]
   * @returns {Promise<Entry | null>} null when there is none in the books
   */
  async findByReference(number, reference, options) {
    return (await this.historyPage(number, { reference, limit: 1 }, options)).data[0] ?? null;
  }

  /**
   * @param {string} number
   * @param {Period} period
   * @param {Options} [options]
   * @returns {Promise<Statement>}
   */
  statement = (number, period, options) => this.#get(path`accounts/${number}/statement`, { ...period }, options);

  /**
   * @param {string} number
   * @param {Period} period
   * @param {'json' | 'csv'} format
   * @returns {Promise<Blob>} the statement as a file
   */
  async statementFile(number, { from, to }, format) {
    const url = this.#url(path`accounts/${number}/${format === 'csv' ? 'statement.csv' : 'statement'}`, { from, to });
    return this.#authorized(url, { method: 'GET' }, { repeatable: true, read: readFile });
  }

  // For staff, admins and auditors

  /**
   * @param {string} id of the movement to undo
   * @param {string} [reason] for statement and audit log
   * @param {MovementOptions & Tags} [options]
   * @returns {Promise<Transaction>}
   */
  reverse = (id, reason, { reference, metadata, ...options } = {}) =>
    this.#move(path`transactions/${id}/reverse`, { reason, reference, metadata }, options);

  /**
   * Of the whole bank, each movement as the account saw it that was acted on.
   * @param {HistoryFilter & PageQuery} [filter] `from` and `to` go by when it was asked for
   * @param {Options} [options]
   * @returns {Promise<Page<Entry>>} newest first, by when they were asked for
   */
  movementsPage = (filter, options) => this.#get('transactions', { ...filter }, options);

  /**
   * @param {HistoryFilter} [filter] as for {@link Coffer.movementsPage}
   * @param {Options} [options]
   * @returns {AsyncGenerator<Entry, void, void>} newest first, read page by page as it is used
   */
  movements = (filter, options) => pages((page) => this.movementsPage({ limit: 200, ...filter, ...page }, options));

  /**
   * Undoes every movement of the group that this one is in, all or none.
   * @param {string} id of one of them
   * @param {string} [reason] for statement and audit log
   * @param {MovementOptions} [options]
   * @returns {Promise<BatchResult>}
   */
  reverseGroup = (id, reason, options) => this.#move(path`transactions/${id}/reverse_group`, { reason }, options);

  /**
   * The bank's own accounts, the cash first, for staff: what {@link deposit} and {@link withdraw} take as `against`.
   * @param {Options} [options]
   * @returns {Promise<{data: BankAccount[]}>}
   */
  bankAccounts = (options) => this.#get('bank_accounts', {}, options);

  /**
   * @param {string} code
   * @param {Options} [options]
   * @returns {Promise<BankAccount>}
   */
  bankAccount = (code, options) => this.#get(path`bank_accounts/${code}`, {}, options);

  /**
   * Opens one for good, for admins.
   * @param {{code: string, name: string, kind: BankAccountKind}} account
   * @returns {Promise<BankAccount>}
   */
  openBankAccount = (account) => this.#call('POST', 'bank_accounts', { body: account });

  /**
   * What the bank has and owes, now or at a moment in the past, for those who work there.
   * @param {{at?: string}} [query]
   * @param {Options} [options]
   * @returns {Promise<TrialBalance>}
   */
  trialBalance = (query = {}, options) => this.#get('trial_balance', query, options);

  /**
   * The bank at a glance, for those who work there.
   * @param {Options} [options]
   * @returns {Promise<Totals>}
   */
  totals = (options) => this.#get('totals', {}, options);

  /**
   * @param {PageQuery & {search?: string, role?: Role | ''}} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<User>>}
   */
  users = (query, options) => this.#get('users', query, options);

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<User>}
   */
  user = (id, options) => this.#get(path`users/${id}`, {}, options);

  /**
   * @param {string} id
   * @param {User['status']} status
   * @param {string} [reason] for the audit log
   * @returns {Promise<User>}
   */
  setUserStatus = (id, status, reason) => this.#call('PUT', path`users/${id}/status`, { body: { status, reason } });

  /**
   * @param {string} number
   * @param {'open' | 'frozen'} status
   * @param {string} [reason] for the audit log
   * @returns {Promise<Account>}
   */
  setAccountStatus = (number, status, reason) =>
    this.#call('PUT', path`accounts/${number}/status`, { body: { status, reason } });

  /**
   * Where movements need approval, so does this: by another admin.
   * @param {string} id
   * @param {Role} role
   * @returns {Promise<User & {approval_id?: string}>} `approval_id` while another admin has to approve it
   */
  setUserRole = (id, role) => this.#call('PUT', path`users/${id}/role`, { body: { role } });

  /**
   * For those who have lost their app and their recovery codes. Where movements need approval, so does this.
   * @param {string} id
   * @returns {Promise<Approval | undefined>}
   */
  removeUserSecondFactor = (id) => this.#call('DELETE', path`users/${id}/second_factor`);

  /**
   * Erases somebody for good, for admins; nobody brings it back. Needs every account closed, and takes a recent proof. Where
   * movements need approval, so does this.
   * @param {string} id
   * @returns {Promise<Erasure | Approval>}
   */
  eraseUser = (id) => this.#call('POST', path`users/${id}/erase`);

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  endUserSessions = (id) => this.#call('DELETE', path`users/${id}/sessions`);

  /**
   * Those that live; of those who work at the bank, for admins and auditors.
   * @param {string} id of the user
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Session>>} newest first
   */
  userSessions = (id, query, options) => this.#get(path`users/${id}/sessions`, query, options);

  /**
   * Takes a recent proof. Of those who work at the bank, for admins.
   * @param {string} id of the user
   * @param {string} sessionId
   * @returns {Promise<void>}
   */
  endUserSession = (id, sessionId) => this.#call('DELETE', path`users/${id}/sessions/${sessionId}`);

  /**
   * For admins and auditors.
   * @param {string} id of the user
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<ApiKey>>} newest first
   */
  userApiKeys = (id, query, options) => this.#get(path`users/${id}/api_keys`, query, options);

  /**
   * All of them; for admins.
   * @param {string} id of the user
   * @returns {Promise<void>}
   */
  revokeUserApiKeys = (id) => this.#call('DELETE', path`users/${id}/api_keys`);

  /**
   * For admins and auditors.
   * @param {Options} [options]
   * @returns {Promise<{data: Webhook[]}>} all of them, newest first, without their secrets
   */
  webhooks = (options) => this.#get('webhooks', {}, options);

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<Webhook>}
   */
  webhook = (id, options) => this.#get(path`webhooks/${id}`, {}, options);

  /**
   * Has events sent to a program; for admins.
   * @param {NewWebhook} webhook
   * @returns {Promise<Webhook & {secret: string}>} `secret` checks signatures, and is shown this once
   */
  createWebhook = (webhook) => this.#call('POST', 'webhooks', { body: webhook });

  /**
   * @param {string} id
   * @param {WebhookChange} change
   * @returns {Promise<Webhook>}
   */
  updateWebhook = (id, change) => this.#call('PATCH', path`webhooks/${id}`, { body: change });

  /**
   * @param {string} id
   * @returns {Promise<void>}
   */
  deleteWebhook = (id) => this.#call('DELETE', path`webhooks/${id}`);

  /**
   * Gives it another secret. The former one still signs for 24 hours.
   * @param {string} id
   * @returns {Promise<Webhook & {secret: string}>}
   */
  rotateWebhookSecret = (id) => this.#call('POST', path`webhooks/${id}/secret`);

  /**
   * Sends a test at once, and tells what came of it.
   * @param {string} id
   * @returns {Promise<WebhookTest>}
   */
  testWebhook = (id) => this.#call('POST', path`webhooks/${id}/test`);

  /**
   * What was sent, and what is to be.
   * @param {string} id
   * @param {PageQuery & {status?: DeliveryStatus}} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<WebhookDelivery>>} of the newest events first
   */
  webhookDeliveries = (id, query, options) => this.#get(path`webhooks/${id}/deliveries`, query, options);

  /**
   * @param {string} id of the webhook
   * @param {string} eventId
   * @returns {Promise<WebhookDelivery>}
   */
  retryWebhookDelivery = (id, eventId) => this.#call('POST', path`webhooks/${id}/deliveries/${eventId}/retry`);

  /**
   * Sends the events of a time anew.
   * @param {string} id
   * @param {{from: string, to?: string}} time
   * @returns {Promise<{events: number, webhook: Webhook}>}
   */
  replayWebhook = (id, time) => this.#call('POST', path`webhooks/${id}/replay`, { body: time });

  /**
   * Makes somebody else a customer, with a first account and a link by which they set a password; for staff and admins.
   * @param {NewCustomer} person
   * @returns {Promise<{user: User, account: Account, invitation: PasswordLink}>}
   */
  createCustomer = (person) => this.#call('POST', 'users', { body: person });

  /**
   * A link by which somebody sets a password, for admins; or `approval_id` where a second admin must approve it first.
   * @param {string} id of the user
   * @returns {Promise<PasswordLink>}
   */
  createPasswordLink = (id) => this.#call('POST', path`users/${id}/password_reset`);

  /**
   * @param {string} id of the user
   * @param {PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<UserNote>>} newest first
   */
  notes = (id, query, options) => this.#get(path`users/${id}/notes`, query, options);

  /**
   * Notes something on somebody, for those who work at the bank.
   * @param {string} id of the user
   * @param {string} text
   * @returns {Promise<UserNote>}
   */
  addNote = (id, text) => this.#call('POST', path`users/${id}/notes`, { body: { text } });

  /**
   * @param {{search?: string, role?: Role | ''}} [query]
   * @returns {Promise<Blob>} all users as CSV
   */
  usersFile = (query) => this.#file('users.csv', query);

  /**
   * @param {HistoryFilter} [query]
   * @returns {Promise<Blob>} the movements of the whole bank as CSV
   */
  movementsFile = (query) => this.#file('transactions.csv', { ...query });

  /**
   * @param {AuditFilter & PageQuery} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<AuditRecord>>} newest first
   */
  audit = (query, options) => this.#get('audit', { ...query }, options);

  /**
   * @param {AuditFilter} [query]
   * @returns {Promise<Blob>} all of it as CSV
   */
  auditFile = (query) => this.#file('audit.csv', { ...query });

  /**
   * @param {PageQuery & {status?: Approval['status']}} [query]
   * @param {Options} [options]
   * @returns {Promise<Page<Approval>>}
   */
  approvals = (query, options) => this.#get('approvals', query, options);

  /**
   * How many wait. Unlike the list it leaves no record in the audit log, so that a badge may ask again and again.
   * @param {Options} [options]
   * @returns {Promise<{waiting: number}>}
   */
  approvalCount = (options) => this.#get('approvals/count', {}, options);

  /**
   * @param {string} id
   * @param {Options} [options]
   * @returns {Promise<Approval>}
   */
  approval = (id, options) => this.#get(path`approvals/${id}`, {}, options);

  /**
   * @param {string} id
   * @returns {Promise<Approval>} with the `transaction_id` of what was booked, if it was a movement
   */
  approve = (id) => this.#call('POST', path`approvals/${id}/approve`);

  /**
   * Or, by whoever asked for it, takes it back.
   * @param {string} id
   * @returns {Promise<Approval>}
   */
  reject = (id) => this.#call('POST', path`approvals/${id}/reject`);

  // Requests

  /**
   * @param {string} path
   * @param {Query} [query]
   * @param {Options & Partial<IfChanged>} [options]
   */
  async #get(path, query, { signal, ifNoneMatch, wait } = {}) {
    /** @type {SentHeaders} */
    const headers = {};
    if (ifNoneMatch) headers['If-None-Match'] = ifNoneMatch;
    if (ifNoneMatch && wait) headers.Prefer = `wait=${wait}`;
    const init = { method: 'GET', signal, headers };
    return this.#authorized(this.#url(path, query), init, { repeatable: true, read: readJson });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {MovementOptions} [options]
   */
  #move(path, body, { idempotencyKey = newIdempotencyKey(), ifMatch, signal } = {}) {
    const headers = { 'Idempotency-Key': idempotencyKey, ...(ifMatch && { 'If-Match': ifMatch }) };
    return this.#call('POST', path, { body, signal, headers, repeatable: true });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {Options} [options]
   */
  #preview(path, body, { signal } = {}) {
    return this.#call('POST', `${path}?preview=true`, { body, signal, repeatable: true });
  }

  /**
   * @param {string} path
   * @param {Query} [query]
   * @returns {Promise<Blob>}
   */
  #file(path, query) {
    return this.#authorized(this.#url(path, query), { method: 'GET' }, { repeatable: true, read: readFile });
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {{body?: object, headers?: SentHeaders, signal?: AbortSignal, repeatable?: boolean}} [how]
   */
  #call(method, path, { body, headers, signal, repeatable = method === 'PUT' } = {}) {
    const init = { method, signal, ...jsonBody(body, headers) };
    return this.#authorized(this.#url(path), init, { repeatable, read: readJson });
  }

  /**
   * @param {string} path
   * @param {object} body
   * @param {RequestInit} [options]
   */
  #anonymous(path, body, options) {
    const init = { method: 'POST', ...jsonBody(body, this.#session.headers), ...options };
    return send(this.#fetch, this.#url(path), init, { repeatable: false, read: readJson });
  }

  /**
   * Once more when the bank has asked for a proof, and has got it.
   * @template Answer
   * @param {string} url
   * @param {Init} init
   * @param {How<Answer>} how
   * @returns {Promise<Answer>}
   */
  async #authorized(url, init, how) {
    try {
      return await this.#withToken(url, init, how);
    } catch (error) {
      if (!isAskedForProof(error) || !this.#askForProof) throw error;
      // Several requests ask once.
      this.#asking ??= this.#askForProof(error).finally(() => (this.#asking = null));
      if (!(await this.#asking)) throw error;
      return this.#withToken(url, init, how);
    }
  }

  /**
   * With the access token, and once more with a new one if it no longer counts.
   * @template Answer
   * @param {string} url
   * @param {Init} init
   * @param {How<Answer>} how
   * @returns {Promise<Answer>}
   */
  async #withToken(url, init, how) {
    /** @param {string | null} token */
    const attempt = (token) => {
      const headers = { ...init.headers, Authorization: `Bearer ${token}` };
      return send(this.#fetch, url, { ...init, headers }, how);
    };
    const token = this.#session.accessToken;
    if (token) {
      try {
        return await attempt(token);
      } catch (error) {
        const isStale = error instanceof ProblemError && error.status === 401 && !isAskedForProof(error);
        if (!isStale || !this.#session.begins) throw error;
      }
    }
    // Another call or tab may have brought a new token while this one was on its way.
    if (!token || this.#session.accessToken === token) await this.#renew();
    return attempt(this.#session.accessToken);
  }

  /** Before anything is asked: the bank would begin a session that this client cannot keep. */
  #refuseWithKey() {
    if (!this.#session.begins) throw new CofferError('This client calls with an API key: nobody signs in with it.');
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

  /**
   * @param {string} path
   * @param {Query} [query]
   */
  #url(path, query = {}) {
    const url = new URL(path, this.#baseUrl);
    for (const [name, value] of Object.entries(query)) {
      // `metadata[order]=42`: the pairs of an object are parameters of their own.
      const isObject = typeof value === 'object' && value !== null;
      const pairs = isObject ? Object.entries(value).map(([key, text]) => [`${name}[${key}]`, text]) : [[name, value]];
      for (const [key, text] of pairs) {
        if (text !== undefined && text !== null && text !== '') url.searchParams.set(String(key), String(text));
      }
    }
    return url.href;
  }
}

/** The bank that this file came from. */
function ownOrigin() {
  if (/^https?:/.test(import.meta.url)) return new URL('/', import.meta.url);
  throw new TypeError("Say where the bank is, such as new Coffer('http://127.0.0.1:8080').");
}

/**
 * So that a bank behind a path, such as `https://example.com/bank`, is found there.
 * @param {string | URL} baseUrl
 */
function asDirectory(baseUrl) {
  const url = new URL(baseUrl);
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/**
 * A path below the address of the bank. Each value in it is one segment, whatever it holds: never a way to another endpoint.
 * @param {TemplateStringsArray} literals
 * @param {...string} values
 */
function path(literals, ...values) {
  return String.raw({ raw: literals }, ...values.map(asSegment));
}

/** @param {string} value */
function asSegment(value) {
  // URLs resolve a segment of dots alone, even where they are encoded once.
  return /^\.{1,2}$/.test(value) ? value.replaceAll('.', '%252E') : encodeURIComponent(value);
}

/**
 * @param {object | undefined} body
 * @param {SentHeaders} [headers]
 * @returns {{headers: SentHeaders, body?: string}}
 */
function jsonBody(body, headers = {}) {
  if (body === undefined) return { headers };
  return { headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) };
}

// The ways to read a success. Whatever they throw means that the answer has not arrived.

/**
 * @param {Response} response
 * @returns {Promise<any>} which the caller knows the type of
 */
async function readJson(response) {
  if (response.status === 204) return undefined;
  if (response.status === 304) return null;
  const answer = await response.json();
  const etag = response.headers.get('ETag');
  // Not enumerable: it is no field of the answer.
  return etag ? Object.defineProperty(answer, 'etag', { value: etag }) : answer;
}

/**
 * @param {Response} response
 * @returns {Promise<Blob>}
 */
async function readFile(response) {
  // The page by which a network asks for a sign-in of its own. No file of the bank is one.
  if (hasType(response, 'text/html')) throw new TypeError('This is a page, and no file.');
  return response.blob();
}

/**
 * @param {Response} response
 * @returns {Promise<Response>} which goes on
 */
async function openStream(response) {
  if (!hasType(response, 'text/event-stream')) throw new TypeError('This is no stream of events.');
  return response;
}

/**
 * @param {Response} response
 * @param {string} type
 */
function hasType(response, type) {
  return Boolean(response.headers.get('Content-Type')?.startsWith(type));
}

/**
 * @template T
 * @param {(page: PageQuery) => Promise<Page<T>>} readPage
 * @returns {AsyncGenerator<T, void, void>}
 */
async function* pages(readPage) {
  let page;
  do {
    page = await readPage(page ? { cursor: page.next_cursor } : {});
    yield* page.data;
  } while (page.has_more);
}

// Kinds of sessions, which differ in where they store tokens, with one interface. `begins` says whether somebody signs in and
// tokens are renewed; the next three methods are called only where it is true. Requests carry `accessToken`; `renew` gets the next one, once for all who ask at the same time; `accept` stores the answer of a sign-in; `exchange`
// stores an access token alone; `end` deletes the tokens. `onChange` is called when another tab has changed the
// session.

/** Stores the tokens in this object and nowhere else: for pages of other origins, and for programs. */
class BearerSession {
  begins = true;
  /** @type {SentHeaders} of the calls that sign in, renew and sign out */
  headers = {};
  /** @type {string | null} */
  accessToken = null;
  /** @type {string | null} */
  #refreshToken = null;
  /** @type {Promise<void> | null} */
  #renewal = null;

  /** @param {Tokens} tokens */
  accept(tokens) {
    this.accessToken = tokens.access_token;
    this.#refreshToken = tokens.refresh_token ?? null;
  }

  /** @param {Tokens} tokens */
  exchange(tokens) {
    this.accessToken = tokens.access_token;
  }

  end() {
    this.accessToken = this.#refreshToken = null;
  }

  /** @param {PostRefresh} post */
  renew(post) {
    // A refresh token is good once, so everybody waits for the same answer.
    this.#renewal ??= post({ refresh_token: this.#refreshToken ?? '' })
      .then((tokens) => this.accept(tokens))
      .finally(() => (this.#renewal = null));
    return this.#renewal;
  }
}

/** An API key in place of a session: it is never renewed, and nobody signs in. */
class KeySession {
  begins = false;
  /** @type {SentHeaders} */
  headers = {};
  /** @type {string | null} */
  accessToken;

  /** @param {string} apiKey */
  constructor(apiKey) {
    this.accessToken = apiKey;
  }

  /** @param {Tokens} _tokens */
  accept(_tokens) {}

  /** @param {Tokens} _tokens */
  exchange(_tokens) {}

  end() {}

  /** @param {PostRefresh} _post */
  async renew(_post) {}
}

const LOCK = 'coffer-refresh';
const CHANNEL = 'coffer-session';
/** Since when a refresh of this tab is on its way, so that a reload does not overtake it. */
const ON_ITS_WAY = 'coffer-refresh-sent';
/** How long the answer to a refresh may take to bring its cookie after a reload has left it. */
const ON_ITS_WAY_MS = 1_000;

/**
 * The refresh token is a cookie that no script can read; the access token is in memory, and shared with the other tabs
 * of this origin. For the bank's own pages.
 */
class CookieSession {
  begins = true;
  /** @type {SentHeaders} */
  headers = { 'Coffer-Client': 'web' };
  /** @type {string | null} */
  accessToken = null;
  /** @type {Promise<void> | null} */
  #renewal = null;
  #channel = new BroadcastChannel(CHANNEL);

  /** @param {(change: Change) => void} onChange */
  constructor(onChange) {
    this.#channel.onmessage = ({ data }) => {
      this.accessToken = data.accessToken;
      if (data.change) onChange(data.change);
    };
  }

  /** @param {Tokens} tokens */
  accept(tokens) {
    this.#set(tokens.access_token, 'signed-in');
  }

  /** @param {Tokens} tokens */
  exchange(tokens) {
    this.#set(tokens.access_token, null);
  }

  end() {
    this.#set(null, 'signed-out');
  }

  /** @param {PostRefresh} post */
  renew(post) {
    this.#renewal ??= this.#renewInTurn(post).finally(() => (this.#renewal = null));
    return this.#renewal;
  }

  /**
   * All tabs have one cookie, good once: two at the same time would look like a thief and end the session.
   * @param {PostRefresh} post
   * @returns {Promise<void>}
   */
  #renewInTurn(post) {
    const stale = this.accessToken;
    return inTurn(async () => {
      if (this.accessToken !== stale && this.accessToken) return; // another tab was quicker
      await waitForTheLastOne();
      sessionStorage.setItem(ON_ITS_WAY, String(Date.now()));
      // `keepalive`: a page that goes away meanwhile must not lose the cookie in the answer.
      const tokens = await post({}, { keepalive: true }).finally(() => sessionStorage.removeItem(ON_ITS_WAY));
      this.#set(tokens.access_token, null);
    });
  }

  /**
   * @param {string | null} accessToken
   * @param {Change | null} change
   */
  #set(accessToken, change) {
    this.accessToken = accessToken;
    this.#channel.postMessage({ accessToken, change });
  }
}

/**
 * One tab after the other; without locks (plain HTTP to another machine) there is no cookie to protect either.
 * @param {() => Promise<void>} work
 * @returns {Promise<void>}
 */
async function inTurn(work) {
  if (!navigator.locks) return work();
  await navigator.locks.request(LOCK, work);
}

async function waitForTheLastOne() {
  const sent = Number(sessionStorage.getItem(ON_ITS_WAY) ?? 0);
  const left = sent + ON_ITS_WAY_MS - Date.now();
  if (left > 0) await pause(Math.min(left, ON_ITS_WAY_MS));
}

// One request to the bank, sent again where that is safe.

/** Tries of one request, the first included. */
const MAX_TRIES = 5;
const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 8_000;
/** Whoever is told to wait longer than this is told so, and decides. */
const LONGEST_RETRY_AFTER_SECONDS = 20;
/** Answers that may be another one the next time. */
const PASSING = new Set([429, 502, 503, 504]);
/** The longest that the bank lets a request wait. */
const LONGEST_WAIT_SECONDS = 25;
/** Between two requests that wait, when the first has brought nothing new: something on the way may not let it wait. */
const SHORTEST_ROUND_MS = 2_000;
/** The longest pause of somebody who watches, while there is no answer. */
const MOST_PAUSE_MS = 60_000;

/**
 * Sends a request and reads the answer. Repeats it, with growing pauses, while there is no answer, one that breaks off or
 * cannot be read, or one that says "not now": only if `repeatable`, that is when doing it twice is the same as doing it once.
 *
 * @template Answer
 * @param {typeof fetch} fetch
 * @param {string} url
 * @param {RequestInit} init
 * @param {How<Answer>} how
 * @returns {Promise<Answer>} of a success
 * @throws {NetworkError | ProblemError | DOMException} the last when `init.signal` aborts
 */
async function send(fetch, url, init, { repeatable, read }) {
  /** @type {unknown} */
  let unanswered;
  for (let attempt = 1; ; attempt++) {
    const last = !repeatable || attempt === MAX_TRIES;
    let response;
    try {
      response = await fetch(url, init);
      if (response.ok || response.status === 304) return await read(response);
    } catch (cause) {
      if (init.signal?.aborted) throw cause;
      if (last) throw new NetworkError('The bank did not answer.', { cause });
      unanswered = cause;
      await pause(backoffMs(attempt), init.signal);
      continue;
    }
    const advised = retryAfterSeconds(response);
    const soon = advised === null || advised <= LONGEST_RETRY_AFTER_SECONDS;
    if (last || !PASSING.has(response.status) || !soon) throw await problemOf(response, unanswered);
    await pause(Math.max(backoffMs(attempt), (advised ?? 0) * 1000), init.signal);
  }
}

/** Whether an answer with this status may be another one later. @param {number} status */
function mayPassLater(status) {
  return status >= 500 || status === 429 || status === 408;
}

/**
 * The messages of a stream (WHATWG HTML 9.2.6), as they arrive: an event each, or in how many milliseconds to come back once
 * the stream has ended. It is closed when nobody reads on.
 * @param {Response} response
 * @returns {AsyncGenerator<{event: BankEvent | null, retryMs: number | null}, void, void>}
 */
async function* messagesOf(response) {
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      text += decoder.decode(value, { stream: true });
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) yield messageOf(block);
    }
  } catch (cause) {
    throw new NetworkError('The stream of events broke off.', { cause });
  } finally {
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block of lines */
function messageOf(block) {
  const lines = block.split('\n').map((line) => /^([a-z]+): ?(.*)$/s.exec(line) ?? []);
  /** @param {string} name */
  const valuesOf = (name) => lines.flatMap(([, field, value]) => (field === name ? value : []));
  const [data, [retry]] = [valuesOf('data'), valuesOf('retry')];
  return {
    event: data.length ? JSON.parse(data.join('\n')) : null,
    retryMs: /^\d+$/.test(retry ?? '') ? Math.max(Number(retry), FIRST_PAUSE_MS) : null,
  };
}

/**
 * Exponential with jitter, so that many clients that fail together do not come back together.
 * @param {number} attempt
 */
function backoffMs(attempt) {
  const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (attempt - 1));
  return ceiling / 2 + (Math.random() * ceiling) / 2;
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal | null} [signal]
 * @returns {Promise<void>}
 */
function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason);
    const stop = () => (clearTimeout(timer), reject(signal?.reason));
    const timer = setTimeout(() => (signal?.removeEventListener('abort', stop), resolve()), milliseconds);
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/**
 * The error of an answer that is not a success, also when something between here and the bank has made it.
 * @param {Response} response
 * @param {unknown} cause why an earlier try had no answer, if one had none
 * @returns {Promise<ProblemError>}
 */
async function problemOf(response, cause) {
  const plain = {
    status: response.status,
    code: 'unexpected_answer',
    title: 'Unexpected answer',
    detail: `The bank gave an answer that cannot be read (HTTP ${response.status}).`,
  };
  const body = hasType(response, 'application/problem+json') ? await response.json().catch(() => ({})) : {};
  const problem = new ProblemError({ ...plain, ...body }, retryAfterSeconds(response), response.headers.get('ETag'));
  return cause ? Object.assign(problem, { cause }) : problem;
}

/**
 * `Retry-After` in seconds, whether it was sent as seconds or as a date (RFC 9110).
 * @param {Response} response
 * @returns {number | null}
 */
function retryAfterSeconds(response) {
  const value = response.headers.get('Retry-After');
  if (!value) return null;
  if (/^\d+$/.test(value)) return Number(value);
  const moment = Date.parse(value);
  return Number.isNaN(moment) ? null : Math.max(0, (moment - Date.now()) / 1000);
}

// The types of what is sent and answered, as /openapi.json has them.

/** @typedef {'customer' | 'staff' | 'admin' | 'auditor'} Role */
/**
 * @typedef {{id: string, name: string, email: string, role: Role, status: 'active' | 'frozen', created_at: string,
 *   is_service: boolean}} User
 */
/**
 * @typedef {User & {confirm_above: string | null, name_check: boolean, email_verified: boolean, sign_in_notices: boolean}} Profile
 *   `confirm_above` in whole units, null for none
 */
/** @typedef {{id: string, name: string, account_number: string, created_at: string}} Payee */
/** @typedef {{result: 'match' | 'close_match' | 'no_match', name: string | null}} NameCheck `name` of a close match: the real one */
/** @typedef {{name: string, email: string, password: string, currency?: string}} NewUser */
/** @typedef {{name: string, email: string, currency?: string}} NewCustomer */
/**
 * `url` leads to the web app, and `token` is for {@link Coffer.setPassword}; null while it waits for a second admin.
 * @typedef {{user_id: string, url: string | null, token: string | null, expires_at: string | null,
 *   approval_id?: string}} PasswordLink
 */
/** @typedef {{id: string, user_id: string, author_id: string, text: string, created_at: string}} UserNote */
/**
 * @typedef {{id: string, user_agent: string | null, address: string | null, created_at: string, last_used_at: string,
 *   expires_at: string, second_factor: boolean, proven_at: string, current: boolean}} Session
 */
/** @typedef {{type?: string, account_number?: string}} EventFilter `type` may be several with commas */
/**
 * `subject_id` is the movement, the hold or the approval.
 * @typedef {{id: string, type: string, created_at: string, account_number: string | null, subject_id: string | null,
 *   transaction?: Transaction, hold?: Hold, approval?: Approval}} BankEvent
 */
/**
 * `types` is null for all. `public_key` checks signatures of version `v1a`.
 * @typedef {{id: string, url: string, types: string[] | null, description: string | null,
 *   status: 'enabled' | 'disabled', disabled_because: 'by_admin' | 'gone' | 'failing' | null,
 *   disabled_at: string | null, public_key: string, is_replaying: boolean, created_at: string,
 *   last_delivered_at: string | null}} Webhook
 */
/** @typedef {{url: string, types?: string[], description?: string}} NewWebhook */
/**
 * What is left out stays as it is.
 * @typedef {{url?: string, types?: string[] | null, description?: string | null,
 *   status?: 'enabled' | 'disabled'}} WebhookChange
 */
/** @typedef {'pending' | 'delivered' | 'failed'} DeliveryStatus */
/**
 * @typedef {{event_id: string, type: string, status: DeliveryStatus, attempts: number, next_attempt_at: string | null,
 *   last_attempt_at: string | null, last_status: number | null, last_error: string | null,
 *   created_at: string}} WebhookDelivery
 */
/** @typedef {{delivered: boolean, status: number | null, error: string | null, took_ms: number}} WebhookTest */
/** @typedef {'read' | 'move' | 'staff'} Scope */
/**
 * Null stands for any account, any amount, any network, and never. `per_day` is in whole units of each currency.
 * @typedef {{id: string, name: string, hint: string, scopes: Scope[], accounts: string[] | null, per_day: string | null,
 *   networks: string[] | null, created_at: string, expires_at: string | null, last_used_at: string | null,
 *   former_secret_until: string | null}} ApiKey
 */
/**
 * @typedef {{name: string, scopes: Scope[], accounts?: string[], per_day?: string, networks?: string[],
 *   expires_at?: string}} NewApiKey
 */
/**
 * @typedef {{account_number: string, owner_id: string, currency: string, label: string | null,
 *   metadata: Record<string, string>, status: 'open' | 'frozen' | 'closed', balance: string, available: string,
 *   held: string, sequence: number, opened_at: string, alert_below: string | null,
 *   notify_above: string | null} & Versioned} Account
 */
/**
 * @typedef {{account_number: string, balance: string, available: string, held: string, currency: string,
 *   sequence: number, as_of: string} & Versioned} Balance
 */
/** @typedef {'deposit' | 'withdrawal' | 'transfer'} MovementType */
/**
 * What a movement is found by. A reference names one movement of one's own for good: another with it is refused with
 * `reference_taken`, and `transactionId` of the {@link ProblemError} names the first.
 * @typedef {{reference?: string, metadata?: Record<string, string>}} Tags
 */
/**
 * The same in answers: null and `{}` where there are none, and for the receiver of a transfer.
 * @typedef {{reference: string | null, metadata: Record<string, string>}} Tagged
 */
/**
 * One movement as one account sees it. `reverses` and `reversed_by` are only in the answer for one transaction.
 * @typedef {Tagged & {id: string, type: MovementType, account_number: string, counterparty: string | null,
 *   against: string | null, group: string | null, direction: 'credit' | 'debit', amount: string, currency: string,
 *   description: string | null, created_at: string, reverses?: string, reversed_by?: string}} Terms
 */
/** @typedef {Terms & {status: 'posted', balance: string, sequence: number, hash: string}} Entry one that is in the books */
/**
 * One that is not: while it is `pending_approval`, somebody else has to approve it, and while it is `held`, its money is
 * kept until a capture moves it, each under the same id. It ends by itself at `expires_at`.
 * @typedef {Terms & {status: 'pending_approval' | 'held' | 'released' | 'rejected' | 'expired', balance: null,
 *   sequence: null, hash: null, expires_at: string}} Unposted
 */
/** @typedef {Entry | Unposted} Transaction */
/**
 * What a movement would be. No movement has its `id`.
 * @typedef {Terms & {preview: true, status: 'posted' | 'pending_approval' | 'held', balance: string | null,
 *   sequence: number | null, hash: null}} Preview
 */
/** @typedef {Transaction['status']} TransactionStatus */
/** Somebody who was erased; `texts_erased_at` is null until the last text on their accounts is gone. */
/** @typedef {{user_id: string, erased_at: string, texts_erased_at: string | null}} Erasure */
/**
 * @typedef {Tagged & {id: string, status: 'pending' | 'approved' | 'rejected' | 'expired',
 *   type: MovementType | 'limit_change' | 'role_change' | 'second_factor_reset' | 'password_reset' | 'erasure',
 *   account_number?: string, from_account?: string,
 *   to_account?: string, against?: string, amount?: string, currency?: string,
 *   limits?: LimitValues & {overdraft: string}, user_id?: string, role?: Role, description: string | null,
 *   reverses: string | null, hold_expires_at?: string, requested_by: string, requested_at: string, expires_at: string,
 *   decided_by: string | null, decided_at: string | null, transaction_id: string | null}} Approval `hold_expires_at` of
 *   one that creates a hold, which has the approval's id
 */
/**
 * Money that an account keeps for one movement, or has kept. `to_account` is null for cash, and `captured_amount` unless
 * it is `captured`. What is `created_by_bank`, only the bank captures or releases.
 * @typedef {Tagged & {id: string, status: 'held' | 'captured' | 'released' | 'expired', account_number: string,
 *   to_account: string | null, amount: string, currency: string, captured_amount: string | null,
 *   description: string | null, created_by_bank: boolean, created_at: string, expires_at: string,
 *   decided_at: string | null}} Hold
 */
/**
 * @typedef {{per_movement: string | null, per_day: string | null, per_month: string | null,
 *   movements_per_day: number | null}} LimitValues null is not limited
 */
/** @typedef {Partial<LimitValues> & {overdraft?: string | null}} NewLimits only staff send `overdraft` */
/**
 * A limit: `bank` is set by staff, `own` by the owner, and `limit`, the smaller one, counts.
 * @template T
 * @typedef {{limit: T | null, bank: T | null, own: T | null}} Limit
 */
/**
 * A limit of a day or a month. `used` is null for an account whose limits were never set.
 * @template T
 * @typedef {Limit<T> & {used: T | null, remaining: T | null, resets_at: string}} LimitOfPeriod
 */
/**
 * How much may leave an account. `next_own` are the owner's limits from a moment on, while a raise of them waits.
 * @typedef {{account_number: string, currency: string, overdraft: string, per_movement: Limit<string>,
 *   per_day: LimitOfPeriod<string>, per_month: LimitOfPeriod<string>, movements_per_day: LimitOfPeriod<number>,
 *   next_own?: LimitValues & {effective_at: string}, approval_id?: string}} Limits `approval_id`: what waits for somebody
 *   to approve it; the owner does not see it
 */
/**
 * `against` is for staff: the code of one of the bank's own accounts, its cash if left out.
 * @typedef {Tags & {account_number: string, amount: string, currency?: string, against?: string,
 *   description?: string}} Movement
 */
/**
 * @typedef {Tags & {from_account: string, to_account: string, amount: string, currency?: string,
 *   description?: string}} Transfer
 */
/** @typedef {(Movement | Transfer) & {expires_at?: string}} NewHold `expires_at` is in seven days if left out */
/**
 * @typedef {({type: MovementType} & (Movement | Transfer)) | ({type: 'hold'} & NewHold)} BatchItem
 */
/**
 * Movements with the same `group` are found together, and {@link Coffer.reverseGroup} undoes them together.
 * @typedef {{atomic?: boolean, group?: string, transactions: BatchItem[]}} Batch
 */
/**
 * @typedef {{booked: number, refused: number, data: {status: number, transaction?: Transaction, replayed?: boolean,
 *   problem?: Problem}[]}} BatchResult
 */
/**
 * A movement must have all that is asked for.
 * @typedef {Tags & {type?: MovementType | '', from?: string, to?: string, text?: string, min_amount?: string,
 *   max_amount?: string, direction?: 'credit' | 'debit' | '', counterparty?: string, against?: string, group?: string,
 *   limit?: number}} HistoryFilter
 */
/** @typedef {{from: string, to: string}} Period dates, whose whole UTC day counts, or moments */
/**
 * @typedef {{account_number: string, currency: string, label: string | null, from: string, to: string,
 *   opening_balance: string, movements: Entry[], total_in: string, total_out: string, closing_balance: string}} Statement
 */
/**
 * @typedef {{sequence: number, created_at: string, action: string, actor_id: string | null, subject: string | null,
 *   address: string | null, request_id: string | null, client_request_id: string | null, detail: string | null,
 *   concerns: string[], hash: string}} AuditRecord
 */
/**
 * @typedef {{action?: string, actor_id?: string, user_id?: string, api_key_id?: string, account_number?: string,
 *   from?: string, to?: string}} AuditFilter `action` may be several with commas
 */
/**
 * @typedef {{code: string, decimals: number, name: string}} Unit of the bank's own, such as points
 * @typedef {{sign_up: 'open' | 'staff', currency: string, units: Unit[], self_service_deposits: boolean, time_zone: string,
 *   mail: boolean,
 *   swagger_ui: boolean}} About
 */
/**
 * One of the bank's own accounts, which is there in every currency.
 * @typedef {'asset' | 'liability' | 'income' | 'expense' | 'equity'} BankAccountKind
 * @typedef {{code: string, name: string, kind: BankAccountKind, opened_by: string | null,
 *   opened_at: string | null}} BankAccount
 */
/**
 * Balances are debits less credits, and `sum` is zero in sound books. All customers' accounts are one line, `customers`.
 * @typedef {{code: string, name: string, kind: BankAccountKind, balance: string}} AccountBalance
 * @typedef {{at: string, data: {currency: string, accounts: AccountBalance[], sum: string}[]}} TrialBalance
 */
/**
 * @typedef {{at: string, customers: {active: number, frozen: number, closed: number},
 *   accounts: {open: number, frozen: number, closed: number},
 *   balances: {currency: string, accounts: number, balance: string}[],
 *   today: {since: string, movements: {currency: string, type: MovementType, count: number, amount: string}[]}}} Totals
 */
/**
 * A problem document (RFC 9457).
 * @typedef {{status: number, code: string, title: string, detail: string, request_id?: string | null,
 *   transaction_id?: string | null, errors?: FieldError[], currency?: string | null, requested?: string | null,
 *   available?: string | null, held?: string | null, short_by?: string | null, limit?: keyof LimitValues | null,
 *   allowed?: string | null, used?: string | null, remaining?: string | null, resets_at?: string | null}} Problem
 */
/** @typedef {{pointer: string, code: string, detail: string}} FieldError `pointer` is `/amount` for the field `amount` */
/** @typedef {{cursor?: string | null, limit?: number}} PageQuery `cursor`: `next_cursor` of the page before */
/**
 * @template T
 * @typedef {{data: T[], has_more: boolean, next_cursor: string | null}} Page
 */
/** @typedef {{signal?: AbortSignal}} Options */
/**
 * For an answer only if it is another one than that with this `etag`. With `wait` in seconds, up to 25, it comes as soon as
 * it is.
 * @typedef {Options & {ifNoneMatch: string, wait?: number}} IfChanged
 */
/**
 * The version of an answer, which is not enumerable: for `ifNoneMatch` and `ifMatch`.
 * @typedef {{readonly etag?: string}} Versioned
 */
/**
 * With `ifMatch`, the `etag` of an account, its balance or its history, money moves only if the account has that version
 * still; otherwise the problem is `balance_moved_on`. Not for batches and reversals.
 * @typedef {Options & {idempotencyKey?: string, ifMatch?: string}} MovementOptions
 */
/**
 * @typedef {object} CofferOptions
 * @property {string | URL} [baseUrl] where the bank is; where this module came from if left out
 * @property {'bearer' | 'cookie'} [session] `bearer` keeps both tokens in the object. `cookie`, for pages that the bank
 *   serves itself, leaves the refresh token to the browser: it outlives a reload and is shared by all tabs
 * @property {string} [apiKey] of {@link Coffer.createApiKey}, in place of a session: for backends, never for pages
 * @property {typeof fetch} [fetch]
 * @property {(problem: ProblemError) => Promise<boolean>} [askForProof] called when the bank wants password or code once
 *   more (`recent_sign_in_required`). Have it call {@link Coffer.prove} and answer `true`: then the request is repeated.
 *   With `false` the problem is thrown, as it is without this option
 */

// Types of this file alone.

/** @typedef {Record<string, string | number | null | undefined | Record<string, string>>} Query */
/** @typedef {Record<string, string>} SentHeaders */
/** @typedef {{method: string, signal?: AbortSignal, headers?: SentHeaders, body?: string}} Init */
/**
 * How a request is sent, and how its answer is read.
 * @template Answer
 * @typedef {{repeatable: boolean, read: (response: Response) => Promise<Answer>}} How
 */
/** @typedef {'signed-in' | 'signed-out'} Change */
/** @typedef {{access_token: string, refresh_token?: string | null}} Tokens */
/** @typedef {(body: object, options?: RequestInit) => Promise<Tokens>} PostRefresh */
