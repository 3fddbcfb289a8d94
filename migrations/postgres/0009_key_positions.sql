-- On SQLite all keys are in one table again, as they are here, with positions beside it; PostgreSQL gains nothing by that.
drop view used_keys;
