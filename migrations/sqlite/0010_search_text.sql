-- Staff find people by this: name and address without case, accents and the like, folded by the program, because SQLite's
-- lower() folds ASCII alone and PostgreSQL's goes by the database's locale. Null until the program has made it: for rows
-- from before this migration, and for those that an older version writes while it still runs beside a newer one.
alter table users add column search_text text;

-- To find those that are null, which are few or none.
create index users_without_search_text on users (id) where search_text is null;

-- An older version changes a name or an address without knowing of this column. What was made of the old one must not stay.
create trigger users_lose_search_text after update of name, email on users
when new.name <> old.name or new.email <> old.email
begin update users set search_text = null where id = new.id; end;
