-- Keys by which programs call in somebody's name, and users who are programs.

-- A service user has API keys and no password that anybody knows.
alter table users add column is_service integer not null default 0 check (is_service in (0, 1));

-- One row per key. A key's secret is 256 random bits, so that a plain SHA-256 is enough to store: a stolen copy of this table
-- opens nothing. Instances look twice a second for keys that another one has changed.
create table api_keys (
    id           blob    not null primary key check (length(id) = 16),
    -- In whose name it calls.
    user_id      blob    not null references users (id),
    name         text    not null,
    -- The last four characters of the secret, by which people tell keys apart.
    hint         text    not null check (length(hint) = 4),
    secret_hash  blob    not null check (length(secret_hash) = 32),
    -- The secret before the last rotation, and until when it counts.
    former_hash  blob    check (length(former_hash) = 32),
    former_until integer,
    -- Words with a space between them: `read`, `move`, `staff`.
    scopes       text    not null check (length(scopes) > 0),
    -- The numbers of the accounts that it is for, with a space between them. Null for any.
    accounts     text    check (length(accounts) > 0),
    -- The most that it moves within 24 hours, in whole units of each currency. Null for any amount. What it has moved is
    -- summed up in unapproved_totals, by the key's id.
    per_day      integer check (per_day >= 0),
    -- The networks that it calls from, with a space between them. Null for any.
    networks     text    check (length(networks) > 0),
    created_at   integer not null,
    expires_at   integer,
    -- To the minute.
    last_used_at integer,
    revoked_at   integer,
    -- When it was last rotated or revoked.
    changed_at   integer not null default 0,
    check ((former_hash is null) = (former_until is null))
) strict, without rowid;

create unique index api_keys_by_secret on api_keys (secret_hash);
create unique index api_keys_by_former_secret on api_keys (former_hash) where former_hash is not null;
create index api_keys_by_user on api_keys (user_id, id);
create index api_keys_by_change on api_keys (changed_at) where changed_at > 0;
