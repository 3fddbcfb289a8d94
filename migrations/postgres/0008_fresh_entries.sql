-- The passbooks, whole. (On SQLite the newest lines are in a table of their own; PostgreSQL gains nothing by that.)
create view all_entries as
select account_number, sequence, transaction_id, type, amount, balance, created_at, hash from entries;
