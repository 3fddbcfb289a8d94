-- The client's own id of the request, beside the server's in request_id: a client may send what it likes, so it never
-- stands for the request. Null where it sent none, and in all earlier records.
alter table audit_log add column client_request_id text;
-- The accounts, by number, and the people, by id, that the record is about beside its subject: words with a space
-- between them. Both columns are in the hash of a record that has either; the others hash as they did before.
alter table audit_log add column concerns text;

-- Where the records about an account or a person are found: one row for each word of `concerns`, and one for a subject that
-- is an account's number or an id. A record can be about many (a list of people), so no column of it could be the key.
-- Written with the record, and held against it by `coffer doctor`.
create table audit_concerns (
    concern    text   not null,
    created_at bigint not null,
    sequence   bigint not null references audit_log (sequence),
    primary key (concern, created_at, sequence)
);

insert into audit_concerns (concern, created_at, sequence)
select subject, created_at, sequence from audit_log
where subject ~ '^[1-9][0-9]{13}$' or subject ~ '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$';

create trigger audit_concerns_refuse_change before update or delete or truncate on audit_concerns
for each statement execute function refuse_to_rewrite_history();

-- Lists are in the order of time, because they are asked for by time: a filter, the period and the order are one range of
-- one index each. The sequence makes the order certain where two records have the same moment.
drop index audit_by_actor;
drop index audit_by_action;
create index audit_by_actor on audit_log (actor_id, created_at, sequence) where actor_id is not null;
create index audit_by_action on audit_log (action, created_at, sequence);
create index audit_by_time on audit_log (created_at, sequence);
