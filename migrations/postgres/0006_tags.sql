-- Tags: what programs write to a movement, a reference and metadata. Written once, when the movement is first accepted,
-- whatever it becomes: the id is that of the transaction, the hold and the approval alike, so none of them needs a column,
-- and a reference stays taken when a hold is released or an approval rejected.
--
-- A table of its own, so that a movement without tags pays nothing.
create table tags (
    id           uuid not null primary key,
    -- Whose command it was that brought them: a reference names one movement of each for good.
    requested_by uuid not null,
    reference    text check (length(reference) between 1 and 64),
    -- A JSON object of texts, its keys in order. Null once it is erased. The hashes of the entries cover it as they do the
    -- description.
    metadata     text
);
-- Two writers that take the same reference at once: the later one fails, looks again and refuses. The table would be spread
-- by `requested_by`.
create unique index tags_by_reference on tags (requested_by, reference) where reference is not null;

-- Entries by their tags, for the account that the requester acted on: the other side of a transfer does not see them. An
-- empty key stands for the reference. Written when the movement is posted.
create table tagged_entries (
    account_number bigint not null,
    key            text   not null check (length(key) <= 32),
    value          text   not null,
    sequence       bigint not null check (sequence > 0),
    transaction_id uuid   not null,
    primary key (account_number, key, value, sequence)
);
-- The same over the whole bank, in the order of when they were asked for.
create index tagged_entries_of_the_bank on tagged_entries (key, value, transaction_id);

-- What a customer's program, or the bank's, notes on an account. A table of its own, because accounts are loaded by every
-- movement.
create table account_metadata (
    account_number bigint not null primary key,
    -- A JSON object of texts, its keys in order.
    metadata       text   not null
);

-- Tags stay as they were written. Metadata can be erased, as descriptions can; the reference stays taken.
create function refuse_to_change_tags() returns trigger language plpgsql as $$
begin
    raise exception 'tags stay as they were written';
end
$$;

create trigger tags_refuse_change before delete or truncate or update of id, requested_by, reference on tags
for each statement execute function refuse_to_change_tags();
create trigger tags_refuse_other_metadata before update of metadata on tags
for each row when (new.metadata is not null) execute function refuse_to_change_tags();
create trigger tagged_entries_refuse_change before update or truncate on tagged_entries
for each statement execute function refuse_to_change_tags();
create trigger tagged_entries_refuse_delete before delete on tagged_entries
for each row when (old.key = '') execute function refuse_to_change_tags();
