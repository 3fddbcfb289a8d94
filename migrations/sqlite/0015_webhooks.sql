-- Webhooks: addresses of programs that the bank sends its events to, by the Standard Webhooks specification.

create table webhooks (
    id                   blob    not null primary key check (length(id) = 16),
    url                  text    not null,
    description          text,
    -- Kinds of events with a space between them. Null for all.
    kinds                text,
    created_at           integer not null,
    -- Null while events are sent.
    disabled_at          integer,
    disabled_because     text    check (disabled_because in ('by_admin', 'gone', 'failing')),
    -- Housekeeping deletes the row once its deliveries are gone.
    deleted_at           integer,
    -- Deliveries are there of events up to this position.
    position             integer not null,
    -- A replay under way makes deliveries anew of events behind this position, up to the other one.
    replay_position      integer,
    replay_last_position integer,
    -- When something was last delivered.
    last_delivered_at    integer,
    check ((disabled_at is null) = (disabled_because is null)),
    check ((replay_position is null) = (replay_last_position is null))
) strict, without rowid;

-- What signs for a webhook: the newest secret, and those before it for as long as they sign beside it.
create table webhook_secrets (
    id         blob    not null primary key check (length(id) = 16),
    webhook_id blob    not null references webhooks (id),
    -- The key of HMAC-SHA256 and the seed of Ed25519, encrypted as the secrets of authenticator apps are.
    secret     blob    not null,
    -- Of Ed25519.
    public_key blob    not null check (length(public_key) = 32),
    -- Null for the newest one.
    ends_at    integer
) strict, without rowid;

create index webhook_secrets_by_webhook on webhook_secrets (webhook_id, id);

-- One row for each event and each webhook that it goes to.
create table webhook_deliveries (
    webhook_id      blob    not null,
    -- Of the event.
    position        integer not null,
    status          text    not null check (status in ('pending', 'delivered', 'failed')),
    -- How often it was tried, since it was last asked for.
    attempts        integer not null default 0,
    -- While an instance is sending, this lies behind the time that sending takes at most.
    next_attempt_at integer,
    last_attempt_at integer,
    -- The answer's status, and what went wrong.
    last_status     integer,
    last_error      text,
    created_at      integer not null,
    primary key (webhook_id, position),
    check ((status = 'pending') = (next_attempt_at is not null))
) strict, without rowid;

create index webhook_deliveries_due on webhook_deliveries (webhook_id, next_attempt_at, position)
    where next_attempt_at is not null;
create index webhook_deliveries_by_status on webhook_deliveries (webhook_id, status, position);
