-- Each passbook is a place of its own in the table of entries, so a line put there at once rewrites a page of its own. Lines
-- are therefore written to a table where they share pages in the order they came. When an account has gathered some, they
-- are filed in its passbook together, which rewrites one page for all of them. `entries` is both.
drop view readable_entries;
alter table entries rename to filed_entries;

create table fresh_entries (
    position       integer not null primary key,
    -- Where the account's line before this one is, if that is not filed yet either.
    previous       integer,
    -- The rest as in `filed_entries`.
    account_number integer not null,
    sequence       integer not null check (sequence > 0),
    transaction_id blob    not null check (length(transaction_id) = 16),
    type           integer not null check (type between 1 and 3),
    amount         integer not null check (amount <> 0),
    balance        integer not null,
    created_at     integer not null,
    hash           blob    not null check (length(hash) = 32)
) strict;

-- How many of the account's last lines are not filed yet, and where the last of them is.
alter table accounts add column fresh_entries integer not null default 0 check (fresh_entries >= 0);
alter table accounts add column last_fresh_entry integer check ((last_fresh_entry is null) = (fresh_entries = 0));

create trigger fresh_entries_refuse_update before update on fresh_entries
begin select raise(abort, 'the passbook is append-only'); end;
create trigger fresh_entries_refuse_delete before delete on fresh_entries
when old.sequence > (select sequence - fresh_entries from accounts where account_number = old.account_number)
begin select raise(abort, 'a line stays until it is filed'); end;

-- The lines that are not filed yet, by account: found from the account's last one backwards. (`union` ends even where a
-- forger has made a circle of them.)
create view unfiled_entries as
select a.account_number, f.sequence, f.transaction_id, f.type, f.amount, f.balance, f.created_at, f.hash, f.previous
from accounts a
cross join fresh_entries f
where f.account_number = a.account_number
  and f.position in (
    with recursive tail (position) as (
        select a.last_fresh_entry
        union
        select f.previous from tail join fresh_entries f on f.position = tail.position
    )
    select position from tail
);

create view entries as
select account_number, sequence, transaction_id, type, amount, balance, created_at, hash from filed_entries
union all
select account_number, sequence, transaction_id, type, amount, balance, created_at, hash from unfiled_entries;

-- As before.
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
