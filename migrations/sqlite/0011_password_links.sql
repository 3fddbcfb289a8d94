-- One-time links by which somebody sets a password without the one before: who has lost it, and whom staff have made a
-- customer. Each user has one at most: another link takes its place. The secret in it is 256 random bits, so that a plain
-- SHA-256 is enough to store.
create table password_links (
    user_id       blob    not null primary key references users (id),
    token_hash    blob    not null check (length(token_hash) = 32),
    -- Of somebody who has had no password yet: staff may make another one, as long as it was not used.
    is_invitation integer not null check (is_invitation in (0, 1)),
    created_at    integer not null,
    expires_at    integer not null,
    used_at       integer
) strict, without rowid;

create unique index password_links_by_token on password_links (token_hash);

-- What staff note on a customer, for each other. Never changed.
create table user_notes (
    id         blob    not null primary key check (length(id) = 16),
    user_id    blob    not null references users (id),
    author_id  blob    not null,
    text       text    not null,
    created_at integer not null
) strict, without rowid;

create index user_notes_by_user on user_notes (user_id, id);
