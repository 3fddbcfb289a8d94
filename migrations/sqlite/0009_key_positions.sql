-- Idempotency keys stay where they are written first: in the order they came, so that new ones share pages and old ones are
-- forgotten from one end. Where each of them is, by key, is a table of its own. Keys are random, and put there one by one
-- each would rewrite a page of its own, so the bank remembers the newest and puts neighbours there together.
create table keys_as_they_came (
    -- Never given twice: the last row stays, so that a second process on the file notices new ones.
    position       integer not null primary key,
    -- The first 16 bytes of SHA-256(caller, key).
    key            blob    not null check (length(key) = 16),
    -- SHA-256 of the request that used the key.
    fingerprint    blob    not null check (length(fingerprint) = 32),
    transaction_id blob    not null check (length(transaction_id) = 16),
    created_at     integer not null
) strict;

-- In the order of the key, which takes no sorting: those that are here by now are forgotten together, when the last of
-- them is old enough.
insert into keys_as_they_came (key, fingerprint, transaction_id, created_at)
select key, fingerprint, transaction_id, created_at from idempotency_keys order by key;

insert into keys_as_they_came (key, fingerprint, transaction_id, created_at)
select key, fingerprint, transaction_id, created_at
from (select key, fingerprint, transaction_id, created_at, max(position) from fresh_keys group by key) fresh
where not exists (select 1 from idempotency_keys old where old.key = fresh.key)
order by key;

drop view used_keys;
drop table fresh_keys;
drop table idempotency_keys;
alter table keys_as_they_came rename to idempotency_keys;

-- Two keys may begin alike: which it is, its row tells. A position without a row is of a key that has been forgotten.
create table key_positions (
    -- The first 6 bytes of the key.
    beginning blob    not null,
    position  integer not null,
    primary key (beginning, position)
) strict, without rowid;

insert into key_positions (beginning, position)
select substr(key, 1, 6), position from idempotency_keys;

-- Every key up to this position is in `key_positions`; of later ones, some.
create table keys_placed (
    id    integer not null primary key check (id = 1),
    up_to integer not null
) strict;

insert into keys_placed (id, up_to) select 1, coalesce(max(position), 0) from idempotency_keys;
