-- Which movement undoes which. The books are append-only: a mistake is corrected by a movement the other way round, and
-- this row, written in the transaction that books it, is what keeps the mistake from being corrected twice.
--
-- A table of its own, because the journal is large, never altered, and seldom wrong.
create table reversals (
    -- The movement that is undone. Its being the key is the last line of defence: whatever a program gets wrong, nothing
    -- is undone twice.
    transaction_id blob not null primary key check (length(transaction_id) = 16),
    -- The movement that undoes it.
    reversal_id    blob not null check (length(reversal_id) = 16),
    check (transaction_id <> reversal_id)
) strict, without rowid;

-- To know a reversal, which is not reversed itself. Not unique, because a unique key would have to contain the column that
-- the table would be spread by; the journal takes each id once, and `coffer doctor` looks, too.
create index reversals_by_reversal on reversals (reversal_id);

create trigger reversals_refuse_update before update on reversals
begin select raise(abort, 'what is reversed stays reversed'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger reversals_refuse_replace before insert on reversals
when exists (select 1 from reversals where transaction_id = new.transaction_id)
begin select raise(abort, 'what is reversed stays reversed'); end;
create trigger reversals_refuse_delete before delete on reversals
begin select raise(abort, 'what is reversed stays reversed'); end;

-- What an approval that waits will undo; null for any other movement.
alter table approvals add column reverses blob check (reverses is null or length(reverses) = 16);

-- The same trigger as before, which now watches over the new column as well.
drop trigger approvals_refuse_change;
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, amount, currency, description, requested_by, requested_at, reverses
on approvals
begin select raise(abort, 'an approval stays as it was asked for'); end;
