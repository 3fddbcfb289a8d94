-- The shared secret of a user's authenticator app (RFC 6238). Unlike a password it cannot be kept as a hash: the bank
-- computes the same codes from it.
create table second_factors (
    user_id      uuid   not null primary key references users (id),
    secret       bytea  not null check (length(secret) = 20),
    -- Null until the first code has shown that the app has the secret: before that it is asked of nobody.
    confirmed_at bigint,
    -- The 30-second step of the last code that was accepted: none before or at it counts again.
    last_step    bigint not null default 0
);

-- For the day the phone is lost: each good once, 120 random bits, so that a plain hash keeps it.
create table recovery_codes (
    user_id   uuid  not null references users (id),
    code_hash bytea not null check (length(code_hash) = 32),
    primary key (user_id, code_hash)
);

-- Whether the login took a second factor; access tokens say so from refresh to refresh.
alter table sessions add column second_factor boolean not null default false;
