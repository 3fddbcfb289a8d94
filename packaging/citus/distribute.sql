-- Spreads the tables of a bank over the workers of a Citus cluster (12.1). Run it once, on the coordinator, as the role that owns
-- the tables, after `coffer migrate` and before the bank serves; see docs/SCALING.md.
--
--     coffer migrate
--     psql "$DATABASE_URL" --set shards=8 --file packaging/citus/distribute.sql
--
-- Every table that grows with the movements is spread. People, their sessions, the audit log and all else stays on the
-- coordinator, where it is joined, counted and unique as on one PostgreSQL.

\set ON_ERROR_STOP on
\if :{?shards}
\else
    -- As many as there will be workers: a shard is what moves from one to another, and each costs every batch.
    \set shards 8
\endif

-- The triggers that refuse to rewrite history read and write no other table, so they are sound on a shard. Two look at `users`,
-- which no worker has: the last line of defence has two holes less deep. References and groups can be taken away, never
-- rewritten, and rows of `tagged_entries` can be deleted; the program does either only when somebody is erased.
set citus.enable_unsafe_triggers = on;

-- All or nothing: whatever is refused leaves the bank as it was, and the file can be run again.
begin;

do $$
begin
    if not exists (select from pg_extension where extname = 'citus') then
        raise exception 'this database has no extension citus' using hint = 'create extension citus, then add the workers.';
    end if;
end
$$;

create or replace function refuse_to_rename_movements() returns trigger language plpgsql as $$
begin
    if new.reference is null and new.group_id is null then
        return new;
    end if;
    raise exception 'tags stay as they were written';
end
$$;
drop trigger tagged_entries_refuse_delete on tagged_entries;

-- Users are on the coordinator. `coffer doctor` compares owners.
alter table accounts drop constraint accounts_owner_id_fkey;

-- Small, or unique by something else than their key: on every node.
select create_reference_table('bank_accounts');
-- A reference is unique among those of its requester, and a movement's tags are found by its id: no one column spreads both.
select create_reference_table('tags');

-- By account.
select create_distributed_table('accounts', 'account_number', shard_count := :shards, colocate_with := 'none');
select create_distributed_table('entries', 'account_number', colocate_with := 'accounts');
select create_distributed_table('account_limits', 'account_number', colocate_with := 'accounts');
select create_distributed_table('account_metadata', 'account_number', colocate_with := 'accounts');
select create_distributed_table('tagged_entries', 'account_number', colocate_with := 'accounts');

-- By movement. A hold and an approval have the id of the movement that they become.
select create_distributed_table('transactions', 'id', shard_count := :shards, colocate_with := 'none');
select create_distributed_table('reversals', 'transaction_id', colocate_with := 'transactions');
select create_distributed_table('holds', 'id', colocate_with := 'transactions');
select create_distributed_table('approvals', 'id', colocate_with := 'transactions');

-- By key.
select create_distributed_table('idempotency_keys', 'key', shard_count := :shards, colocate_with := 'none');

commit;

-- What is on the coordinator alone. A test compares this list with the tables that there are.
-- stay: users, sessions, second_factors, second_factor_key, recovery_codes, access_changes, api_keys, password_links, user_notes
-- stay: payees, mails, mailed_links, audit_log, audit_concerns, audit_head, events, event_head
-- stay: webhooks, webhook_secrets, webhook_deliveries
-- stay: limit_changes, unapproved_totals, movement_quotas, heartbeats, certain_time, units
-- stay: _sqlx_migrations

-- For every session of the bank. Batches go through the shards in one order, so that two of them seldom wait for each other in
-- a circle, and no lock on a whole shard is taken.
alter role current_user set citus.multi_shard_modify_mode = 'sequential';
-- One connection to each worker, and so one prepared transaction there, is enough for a batch.
alter role current_user set citus.max_adaptive_executor_pool_size = 1;
-- On the workers, too, somebody's forgotten lock must cost one account's requests, not the writer's. Longer than it takes Citus to
-- find those who wait for each other in a circle: twice `deadlock_timeout`.
alter role current_user set lock_timeout = '5s';
-- Later migrations change these triggers.
alter role current_user set citus.enable_unsafe_triggers = on;
-- `coffer doctor` reads whole tables through the coordinator.
alter role current_user set citus.max_intermediate_result_size = -1;
