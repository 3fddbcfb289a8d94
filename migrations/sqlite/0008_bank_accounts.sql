-- The bank's own accounts: the other side of what is paid in and out. Each is there in every currency: its number in one is
-- made from its id and the number of the currency, so the journal says which it was.
create table bank_accounts (
    id        integer not null primary key check (id >= 0),
    -- For programs; the only name by which a request knows it.
    code      text    not null unique check (length(code) between 1 and 32),
    -- For people.
    name      text    not null,
    kind      text    not null check (kind in ('asset', 'liability', 'income', 'expense', 'equity')),
    -- Null for the cash, which every bank has, and for what `coffer demo` has opened.
    opened_by blob,
    opened_at integer not null
) strict;

insert into bank_accounts (id, code, name, kind, opened_at) values (0, 'cash', 'Cash', 'asset', 0);

-- The journal names them for good.
create trigger bank_accounts_refuse_change before update on bank_accounts
begin select raise(abort, 'accounts of the bank stay as they were opened'); end;
create trigger bank_accounts_refuse_replace before insert on bank_accounts
when exists (select 1 from bank_accounts where id = new.id or code = new.code)
begin select raise(abort, 'accounts of the bank stay as they were opened'); end;
create trigger bank_accounts_refuse_delete before delete on bank_accounts
begin select raise(abort, 'accounts of the bank stay as they were opened'); end;

-- The account of the bank's that a deposit or a withdrawal waits for approval against.
alter table approvals add column bank_account_id integer not null default 0
    check (bank_account_id = 0 or from_account is null or to_account is null);

-- The list of what stays as it was asked for has one column more.
drop trigger approvals_refuse_change;
create trigger approvals_refuse_change
before update of id, type, from_account, to_account, bank_account_id, amount, currency, reverses, hold_expires_at, requested_by,
                 requested_at, expires_at
on approvals
begin select raise(abort, 'an approval stays as it was asked for'); end;

-- What was captured or approved today, though it was asked for before.
create index holds_by_decision on holds (decided_at) where status = 'captured';
create index approvals_by_decision on approvals (decided_at) where status = 'approved';
