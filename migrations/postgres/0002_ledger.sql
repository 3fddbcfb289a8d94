-- Amounts are minor units of the account's ISO 4217 currency, always 64-bit integers.

-- Customers' accounts, and the bank's own: `cash` accounts, one per currency, have no owner and no running balance;
-- theirs is derived from the journal, so that no deposit anywhere waits for a shared row.
create table accounts (
    -- 14 digits, the last two are ISO 7064 check digits.
    account_number  bigint not null primary key,
    owner_id        uuid   references users (id),
    currency        text   not null check (length(currency) = 3),
    label           text,
    status          text   not null default 'open' check (status in ('open', 'frozen', 'closed')),
    balance         bigint not null default 0,
    -- How far below zero the balance may go.
    overdraft_limit bigint not null default 0 check (overdraft_limit >= 0),
    -- The number of passbook entries, and so the sequence of the last one.
    sequence        bigint not null default 0 check (sequence >= 0),
    -- Hash of the last passbook entry; 32 zero bytes before the first.
    head_hash       bytea  not null default decode(repeat('00', 32), 'hex') check (length(head_hash) = 32),
    -- When the last entry was made: the clock may step back, a passbook's times never do.
    last_entry_at   bigint not null,
    opened_at       bigint not null,
    closed_at       bigint,
    -- The last line of defence: whatever a program gets wrong, nobody's money goes below its limit.
    check (balance >= -overdraft_limit),
    check (status <> 'closed' or balance = 0)
)
-- Balances change in place all day: room on each page keeps those updates off the indexes (heap-only tuples).
with (fillfactor = 50);

create index accounts_by_owner on accounts (owner_id, account_number) where owner_id is not null;

-- The journal: one immutable row per movement, money going from the debited to the credited account.
create table transactions (
    id              uuid     not null primary key,
    -- 1 deposit, 2 withdrawal, 3 transfer.
    type            smallint not null check (type between 1 and 3),
    debit_account   bigint   not null,
    -- The passbook line of each side; null for the bank's own accounts, which keep none. With them a movement is found
    -- in both passbooks by primary key, and entries need no second index.
    debit_sequence  bigint,
    credit_account  bigint   not null,
    credit_sequence bigint,
    amount          bigint   not null check (amount > 0),
    currency        text     not null check (length(currency) = 3),
    description     text,
    initiated_by    uuid     not null,
    created_at      bigint   not null,
    check (debit_account <> credit_account)
);

-- The passbook: one immutable line per movement and customer account, in the order it happened.
create table entries (
    account_number bigint   not null,
    sequence       bigint   not null check (sequence > 0),
    transaction_id uuid     not null,
    type           smallint not null check (type between 1 and 3),
    -- Signed: a credit is positive, a debit negative.
    amount         bigint   not null check (amount <> 0),
    -- The account's balance after this line.
    balance        bigint   not null,
    created_at     bigint   not null,
    -- SHA-256 of the previous line's hash and this line's contents.
    hash           bytea    not null check (length(hash) = 32),
    primary key (account_number, sequence)
);

-- A table of its own, so that requests without a key pay nothing and old keys can be pruned.
create table idempotency_keys (
    -- The first 16 bytes of SHA-256(caller, key).
    key            bytea  not null primary key check (length(key) = 16),
    -- SHA-256 of the request that used the key.
    fingerprint    bytea  not null check (length(fingerprint) = 32),
    transaction_id uuid   not null,
    created_at     bigint not null
);

-- History is added to, never rewritten: a mistake is corrected by a movement the other way.
create function refuse_to_rewrite_history() returns trigger language plpgsql as $$
begin
    raise exception '% is append-only', tg_table_name;
end
$$;

-- An entry needs no foreign key to its account: it is only written with the account locked and updated in the same
-- transaction, and no account ever goes away or changes its number. (The key would be checked once a row, on the hottest
-- path there is; `coffer doctor` checks it too.)
create function refuse_to_remove_accounts() returns trigger language plpgsql as $$
begin
    raise exception 'accounts are closed, never deleted, and keep their numbers';
end
$$;

create trigger accounts_refuse_delete before delete or truncate on accounts
for each statement execute function refuse_to_remove_accounts();
create trigger accounts_refuse_renumbering before update of account_number on accounts
for each statement execute function refuse_to_remove_accounts();

create trigger transactions_refuse_change before update or delete or truncate on transactions
for each statement execute function refuse_to_rewrite_history();
create trigger entries_refuse_change before update or delete or truncate on entries
for each statement execute function refuse_to_rewrite_history();

-- For people with `psql`: readable moments and types. The program does not use it.
create view readable_entries as
select lpad(e.account_number::text, 14, '0') as account_number,
       e.sequence,
       e.transaction_id,
       case e.type when 1 then 'deposit' when 2 then 'withdrawal' else 'transfer' end as type,
       e.amount as amount_in_minor_units,
       e.balance as balance_in_minor_units,
       t.currency,
       t.description,
       to_timestamp(e.created_at / 1000000.0) as created_at,
       encode(e.hash, 'hex') as hash
from entries e
join transactions t on t.id = e.transaction_id;
