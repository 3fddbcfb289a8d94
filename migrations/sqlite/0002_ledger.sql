-- Amounts are minor units of the account's ISO 4217 currency, always 64-bit integers.

-- Customers' accounts, and the bank's own: `cash` accounts, one per currency, have no owner and no running balance;
-- theirs is derived from the journal, so that no deposit anywhere waits for a shared row.
create table accounts (
    -- 14 digits, the last two are ISO 7064 check digits. An integer primary key is SQLite's own row id: no second tree.
    account_number  integer not null primary key,
    owner_id        blob    references users (id),
    currency        text    not null check (length(currency) = 3),
    label           text,
    status          text    not null default 'open' check (status in ('open', 'frozen', 'closed')),
    balance         integer not null default 0,
    -- How far below zero the balance may go.
    overdraft_limit integer not null default 0 check (overdraft_limit >= 0),
    -- The number of passbook entries, and so the sequence of the last one.
    sequence        integer not null default 0 check (sequence >= 0),
    -- Hash of the last passbook entry; 32 zero bytes before the first.
    head_hash       blob    not null default (zeroblob(32)) check (length(head_hash) = 32),
    -- When the last entry was made: the clock may step back, a passbook's times never do.
    last_entry_at   integer not null,
    opened_at       integer not null,
    closed_at       integer,
    -- The last line of defence: whatever a program gets wrong, nobody's money goes below its limit.
    check (balance >= -overdraft_limit),
    check (status <> 'closed' or balance = 0)
) strict;

create index accounts_by_owner on accounts (owner_id, account_number) where owner_id is not null;

-- The journal: one immutable row per movement, money going from the debited to the credited account.
create table transactions (
    id              blob    not null primary key check (length(id) = 16),
    -- 1 deposit, 2 withdrawal, 3 transfer.
    type            integer not null check (type between 1 and 3),
    debit_account   integer not null,
    -- The passbook line of each side; null for the bank's own accounts, which keep none. With them a movement is found
    -- in both passbooks by primary key, and entries need no second index.
    debit_sequence  integer,
    credit_account  integer not null,
    credit_sequence integer,
    amount          integer not null check (amount > 0),
    currency        text    not null check (length(currency) = 3),
    description     text,
    initiated_by    blob    not null check (length(initiated_by) = 16),
    created_at      integer not null,
    check (debit_account <> credit_account)
) strict, without rowid;

-- The passbook: one immutable line per movement and customer account, clustered by account in the order it happened.
create table entries (
    account_number integer not null,
    sequence       integer not null check (sequence > 0),
    transaction_id blob    not null check (length(transaction_id) = 16),
    type           integer not null check (type between 1 and 3),
    -- Signed: a credit is positive, a debit negative.
    amount         integer not null check (amount <> 0),
    -- The account's balance after this line.
    balance        integer not null,
    created_at     integer not null,
    -- SHA-256 of the previous line's hash and this line's contents.
    hash           blob    not null check (length(hash) = 32),
    primary key (account_number, sequence)
) strict, without rowid;

-- A table of its own, so that requests without a key pay nothing and old keys can be pruned.
create table idempotency_keys (
    -- The first 16 bytes of SHA-256(caller, key).
    key            blob    not null primary key check (length(key) = 16),
    -- SHA-256 of the request that used the key.
    fingerprint    blob    not null check (length(fingerprint) = 32),
    transaction_id blob    not null check (length(transaction_id) = 16),
    created_at     integer not null
) strict, without rowid;

-- An entry needs no foreign key to its account: it is only written with the account locked and updated in the same
-- transaction, and no account ever goes away or changes its number. (The key would be checked once a row, on the hottest
-- path there is; `coffer doctor` checks it too.)
create trigger accounts_refuse_delete before delete on accounts
begin select raise(abort, 'accounts are closed, never deleted'); end;
create trigger accounts_refuse_renumbering before update of account_number on accounts
begin select raise(abort, 'an account keeps its number'); end;

-- History is added to, never rewritten: a mistake is corrected by a movement the other way.
create trigger transactions_refuse_update before update on transactions
begin select raise(abort, 'the journal is append-only'); end;
create trigger transactions_refuse_delete before delete on transactions
begin select raise(abort, 'the journal is append-only'); end;
create trigger entries_refuse_update before update on entries
begin select raise(abort, 'the passbook is append-only'); end;
create trigger entries_refuse_delete before delete on entries
begin select raise(abort, 'the passbook is append-only'); end;

-- For people with `sqlite3`: readable ids, moments and types. The program does not use it.
create view readable_entries as
select printf('%014d', e.account_number) as account_number,
       e.sequence,
       lower(hex(e.transaction_id)) as transaction_id,
       case e.type when 1 then 'deposit' when 2 then 'withdrawal' else 'transfer' end as type,
       e.amount as amount_in_minor_units,
       e.balance as balance_in_minor_units,
       t.currency,
       t.description,
       strftime('%Y-%m-%dT%H:%M:%SZ', e.created_at / 1000000, 'unixepoch') as created_at,
       lower(hex(e.hash)) as hash
from entries e
join transactions t on t.id = e.transaction_id;
