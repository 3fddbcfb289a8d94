-- How much may leave an account: limits of the bank, limits that its owner has set beside them, and what has left.
--
-- Only an account whose limits have ever been set has a row, and the flag on `accounts`, which is loaded with the row anyway,
-- says so: a movement of any other account asks for nothing more. The account's row is the lock of both: whoever changes limits
-- locks it first. Amounts are minor units; null is no limit. The overdraft stays on `accounts`, where a check stands behind it.
create table account_limits (
    account_number     bigint  not null primary key,
    bank_per_movement  bigint  check (bank_per_movement >= 0),
    bank_per_day       bigint  check (bank_per_day >= 0),
    bank_per_month     bigint  check (bank_per_month >= 0),
    bank_movements     bigint  check (bank_movements >= 0),
    own_per_movement   bigint  check (own_per_movement >= 0),
    own_per_day        bigint  check (own_per_day >= 0),
    own_per_month      bigint  check (own_per_month >= 0),
    own_movements      bigint  check (own_movements >= 0),
    -- What the owner's limits will be, once a raise has waited. Nobody writes down that it has: readers compare the moment.
    next_per_movement  bigint  check (next_per_movement >= 0),
    next_per_day       bigint  check (next_per_day >= 0),
    next_per_month     bigint  check (next_per_month >= 0),
    next_movements     bigint  check (next_movements >= 0),
    next_effective_at  bigint,
    -- The periods that the counters belong to, in the bank's zone. A movement after their end begins the next ones.
    day_started_at     bigint  not null,
    day_ends_at        bigint  not null check (day_ends_at > day_started_at),
    spent_today        bigint  not null check (spent_today >= 0),
    movements_today    bigint  not null check (movements_today >= 0),
    month_started_at   bigint  not null,
    month_ends_at      bigint  not null check (month_ends_at > month_started_at),
    spent_this_month   bigint  not null check (spent_this_month >= 0),
    check (next_effective_at is not null
           or coalesce(next_per_movement, next_per_day, next_per_month, next_movements) is null)
);

-- A row is never taken away: its counters would be lost with it.
create function refuse_to_delete_account_limits() returns trigger language plpgsql as $$
begin
    raise exception 'limits are changed, never deleted';
end
$$;
create trigger account_limits_refuse_delete before delete or truncate on account_limits
for each statement execute function refuse_to_delete_account_limits();

alter table accounts add column has_limits boolean not null default false;

-- Limits of the bank that wait for a second person, because their overdraft is above the approval amount; and those that have
-- waited. As with changes of access, nobody writes down that one has expired.
create table limit_changes (
    id                uuid    not null primary key,
    account_number    bigint  not null,
    currency          text    not null check (length(currency) = 3),
    overdraft         bigint  not null check (overdraft > 0),
    per_movement      bigint  check (per_movement >= 0),
    per_day           bigint  check (per_day >= 0),
    per_month         bigint  check (per_month >= 0),
    movements_per_day bigint  check (movements_per_day >= 0),
    requested_by      uuid    not null,
    requested_at      bigint  not null,
    expires_at        bigint  not null,
    status            text    not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by        uuid,
    decided_at        bigint,
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence.
    check (status <> 'approved' or decided_by <> requested_by)
);

-- Of one account one change waits at a time.
create index limit_changes_by_account on limit_changes (account_number, expires_at) where status = 'pending';
create index limit_changes_by_requester on limit_changes (requested_by, expires_at) where status = 'pending';

create function refuse_to_change_limit_changes() returns trigger language plpgsql as $$
begin
    raise exception 'a change of limits stays as it was asked for and is decided once';
end
$$;

create trigger limit_changes_refuse_change
before update of id, account_number, currency, overdraft, per_movement, per_day, per_month, movements_per_day, requested_by,
                 requested_at, expires_at on limit_changes
for each statement execute function refuse_to_change_limit_changes();
create trigger limit_changes_refuse_second_decision before update on limit_changes
for each row when (old.status <> 'pending') execute function refuse_to_change_limit_changes();
create trigger limit_changes_refuse_delete before delete or truncate on limit_changes
for each statement execute function refuse_to_change_limit_changes();
