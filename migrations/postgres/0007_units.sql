-- Units of the bank's own, beside the currencies of ISO 4217. A unit that the settings name no longer is kept: there may be
-- accounts in it.
create table units (
    code     text     not null primary key check (length(code) = 3),
    decimals smallint not null check (decimals between 0 and 4),
    name     text     not null
);

create function refuse_to_change_units() returns trigger language plpgsql as $$
begin
    raise exception 'a unit stays, with its code and its decimals';
end
$$;

-- Amounts in the books are counted by it.
create trigger units_refuse_other_decimals before update of code, decimals on units
for each statement execute function refuse_to_change_units();
create trigger units_refuse_delete before delete or truncate on units
for each statement execute function refuse_to_change_units();
