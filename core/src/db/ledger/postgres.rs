//! A batch on PostgreSQL: one statement per table, from arrays. What is inserted unnests them as columns, unless it is sorted:
//! PostgreSQL would write each array that is unnested in `from` to a store of its own first.
//!
//! An update that joins an array asks for `= any` of it as well, which costs one machine nothing: where a table is spread over
//! several, the statement goes only to those that have a row of the batch.

use super::*;
use crate::db::{ACQUIRE_TIMEOUT, PostgresSettings};

/// A connection to the primary.
pub async fn connect(settings: &PostgresSettings) -> sqlx::Result<(PgConnection, InTerm)> {
    let connect = async {
        let (mut connection, term) = settings.primary.connect().await?;
        settings.sessions.prepare_for_writing(&mut connection).await?;
        Ok((connection, term))
    };
    tokio::time::timeout(ACQUIRE_TIMEOUT, connect).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

/// Locks rows in the order of the key, so that two batches never wait for each other in a circle.
const SELECT_ACCOUNTS_FOR_UPDATE: &str = concat!(
    "select ",
    account_columns!(),
    " from accounts where account_number = any($1) order by account_number for update"
);

/// The same for several machines, which are gone through in one order; on each of them no order is certain. Two batches that
/// wait for each other in a circle are found by the database (40P01), and one of them is tried again.
const UPDATE_ACCOUNTS: &str =
    concat!("update accounts set status = status where account_number = any($1) returning ", account_columns!());

pub async fn lock_accounts(
    conn: &mut PgConnection,
    layout: Layout,
    numbers: &[AccountNumber],
) -> sqlx::Result<Vec<Account>> {
    let lock = match layout {
        Layout::OneMachine => SELECT_ACCOUNTS_FOR_UPDATE,
        Layout::Sharded => UPDATE_ACCOUNTS,
    };
    sqlx::query_as(lock).bind(column(numbers, |number| number.as_i64())).fetch_all(conn).await
}

pub async fn used_keys(conn: &mut PgConnection, keys: &[[u8; 16]]) -> sqlx::Result<Vec<UsedKey>> {
    sqlx::query_as("select key, fingerprint, transaction_id from idempotency_keys where key = any($1)")
        .bind(column(keys, |key| &key[..]))
        .fetch_all(conn)
        .await
}

pub async fn taken_references(conn: &mut PgConnection, wanted: &[(Uuid, &str)]) -> sqlx::Result<Vec<TakenReference>> {
    sqlx::query_as(
        "select t.requested_by, t.reference, t.id
         from unnest($1::uuid[], $2::text[]) as wanted(requested_by, reference)
         join tags t on t.requested_by = wanted.requested_by and t.reference = wanted.reference",
    )
    .bind(column(wanted, |(requester, _)| *requester))
    .bind(column(wanted, |(_, reference)| *reference))
    .fetch_all(conn)
    .await
}

/// In the order of the key, as accounts are.
pub async fn lock_pending(
    conn: &mut PgConnection,
    layout: Layout,
    ids: &[Uuid],
    now: Timestamp,
) -> sqlx::Result<Vec<Uuid>> {
    let lock = match layout {
        Layout::OneMachine => {
            "select id from approvals where id = any($1) and status = 'pending' and expires_at > $2 order by id for update"
        }
        Layout::Sharded => {
            "update approvals set status = status where id = any($1) and status = 'pending' and expires_at > $2 returning id"
        }
    };
    sqlx::query_scalar(lock).bind(ids).bind(now).fetch_all(conn).await
}

pub async fn reversals(conn: &mut PgConnection, transactions: &[Uuid]) -> sqlx::Result<Vec<Reversal>> {
    sqlx::query_as(
        "select transaction_id, reversal_id from reversals where transaction_id = any($1) or reversal_id = any($1)",
    )
    .bind(transactions)
    .fetch_all(conn)
    .await
}

pub async fn pending_reversals(
    conn: &mut PgConnection,
    transactions: &[Uuid],
    now: Timestamp,
) -> sqlx::Result<Vec<PendingReversal>> {
    sqlx::query_as(
        "select id as approval_id, reverses as transaction_id from approvals
         where reverses = any($1) and status = 'pending' and expires_at > $2",
    )
    .bind(transactions)
    .bind(now)
    .fetch_all(conn)
    .await
}

pub async fn reservations(
    conn: &mut PgConnection,
    accounts: &[AccountNumber],
    now: Timestamp,
) -> sqlx::Result<Vec<Reservation>> {
    sqlx::query_as(select_reservations!("= any($1)", "$2"))
        .bind(column(accounts, |number| number.as_i64()))
        .bind(now)
        .fetch_all(conn)
        .await
}

pub async fn limits(conn: &mut PgConnection, accounts: &[AccountNumber]) -> sqlx::Result<Vec<AccountLimits>> {
    sqlx::query_as(concat!("select ", limits_columns!(), " from account_limits where account_number = any($1)"))
        .bind(column(accounts, |number| number.as_i64()))
        .fetch_all(conn)
        .await
}

/// In the order of the key, as accounts are.
const SELECT_HOLDS_FOR_UPDATE: &str =
    concat!("select ", hold_columns!(), ", ", no_tags!(), " from holds where id = any($1) order by id for update");

/// A hold that has ended never changes, and its row refuses to be updated.
const UPDATE_LIVING_HOLDS: &str = "update holds set status = status where id = any($1) and status = 'held'";
const SELECT_HOLDS: &str =
    concat!("select ", hold_columns!(), ", ", no_tags!(), " from holds where id = any($1) order by id");

pub async fn lock_holds(conn: &mut PgConnection, layout: Layout, ids: &[Uuid]) -> sqlx::Result<Vec<Hold>> {
    let select = match layout {
        Layout::OneMachine => SELECT_HOLDS_FOR_UPDATE,
        Layout::Sharded => {
            sqlx::query(UPDATE_LIVING_HOLDS).bind(ids).execute(&mut *conn).await?;
            SELECT_HOLDS
        }
    };
    sqlx::query_as(select).bind(ids).fetch_all(conn).await
}

pub async fn count_pending(conn: &mut PgConnection, users: &[Uuid], now: Timestamp) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(
        "select requested_by, count(*) from approvals
         where requested_by = any($1) and status = 'pending' and expires_at > $2 group by requested_by",
    )
    .bind(users)
    .bind(now)
    .fetch_all(conn)
    .await
}

/// Users are locked in the order of their ids, after the accounts and before the head of the audit log.
pub async fn lock_unapproved_sums(
    conn: &mut PgConnection,
    users: &[Uuid],
    movers: &[Uuid],
    since: Timestamp,
    until: Timestamp,
) -> sqlx::Result<Vec<UnapprovedSum>> {
    sqlx::query("select id from users where id = any($1) order by id for no key update")
        .bind(users)
        .execute(&mut *conn)
        .await?;
    sqlx::query_as(select_unapproved_sums!("= any($1)", "$2", "$3"))
        .bind(movers)
        .bind(since)
        .bind(until)
        .fetch_all(conn)
        .await
}

pub async fn are_written(
    conn: &mut PgConnection,
    entries: &[EntryKey],
    approvals: &[Uuid],
    holds: &[Uuid],
) -> sqlx::Result<bool> {
    let found: i64 = sqlx::query_scalar(
        "select (select count(*) from unnest($1::bigint[], $2::bigint[], $3::bytea[]) as written(account_number, sequence, hash)
                 join entries using (account_number, sequence, hash)
                 where entries.account_number = any($1))
              + (select count(*) from approvals where id = any($4))
              + (select count(*) from holds where id = any($5))",
    )
    .bind(column(entries, |(number, ..)| number.as_i64()))
    .bind(column(entries, |(_, sequence, _)| *sequence))
    .bind(column(entries, |(.., hash)| &hash[..]))
    .bind(approvals)
    .bind(holds)
    .fetch_one(conn)
    .await?;
    // Over several machines a commit reaches one after the other: what is on one of them will be on all.
    Ok(found > 0)
}

/// One column of a batch, as the array that `unnest` takes.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

pub async fn insert_transactions(conn: &mut PgConnection, rows: &[Transaction]) -> sqlx::Result<u64> {
    sqlx::query(
        "insert into transactions (id, type, debit_account, debit_sequence, credit_account, credit_sequence,
                                   amount, currency, description, text_salt, text_commitment, initiated_by, created_at)
         select unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::bigint[]), unnest($4::bigint[]),
                unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::text[]), unnest($9::text[]),
                unnest($10::bytea[]), unnest($11::bytea[]), unnest($12::uuid[]), unnest($13::bigint[])",
    )
    .bind(column(rows, |t| t.id))
    .bind(column(rows, |t| t.movement_type as i16))
    .bind(column(rows, |t| t.debit_account.as_i64()))
    .bind(column(rows, |t| t.debit_sequence))
    .bind(column(rows, |t| t.credit_account.as_i64()))
    .bind(column(rows, |t| t.credit_sequence))
    .bind(column(rows, |t| t.amount))
    .bind(column(rows, |t| t.currency.code()))
    .bind(column(rows, |t| t.texts.description.as_deref()))
    .bind(column(rows, |t| t.texts.salt()))
    .bind(column(rows, |t| t.texts.stored_commitment()))
    .bind(column(rows, |t| t.initiated_by))
    .bind(column(rows, |t| t.created_at.as_micros()))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn insert_entries(conn: &mut PgConnection, rows: &[Entry]) -> sqlx::Result<u64> {
    sqlx::query(
        "insert into entries (account_number, sequence, transaction_id, type, amount, balance, created_at, hash)
         select unnest($1::bigint[]), unnest($2::bigint[]), unnest($3::uuid[]), unnest($4::smallint[]),
                unnest($5::bigint[]), unnest($6::bigint[]), unnest($7::bigint[]), unnest($8::bytea[])",
    )
    .bind(column(rows, |e| e.account_number.as_i64()))
    .bind(column(rows, |e| e.sequence))
    .bind(column(rows, |e| e.transaction_id))
    .bind(column(rows, |e| e.movement_type as i16))
    .bind(column(rows, |e| e.amount))
    .bind(column(rows, |e| e.balance))
    .bind(column(rows, |e| e.created_at.as_micros()))
    .bind(column(rows, |e| &e.hash[..]))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn update_heads(conn: &mut PgConnection, heads: &[&Account]) -> sqlx::Result<u64> {
    sqlx::query(
        "update accounts a
         set balance = head.balance, sequence = head.sequence, head_hash = head.hash,
             last_entry_at = head.last_entry_at
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bigint[])
              as head(account_number, balance, sequence, hash, last_entry_at)
         where a.account_number = head.account_number and a.account_number = any($1)",
    )
    .bind(column(heads, |a| a.account_number.as_i64()))
    .bind(column(heads, |a| a.balance))
    .bind(column(heads, |a| a.sequence))
    .bind(column(heads, |a| &a.head_hash[..]))
    .bind(column(heads, |a| a.last_entry_at.as_micros()))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn insert_keys(conn: &mut PgConnection, rows: &[UsedKey], now: Timestamp) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into idempotency_keys (key, fingerprint, transaction_id, created_at)
         select unnest($1::bytea[]), unnest($2::bytea[]), unnest($3::uuid[]), $4",
    )
    .bind(column(rows, |k| &k.key[..]))
    .bind(column(rows, |k| &k.fingerprint[..]))
    .bind(column(rows, |k| k.transaction_id))
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn mark_approved(conn: &mut PgConnection, rows: &[Approved], now: Timestamp) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "update approvals a
         set status = 'approved', decided_by = approved.by, decided_at = $3
         from unnest($1::uuid[], $2::uuid[]) as approved(id, by)
         where a.id = approved.id and a.id = any($1) and a.status = 'pending'",
    )
    .bind(column(rows, |a| a.id))
    .bind(column(rows, |a| a.by))
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn insert_approvals(conn: &mut PgConnection, rows: &[Approval]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into approvals (id, type, from_account, to_account, bank_account_id, amount, currency, description,
                                reverses, hold_expires_at, requested_by, requested_at, expires_at)
         select unnest($1::uuid[]), unnest($2::smallint[]), unnest($3::bigint[]), unnest($4::bigint[]),
                unnest($5::smallint[]), unnest($6::bigint[]), unnest($7::text[]), unnest($8::text[]), unnest($9::uuid[]),
                unnest($10::bigint[]), unnest($11::uuid[]), unnest($12::bigint[]), unnest($13::bigint[])",
    )
    .bind(column(rows, |a| a.id))
    .bind(column(rows, |a| a.movement_type as i16))
    .bind(column(rows, |a| a.from_account.map(AccountNumber::as_i64)))
    .bind(column(rows, |a| a.to_account.map(AccountNumber::as_i64)))
    .bind(column(rows, |a| a.against.id.as_i16()))
    .bind(column(rows, |a| a.amount))
    .bind(column(rows, |a| a.currency.code()))
    .bind(column(rows, |a| a.description.as_deref()))
    .bind(column(rows, |a| a.reverses))
    .bind(column(rows, |a| a.hold_expires_at.map(Timestamp::as_micros)))
    .bind(column(rows, |a| a.requested_by))
    .bind(column(rows, |a| a.requested_at.as_micros()))
    .bind(column(rows, |a| a.expires_at.as_micros()))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn insert_reversals(conn: &mut PgConnection, rows: &[Reversal]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query("insert into reversals (transaction_id, reversal_id) select unnest($1::uuid[]), unnest($2::uuid[])")
        .bind(column(rows, |r| r.transaction_id))
        .bind(column(rows, |r| r.reversal_id))
        .execute(conn)
        .await
        .map(|done| done.rows_affected())
}

pub async fn insert_holds(conn: &mut PgConnection, rows: &[Hold]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into holds (id, from_account, to_account, amount, currency, description, created_by, created_at, expires_at)
         select unnest($1::uuid[]), unnest($2::bigint[]), unnest($3::bigint[]), unnest($4::bigint[]), unnest($5::text[]),
                unnest($6::text[]), unnest($7::uuid[]), unnest($8::bigint[]), unnest($9::bigint[])",
    )
    .bind(column(rows, |h| h.id))
    .bind(column(rows, |h| h.from_account.as_i64()))
    .bind(column(rows, |h| h.to_account.map(AccountNumber::as_i64)))
    .bind(column(rows, |h| h.amount))
    .bind(column(rows, |h| h.currency.code()))
    .bind(column(rows, |h| h.description.as_deref()))
    .bind(column(rows, |h| h.created_by))
    .bind(column(rows, |h| h.created_at.as_micros()))
    .bind(column(rows, |h| h.expires_at.as_micros()))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn mark_captured(conn: &mut PgConnection, rows: &[Captured], now: Timestamp) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "update holds h
         set status = 'captured', captured_amount = captured.amount, decided_by = captured.by, decided_at = $4
         from unnest($1::uuid[], $2::uuid[], $3::bigint[]) as captured(id, by, amount)
         where h.id = captured.id and h.id = any($1) and h.status = 'held'",
    )
    .bind(column(rows, |c| c.id))
    .bind(column(rows, |c| c.by))
    .bind(column(rows, |c| c.amount))
    .bind(now)
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

/// In the order of the unique index: two writers that take the same references wait for each other in one direction.
pub async fn insert_tags(conn: &mut PgConnection, rows: &[NewTags]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into tags (id, requested_by, reference, group_id, metadata)
         select id, requested_by, reference, group_id, metadata
         from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::text[])
              as added(id, requested_by, reference, group_id, metadata)
         order by requested_by, reference, id",
    )
    .bind(column(rows, |t| t.id))
    .bind(column(rows, |t| t.requested_by))
    .bind(column(rows, |t| t.tags.reference()))
    .bind(column(rows, |t| t.tags.group()))
    .bind(column(rows, |t| tags::to_stored(t.tags.metadata())))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn insert_tagged_entries(conn: &mut PgConnection, rows: &[TaggedEntry]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into tagged_entries (account_number, key, value, sequence, transaction_id)
         select unnest($1::bigint[]), unnest($2::text[]), unnest($3::text[]), unnest($4::bigint[]), unnest($5::uuid[])",
    )
    .bind(column(rows, |e| e.account_number.as_i64()))
    .bind(column(rows, |e| e.tag.key.as_str()))
    .bind(column(rows, |e| e.tag.value.as_str()))
    .bind(column(rows, |e| e.sequence))
    .bind(column(rows, |e| e.transaction_id))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn add_unapproved_totals(conn: &mut PgConnection, rows: &[UnapprovedTotal]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "insert into unapproved_totals as total (user_id, currency, amount, minute)
         select unnest($1::uuid[]), unnest($2::text[]), unnest($3::bigint[]), unnest($4::bigint[])
         on conflict (user_id, currency, minute) do update set amount = total.amount + excluded.amount",
    )
    .bind(column(rows, |t| t.mover))
    .bind(column(rows, |t| t.money.currency.code()))
    .bind(column(rows, |t| t.money.minor_units))
    .bind(column(rows, UnapprovedTotal::minute))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn put_notices(conn: &mut PgConnection, notices: &[MovementNotice], now: Timestamp) -> sqlx::Result<()> {
    sqlx::query(
        "insert into mails (id, kind, user_id, account_number, sequence, created_at, next_try_at)
         select unnest($1::uuid[]), $5, unnest($2::uuid[]), unnest($3::bigint[]), unnest($4::bigint[]), $6, $6",
    )
    .bind(column(notices, |_| Uuid::now_v7()))
    .bind(column(notices, |n| n.owner_id))
    .bind(column(notices, |n| n.account_number.as_i64()))
    .bind(column(notices, |n| n.sequence))
    .bind(MailKind::Movement.name())
    .bind(now)
    .execute(conn)
    .await
    .map(|_| ())
}

pub async fn append_events(conn: &mut PgConnection, events: &[BankEvent], now: Timestamp) -> sqlx::Result<()> {
    let take = "update event_head set position = position + $1 where id = 1 returning position";
    let last: i64 = sqlx::query_scalar(take).bind(events.len() as i64).fetch_one(&mut *conn).await?;
    let rows = placed(events, last);
    sqlx::query(
        "insert into events (position, id, kind, account_number, owner_id, subject_id, sequence, created_at)
         select unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::text[]), unnest($4::bigint[]), unnest($5::uuid[]),
                unnest($6::uuid[]), unnest($7::bigint[]), $8",
    )
    .bind(column(&rows, |p| p.position))
    .bind(column(&rows, |p| p.id))
    .bind(column(&rows, |p| p.event.kind.name()))
    .bind(column(&rows, |p| p.event.account_number.map(AccountNumber::as_i64)))
    .bind(column(&rows, |p| p.event.owner_id))
    .bind(column(&rows, |p| p.event.subject_id))
    .bind(column(&rows, |p| p.event.sequence))
    .bind(now)
    .execute(conn)
    .await
    .map(|_| ())
}

pub async fn reserve(conn: &mut PgConnection, until: &BTreeMap<AccountNumber, Timestamp>) -> sqlx::Result<u64> {
    if until.is_empty() {
        return Ok(0);
    }
    let (numbers, moments): (Vec<i64>, Vec<i64>) =
        until.iter().map(|(number, until)| (number.as_i64(), until.as_micros())).unzip();
    sqlx::query(
        "update accounts a set held_until = greatest(a.held_until, reserving.until)
         from unnest($1::bigint[], $2::bigint[]) as reserving(account_number, until)
         where a.account_number = reserving.account_number and a.account_number = any($1)",
    )
    .bind(numbers)
    .bind(moments)
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn update_used(conn: &mut PgConnection, rows: &[&AccountLimits]) -> sqlx::Result<u64> {
    if rows.is_empty() {
        return Ok(0);
    }
    sqlx::query(
        "update account_limits l
         set day_started_at = used.day_started_at, day_ends_at = used.day_ends_at, spent_today = used.spent_today,
             movements_today = used.movements_today, month_started_at = used.month_started_at,
             month_ends_at = used.month_ends_at, spent_this_month = used.spent_this_month
         from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[])
              as used(account_number, day_started_at, day_ends_at, spent_today, movements_today, month_started_at,
                      month_ends_at, spent_this_month)
         where l.account_number = used.account_number and l.account_number = any($1)",
    )
    .bind(column(rows, |l| l.account_number.as_i64()))
    .bind(column(rows, |l| l.used.day.starts.as_micros()))
    .bind(column(rows, |l| l.used.day.ends.as_micros()))
    .bind(column(rows, |l| l.used.spent_today))
    .bind(column(rows, |l| l.used.movements_today))
    .bind(column(rows, |l| l.used.month.starts.as_micros()))
    .bind(column(rows, |l| l.used.month.ends.as_micros()))
    .bind(column(rows, |l| l.used.spent_this_month))
    .execute(conn)
    .await
    .map(|done| done.rows_affected())
}

pub async fn write_heartbeat(
    conn: &mut PgConnection,
    writer: Uuid,
    now: Timestamp,
    before: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query(DROP_HEARTBEATS).bind(before).execute(&mut *conn).await?;
    sqlx::query(WRITE_HEARTBEAT).bind(writer).bind(now).execute(conn).await.map(|_| ())
}
