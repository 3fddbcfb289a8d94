/**
 * Whether the bank wants password or code once more before it does this.
 * @param {unknown} error
 * @returns {error is ProblemError}
 */
export function isAskedForProof(error: unknown): error is ProblemError;
/**
 * A name for one movement. Make it when its form opens and keep it until the bank has answered.
 * @returns {string}
 */
export function newIdempotencyKey(): string;
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
export class CofferError extends Error {
}
/**
 * No answer, or one that broke off or cannot be read: no network, something between that answers in the bank's place, or the
 * bank is down. What was asked may or may not have been done.
 */
export class NetworkError extends CofferError {
}
/**
 * The answer was a problem document (RFC 9457). Tell kinds apart by `code`. With a `cause`, an earlier try of the same request
 * had no answer: what is refused before the bank looks into its books, such as 429, then does not say that it was not done.
 */
export class ProblemError extends CofferError {
    /**
     * @param {Problem} problem
     * @param {number | null} [retryAfterSeconds]
     * @param {string | null} [etag]
     */
    constructor(problem: Problem, retryAfterSeconds?: number | null, etag?: string | null);
    status: number;
    /** The same kind of problem always has the same code, such as `insufficient_funds`. */
    code: string;
    title: string;
    /** For a person: what happened and what to do. */
    detail: string;
    /** The bank's log has the same id. */
    requestId: string | null;
    /**
     * The movement to look up, when the bank does not know whether it was booked (`outcome_unknown`), or when it has the
     * reference already (`reference_taken`).
     */
    transactionId: string | null;
    /** The fields to correct. */
    errors: FieldError[];
    /** What the amounts below are in. */
    currency: string | null;
    /** What was asked for, of `insufficient_funds`, `limit_exceeded` and `overdraft_in_use`. */
    requested: string | null;
    /** What could be withdrawn, of `insufficient_funds`; and the next two. */
    available: string | null;
    /** What holds and pending approvals keep. */
    held: string | null;
    /** How much is missing. */
    shortBy: string | null;
    /** The limit that was met, of `limit_exceeded`; and the next four. */
    limit: keyof LimitValues | null;
    allowed: string | null;
    used: string | null;
    remaining: string | null;
    /** When all of it is there again. */
    resetsAt: string | null;
    retryAfterSeconds: number | null;
    /** The version that the account has now, when a movement expected another one (`balance_moved_on`). */
    etag: string | null;
}
/** Nobody is signed in (any more). */
export class SignedOutError extends ProblemError {
}
/**
 * A bank, and somebody who is signed in there or is going to be.
 *
 * Events: `signed-in` and `signed-out`, when another tab has done it or the bank has ended the session.
 */
export class Coffer extends EventTarget {
    /**
     * @param {string | URL | CofferOptions} [where] the address of the bank, or options
     * @param {CofferOptions} [options] beside the address
     */
    constructor(where?: string | URL | CofferOptions, options?: CofferOptions);
    /** Whether somebody is, as far as this side knows. */
    get isSignedIn(): boolean;
    /**
     * How the bank is set up; for everybody.
     * @param {Options} [options]
     * @returns {Promise<About>}
     */
    about: ({ signal }?: Options) => Promise<About>;
    /**
     * Becomes a customer with a first account. Does not sign in. Where {@link Coffer.about} says `sign_up: 'staff'`, only
     * {@link Coffer.createCustomer} makes customers.
     * @param {NewUser} person
     * @returns {Promise<{user: User, account: Account}>}
     */
    signUp(person: NewUser): Promise<{
        user: User;
        account: Account;
    }>;
    /**
     * Sets a password by a one-time link; does not sign in. Ends every session of that user.
     * @param {string} token the end of the link
     * @param {string} password
     * @returns {Promise<void>}
     */
    setPassword(token: string, password: string): Promise<void>;
    /**
     * Has a link mailed by which whoever has this address sets a password, where {@link Coffer.about} says `mail: true`. Tells
     * nobody whether somebody has it.
     * @param {string} email
     * @returns {Promise<void>}
     */
    requestPasswordReset(email: string): Promise<void>;
    /**
     * Verifies an address by the link that was mailed to it.
     * @param {string} token the end of the link
     * @returns {Promise<void>}
     */
    verifyEmail(token: string): Promise<void>;
    /**
     * @param {string} email
     * @param {string} password
     * @param {string} [code] of the second factor, or a recovery code; asked for by a problem `second_factor_required`
     * @returns {Promise<void>}
     */
    signIn(email: string, password: string, code?: string): Promise<void>;
    /**
     * `cookie` only: takes up the session of before the reload.
     * @returns {Promise<boolean>} whether there was one
     */
    resume(): Promise<boolean>;
    /**
     * Ends the session, in every tab. Throws if the bank cannot be told: then it has not ended.
     * @returns {Promise<void>}
     */
    signOut(): Promise<void>;
    /**
     * @param {Options} [options]
     * @returns {Promise<Profile>}
     */
    me: (options?: Options) => Promise<Profile>;
    /**
     * Shows password or code once more: for five minutes this session may do what cannot be taken back.
     * @param {{password: string} | {code: string}} proof
     * @returns {Promise<void>}
     */
    prove(proof: {
        password: string;
    } | {
        code: string;
    }): Promise<void>;
    /**
     * @param {{name?: string, email?: string, current_password?: string, confirm_above?: string | null,
     *   name_check?: boolean, sign_in_notices?: boolean}} changes
     *   `confirm_above` in whole units, or null for none
     * @returns {Promise<Profile>}
     */
    updateMe: (changes: {
        name?: string;
        email?: string;
        current_password?: string;
        confirm_above?: string | null;
        name_check?: boolean;
        sign_in_notices?: boolean;
    }) => Promise<Profile>;
    /**
     * Has another link mailed by which one's address is verified.
     * @returns {Promise<void>}
     */
    sendEmailVerification: () => Promise<void>;
    /**
     * @param {{current_password: string, new_password: string}} passwords
     * @returns {Promise<void>}
     */
    changePassword: (passwords: {
        current_password: string;
        new_password: string;
    }) => Promise<void>;
    /**
     * Leaves the bank. Needs every account closed.
     * @returns {Promise<void>}
     */
    closeMe(): Promise<void>;
    /**
     * Everything that the bank has about oneself. Takes a recent proof.
     * @returns {Promise<Blob>} a zip archive of JSON files
     */
    exportMe: () => Promise<Blob>;
    /**
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Session>>} newest first
     */
    sessions: (query?: PageQuery, options?: Options) => Promise<Page<Session>>;
    /**
     * @param {string} id
     * @returns {Promise<void>}
     */
    endSession: (id: string) => Promise<void>;
    /**
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<ApiKey>>} newest first, without their secrets
     */
    apiKeys: (query?: PageQuery, options?: Options) => Promise<Page<ApiKey>>;
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<ApiKey>}
     */
    apiKey: (id: string, options?: Options) => Promise<ApiKey>;
    /**
     * By the key a program calls in the caller's name, as far as its scopes and bounds reach.
     * @param {NewApiKey} key
     * @returns {Promise<ApiKey & {api_key: string}>} `api_key` is its secret, shown this once
     */
    createApiKey: (key: NewApiKey) => Promise<ApiKey & {
        api_key: string;
    }>;
    /**
     * Gives a key another secret; the former one counts for a while.
     * @param {string} id
     * @param {number} [overlapSeconds] a day if left out
     * @returns {Promise<ApiKey & {api_key: string}>}
     */
    rotateApiKey: (id: string, overlapSeconds?: number) => Promise<ApiKey & {
        api_key: string;
    }>;
    /**
     * @param {string} id
     * @returns {Promise<void>}
     */
    revokeApiKey: (id: string) => Promise<void>;
    /**
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Payee>>} newest first
     */
    payees: (query?: PageQuery, options?: Options) => Promise<Page<Payee>>;
    /**
     * Remembers whom the caller pays, by a name of their own.
     * @param {{name: string, account_number: string}} payee
     * @returns {Promise<Payee>}
     */
    createPayee: (payee: {
        name: string;
        account_number: string;
    }) => Promise<Payee>;
    /**
     * @param {string} id
     * @returns {Promise<void>}
     */
    deletePayee: (id: string) => Promise<void>;
    /**
     * Whether an account is that of whom one means to pay.
     * @param {{account_number: string, name: string}} whom
     * @returns {Promise<NameCheck>}
     */
    checkName: (whom: {
        account_number: string;
        name: string;
    }) => Promise<NameCheck>;
    /**
     * @param {Options} [options]
     * @returns {Promise<{enabled: boolean, required: boolean, recovery_codes_left: number}>}
     */
    secondFactor: (options?: Options) => Promise<{
        enabled: boolean;
        required: boolean;
        recovery_codes_left: number;
    }>;
    /**
     * @param {string} password
     * @returns {Promise<{secret: string, otpauth_uri: string, qr_svg: string}>} not in force until it is confirmed
     */
    enrolSecondFactor: (password: string) => Promise<{
        secret: string;
        otpauth_uri: string;
        qr_svg: string;
    }>;
    /**
     * @param {string} code
     * @returns {Promise<{recovery_codes: string[]}>} shown this once
     */
    confirmSecondFactor(code: string): Promise<{
        recovery_codes: string[];
    }>;
    /**
     * @param {string} password
     * @param {string} code
     * @returns {Promise<void>}
     */
    removeSecondFactor: (password: string, code: string) => Promise<void>;
    /**
     * @param {PageQuery & {owner_id?: string}} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Account>>}
     */
    accounts: (query?: PageQuery & {
        owner_id?: string;
    }, options?: Options) => Promise<Page<Account>>;
    /**
     * @param {{owner_id?: string}} [query]
     * @param {Options} [options]
     * @returns {Promise<Account[]>} every account, over all pages
     */
    allAccounts(query?: {
        owner_id?: string;
    }, options?: Options): Promise<Account[]>;
    /**
     * With `ifNoneMatch` it is null while that is the version still.
     * @type {{(number: string, options?: Options): Promise<Account>,
     *   (number: string, options: IfChanged): Promise<Account | null>}}
     */
    account: {
        (number: string, options?: Options): Promise<Account>;
        (number: string, options: IfChanged): Promise<Account | null>;
    };
    /**
     * Tells of an account now, and each time that it changes, until the signal ends it. The bank answers when something has
     * changed: nothing is asked every few seconds. While there is no answer it tries again, ever less often.
     * @param {string} number
     * @param {(account: Account) => void} onChange
     * @param {{signal: AbortSignal, etag?: string}} options `etag`: the version that is known already, of which it does not tell
     * @returns {Promise<void>} when the signal has ended it
     * @throws {ProblemError} when the bank refuses it for good
     */
    watchAccount(number: string, onChange: (account: Account) => void, { signal, etag }: {
        signal: AbortSignal;
        etag?: string;
    }): Promise<void>;
    /**
     * What has happened, in its order. Send `last_id` as `after` to go on.
     * @param {EventFilter & {after?: string, limit?: number}} [query]
     * @param {Options} [options]
     * @returns {Promise<{data: BankEvent[], has_more: boolean, last_id: string | null}>}
     */
    events: (query?: EventFilter & {
        after?: string;
        limit?: number;
    }, options?: Options) => Promise<{
        data: BankEvent[];
        has_more: boolean;
        last_id: string | null;
    }>;
    /**
     * Tells of each event as it happens, until the signal ends it. When the stream breaks off, it goes on behind the last event
     * that it has told of, so that none is missed; before the first one it knows no place to go on from, unless `after` is one.
     * It comes back as soon as the bank asks to, and ever less often while no stream opens.
     * @param {(event: BankEvent) => unknown} onEvent awaited before the next one
     * @param {EventFilter & {signal: AbortSignal, after?: string}} options `after`: the `id` of the last event that is known
     * @returns {Promise<void>} when the signal has ended it
     * @throws {ProblemError} when the bank refuses it for good; `events_missed` when some are not there any more
     */
    watchEvents(onEvent: (event: BankEvent) => unknown, { signal, after, ...filter }: EventFilter & {
        signal: AbortSignal;
        after?: string;
    }): Promise<void>;
    /**
     * @param {{currency?: string, label?: string, owner_id?: string}} account `owner_id`: whose, for staff
     * @returns {Promise<Account>}
     */
    openAccount: (account: {
        currency?: string;
        label?: string;
        owner_id?: string;
    }) => Promise<Account>;
    /**
     * How much may leave an account, and what is used of that.
     * @param {string} number
     * @param {Options} [options]
     * @returns {Promise<Limits>}
     */
    limits: (number: string, options?: Options) => Promise<Limits>;
    /**
     * Sets all limits of an account at once: the bank's by staff, their own by owners.
     * @param {string} number
     * @param {NewLimits} limits what is left out is not limited
     * @returns {Promise<Limits>} as before with `approval_id` while somebody else has to approve them
     */
    setLimits: (number: string, limits: NewLimits) => Promise<Limits>;
    /**
     * @param {string} number
     * @param {string | null} label
     * @returns {Promise<Account>}
     */
    renameAccount: (number: string, label: string | null) => Promise<Account>;
    /**
     * @param {string} number
     * @param {{label?: string | null, alert_below?: string | null, notify_above?: string | null,
     *   metadata?: Record<string, string | null>}} changes what is left out stays; null removes
     * @returns {Promise<Account>}
     */
    updateAccount: (number: string, changes: {
        label?: string | null;
        alert_below?: string | null;
        notify_above?: string | null;
        metadata?: Record<string, string | null>;
    }) => Promise<Account>;
    /**
     * @param {string} number
     * @returns {Promise<void>}
     */
    closeAccount: (number: string) => Promise<void>;
    /**
     * `at` is a moment in the past, as RFC 3339. With `ifNoneMatch`, and without `at`, it is null while that is the version
     * still.
     * @type {{(number: string, at?: string, options?: Options): Promise<Balance>,
     *   (number: string, at: undefined, options: IfChanged): Promise<Balance | null>}}
     */
    balance: {
        (number: string, at?: string, options?: Options): Promise<Balance>;
        (number: string, at: undefined, options: IfChanged): Promise<Balance | null>;
    };
    /**
     * @param {Movement} movement
     * @param {MovementOptions} [options]
     * @returns {Promise<Transaction>}
     */
    deposit: (movement: Movement, options?: MovementOptions) => Promise<Transaction>;
    /**
     * @param {Movement} movement
     * @param {MovementOptions} [options]
     * @returns {Promise<Transaction>}
     */
    withdraw: (movement: Movement, options?: MovementOptions) => Promise<Transaction>;
    /**
     * @param {Transfer} transfer
     * @param {MovementOptions} [options]
     * @returns {Promise<Transaction>}
     */
    transfer: (transfer: Transfer, options?: MovementOptions) => Promise<Transaction>;
    /**
     * Keeps money on its account for a movement to come.
     * @param {NewHold} hold
     * @param {MovementOptions} [options]
     * @returns {Promise<Transaction>} `held`, with the id of the hold
     */
    hold: (hold: NewHold, options?: MovementOptions) => Promise<Transaction>;
    /**
     * Moves what is held, once. The rest is free again.
     * @param {string} id
     * @param {{amount?: string}} [capture] all of it if left out
     * @param {MovementOptions} [options]
     * @returns {Promise<Transaction>} with the id of the hold
     */
    captureHold: (id: string, capture?: {
        amount?: string;
    }, options?: MovementOptions) => Promise<Transaction>;
    /**
     * The money is free again.
     * @param {string} id
     * @returns {Promise<Hold>}
     */
    releaseHold: (id: string) => Promise<Hold>;
    /**
     * @param {string} number
     * @param {PageQuery & {status?: Hold['status'] | ''}} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Hold>>} newest first, with those that have ended
     */
    holds: (number: string, query?: PageQuery & {
        status?: Hold["status"] | "";
    }, options?: Options) => Promise<Page<Hold>>;
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<Hold>}
     */
    getHold: (id: string, options?: Options) => Promise<Hold>;
    /**
     * @param {Batch} batch
     * @param {MovementOptions} [options]
     * @returns {Promise<BatchResult>}
     */
    batch: (batch: Batch, options?: MovementOptions) => Promise<BatchResult>;
    /**
     * What a movement would do if it were sent now: the balance after it, or that it would wait for a second person. What
     * would refuse it is thrown. Nothing happens.
     */
    preview: {
        /** @param {Movement} movement @param {Options} [options] @returns {Promise<Preview>} */
        deposit: (movement: Movement, options?: Options) => Promise<Preview>;
        /** @param {Movement} movement @param {Options} [options] @returns {Promise<Preview>} */
        withdraw: (movement: Movement, options?: Options) => Promise<Preview>;
        /** @param {Transfer} transfer @param {Options} [options] @returns {Promise<Preview>} */
        transfer: (transfer: Transfer, options?: Options) => Promise<Preview>;
        /** @param {NewHold} hold @param {Options} [options] @returns {Promise<Preview>} */
        hold: (hold: NewHold, options?: Options) => Promise<Preview>;
        /** @param {string} id @param {{amount?: string}} [capture] @param {Options} [options] @returns {Promise<Preview>} */
        captureHold: (id: string, capture?: {
            amount?: string;
        }, options?: Options) => Promise<Preview>;
        /** @param {string} id @param {Options} [options] @returns {Promise<Preview>} */
        reverse: (id: string, options?: Options) => Promise<Preview>;
    };
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<Transaction>}
     */
    transaction: (id: string, options?: Options) => Promise<Transaction>;
    /**
     * Newest first. With `ifNoneMatch`, the first page is null while that is the version still.
     * @type {{(number: string, filter?: HistoryFilter & PageQuery, options?: Options): Promise<Page<Entry> & Versioned>,
     *   (number: string, filter: HistoryFilter, options: IfChanged): Promise<(Page<Entry> & Versioned) | null>}}
     */
    historyPage: {
        (number: string, filter?: HistoryFilter & PageQuery, options?: Options): Promise<Page<Entry> & Versioned>;
        (number: string, filter: HistoryFilter, options: IfChanged): Promise<(Page<Entry> & Versioned) | null>;
    };
    /**
     * @param {string} number
     * @param {HistoryFilter} [filter]
     * @param {Options} [options]
     * @returns {AsyncGenerator<Entry, void, void>} newest first, read page by page as it is used
     */
    history: (number: string, filter?: HistoryFilter, options?: Options) => AsyncGenerator<Entry, void, void>;
    /**
     * The movement of one's own that has this reference.
     * @param {string} number of the account that was acted on
     * @param {string} reference
     * @param {Options} [options]
     * @returns {Promise<Entry | null>} null when there is none in the books
     */
    findByReference(number: string, reference: string, options?: Options): Promise<Entry | null>;
    /**
     * @param {string} number
     * @param {Period} period
     * @param {Options} [options]
     * @returns {Promise<Statement>}
     */
    statement: (number: string, period: Period, options?: Options) => Promise<Statement>;
    /**
     * @param {string} number
     * @param {Period} period
     * @param {'json' | 'csv'} format
     * @returns {Promise<Blob>} the statement as a file
     */
    statementFile(number: string, { from, to }: Period, format: "json" | "csv"): Promise<Blob>;
    /**
     * @param {string} id of the movement to undo
     * @param {string} [reason] for statement and audit log
     * @param {MovementOptions & Tags} [options]
     * @returns {Promise<Transaction>}
     */
    reverse: (id: string, reason?: string, { reference, metadata, ...options }?: MovementOptions & Tags) => Promise<Transaction>;
    /**
     * Of the whole bank, each movement as the account saw it that was acted on.
     * @param {HistoryFilter & PageQuery} [filter] `from` and `to` go by when it was asked for
     * @param {Options} [options]
     * @returns {Promise<Page<Entry>>} newest first, by when they were asked for
     */
    movementsPage: (filter?: HistoryFilter & PageQuery, options?: Options) => Promise<Page<Entry>>;
    /**
     * @param {HistoryFilter} [filter] as for {@link Coffer.movementsPage}
     * @param {Options} [options]
     * @returns {AsyncGenerator<Entry, void, void>} newest first, read page by page as it is used
     */
    movements: (filter?: HistoryFilter, options?: Options) => AsyncGenerator<Entry, void, void>;
    /**
     * Undoes every movement of the group that this one is in, all or none.
     * @param {string} id of one of them
     * @param {string} [reason] for statement and audit log
     * @param {MovementOptions} [options]
     * @returns {Promise<BatchResult>}
     */
    reverseGroup: (id: string, reason?: string, options?: MovementOptions) => Promise<BatchResult>;
    /**
     * The bank's own accounts, the cash first, for staff: what {@link deposit} and {@link withdraw} take as `against`.
     * @param {Options} [options]
     * @returns {Promise<{data: BankAccount[]}>}
     */
    bankAccounts: (options?: Options) => Promise<{
        data: BankAccount[];
    }>;
    /**
     * @param {string} code
     * @param {Options} [options]
     * @returns {Promise<BankAccount>}
     */
    bankAccount: (code: string, options?: Options) => Promise<BankAccount>;
    /**
     * Opens one for good, for admins.
     * @param {{code: string, name: string, kind: BankAccountKind}} account
     * @returns {Promise<BankAccount>}
     */
    openBankAccount: (account: {
        code: string;
        name: string;
        kind: BankAccountKind;
    }) => Promise<BankAccount>;
    /**
     * What the bank has and owes, now or at a moment in the past, for those who work there.
     * @param {{at?: string}} [query]
     * @param {Options} [options]
     * @returns {Promise<TrialBalance>}
     */
    trialBalance: (query?: {
        at?: string;
    }, options?: Options) => Promise<TrialBalance>;
    /**
     * The bank at a glance, for those who work there.
     * @param {Options} [options]
     * @returns {Promise<Totals>}
     */
    totals: (options?: Options) => Promise<Totals>;
    /**
     * @param {PageQuery & {search?: string, role?: Role | ''}} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<User>>}
     */
    users: (query?: PageQuery & {
        search?: string;
        role?: Role | "";
    }, options?: Options) => Promise<Page<User>>;
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<User>}
     */
    user: (id: string, options?: Options) => Promise<User>;
    /**
     * @param {string} id
     * @param {User['status']} status
     * @param {string} [reason] for the audit log
     * @returns {Promise<User>}
     */
    setUserStatus: (id: string, status: User["status"], reason?: string) => Promise<User>;
    /**
     * @param {string} number
     * @param {'open' | 'frozen'} status
     * @param {string} [reason] for the audit log
     * @returns {Promise<Account>}
     */
    setAccountStatus: (number: string, status: "open" | "frozen", reason?: string) => Promise<Account>;
    /**
     * Where movements need approval, so does this: by another admin.
     * @param {string} id
     * @param {Role} role
     * @returns {Promise<User & {approval_id?: string}>} `approval_id` while another admin has to approve it
     */
    setUserRole: (id: string, role: Role) => Promise<User & {
        approval_id?: string;
    }>;
    /**
     * For those who have lost their app and their recovery codes. Where movements need approval, so does this.
     * @param {string} id
     * @returns {Promise<Approval | undefined>}
     */
    removeUserSecondFactor: (id: string) => Promise<Approval | undefined>;
    /**
     * Erases somebody for good, for admins; nobody brings it back. Needs every account closed, and takes a recent proof. Where
     * movements need approval, so does this.
     * @param {string} id
     * @returns {Promise<Erasure | Approval>}
     */
    eraseUser: (id: string) => Promise<Erasure | Approval>;
    /**
     * @param {string} id
     * @returns {Promise<void>}
     */
    endUserSessions: (id: string) => Promise<void>;
    /**
     * Those that live; of those who work at the bank, for admins and auditors.
     * @param {string} id of the user
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Session>>} newest first
     */
    userSessions: (id: string, query?: PageQuery, options?: Options) => Promise<Page<Session>>;
    /**
     * Takes a recent proof. Of those who work at the bank, for admins.
     * @param {string} id of the user
     * @param {string} sessionId
     * @returns {Promise<void>}
     */
    endUserSession: (id: string, sessionId: string) => Promise<void>;
    /**
     * For admins and auditors.
     * @param {string} id of the user
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<ApiKey>>} newest first
     */
    userApiKeys: (id: string, query?: PageQuery, options?: Options) => Promise<Page<ApiKey>>;
    /**
     * All of them; for admins.
     * @param {string} id of the user
     * @returns {Promise<void>}
     */
    revokeUserApiKeys: (id: string) => Promise<void>;
    /**
     * For admins and auditors.
     * @param {Options} [options]
     * @returns {Promise<{data: Webhook[]}>} all of them, newest first, without their secrets
     */
    webhooks: (options?: Options) => Promise<{
        data: Webhook[];
    }>;
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<Webhook>}
     */
    webhook: (id: string, options?: Options) => Promise<Webhook>;
    /**
     * Has events sent to a program; for admins.
     * @param {NewWebhook} webhook
     * @returns {Promise<Webhook & {secret: string}>} `secret` checks signatures, and is shown this once
     */
    createWebhook: (webhook: NewWebhook) => Promise<Webhook & {
        secret: string;
    }>;
    /**
     * @param {string} id
     * @param {WebhookChange} change
     * @returns {Promise<Webhook>}
     */
    updateWebhook: (id: string, change: WebhookChange) => Promise<Webhook>;
    /**
     * @param {string} id
     * @returns {Promise<void>}
     */
    deleteWebhook: (id: string) => Promise<void>;
    /**
     * Gives it another secret. The former one still signs for 24 hours.
     * @param {string} id
     * @returns {Promise<Webhook & {secret: string}>}
     */
    rotateWebhookSecret: (id: string) => Promise<Webhook & {
        secret: string;
    }>;
    /**
     * Sends a test at once, and tells what came of it.
     * @param {string} id
     * @returns {Promise<WebhookTest>}
     */
    testWebhook: (id: string) => Promise<WebhookTest>;
    /**
     * What was sent, and what is to be.
     * @param {string} id
     * @param {PageQuery & {status?: DeliveryStatus}} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<WebhookDelivery>>} of the newest events first
     */
    webhookDeliveries: (id: string, query?: PageQuery & {
        status?: DeliveryStatus;
    }, options?: Options) => Promise<Page<WebhookDelivery>>;
    /**
     * @param {string} id of the webhook
     * @param {string} eventId
     * @returns {Promise<WebhookDelivery>}
     */
    retryWebhookDelivery: (id: string, eventId: string) => Promise<WebhookDelivery>;
    /**
     * Sends the events of a time anew.
     * @param {string} id
     * @param {{from: string, to?: string}} time
     * @returns {Promise<{events: number, webhook: Webhook}>}
     */
    replayWebhook: (id: string, time: {
        from: string;
        to?: string;
    }) => Promise<{
        events: number;
        webhook: Webhook;
    }>;
    /**
     * Makes somebody else a customer, with a first account and a link by which they set a password; for staff and admins.
     * @param {NewCustomer} person
     * @returns {Promise<{user: User, account: Account, invitation: PasswordLink}>}
     */
    createCustomer: (person: NewCustomer) => Promise<{
        user: User;
        account: Account;
        invitation: PasswordLink;
    }>;
    /**
     * A link by which somebody sets a password, for admins; or `approval_id` where a second admin must approve it first.
     * @param {string} id of the user
     * @returns {Promise<PasswordLink>}
     */
    createPasswordLink: (id: string) => Promise<PasswordLink>;
    /**
     * @param {string} id of the user
     * @param {PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<UserNote>>} newest first
     */
    notes: (id: string, query?: PageQuery, options?: Options) => Promise<Page<UserNote>>;
    /**
     * Notes something on somebody, for those who work at the bank.
     * @param {string} id of the user
     * @param {string} text
     * @returns {Promise<UserNote>}
     */
    addNote: (id: string, text: string) => Promise<UserNote>;
    /**
     * @param {{search?: string, role?: Role | ''}} [query]
     * @returns {Promise<Blob>} all users as CSV
     */
    usersFile: (query?: {
        search?: string;
        role?: Role | "";
    }) => Promise<Blob>;
    /**
     * @param {HistoryFilter} [query]
     * @returns {Promise<Blob>} the movements of the whole bank as CSV
     */
    movementsFile: (query?: HistoryFilter) => Promise<Blob>;
    /**
     * @param {AuditFilter & PageQuery} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<AuditRecord>>} newest first
     */
    audit: (query?: AuditFilter & PageQuery, options?: Options) => Promise<Page<AuditRecord>>;
    /**
     * @param {AuditFilter} [query]
     * @returns {Promise<Blob>} all of it as CSV
     */
    auditFile: (query?: AuditFilter) => Promise<Blob>;
    /**
     * @param {PageQuery & {status?: Approval['status']}} [query]
     * @param {Options} [options]
     * @returns {Promise<Page<Approval>>}
     */
    approvals: (query?: PageQuery & {
        status?: Approval["status"];
    }, options?: Options) => Promise<Page<Approval>>;
    /**
     * How many wait. Unlike the list it leaves no record in the audit log, so that a badge may ask again and again.
     * @param {Options} [options]
     * @returns {Promise<{waiting: number}>}
     */
    approvalCount: (options?: Options) => Promise<{
        waiting: number;
    }>;
    /**
     * @param {string} id
     * @param {Options} [options]
     * @returns {Promise<Approval>}
     */
    approval: (id: string, options?: Options) => Promise<Approval>;
    /**
     * @param {string} id
     * @returns {Promise<Approval>} with the `transaction_id` of what was booked, if it was a movement
     */
    approve: (id: string) => Promise<Approval>;
    /**
     * Or, by whoever asked for it, takes it back.
     * @param {string} id
     * @returns {Promise<Approval>}
     */
    reject: (id: string) => Promise<Approval>;
    #private;
}
export type Role = "customer" | "staff" | "admin" | "auditor";
export type User = {
    id: string;
    name: string;
    email: string;
    role: Role;
    status: "active" | "frozen";
    created_at: string;
    is_service: boolean;
};
/**
 * `confirm_above` in whole units, null for none
 */
export type Profile = User & {
    confirm_above: string | null;
    name_check: boolean;
    email_verified: boolean;
    sign_in_notices: boolean;
};
export type Payee = {
    id: string;
    name: string;
    account_number: string;
    created_at: string;
};
/**
 * `name` of a close match: the real one
 */
export type NameCheck = {
    result: "match" | "close_match" | "no_match";
    name: string | null;
};
export type NewUser = {
    name: string;
    email: string;
    password: string;
    currency?: string;
};
export type NewCustomer = {
    name: string;
    email: string;
    currency?: string;
};
/**
 * `url` leads to the web app, and `token` is for {@link Coffer.setPassword}; null while it waits for a second admin.
 */
export type PasswordLink = {
    user_id: string;
    url: string | null;
    token: string | null;
    expires_at: string | null;
    approval_id?: string;
};
export type UserNote = {
    id: string;
    user_id: string;
    author_id: string;
    text: string;
    created_at: string;
};
export type Session = {
    id: string;
    user_agent: string | null;
    address: string | null;
    created_at: string;
    last_used_at: string;
    expires_at: string;
    second_factor: boolean;
    proven_at: string;
    current: boolean;
};
/**
 * `type` may be several with commas
 */
export type EventFilter = {
    type?: string;
    account_number?: string;
};
/**
 * `subject_id` is the movement, the hold or the approval.
 */
export type BankEvent = {
    id: string;
    type: string;
    created_at: string;
    account_number: string | null;
    subject_id: string | null;
    transaction?: Transaction;
    hold?: Hold;
    approval?: Approval;
};
/**
 * `types` is null for all. `public_key` checks signatures of version `v1a`.
 */
export type Webhook = {
    id: string;
    url: string;
    types: string[] | null;
    description: string | null;
    status: "enabled" | "disabled";
    disabled_because: "by_admin" | "gone" | "failing" | null;
    disabled_at: string | null;
    public_key: string;
    is_replaying: boolean;
    created_at: string;
    last_delivered_at: string | null;
};
export type NewWebhook = {
    url: string;
    types?: string[];
    description?: string;
};
/**
 * What is left out stays as it is.
 */
export type WebhookChange = {
    url?: string;
    types?: string[] | null;
    description?: string | null;
    status?: "enabled" | "disabled";
};
export type DeliveryStatus = "pending" | "delivered" | "failed";
export type WebhookDelivery = {
    event_id: string;
    type: string;
    status: DeliveryStatus;
    attempts: number;
    next_attempt_at: string | null;
    last_attempt_at: string | null;
    last_status: number | null;
    last_error: string | null;
    created_at: string;
};
export type WebhookTest = {
    delivered: boolean;
    status: number | null;
    error: string | null;
    took_ms: number;
};
export type Scope = "read" | "move" | "staff";
/**
 * Null stands for any account, any amount, any network, and never. `per_day` is in whole units of each currency.
 */
export type ApiKey = {
    id: string;
    name: string;
    hint: string;
    scopes: Scope[];
    accounts: string[] | null;
    per_day: string | null;
    networks: string[] | null;
    created_at: string;
    expires_at: string | null;
    last_used_at: string | null;
    former_secret_until: string | null;
};
export type NewApiKey = {
    name: string;
    scopes: Scope[];
    accounts?: string[];
    per_day?: string;
    networks?: string[];
    expires_at?: string;
};
export type Account = {
    account_number: string;
    owner_id: string;
    currency: string;
    label: string | null;
    metadata: Record<string, string>;
    status: "open" | "frozen" | "closed";
    balance: string;
    available: string;
    held: string;
    sequence: number;
    opened_at: string;
    alert_below: string | null;
    notify_above: string | null;
} & Versioned;
export type Balance = {
    account_number: string;
    balance: string;
    available: string;
    held: string;
    currency: string;
    sequence: number;
    as_of: string;
} & Versioned;
export type MovementType = "deposit" | "withdrawal" | "transfer";
/**
 * What a movement is found by. A reference names one movement of one's own for good: another with it is refused with
 * `reference_taken`, and `transactionId` of the {@link ProblemError} names the first.
 */
export type Tags = {
    reference?: string;
    metadata?: Record<string, string>;
};
/**
 * The same in answers: null and `{}` where there are none, and for the receiver of a transfer.
 */
export type Tagged = {
    reference: string | null;
    metadata: Record<string, string>;
};
/**
 * One movement as one account sees it. `reverses` and `reversed_by` are only in the answer for one transaction.
 */
export type Terms = Tagged & {
    id: string;
    type: MovementType;
    account_number: string;
    counterparty: string | null;
    against: string | null;
    group: string | null;
    direction: "credit" | "debit";
    amount: string;
    currency: string;
    description: string | null;
    created_at: string;
    reverses?: string;
    reversed_by?: string;
};
/**
 * one that is in the books
 */
export type Entry = Terms & {
    status: "posted";
    balance: string;
    sequence: number;
    hash: string;
};
/**
 * One that is not: while it is `pending_approval`, somebody else has to approve it, and while it is `held`, its money is
 * kept until a capture moves it, each under the same id. It ends by itself at `expires_at`.
 */
export type Unposted = Terms & {
    status: "pending_approval" | "held" | "released" | "rejected" | "expired";
    balance: null;
    sequence: null;
    hash: null;
    expires_at: string;
};
export type Transaction = Entry | Unposted;
/**
 * What a movement would be. No movement has its `id`.
 */
export type Preview = Terms & {
    preview: true;
    status: "posted" | "pending_approval" | "held";
    balance: string | null;
    sequence: number | null;
    hash: null;
};
export type TransactionStatus = Transaction["status"];
export type Erasure = {
    user_id: string;
    erased_at: string;
    texts_erased_at: string | null;
};
/**
 * `hold_expires_at` of
 *   one that creates a hold, which has the approval's id
 */
export type Approval = Tagged & {
    id: string;
    status: "pending" | "approved" | "rejected" | "expired";
    type: MovementType | "limit_change" | "role_change" | "second_factor_reset" | "password_reset" | "erasure";
    account_number?: string;
    from_account?: string;
    to_account?: string;
    against?: string;
    amount?: string;
    currency?: string;
    limits?: LimitValues & {
        overdraft: string;
    };
    user_id?: string;
    role?: Role;
    description: string | null;
    reverses: string | null;
    hold_expires_at?: string;
    requested_by: string;
    requested_at: string;
    expires_at: string;
    decided_by: string | null;
    decided_at: string | null;
    transaction_id: string | null;
};
/**
 * Money that an account keeps for one movement, or has kept. `to_account` is null for cash, and `captured_amount` unless
 * it is `captured`. What is `created_by_bank`, only the bank captures or releases.
 */
export type Hold = Tagged & {
    id: string;
    status: "held" | "captured" | "released" | "expired";
    account_number: string;
    to_account: string | null;
    amount: string;
    currency: string;
    captured_amount: string | null;
    description: string | null;
    created_by_bank: boolean;
    created_at: string;
    expires_at: string;
    decided_at: string | null;
};
/**
 * null is not limited
 */
export type LimitValues = {
    per_movement: string | null;
    per_day: string | null;
    per_month: string | null;
    movements_per_day: number | null;
};
/**
 * only staff send `overdraft`
 */
export type NewLimits = Partial<LimitValues> & {
    overdraft?: string | null;
};
/**
 * A limit: `bank` is set by staff, `own` by the owner, and `limit`, the smaller one, counts.
 */
export type Limit<T> = {
    limit: T | null;
    bank: T | null;
    own: T | null;
};
/**
 * A limit of a day or a month. `used` is null for an account whose limits were never set.
 */
export type LimitOfPeriod<T> = Limit<T> & {
    used: T | null;
    remaining: T | null;
    resets_at: string;
};
/**
 * `approval_id`: what waits for somebody
 *   to approve it; the owner does not see it
 */
export type Limits = {
    account_number: string;
    currency: string;
    overdraft: string;
    per_movement: Limit<string>;
    per_day: LimitOfPeriod<string>;
    per_month: LimitOfPeriod<string>;
    movements_per_day: LimitOfPeriod<number>;
    next_own?: LimitValues & {
        effective_at: string;
    };
    approval_id?: string;
};
/**
 * `against` is for staff: the code of one of the bank's own accounts, its cash if left out.
 */
export type Movement = Tags & {
    account_number: string;
    amount: string;
    currency?: string;
    against?: string;
    description?: string;
};
export type Transfer = Tags & {
    from_account: string;
    to_account: string;
    amount: string;
    currency?: string;
    description?: string;
};
/**
 * `expires_at` is in seven days if left out
 */
export type NewHold = (Movement | Transfer) & {
    expires_at?: string;
};
export type BatchItem = ({
    type: MovementType;
} & (Movement | Transfer)) | ({
    type: "hold";
} & NewHold);
/**
 * Movements with the same `group` are found together, and {@link Coffer.reverseGroup} undoes them together.
 */
export type Batch = {
    atomic?: boolean;
    group?: string;
    transactions: BatchItem[];
};
export type BatchResult = {
    booked: number;
    refused: number;
    data: {
        status: number;
        transaction?: Transaction;
        replayed?: boolean;
        problem?: Problem;
    }[];
};
/**
 * A movement must have all that is asked for.
 */
export type HistoryFilter = Tags & {
    type?: MovementType | "";
    from?: string;
    to?: string;
    text?: string;
    min_amount?: string;
    max_amount?: string;
    direction?: "credit" | "debit" | "";
    counterparty?: string;
    against?: string;
    group?: string;
    limit?: number;
};
/**
 * dates, whose whole UTC day counts, or moments
 */
export type Period = {
    from: string;
    to: string;
};
export type Statement = {
    account_number: string;
    currency: string;
    label: string | null;
    from: string;
    to: string;
    opening_balance: string;
    movements: Entry[];
    total_in: string;
    total_out: string;
    closing_balance: string;
};
export type AuditRecord = {
    sequence: number;
    created_at: string;
    action: string;
    actor_id: string | null;
    subject: string | null;
    address: string | null;
    request_id: string | null;
    client_request_id: string | null;
    detail: string | null;
    concerns: string[];
    hash: string;
};
/**
 * `action` may be several with commas
 */
export type AuditFilter = {
    action?: string;
    actor_id?: string;
    user_id?: string;
    api_key_id?: string;
    account_number?: string;
    from?: string;
    to?: string;
};
/**
 * of the bank's own, such as points
 */
export type Unit = {
    code: string;
    decimals: number;
    name: string;
};
export type About = {
    sign_up: "open" | "staff";
    currency: string;
    units: Unit[];
    self_service_deposits: boolean;
    time_zone: string;
    mail: boolean;
    swagger_ui: boolean;
};
/**
 * One of the bank's own accounts, which is there in every currency.
 */
export type BankAccountKind = "asset" | "liability" | "income" | "expense" | "equity";
/**
 * One of the bank's own accounts, which is there in every currency.
 */
export type BankAccount = {
    code: string;
    name: string;
    kind: BankAccountKind;
    opened_by: string | null;
    opened_at: string | null;
};
/**
 * Balances are debits less credits, and `sum` is zero in sound books. All customers' accounts are one line, `customers`.
 */
export type AccountBalance = {
    code: string;
    name: string;
    kind: BankAccountKind;
    balance: string;
};
/**
 * Balances are debits less credits, and `sum` is zero in sound books. All customers' accounts are one line, `customers`.
 */
export type TrialBalance = {
    at: string;
    data: {
        currency: string;
        accounts: AccountBalance[];
        sum: string;
    }[];
};
export type Totals = {
    at: string;
    customers: {
        active: number;
        frozen: number;
        closed: number;
    };
    accounts: {
        open: number;
        frozen: number;
        closed: number;
    };
    balances: {
        currency: string;
        accounts: number;
        balance: string;
    }[];
    today: {
        since: string;
        movements: {
            currency: string;
            type: MovementType;
            count: number;
            amount: string;
        }[];
    };
};
/**
 * A problem document (RFC 9457).
 */
export type Problem = {
    status: number;
    code: string;
    title: string;
    detail: string;
    request_id?: string | null;
    transaction_id?: string | null;
    errors?: FieldError[];
    currency?: string | null;
    requested?: string | null;
    available?: string | null;
    held?: string | null;
    short_by?: string | null;
    limit?: keyof LimitValues | null;
    allowed?: string | null;
    used?: string | null;
    remaining?: string | null;
    resets_at?: string | null;
};
/**
 * `pointer` is `/amount` for the field `amount`
 */
export type FieldError = {
    pointer: string;
    code: string;
    detail: string;
};
/**
 * `cursor`: `next_cursor` of the page before
 */
export type PageQuery = {
    cursor?: string | null;
    limit?: number;
};
export type Page<T> = {
    data: T[];
    has_more: boolean;
    next_cursor: string | null;
};
export type Options = {
    signal?: AbortSignal;
};
/**
 * For an answer only if it is another one than that with this `etag`. With `wait` in seconds, up to 25, it comes as soon as
 * it is.
 */
export type IfChanged = Options & {
    ifNoneMatch: string;
    wait?: number;
};
/**
 * The version of an answer, which is not enumerable: for `ifNoneMatch` and `ifMatch`.
 */
export type Versioned = {
    readonly etag?: string;
};
/**
 * With `ifMatch`, the `etag` of an account, its balance or its history, money moves only if the account has that version
 * still; otherwise the problem is `balance_moved_on`. Not for batches and reversals.
 */
export type MovementOptions = Options & {
    idempotencyKey?: string;
    ifMatch?: string;
};
export type CofferOptions = {
    /**
     * where the bank is; where this module came from if left out
     */
    baseUrl?: string | URL | undefined;
    /**
     * `bearer` keeps both tokens in the object. `cookie`, for pages that the bank
     * serves itself, leaves the refresh token to the browser: it outlives a reload and is shared by all tabs
     */
    session?: "bearer" | "cookie" | undefined;
    /**
     * of {@link Coffer.createApiKey}, in place of a session: for backends, never for pages
     */
    apiKey?: string | undefined;
    fetch?: typeof fetch | undefined;
    /**
     * called when the bank wants password or code once
     * more (`recent_sign_in_required`). Have it call {@link Coffer.prove} and answer `true`: then the request is repeated.
     * With `false` the problem is thrown, as it is without this option
     */
    askForProof?: ((problem: ProblemError) => Promise<boolean>) | undefined;
};
export type Query = Record<string, string | number | null | undefined | Record<string, string>>;
export type SentHeaders = Record<string, string>;
export type Init = {
    method: string;
    signal?: AbortSignal;
    headers?: SentHeaders;
    body?: string;
};
/**
 * How a request is sent, and how its answer is read.
 */
export type How<Answer> = {
    repeatable: boolean;
    read: (response: Response) => Promise<Answer>;
};
export type Change = "signed-in" | "signed-out";
export type Tokens = {
    access_token: string;
    refresh_token?: string | null;
};
export type PostRefresh = (body: object, options?: RequestInit) => Promise<Tokens>;
