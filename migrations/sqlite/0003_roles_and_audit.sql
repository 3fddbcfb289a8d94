-- A frozen user may look and sign out, but change nothing.
alter table users add column frozen_at integer;
-- When role or freeze last changed. Instances look twice a second for changes that another one made.
alter table users add column standing_changed_at integer not null default 0;
create index users_by_standing on users (standing_changed_at) where standing_changed_at > 0;

-- Where the login came from.
alter table sessions add column address text;

-- What matters to security: who did what, from where, in which request. Each record's hash covers the one before it.
create table audit_log (
    sequence   integer not null primary key check (sequence > 0),
    created_at integer not null,
    action     text    not null,
    -- Null when nobody was signed in, or when it was the command line.
    actor_id   blob    check (length(actor_id) = 16),
    -- What it was done to: the id of a user, the number of an account, a route.
    subject    text,
    address    text,
    request_id text,
    detail     text,
    hash       blob    not null check (length(hash) = 32)
) strict;

create index audit_by_actor on audit_log (actor_id, sequence) where actor_id is not null;
create index audit_by_action on audit_log (action, sequence);

-- The last record. Who appends locks this row, so that the chain never forks.
create table audit_head (
    id       integer not null primary key check (id = 1),
    sequence integer not null,
    hash     blob    not null check (length(hash) = 32)
) strict;

insert into audit_head (id, sequence, hash) values (1, 0, zeroblob(32));

create trigger audit_log_refuse_update before update on audit_log
begin select raise(abort, 'the audit log is append-only'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger audit_log_refuse_replace before insert on audit_log
when exists (select 1 from audit_log where sequence = new.sequence)
begin select raise(abort, 'the audit log is append-only'); end;
create trigger audit_log_refuse_delete before delete on audit_log
begin select raise(abort, 'the audit log is append-only'); end;
