-- A group: the movements of a batch that are found and reversed together. A tag like the reference, but of many movements. It
-- is told apart from groups of the same name by who asked for the movements.
alter table tags add column group_id text check (length(group_id) between 1 and 64);
create index tags_by_group on tags (requested_by, group_id, id) where group_id is not null;

-- What stays as it was written has one column more.
drop trigger tags_refuse_change;
create trigger tags_refuse_change before update of id, requested_by, reference, group_id on tags
begin select raise(abort, 'tags stay as they were written'); end;

-- Entries are found by the group under the key ":", which no metadata has.
drop trigger tagged_entries_refuse_delete;
create trigger tagged_entries_refuse_delete before delete on tagged_entries when old.key in ('', ':')
begin select raise(abort, 'tags stay as they were written'); end;
