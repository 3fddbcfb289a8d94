-- Units of the bank's own, beside the currencies of ISO 4217. A unit that the settings name no longer is kept: there may be
-- accounts in it.
create table units (
    code     text    not null primary key check (length(code) = 3),
    decimals integer not null check (decimals between 0 and 4),
    name     text    not null
) strict, without rowid;

-- Amounts in the books are counted by it.
create trigger units_refuse_other_decimals before update of code, decimals on units
begin select raise(abort, 'a unit keeps its code and its decimals'); end;
create trigger units_refuse_delete before delete on units
begin select raise(abort, 'a unit stays'); end;
