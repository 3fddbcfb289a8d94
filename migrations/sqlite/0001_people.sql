-- Ids are UUIDv7 in 16 bytes, moments are microseconds since 1970 in UTC, bound by the program: one meaning on both
-- databases. `strict` makes SQLite hold columns to their types.

create table users (
    id                  blob    not null primary key check (length(id) = 16),
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
    frozen_at           integer,
    -- What an admin has frozen, only an admin releases.
    frozen_by_admin     integer not null default 0 check (frozen_by_admin in (0, 1)),
    -- When role or freeze last changed. Instances look twice a second for changes that another one made.
    standing_changed_at integer not null default 0,
    -- In whole units of the account's currency: own movements above it ask for a recent proof. Null for none.
    confirm_above       integer check (confirm_above >= 0),
    -- Wrong passwords and codes that were sent beside a token since the last sign-in, on all instances.
    wrong_guesses       integer not null default 0 check (wrong_guesses >= 0),
    created_at          integer not null,
    check (status <> 'closed' or search_text = '')
) strict, without rowid;

create index users_by_standing on users (standing_changed_at) where standing_changed_at > 0;
-- Whoever takes or gives the role of an admin holds all admins meanwhile.
create index admins on users (id) where role = 'admin';

-- One row per sign-in. Access tokens name their session, so ending the row ends them.
--
-- A refresh token is the session's id, a secret that the session keeps for life, and a secret that changes with each token.
-- Whoever shows the first secret with another second one holds an older token: that is noticed for as long as the session
-- lives. Both are stored by SHA-256: a stolen copy of this table opens nothing.
create table sessions (
    id            blob    not null primary key check (length(id) = 16),
    user_id       blob    not null references users (id),
    family_hash   blob    not null check (length(family_hash) = 32),
    token_hash    blob    not null check (length(token_hash) = 32),
    -- Whether the sign-in took a second factor; access tokens say so from refresh to refresh.
    second_factor integer not null check (second_factor in (0, 1)),
    -- When a password or a code was last shown: what cannot be taken back asks for five minutes ago or less.
    proven_at     integer not null,
    -- As for users, but not forgiven by the owner's next sign-in.
    wrong_guesses integer not null default 0 check (wrong_guesses >= 0),
    user_agent    text,
    -- Where the sign-in came from.
    address       text,
    created_at    integer not null,
    last_used_at  integer not null,
    expires_at    integer not null,
    ended_at      integer
) strict, without rowid;

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
    user_id      blob    not null primary key references users (id),
    secret       blob    not null check (length(secret) between 21 and 255),
    -- Null until the first code has shown that the app has the secret: before that it is asked of nobody.
    confirmed_at integer,
    -- The 30-second step of the last code that was accepted: none before or at it counts again.
    last_step    integer not null default 0
) strict, without rowid;

-- One row: which key those secrets are encrypted with. An instance that has another one would lock people out, so it
-- does not start.
create table second_factor_key (
    id     integer not null primary key check (id = 1),
    key_id blob    not null check (length(key_id) = 8)
) strict;

-- For the day the phone is lost: each good once, 120 random bits, so that a plain hash is enough.
create table recovery_codes (
    user_id   blob not null references users (id),
    code_hash blob not null check (length(code_hash) = 32),
    primary key (user_id, code_hash)
) strict, without rowid;

-- Changes of what somebody may do that wait for a second admin, and those that have waited. Nobody writes down that one has
-- expired: so there is no moment at which the clock and somebody who decides could both change the row.
create table access_changes (
    id           blob    not null primary key check (length(id) = 16),
    -- `role_change`, `second_factor_reset`.
    kind         text    not null,
    -- Whose access is to change.
    user_id      blob    not null check (length(user_id) = 16),
    -- The new role of a role change.
    role         text    check (role in ('customer', 'staff', 'admin', 'auditor')),
    requested_by blob    not null check (length(requested_by) = 16),
    requested_at integer not null,
    expires_at   integer not null,
    status       text    not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by   blob    check (length(decided_by) = 16),
    decided_at   integer,
    check ((kind = 'role_change') = (role is not null)),
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence.
    check (requested_by <> user_id),
    check (status <> 'approved' or (decided_by <> requested_by and decided_by <> user_id))
) strict, without rowid;

-- Of one person one change waits at a time.
create index access_changes_by_user on access_changes (user_id, expires_at) where status = 'pending';

create trigger access_changes_refuse_change
before update of id, kind, user_id, role, requested_by, requested_at, expires_at on access_changes
begin select raise(abort, 'a change of access stays as it was asked for'); end;
create trigger access_changes_refuse_second_decision before update on access_changes when old.status <> 'pending'
begin select raise(abort, 'a change of access is decided once'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger access_changes_refuse_replace before insert on access_changes
when exists (select 1 from access_changes where id = new.id)
begin select raise(abort, 'a change of access stays as it was asked for'); end;
create trigger access_changes_refuse_delete before delete on access_changes
begin select raise(abort, 'changes of access are decided, never deleted'); end;
