-- Ids are UUIDv7, moments are microseconds since 1970 in UTC, bound by the program: one meaning on both databases.

create table users (
    id                  uuid    not null primary key,
    name                text    not null,
    -- Trimmed and in lower case, so that one mailbox is one user.
    email               text    not null unique,
    -- Staff find people by this: name and address without case, accents and the like, made by the program, because SQLite's
    -- lower() knows ASCII alone and PostgreSQL's goes by the database's locale.
    search_text         text    not null,
    -- An Argon2id PHC string: algorithm, parameters and salt travel with the hash, so parameters can rise.
    password_hash       text    not null,
    role                text    not null default 'customer' check (role in ('customer', 'staff', 'admin', 'auditor')),
    -- A closed user keeps its row, because the journal names it, but loses name, email and password.
    status              text    not null default 'active' check (status in ('active', 'closed')),
    -- A frozen user may look and sign out, but change nothing.
    frozen_at           bigint,
    -- What an admin has frozen, only an admin releases.
    frozen_by_admin     boolean not null default false,
    -- When role or freeze last changed. Instances look twice a second for changes that another one made.
    standing_changed_at bigint  not null default 0,
    -- In whole units of the account's currency: own movements above it ask for a recent proof. Null for none.
    confirm_above       bigint  check (confirm_above >= 0),
    -- Wrong passwords and codes that were sent beside a token since the last sign-in, on all instances.
    wrong_guesses       bigint  not null default 0 check (wrong_guesses >= 0),
    created_at          bigint  not null,
    check (status <> 'closed' or search_text = '')
);

create index users_by_standing on users (standing_changed_at) where standing_changed_at > 0;
-- Whoever takes or gives the role of an admin holds all admins meanwhile.
create index admins on users (id) where role = 'admin';

-- One row per sign-in. Access tokens name their session, so ending the row ends them.
--
-- A refresh token is the session's id, a secret that the session keeps for life, and a secret that changes with each token.
-- Whoever shows the first secret with another second one holds an older token: that is noticed for as long as the session
-- lives. Both are stored by SHA-256: a stolen copy of this table opens nothing.
create table sessions (
    id            uuid    not null primary key,
    user_id       uuid    not null references users (id),
    family_hash   bytea   not null check (length(family_hash) = 32),
    token_hash    bytea   not null check (length(token_hash) = 32),
    -- Whether the sign-in took a second factor; access tokens say so from refresh to refresh.
    second_factor boolean not null,
    -- When a password or a code was last shown: what cannot be taken back asks for five minutes ago or less.
    proven_at     bigint  not null,
    -- As for users, but not forgiven by the owner's next sign-in.
    wrong_guesses bigint  not null default 0 check (wrong_guesses >= 0),
    user_agent    text,
    -- Where the sign-in came from.
    address       text,
    created_at    bigint  not null,
    last_used_at  bigint  not null,
    expires_at    bigint  not null,
    ended_at      bigint
);

-- A user lists their sessions and a password change ends them.
create index sessions_by_user on sessions (user_id, id);
-- A sign-in ends the user's oldest living session when there are too many.
create index living_sessions on sessions (user_id, last_used_at) where ended_at is null;
-- Instances look every second for sessions that another one has ended.
create index sessions_by_end on sessions (ended_at) where ended_at is not null;
-- A session whose last token lies ahead of the clock is ended once the clock is right again.
create index sessions_by_last_use on sessions (last_used_at);

-- The shared secret of a user's authenticator app (RFC 6238). Unlike a password it cannot be stored as a hash, because the
-- bank computes the same codes from it: it is encrypted, as version, id of the key, nonce, the 20 bytes, and tag.
create table second_factors (
    user_id      uuid   not null primary key references users (id),
    secret       bytea  not null check (length(secret) between 21 and 255),
    -- Null until the first code has shown that the app has the secret: before that it is asked of nobody.
    confirmed_at bigint,
    -- The 30-second step of the last code that was accepted: none before or at it counts again.
    last_step    bigint not null default 0
);

-- One row: which key those secrets are encrypted with. An instance that has another one would lock people out, so it
-- does not start.
create table second_factor_key (
    id     integer not null primary key check (id = 1),
    key_id bytea   not null check (length(key_id) = 8)
);

-- For the day the phone is lost: each good once, 120 random bits, so that a plain hash is enough.
create table recovery_codes (
    user_id   uuid  not null references users (id),
    code_hash bytea not null check (length(code_hash) = 32),
    primary key (user_id, code_hash)
);

-- Changes of what somebody may do that wait for a second admin, and those that have waited. Nobody writes down that one has
-- expired: so there is no moment at which the clock and somebody who decides could both change the row.
create table access_changes (
    id           uuid   not null primary key,
    -- `role_change`, `second_factor_reset`.
    kind         text   not null,
    -- Whose access is to change.
    user_id      uuid   not null,
    -- The new role of a role change.
    role         text   check (role in ('customer', 'staff', 'admin', 'auditor')),
    requested_by uuid   not null,
    requested_at bigint not null,
    expires_at   bigint not null,
    status       text   not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by   uuid,
    decided_at   bigint,
    check ((kind = 'role_change') = (role is not null)),
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence.
    check (requested_by <> user_id),
    check (status <> 'approved' or (decided_by <> requested_by and decided_by <> user_id))
);

-- Of one person one change waits at a time.
create index access_changes_by_user on access_changes (user_id, expires_at) where status = 'pending';

create function refuse_to_change_access_changes() returns trigger language plpgsql as $$
begin
    raise exception 'a change of access stays as it was asked for and is decided once';
end
$$;

create trigger access_changes_refuse_change
before update of id, kind, user_id, role, requested_by, requested_at, expires_at on access_changes
for each statement execute function refuse_to_change_access_changes();
create trigger access_changes_refuse_second_decision before update on access_changes
for each row when (old.status <> 'pending') execute function refuse_to_change_access_changes();
create trigger access_changes_refuse_delete before delete or truncate on access_changes
for each statement execute function refuse_to_change_access_changes();
