-- On SQLite the newest lines are in a table of their own; PostgreSQL gains nothing by that.
comment on table entries is 'The passbooks.';
