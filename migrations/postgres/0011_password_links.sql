-- One-time links by which somebody sets a password without the one before: who has lost it, and whom staff have made a
-- customer. Each user has one at most: another link takes its place. The secret in it is 256 random bits, so that a plain
-- SHA-256 is enough to store.
create table password_links (
    user_id       uuid not null primary key references users (id),
    token_hash    bytea not null check (length(token_hash) = 32),
    -- Of somebody who has had no password yet: staff may make another one, as long as it was not used.
    is_invitation boolean not null,
    created_at    bigint not null,
    expires_at    bigint not null,
    used_at       bigint
);

create unique index password_links_by_token on password_links (token_hash);

-- What staff note on a customer, for each other. Never changed.
create table user_notes (
    id         uuid not null primary key,
    user_id    uuid not null references users (id),
    author_id  uuid not null,
    text       text not null,
    created_at bigint not null
);

create index user_notes_by_user on user_notes (user_id, id);
