-- Whom a user pays: accounts with the user's own names for them.
create table payees (
    id             blob    not null primary key check (length(id) = 16),
    user_id        blob    not null references users (id),
    name           text    not null,
    account_number integer not null,
    created_at     integer not null
) strict, without rowid;

create unique index payees_by_account on payees (user_id, account_number);
create index payees_by_user on payees (user_id, id);

-- Whether somebody who is to pay this user may have the name compared.
alter table users add column name_check integer not null default 1 check (name_check in (0, 1));
