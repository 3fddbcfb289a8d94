-- Refresh tokens: two hashes in the row of the session, in place of a row for each token that it was ever given. A token
-- is the session's id, a secret that the session keeps for life, and a secret that changes with each token. Whoever shows
-- the first secret with another second one holds an older token: that is noticed for as long as the session lives, and
-- nobody can push an old token out of a table that has no room for it.
drop table refresh_tokens;
alter table sessions add column family_hash blob check (length(family_hash) = 32);
alter table sessions add column token_hash blob check (length(token_hash) = 32);
-- The tokens of before are gone, so their sessions end. There are no users yet whom that would sign out.
update sessions set ended_at = cast(unixepoch('subsec') * 1000000 as integer) where ended_at is null;

-- When a password or a code was last shown in the session: what cannot be taken back asks for five minutes ago or less.
alter table sessions add column proven_at integer not null default 0;

-- A sign-in ends the user's oldest living session when there are too many.
create index living_sessions on sessions (user_id, last_used_at) where ended_at is null;

-- In whole units of the account's currency: own movements above it ask for a recent proof. Null for none.
alter table users add column confirm_above integer check (confirm_above >= 0);
-- Wrong passwords and codes that were sent beside a token since the last sign-in, on all instances; and those of each
-- session, which the owner's next sign-in does not forgive.
alter table users add column wrong_guesses integer not null default 0 check (wrong_guesses >= 0);
alter table sessions add column wrong_guesses integer not null default 0 check (wrong_guesses >= 0);

-- The secret of an authenticator app is encrypted from now on: version, id of the key, nonce, the 20 bytes, tag. The
-- program has the key, so it encrypts what lies here plain when it starts. 20 bytes are a plain secret.
create table sealed_second_factors (
    user_id      blob    not null primary key references users (id),
    secret       blob    not null check (length(secret) between 20 and 255),
    -- Null until the first code has shown that the app has the secret: before that it is asked of nobody.
    confirmed_at integer,
    -- The 30-second step of the last code that was accepted: none before or at it counts again.
    last_step    integer not null default 0
) strict, without rowid;
insert into sealed_second_factors select user_id, secret, confirmed_at, last_step from second_factors;
drop table second_factors;
alter table sealed_second_factors rename to second_factors;

-- One row: which key those secrets are encrypted with. An instance that has another one would lock people out, so it
-- does not start.
create table second_factor_key (
    id     integer not null primary key check (id = 1),
    key_id blob    not null check (length(key_id) = 8)
) strict;
