-- What the ledger writes when nothing else is to be written and somebody asks whether it could: one row for each of its
-- lanes, forgotten an hour after the last time.
create table signs_of_life (
    lane       uuid   not null primary key,
    written_at bigint not null
);

-- A session whose last token lies ahead of the clock is ended once the clock is right again.
create index sessions_by_last_use on sessions (last_used_at);

-- One row: the time that had certainly passed when it was written. What is forgotten by age goes by it, because a wall
-- clock may be wrong.
create table certain_time (
    id integer primary key check (id = 1),
    at bigint  not null
);
