-- Refresh tokens: two hashes in the row of the session, in place of a row for each token that it was ever given. A token
-- is the session's id, a secret that the session keeps for life, and a secret that changes with each token. Whoever shows
-- the first secret with another second one holds an older token: that is noticed for as long as the session lives, and
-- nobody can push an old token out of a table that has no room for it.
drop table refresh_tokens;
alter table sessions add column family_hash bytea check (length(family_hash) = 32);
alter table sessions add column token_hash bytea check (length(token_hash) = 32);
-- The tokens of before are gone, so their sessions end. There are no users yet whom that would sign out.
update sessions set ended_at = (extract(epoch from clock_timestamp()) * 1000000)::bigint where ended_at is null;

-- When a password or a code was last shown in the session: what cannot be taken back asks for five minutes ago or less.
alter table sessions add column proven_at bigint not null default 0;

-- A sign-in ends the user's oldest living session when there are too many.
create index living_sessions on sessions (user_id, last_used_at) where ended_at is null;

-- In whole units of the account's currency: own movements above it ask for a recent proof. Null for none.
alter table users add column confirm_above bigint check (confirm_above >= 0);
-- Wrong passwords and codes that were sent beside a token since the last sign-in, on all instances; and those of each
-- session, which the owner's next sign-in does not forgive.
alter table users add column wrong_guesses bigint not null default 0 check (wrong_guesses >= 0);
alter table sessions add column wrong_guesses bigint not null default 0 check (wrong_guesses >= 0);

-- The secret of an authenticator app is encrypted from now on: version, id of the key, nonce, the 20 bytes, tag. The
-- program has the key, so it encrypts what lies here plain when it starts. 20 bytes are a plain secret.
alter table second_factors drop constraint second_factors_secret_check;
alter table second_factors add constraint second_factors_secret_check check (length(secret) between 20 and 255);

-- One row: which key those secrets are encrypted with. An instance that has another one would lock people out, so it
-- does not start.
create table second_factor_key (
    id     integer not null primary key check (id = 1),
    key_id bytea   not null check (length(key_id) = 8)
);
