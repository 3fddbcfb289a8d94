-- Ids are UUIDv7, moments are microseconds since 1970 in UTC, bound by the program: one meaning on both databases.

create table users (
    id            uuid   not null primary key,
    name          text   not null,
    -- Trimmed and in lower case, so that one mailbox is one user.
    email         text   not null unique,
    -- An Argon2id PHC string: algorithm, parameters and salt travel with the hash, so parameters can rise.
    password_hash text   not null,
    role          text   not null default 'customer' check (role in ('customer', 'staff', 'admin', 'auditor')),
    -- A closed user keeps its row, because the journal names it, but loses name, email and password.
    status        text   not null default 'active' check (status in ('active', 'closed')),
    created_at    bigint not null
);

-- One row per login. Access tokens name their session, so ending the row ends them.
create table sessions (
    id           uuid   not null primary key,
    user_id      uuid   not null references users (id),
    user_agent   text,
    created_at   bigint not null,
    last_used_at bigint not null,
    expires_at   bigint not null,
    ended_at     bigint
);

-- A user lists their sessions and a password change ends them.
create index sessions_by_user on sessions (user_id, id);
-- Instances look every second for sessions that another one has ended.
create index sessions_by_end on sessions (ended_at) where ended_at is not null;

-- Each refresh token that a session was ever given, by SHA-256: a stolen copy of this table opens nothing. Used tokens
-- stay until their session goes, because a used token that comes back means that two parties hold it.
create table refresh_tokens (
    token_hash bytea  not null primary key check (length(token_hash) = 32),
    session_id uuid   not null references sessions (id) on delete cascade,
    used_at    bigint
);

create index refresh_tokens_by_session on refresh_tokens (session_id);
