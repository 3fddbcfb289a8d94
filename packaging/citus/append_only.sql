-- Append-only by privileges, behind the triggers: a role for the bank that can add to the journal and never change it. Run it as a
-- superuser on the coordinator, after distribute.sql; Citus carries role and grants to the workers. See docs/SCALING.md.
--
--     psql "$SUPERUSER_URL" --set role=teller --file packaging/citus/append_only.sql
--
-- Then the bank serves as this role, and `coffer migrate` goes on as the one that owns the tables; after it, run this again.
-- `transactions`, `holds`, `approvals` and `tags` can be updated, because texts can be erased: what else may change, the triggers say.
-- Citus has no privileges by column.

\set ON_ERROR_STOP on
select format('create role %I login', :'role') where not exists (select 1 from pg_roles where rolname = :'role') \gexec

-- A bank that starts looks whether there are migrations to run.
grant usage, create on schema public to :role;
alter table _sqlx_migrations owner to :role;
select format('grant %I to %I', :'role', tableowner) from pg_tables where tablename = 'accounts' \gexec

grant select, insert, update on all tables in schema public to :role;
revoke update on entries, reversals, audit_log, audit_concerns from :role;
-- What housekeeping prunes, and what people take away.
grant delete on idempotency_keys, tagged_entries, account_metadata, unapproved_totals, movement_quotas, heartbeats, sessions,
                second_factors, recovery_codes, password_links, user_notes, payees, api_keys, events, webhooks, webhook_secrets,
                webhook_deliveries, mails, mailed_links
to :role;

-- As distribute.sql sets them for the owner.
alter role :role set citus.multi_shard_modify_mode = 'sequential';
alter role :role set citus.max_adaptive_executor_pool_size = 1;
alter role :role set lock_timeout = '5s';
alter role :role set citus.max_intermediate_result_size = -1;
