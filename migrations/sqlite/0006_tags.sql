-- Tags: what programs write to a movement, a reference and metadata. Written once, when the movement is first accepted,
-- whatever it becomes: the id is that of the transaction, the hold and the approval alike, so none of them needs a column,
-- and a reference stays taken when a hold is released or an approval rejected.
--
-- A table of its own, so that a movement without tags pays nothing.
create table tags (
    id           blob not null primary key check (length(id) = 16),
    -- Whose command it was that brought them: a reference names one movement of each for good.
    requested_by blob not null check (length(requested_by) = 16),
    reference    text check (length(reference) between 1 and 64),
    -- A JSON object of texts, its keys in order. Null once it is erased. The hashes of the entries cover it as they do the
    -- description.
    metadata     text
) strict, without rowid;
-- The last line of defence: whatever a program gets wrong, no reference is taken twice.
create unique index tags_by_reference on tags (requested_by, reference) where reference is not null;

-- Entries by their tags, for the account that the requester acted on: the other side of a transfer does not see them. An
-- empty key stands for the reference. Written when the movement is posted.
create table tagged_entries (
    account_number integer not null,
    key            text    not null check (length(key) <= 32),
    value          text    not null,
    sequence       integer not null check (sequence > 0),
    transaction_id blob    not null check (length(transaction_id) = 16),
    primary key (account_number, key, value, sequence)
) strict, without rowid;
-- The same over the whole bank, in the order of when they were asked for.
create index tagged_entries_of_the_bank on tagged_entries (key, value, transaction_id);

-- What a customer's program, or the bank's, notes on an account. A table of its own, because accounts are loaded by every
-- movement.
create table account_metadata (
    account_number integer not null primary key,
    -- A JSON object of texts, its keys in order.
    metadata       text    not null
) strict;

-- Tags stay as they were written. Metadata can be erased, as descriptions can; the reference stays taken.
create trigger tags_refuse_change before update of id, requested_by, reference on tags
begin select raise(abort, 'tags stay as they were written'); end;
create trigger tags_refuse_other_metadata before update of metadata on tags when new.metadata is not null
begin select raise(abort, 'tags stay as they were written'); end;
-- `insert or replace` deletes without asking the trigger for deletes.
create trigger tags_refuse_replace before insert on tags
when exists (select 1 from tags where id = new.id)
begin select raise(abort, 'tags stay as they were written'); end;
create trigger tags_refuse_delete before delete on tags
begin select raise(abort, 'tags stay as they were written'); end;
create trigger tagged_entries_refuse_change before update on tagged_entries
begin select raise(abort, 'tags stay as they were written'); end;
create trigger tagged_entries_refuse_delete before delete on tagged_entries when old.key = ''
begin select raise(abort, 'tags stay as they were written'); end;
