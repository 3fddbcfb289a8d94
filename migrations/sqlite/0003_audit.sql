-- What matters to security: who did what, from where, in which request. Each record's hash covers the one before it.
create table audit_log (
    sequence          integer not null primary key check (sequence > 0),
    created_at        integer not null,
    action            text    not null,
    -- Null when nobody was signed in, or when it was the command line.
    actor_id          blob    check (length(actor_id) = 16),
    -- What it was done to: the id of a user, the number of an account, a route.
    subject           text,
    address           text,
    request_id        text,
    -- The client's own id of the request: a client may send what it likes, so it never stands for the request. Null where it
    -- sent none.
    client_request_id text,
    detail            text,
    -- The accounts, by number, and the people, by id, that the record is about beside its subject: words with a space
    -- between them.
    concerns          text,
    hash              blob    not null check (length(hash) = 32)
) strict;

-- Lists are in the order of time, because they are asked for by time: a filter, the period and the order are one range of
-- one index each. The sequence makes the order certain where two records have the same moment.
create index audit_by_actor on audit_log (actor_id, created_at, sequence) where actor_id is not null;
create index audit_by_action on audit_log (action, created_at, sequence);
create index audit_by_time on audit_log (created_at, sequence);

-- Where the records about an account or a person are found: one row for each word of `concerns`, and one for a subject that
-- is an account's number or an id. A record can be about many (a list of people), so no column of it could be the key.
-- Written with the record, and held against it by `coffer doctor`.
create table audit_concerns (
    concern    text    not null,
    created_at integer not null,
    sequence   integer not null references audit_log (sequence),
    primary key (concern, created_at, sequence)
) strict, without rowid;

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
create trigger audit_concerns_refuse_update before update on audit_concerns
begin select raise(abort, 'the audit log is append-only'); end;
create trigger audit_concerns_refuse_delete before delete on audit_concerns
begin select raise(abort, 'the audit log is append-only'); end;
