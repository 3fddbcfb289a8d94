-- Amounts are minor units of the account's currency, always 64-bit integers. A currency is three capitals: of ISO 4217, or
-- a unit of the bank's own.

-- Customers' accounts, and the bank's own: `cash` accounts, one per currency, have no owner and no running balance;
-- theirs is derived from the journal, so that no deposit anywhere waits for a shared row.
create table accounts (
    -- 14 digits, the last two are ISO 7064 check digits. An integer primary key is SQLite's own row id: no second tree.
    account_number  integer not null primary key,
    owner_id        blob    references users (id),
    currency        text    not null check (length(currency) = 3),
    label           text,
    status          text    not null default 'open' check (status in ('open', 'frozen', 'closed')),
    -- What an admin has frozen, only an admin releases.
    frozen_by_admin integer not null default 0 check (frozen_by_admin in (0, 1)),
    balance         integer not null default 0,
    -- How far below zero the balance may go.
    overdraft_limit integer not null default 0 check (overdraft_limit >= 0),
    -- Until when something may be held on the account. 0, or the latest expiry of whatever ever held some of its money; never
    -- set back. So only accounts that have one look for it.
    held_until      integer not null default 0,
    -- The number of entries, and so the sequence of the last one.
    sequence        integer not null default 0 check (sequence >= 0),
    -- Hash of the last entry; 32 zero bytes before the first.
    head_hash       blob    not null default (zeroblob(32)) check (length(head_hash) = 32),
    -- When the last entry was made: the clock may step back, the times of a history never do.
    last_entry_at   integer not null,
    opened_at       integer not null,
    closed_at       integer,
    -- The last line of defence: whatever a program gets wrong, nobody's money goes below its limit.
    check (balance >= -overdraft_limit),
    check (status <> 'closed' or balance = 0)
) strict;

create index accounts_by_owner on accounts (owner_id, account_number) where owner_id is not null;
-- How many accounts an owner has opened lately is counted at each opening, closed ones too. Written once an account: a
-- movement does not touch it.
create index accounts_by_opening on accounts (owner_id, opened_at) where owner_id is not null;

-- The journal: one immutable row per movement, money going from the debited to the credited account.
create table transactions (
    id              blob    not null primary key check (length(id) = 16),
    -- 1 deposit, 2 withdrawal, 3 transfer; the program knows which there are.
    type            integer not null check (type > 0),
    debit_account   integer not null,
    -- The entry of each side; null for the bank's own accounts, which have none. With them a movement is found in both
    -- histories by their key, and entries need no second index.
    debit_sequence  integer,
    credit_account  integer not null,
    credit_sequence integer,
    amount          integer not null check (amount > 0),
    currency        text    not null check (length(currency) = 3),
    -- What people wrote. The hashes of the entries cover `text_commitment`, which is SHA-256 over the salt and the text, so
    -- text and salt can be erased and the chain stays whole. All three are null where nothing was written.
    description     text,
    text_salt       blob    check (length(text_salt) = 16),
    text_commitment blob    check (length(text_commitment) = 32),
    initiated_by    blob    not null check (length(initiated_by) = 16),
    created_at      integer not null,
    check (debit_account <> credit_account),
    check (description is null or (text_salt is not null and text_commitment is not null))
) strict, without rowid;

-- The entries: one immutable row per movement and customer account. Rows lie in the order they were booked, so that new ones
-- share pages, and the index has each account's in the order of its history.
create table entries (
    position       integer not null primary key,
    account_number integer not null,
    sequence       integer not null check (sequence > 0),
    transaction_id blob    not null check (length(transaction_id) = 16),
    -- As in transactions.
    type           integer not null check (type > 0),
    -- Signed: a credit is positive, a debit negative.
    amount         integer not null check (amount <> 0),
    -- The account's balance after this entry.
    balance        integer not null,
    created_at     integer not null,
    -- SHA-256 of the hash of the entry before and this one's contents.
    hash           blob    not null check (length(hash) = 32)
) strict;

create unique index entries_by_account on entries (account_number, sequence);

-- A table of its own, so that requests without a key pay nothing and old keys can be pruned. Keys lie in the order they came,
-- so that new ones share pages and old ones are deleted from one end. The last row stays, so that no position is given twice.
create table idempotency_keys (
    position       integer not null primary key,
    -- The first 16 bytes of SHA-256(caller, key).
    key            blob    not null check (length(key) = 16),
    -- SHA-256 of the request that used the key.
    fingerprint    blob    not null check (length(fingerprint) = 32),
    transaction_id blob    not null check (length(transaction_id) = 16),
    created_at     integer not null
) strict;

-- Where each key is, but for the newest, whose positions the program has in memory: see `db/ledger/sqlite/key_index.rs`. Two keys may
-- begin alike: which it is, its row tells. A position without a row is of a key that was deleted.
create table key_index (
    -- The first 6 bytes of the key.
    prefix   blob    not null,
    position integer not null,
    primary key (prefix, position)
) strict, without rowid;

-- One row: every key up to this position is in `key_index`; of later ones, some.
create table key_index_flushed (
    id    integer not null primary key check (id = 1),
    up_to integer not null
) strict;

insert into key_index_flushed (id, up_to) values (1, 0);

-- Which movement undoes which. The books are append-only: a mistake is corrected by a movement the other way round, and
-- this row, written in the transaction that books it, is what keeps the mistake from being corrected twice.
--
-- A table of its own, because the journal is large, never altered, and seldom wrong.
create table reversals (
    -- The movement that is undone. Its being the key is the last line of defence: whatever a program gets wrong, nothing
    -- is undone twice.
    transaction_id blob not null primary key check (length(transaction_id) = 16),
    -- The movement that undoes it.
    reversal_id    blob not null check (length(reversal_id) = 16),
    check (transaction_id <> reversal_id)
) strict, without rowid;

-- To know a reversal, which is not reversed itself. Not unique, because a unique key would have to contain the column that
-- the table would be spread by; the journal takes each id once, and `coffer doctor` looks, too.
create index reversals_by_reversal on reversals (reversal_id);

-- Movements that staff have asked for and may not make alone: they wait for a second approver, or have waited.
--
-- The id is the one that the transaction gets, fixed when the movement is asked for: the journal's primary key lets it be
-- booked once, whatever else goes wrong, and an Idempotency-Key names the approval before and the transaction after with
-- the same id. No foreign keys: accounts, users and transactions would be spread by other columns than this table;
-- `coffer doctor` compares them.
create table approvals (
    id           blob    not null primary key check (length(id) = 16),
    -- As in transactions.
    type         integer not null check (type > 0),
    -- Customers' accounts; null where the other side is the bank's own.
    from_account integer,
    to_account   integer,
    amount       integer not null check (amount > 0),
    currency     text    not null check (length(currency) = 3),
    description  text,
    -- The movement that this one will undo; null for any other.
    reverses     blob    check (length(reverses) = 16),
    requested_by blob    not null check (length(requested_by) = 16),
    requested_at integer not null,
    -- As in access_changes, nobody writes down that one has expired.
    expires_at   integer not null,
    status       text    not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by   blob    check (length(decided_by) = 16),
    decided_at   integer,
    check (from_account is not null or to_account is not null),
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence. Whoever asked may still withdraw, which is to reject.
    check (status <> 'approved' or decided_by <> requested_by)
) strict, without rowid;

-- Of a movement one reversal waits at a time.
create index approvals_that_reverse on approvals (reverses, expires_at) where status = 'pending' and reverses is not null;
-- What is held on an account.
create index approvals_that_hold on approvals (from_account, expires_at)
where status = 'pending' and reverses is not null and from_account is not null;
-- How much waits that one person has asked for.
create index approvals_by_requester on approvals (requested_by, expires_at) where status = 'pending';

-- What staff moved without a second approver, summed up by the minute: what counts against the approval amount is the sum
-- of 24 hours. By the minute, so that however many movements there are, few rows are added up. Deleted when older.
create table unapproved_totals (
    user_id  blob    not null check (length(user_id) = 16),
    currency text    not null check (length(currency) = 3),
    -- The beginning of the minute, in microseconds.
    minute   integer not null,
    -- Minor units.
    amount   integer not null check (amount > 0),
    primary key (user_id, currency, minute)
) strict, without rowid;
create index unapproved_totals_by_age on unapproved_totals (minute);

-- What each caller has used of the movements that one may have booked in a day, so that a restart gives nobody a new
-- quota and instances share one. Written beside the money and only for those who use much of it, so most callers never
-- have a row; one whose quota is whole again is deleted.
create table movement_quotas (
    user_id blob    not null primary key check (length(user_id) = 16),
    -- When the quota is whole again.
    full_at integer not null
) strict, without rowid;

-- Who has used most, for a start; and who has nothing left to remember.
create index movement_quotas_by_time on movement_quotas (full_at);

-- What a writer of the ledger writes when nothing else is to be written and somebody asks whether it could. A row goes an
-- hour after its writer's last time.
create table heartbeats (
    writer     blob    not null primary key check (length(writer) = 16),
    written_at integer not null
) strict, without rowid;

-- One row: the time that had certainly passed when it was written. What is pruned by age goes by it, because a wall clock
-- may be wrong.
create table certain_time (
    id integer not null primary key check (id = 1),
    at integer not null
) strict;

-- An entry needs no foreign key to its account: it is only written with the account locked and updated in the same
-- transaction, and no account ever goes away or changes its number. (The key would be checked once a row, on the hottest
-- path there is; `coffer doctor` checks it too.)
create trigger accounts_refuse_delete before delete on accounts
begin select raise(abort, 'accounts are closed, never deleted'); end;
create trigger accounts_refuse_renumbering before update of account_number on accounts
begin select raise(abort, 'an account keeps its number'); end;

-- History is added to, never rewritten: a mistake is corrected by a movement the other way. Only what people wrote can be
-- erased, which leaves the commitment to it in place. A migration that adds a column adds it to the list. (None of these
-- refuses `insert or replace`, which would cost each movement two look-ups: the hashes tell, and the program never does it.)
create trigger transactions_refuse_update
before update of id, type, debit_account, debit_sequence, credit_account, credit_sequence, amount, currency, text_commitment,
                 initiated_by, created_at on transactions
begin select raise(abort, 'the journal is append-only'); end;
create trigger transactions_refuse_other_texts before update of description, text_salt on transactions
when new.description is not null or new.text_salt is not null
begin select raise(abort, 'the journal is append-only'); end;
create trigger transactions_refuse_delete before delete on transactions
begin select raise(abort, 'the journal is append-only'); end;
create trigger entries_refuse_update before update on entries
begin select raise(abort, 'history is append-only'); end;
create trigger entries_refuse_delete before delete on entries
begin select raise(abort, 'history is append-only'); end;

create trigger reversals_refuse_update before update on reversals
begin select raise(abort, 'what is reversed stays reversed'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger reversals_refuse_replace before insert on reversals
when exists (select 1 from reversals where transaction_id = new.transaction_id)
begin select raise(abort, 'what is reversed stays reversed'); end;
create trigger reversals_refuse_delete before delete on reversals
begin select raise(abort, 'what is reversed stays reversed'); end;

-- What was asked for is what is approved, and what was decided stays decided. The description can be erased, as in
-- transactions.
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, amount, currency, reverses, requested_by, requested_at, expires_at
on approvals
begin select raise(abort, 'an approval stays as it was asked for'); end;
create trigger approvals_refuse_other_texts before update of description on approvals when new.description is not null
begin select raise(abort, 'an approval stays as it was asked for'); end;
create trigger approvals_refuse_second_decision before update of status, decided_by, decided_at on approvals
when old.status <> 'pending'
begin select raise(abort, 'an approval is decided once'); end;
create trigger approvals_refuse_replace before insert on approvals
when exists (select 1 from approvals where id = new.id)
begin select raise(abort, 'an approval stays as it was asked for'); end;
create trigger approvals_refuse_delete before delete on approvals
begin select raise(abort, 'approvals are decided, never deleted'); end;

-- For people with `sqlite3`: readable ids, moments and types. The program does not use it.
create view readable_entries as
select printf('%014d', e.account_number) as account_number,
       e.sequence,
       lower(hex(e.transaction_id)) as transaction_id,
       case e.type when 1 then 'deposit' when 2 then 'withdrawal' when 3 then 'transfer' else cast(e.type as text) end as type,
       e.amount as amount_in_minor_units,
       e.balance as balance_in_minor_units,
       t.currency,
       t.description,
       strftime('%Y-%m-%dT%H:%M:%SZ', e.created_at / 1000000, 'unixepoch') as created_at,
       lower(hex(e.hash)) as hash
from entries e
join transactions t on t.id = e.transaction_id;
