-- All keys that have taken effect. (On SQLite the newest are in a table of their own; PostgreSQL gains nothing by that.)
create view used_keys as
select key, fingerprint, transaction_id, created_at from idempotency_keys;
