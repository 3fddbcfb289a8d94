-- Whom a user pays: accounts with the user's own names for them.
create table payees (
    id             uuid   not null primary key,
    user_id        uuid   not null references users (id),
    name           text   not null,
    account_number bigint not null,
    created_at     bigint not null
);

create unique index payees_by_account on payees (user_id, account_number);
create index payees_by_user on payees (user_id, id);

-- Whether somebody who is to pay this user may have the name compared.
alter table users add column name_check boolean not null default true;
