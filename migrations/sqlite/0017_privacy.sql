-- People who were erased: whatever the bank had written down about them that the books do not need is gone, for good.

-- When that was decided, of a user who is closed.
alter table users add column erased_at integer check (erased_at is null or status = 'closed');
-- When the last of the texts on their accounts was gone: those go in pieces, after the decision.
alter table users add column texts_erased_at integer check (texts_erased_at >= erased_at);
-- What was begun and not ended, because the bank stopped meanwhile, is gone on with.
create index erasures_to_finish on users (id) where erased_at is not null and texts_erased_at is null;
create trigger users_stay_erased before update of erased_at on users
when old.erased_at is not null and new.erased_at is not old.erased_at
begin select raise(abort, 'who was erased stays erased'); end;

-- Others have an account of somebody who is erased among their payees: a name beside a number that is nobody's any more.
create index payees_by_number on payees (account_number);

-- A reference or a group stays taken, and goes with whoever wrote it: nobody asks for a movement in that name any more. Those
-- that somebody else wrote stay.
drop trigger tags_refuse_change;
create trigger tags_refuse_change before update of id, requested_by on tags
begin select raise(abort, 'tags stay as they were written'); end;
create trigger tags_refuse_other_names before update of reference, group_id on tags
when (new.reference is not old.reference or new.group_id is not old.group_id)
 and (new.reference is not null or new.group_id is not null
      or not exists (select 1 from users where id = old.requested_by and erased_at is not null))
begin select raise(abort, 'tags stay as they were written'); end;
drop trigger tagged_entries_refuse_delete;
create trigger tagged_entries_refuse_delete before delete on tagged_entries
when old.key in ('', ':')
 and not exists (select 1 from tags join users on users.id = tags.requested_by
                 where tags.id = old.transaction_id and erased_at is not null)
begin select raise(abort, 'tags stay as they were written'); end;
