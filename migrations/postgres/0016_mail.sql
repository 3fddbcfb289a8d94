-- Mail that is to be sent. A row is written by what it tells of, in the same transaction, and goes when the mail is sent, when
-- a server has refused it for good, or after a day. Its text is made when it is sent: no secret of a link is stored, and where
-- the user's address has changed meanwhile, the new one counts.
create table mails (
    id             uuid   not null primary key,
    kind           text   not null,
    -- Null where somebody has named an address: whose it is, if anybody's, is looked up by whoever sends it.
    user_id        uuid   references users (id),
    -- Null for the address that the user has.
    address        text,
    -- The entry of a movement that it tells of.
    account_number bigint,
    sequence       bigint,
    -- Where a sign-in or a request came from, in words.
    detail         text,
    created_at     bigint not null,
    -- Until then nobody tries: somebody is just sending it, or a server has refused it for now.
    next_try_at    bigint not null,
    attempts       integer not null default 0,
    check (user_id is not null or address is not null)
);

create index mails_by_next_try on mails (next_try_at);

-- One-time links that were mailed. Each is bound to the address that it went to: it counts only while that is the user's. There
-- may be several of a user, so that nobody who asks for one in somebody's name ends the one that is just being used; how many
-- of an hour there are limits how many are mailed. The secret is 256 random bits, so that a plain SHA-256 is enough to store.
create table mailed_links (
    -- That of the mail: sent again, it has another secret, and the one before counts no more.
    id         uuid   not null primary key,
    user_id    uuid   not null references users (id),
    purpose    text   not null check (purpose in ('password', 'address')),
    address    text   not null,
    token_hash bytea  not null check (length(token_hash) = 32),
    created_at bigint not null,
    expires_at bigint not null
);

create unique index mailed_links_by_token on mailed_links (token_hash);
create index mailed_links_by_user on mailed_links (user_id, purpose, created_at);
create index mailed_links_by_address on mailed_links (address, purpose, created_at);

-- When somebody has shown that mail to the user's address reaches them. Null for not yet: movements and sign-ins are told to
-- nobody whom they may not concern.
alter table users add column email_verified_at bigint;
-- Whether the user is told of sign-ins from somewhere new.
alter table users add column sign_in_notices boolean not null default true;
-- Minor units: the owner is told of a movement of more than this. Null for never.
alter table accounts add column notify_above bigint;
