-- People who were erased: whatever the bank had written down about them that the books do not need is gone, for good.

-- When that was decided, of a user who is closed.
alter table users add column erased_at bigint check (erased_at is null or status = 'closed');
-- When the last of the texts on their accounts was gone: those go in pieces, after the decision.
alter table users add column texts_erased_at bigint check (texts_erased_at >= erased_at);
-- What was begun and not ended, because the bank stopped meanwhile, is gone on with.
create index erasures_to_finish on users (id) where erased_at is not null and texts_erased_at is null;

create function refuse_to_bring_back() returns trigger language plpgsql as $$
begin
    raise exception 'who was erased stays erased';
end
$$;

create trigger users_stay_erased before update of erased_at on users
for each row when (old.erased_at is not null and new.erased_at is distinct from old.erased_at)
execute function refuse_to_bring_back();

-- Others have an account of somebody who is erased among their payees: a name beside a number that is nobody's any more.
create index payees_by_number on payees (account_number);

-- A reference or a group stays taken, and goes with whoever wrote it: nobody asks for a movement in that name any more. Those
-- that somebody else wrote stay.
drop trigger tags_refuse_change on tags;
create trigger tags_refuse_change before delete or truncate or update of id, requested_by on tags
for each statement execute function refuse_to_change_tags();

create function refuse_to_rename_movements() returns trigger language plpgsql as $$
begin
    if new.reference is null and new.group_id is null
       and exists (select 1 from users where id = old.requested_by and erased_at is not null) then
        return new;
    end if;
    raise exception 'tags stay as they were written';
end
$$;

create trigger tags_refuse_other_names before update of reference, group_id on tags
for each row when (new.reference is distinct from old.reference or new.group_id is distinct from old.group_id)
execute function refuse_to_rename_movements();

create function refuse_to_lose_movements() returns trigger language plpgsql as $$
begin
    if exists (select 1 from tags join users on users.id = tags.requested_by
               where tags.id = old.transaction_id and erased_at is not null) then
        return old;
    end if;
    raise exception 'tags stay as they were written';
end
$$;

drop trigger tagged_entries_refuse_delete on tagged_entries;
create trigger tagged_entries_refuse_delete before delete on tagged_entries
for each row when (old.key in ('', ':')) execute function refuse_to_lose_movements();
