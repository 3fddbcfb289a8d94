-- What each caller has used of the movements that one may have booked in a day, so that a restart gives nobody a new
-- quota and instances share one. Written beside the money and only for those who use much of it, so most callers never
-- have a row; one whose quota is whole again is deleted.
create table movement_quotas (
    user_id uuid   not null primary key,
    -- When the quota is whole again.
    full_at bigint not null
);

-- Who has used most, for a start; and who has nothing left to remember.
create index movement_quotas_by_time on movement_quotas (full_at);

-- How many accounts an owner has opened lately is counted at each opening, closed ones too. Written once an account: a
-- movement does not touch it.
create index accounts_by_opening on accounts (owner_id, opened_at) where owner_id is not null;
