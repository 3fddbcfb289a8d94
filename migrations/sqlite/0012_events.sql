-- What has happened, for those who listen: one row for each account that it happened to. Written in the commit of what it
-- tells of, and only while somebody listens. Kept for 30 days.
create table events (
    -- The order of the commits: whoever has read up to one has missed none before it.
    position       integer not null primary key check (position > 0),
    -- How clients name it. A position would tell everybody how much happens at the bank.
    id             blob    not null check (length(id) = 16),
    -- `transaction.posted` and the like.
    kind           text    not null,
    account_number integer,
    -- Whose account it is; null for what only those who work here see.
    owner_id       blob,
    -- The movement, the hold or the approval.
    subject_id     blob,
    -- Of the account's entry, for a movement.
    sequence       integer,
    created_at     integer not null
) strict;

create unique index events_by_id on events (id);
create index events_by_owner on events (owner_id, position) where owner_id is not null;
create index events_by_account on events (account_number, position) where account_number is not null;
create index events_by_age on events (created_at);

-- One row. Who appends locks it until the commit, so that positions are in the order of the commits.
create table event_head (
    id              integer not null primary key check (id = 1),
    -- Of the last event.
    position        integer not null,
    -- Events from here on are all there: before it nobody may have listened.
    first_position  integer not null,
    -- Events are written until then, and longer if somebody goes on listening.
    listening_until integer not null
) strict;

insert into event_head (id, position, first_position, listening_until) values (1, 0, 1, 0);
