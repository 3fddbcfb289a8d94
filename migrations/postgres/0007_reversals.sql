-- Which movement undoes which. The books are append-only: a mistake is corrected by a movement the other way round, and
-- this row, written in the transaction that books it, is what keeps the mistake from being corrected twice.
--
-- A table of its own, because the journal is large, never altered, and seldom wrong.
create table reversals (
    -- The movement that is undone. Its being the key is the last line of defence: whatever a program gets wrong, nothing
    -- is undone twice.
    transaction_id uuid not null primary key,
    -- The movement that undoes it.
    reversal_id    uuid not null,
    check (transaction_id <> reversal_id)
);

-- To know a reversal, which is not reversed itself. Not unique, because a unique key would have to contain the column that
-- the table would be spread by; the journal takes each id once, and `coffer doctor` looks, too.
create index reversals_by_reversal on reversals (reversal_id);

create trigger reversals_refuse_change before update or delete or truncate on reversals
for each statement execute function refuse_to_rewrite_history();

-- What an approval that waits will undo; null for any other movement.
alter table approvals add column reverses uuid;

-- The same trigger as before, which now watches over the new column as well.
drop trigger approvals_refuse_change on approvals;
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, amount, currency, description, requested_by, requested_at, reverses
on approvals
for each statement execute function refuse_to_change_approvals();
