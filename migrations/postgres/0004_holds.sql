-- Money that an account keeps for one movement, until it is captured or released, or the hold expires.
--
-- The id is the one that the transaction gets: the journal's primary key lets a hold be captured once, whatever else goes
-- wrong. What is free again is free by the row's status and expiry alone, so nobody has to sweep. No foreign keys: accounts,
-- users and transactions would be spread by other columns than this table; `coffer doctor` compares them.
create table holds (
    id              uuid   not null primary key,
    from_account    bigint not null,
    -- Null where the money is to be paid out.
    to_account      bigint,
    amount          bigint not null check (amount > 0),
    currency        text   not null check (length(currency) = 3),
    description     text,
    created_by      uuid   not null,
    created_at      bigint not null,
    -- Nobody writes down that one has expired.
    expires_at      bigint not null,
    status          text   not null default 'held' check (status in ('held', 'captured', 'released')),
    captured_amount bigint check (captured_amount between 1 and amount),
    decided_by      uuid,
    decided_at      bigint,
    check (from_account <> to_account),
    -- Nobody's money is held for more than 31 days.
    check (expires_at > created_at and expires_at <= created_at + 2678400000000),
    check (status <> 'captured' or decided_at < expires_at),
    check ((status = 'held') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    check ((status = 'captured') = (captured_amount is not null))
);

-- What an account keeps, and the list of its holds.
create index holds_that_reserve on holds (from_account, expires_at) where status = 'held';
create index holds_by_account on holds (from_account, id);
create index holds_by_status on holds (from_account, status, id);

-- An approval may create a hold instead of booking a movement: then this is when the hold will expire.
alter table approvals add column hold_expires_at bigint;

-- Whatever waits for approval reserves its money, not reversals alone.
update accounts set held_until = greatest(held_until, coalesce((
    select max(expires_at) from approvals where from_account = account_number and status = 'pending'), 0))
where account_number in (select from_account from approvals where status = 'pending' and from_account is not null);
drop index approvals_that_hold;
create index approvals_that_reserve on approvals (from_account, expires_at) where status = 'pending' and from_account is not null;

-- The list of what stays as it was asked for has one column more.
drop trigger approvals_refuse_change on approvals;
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, amount, currency, reverses, hold_expires_at, requested_by, requested_at,
                 expires_at
on approvals
for each statement execute function refuse_to_change_approvals();

-- A hold keeps what it was created for, and ends once. The description can be erased, as in transactions.
create function refuse_to_change_holds() returns trigger language plpgsql as $$
begin
    raise exception 'a hold stays as it was created and ends once';
end
$$;

create trigger holds_refuse_change
before update of id, from_account, to_account, amount, currency, created_by, created_at, expires_at on holds
for each statement execute function refuse_to_change_holds();
create trigger holds_refuse_other_texts before update of description on holds
for each row when (new.description is not null) execute function refuse_to_change_holds();
create trigger holds_refuse_second_end before update of status, captured_amount, decided_by, decided_at on holds
for each row when (old.status <> 'held') execute function refuse_to_change_holds();
create trigger holds_refuse_delete before delete or truncate on holds
for each statement execute function refuse_to_change_holds();
