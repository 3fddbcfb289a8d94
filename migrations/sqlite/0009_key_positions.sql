-- Idempotency keys stay where they are written first: in the order they came, so that new ones share pages and old ones are
-- forgotten from one end. Where each of them is, by key, is a table of its own. Keys are random, and put there one by one
-- each would rewrite a page of its own, so the bank remembers the newest and puts neighbours there together.
--
-- What was moved before comes after what is fresh, in the order of the key, which takes no sorting, and no copy as a `select`
-- from the same table would: all that are here by now are forgotten together, when the newest is old enough.
delete from fresh_keys where position not in (select max(position) from fresh_keys group by key);
delete from idempotency_keys where key in (select key from fresh_keys);

insert into fresh_keys (key, fingerprint, transaction_id, created_at)
select key, fingerprint, transaction_id, created_at from idempotency_keys order by key;

drop view used_keys;
drop table idempotency_keys;
alter table fresh_keys rename to idempotency_keys;

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
