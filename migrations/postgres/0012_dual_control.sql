-- Dual control: what one person at the bank may not do alone.

-- Until when something may be reserved on the account: a movement that waits to be reversed must find its money there. 0, or
-- the latest expiry of an approval that ever reserved; never set back. So only accounts that have one look for it.
alter table accounts add column reserved_until bigint not null default 0;

-- What an admin has frozen, only an admin releases.
alter table accounts add column frozen_by_admin boolean not null default false;
alter table users add column frozen_by_admin boolean not null default false;

-- Of a movement one reversal waits at a time.
create index approvals_that_reverse on approvals (reverses, expires_at) where status = 'pending' and reverses is not null;
-- What is reserved on an account.
create index approvals_that_reserve on approvals (from_account, expires_at)
where status = 'pending' and reverses is not null and from_account is not null;
-- How much waits that one person has asked for.
create index approvals_by_requester on approvals (requested_by, expires_at) where status = 'pending';

-- What staff moved without a second approver, summed up by the minute: what counts against the approval amount is the sum
-- of 24 hours. By the minute, so that however many movements there are, few rows are added up. Deleted when older.
create table unapproved_totals (
    user_id  uuid   not null,
    currency text    not null check (length(currency) = 3),
    -- The beginning of the minute, in microseconds.
    minute   bigint not null,
    -- Minor units.
    amount   bigint not null check (amount > 0),
    primary key (user_id, currency, minute)
);
create index unapproved_totals_by_age on unapproved_totals (minute);

-- Changes of what somebody may do that wait for a second admin, and those that have waited. As in approvals, nobody writes
-- down that one has expired.
create table access_changes (
    id           uuid   not null primary key,
    kind         text   not null check (kind in ('role_change', 'second_factor_reset')),
    -- Whose access is to change.
    user_id      uuid   not null,
    -- The new role of a role change.
    role         text   check (role in ('customer', 'staff', 'admin', 'auditor')),
    requested_by uuid   not null,
    requested_at bigint not null,
    expires_at   bigint not null,
    status       text   not null default 'pending' check (status in ('pending', 'approved', 'rejected')),
    decided_by   uuid,
    decided_at   bigint,
    check ((kind = 'role_change') = (role is not null)),
    check ((status = 'pending') = (decided_by is null) and (decided_by is null) = (decided_at is null)),
    -- What all of this is for, as the last line of defence.
    check (requested_by <> user_id),
    check (status <> 'approved' or (decided_by <> requested_by and decided_by <> user_id))
);

-- Of one person one change waits at a time.
create index access_changes_by_user on access_changes (user_id, expires_at) where status = 'pending';

create function refuse_to_change_access_changes() returns trigger language plpgsql as $$
begin
    raise exception 'a change of access stays as it was asked for and is decided once';
end
$$;

create trigger access_changes_refuse_change
before update of id, kind, user_id, role, requested_by, requested_at, expires_at on access_changes
for each statement execute function refuse_to_change_access_changes();
create trigger access_changes_refuse_second_decision before update on access_changes
for each row when (old.status <> 'pending') execute function refuse_to_change_access_changes();
create trigger access_changes_refuse_delete before delete or truncate on access_changes
for each statement execute function refuse_to_change_access_changes();

-- Whoever takes or gives the role of an admin holds all admins meanwhile.
create index admins on users (id) where role = 'admin';

-- Nothing was reserved for reversals that wait already, and several may wait for one movement: they have to be asked for
-- again.
update approvals set expires_at = requested_at where status = 'pending' and reverses is not null;

-- Nobody knows who froze what is frozen already: the safe side is that it was an admin.
update accounts set frozen_by_admin = true where status = 'frozen';
update users set frozen_by_admin = true where frozen_at is not null;
