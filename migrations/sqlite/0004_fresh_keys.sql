-- Where new idempotency keys are written first. Keys are random: put into `idempotency_keys` one by one, each rewrites a
-- page of its own. Here they share pages in the order they came; later the bank moves neighbours over together.
-- Its last row stays, so that positions are never given twice and a second process on the file notices new ones.
create table fresh_keys (
    position       integer not null primary key,
    key            blob    not null check (length(key) = 16),
    fingerprint    blob    not null check (length(fingerprint) = 32),
    transaction_id blob    not null check (length(transaction_id) = 16),
    created_at     integer not null
) strict;

-- All keys that have taken effect. A key that has been moved is in both tables for a while.
create view used_keys as
select key, fingerprint, transaction_id, created_at from idempotency_keys
union
select key, fingerprint, transaction_id, created_at from fresh_keys;
