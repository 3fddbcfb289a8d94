-- Keys by which programs call in somebody's name, and users who are programs.

-- A service user has API keys and no password that anybody knows.
alter table users add column is_service boolean not null default false;

-- One row per key. A key's secret is 256 random bits, so that a plain SHA-256 is enough to store: a stolen copy of this table
-- opens nothing. Instances look twice a second for keys that another one has changed.
create table api_keys (
    id           uuid   not null primary key,
    -- In whose name it calls.
    user_id      uuid   not null references users (id),
    name         text   not null,
    -- The last four characters of the secret, by which people tell keys apart.
    hint         text   not null check (length(hint) = 4),
    secret_hash  bytea  not null check (length(secret_hash) = 32),
    -- The secret before the last rotation, and until when it counts.
    former_hash  bytea  check (length(former_hash) = 32),
    former_until bigint,
    -- Words with a space between them: `read`, `move`, `staff`.
    scopes       text   not null check (length(scopes) > 0),
    -- The numbers of the accounts that it is for, with a space between them. Null for any.
    accounts     text   check (length(accounts) > 0),
    -- The most that it moves within 24 hours, in whole units of each currency. Null for any amount. What it has moved is
    -- summed up in unapproved_totals, by the key's id.
    per_day      bigint check (per_day >= 0),
    -- The networks that it calls from, with a space between them. Null for any.
    networks     text   check (length(networks) > 0),
    created_at   bigint not null,
    expires_at   bigint,
    -- To the minute.
    last_used_at bigint,
    revoked_at   bigint,
    -- When it was last rotated or revoked.
    changed_at   bigint not null default 0,
    check ((former_hash is null) = (former_until is null))
);

create unique index api_keys_by_secret on api_keys (secret_hash);
create unique index api_keys_by_former_secret on api_keys (former_hash) where former_hash is not null;
create index api_keys_by_user on api_keys (user_id, id);
create index api_keys_by_change on api_keys (changed_at) where changed_at > 0;
