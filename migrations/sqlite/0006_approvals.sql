-- Movements by staff above the configured amount, which wait for a second person's word.
--
-- The id is the one that the transaction gets, fixed when the movement is asked for: the journal's primary key lets it be
-- booked once, whatever else goes wrong, and an Idempotency-Key names the approval before and the transaction after with
-- the same id. No foreign keys: accounts, users and transactions would be spread by other columns than this table;
-- `coffer doctor` compares them. No index but the key: lists go through it backwards, and rows are few.
create table approvals (
    id           blob    not null primary key check (length(id) = 16),
    -- As in transactions: 1 deposit, 2 withdrawal, 3 transfer.
    type         integer not null check (type between 1 and 3),
    -- Customers' accounts; null where the other side is the bank's cash.
    from_account integer,
    to_account   integer,
    amount       integer not null check (amount > 0),
    currency     text    not null check (length(currency) = 3),
    description  text,
    requested_by blob    not null check (length(requested_by) = 16),
    requested_at integer not null,
    -- An approval that is still pending by then has expired. Nobody writes that down: so there is no moment at which the
    -- clock and somebody who decides could both change the row.
    expires_at   integer not null,
    status       text    not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by   blob    check (length(decided_by) = 16),
    decided_at   integer,
    check ((type <> 1) = (from_account is not null) and (type <> 2) = (to_account is not null)),
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence. Whoever asked may still withdraw, which is to reject.
    check (status <> 'approved' or decided_by <> requested_by)
) strict, without rowid;

-- What was asked for is what is approved, and what was decided stays decided.
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, amount, currency, description, requested_by, requested_at on approvals
begin select raise(abort, 'an approval stays as it was asked for'); end;
create trigger approvals_refuse_second_decision before update on approvals when old.status <> 'pending'
begin select raise(abort, 'an approval is decided once'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger approvals_refuse_replace before insert on approvals
when exists (select 1 from approvals where id = new.id)
begin select raise(abort, 'an approval stays as it was asked for'); end;
create trigger approvals_refuse_delete before delete on approvals
begin select raise(abort, 'approvals are decided, never deleted'); end;
