//! Events, for those who listen. See [`crate::listening`] for when they are written.

use sqlx::FromRow;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::books::bank_event::{BankEvent, EventKind};
use crate::timestamp::Timestamp;

/// An event as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredEvent {
    pub position: i64,
    pub id: Uuid,
    kind: String,
    pub account_number: Option<AccountNumber>,
    pub subject_id: Option<Uuid>,
    pub sequence: Option<i64>,
    pub created_at: Timestamp,
}

/// Where the log ends, and from where on it is whole.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct EventHead {
    pub position: i64,
    pub first_position: i64,
    pub listening_until: Timestamp,
}

/// Whose events are wanted. What is None does not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    pub owner_id: Option<Uuid>,
    pub account_number: Option<AccountNumber>,
}

/// An event with its place and its name, as it is written.
pub struct PlacedEvent {
    pub position: i64,
    pub id: Uuid,
    pub event: BankEvent,
}

impl StoredEvent {
    /// None for a kind that a later version has written.
    pub fn kind(&self) -> Option<EventKind> {
        EventKind::from_name(&self.kind)
    }
}

/// Events in the order of their places.
macro_rules! select_events {
    ($condition:literal, $limit:literal) => {
        concat!(
            "select position, id, kind, account_number, subject_id, sequence, created_at from events where ",
            $condition,
            " order by position limit ",
            $limit
        )
    };
}

/// Gives events the places up to `last`, and a name each.
pub fn placed(events: &[BankEvent], last: i64) -> Vec<PlacedEvent> {
    let first = last - events.len() as i64 + 1;
    let place = |(position, event): (i64, &BankEvent)| PlacedEvent { position, id: Uuid::now_v7(), event: *event };
    (first..).zip(events).map(place).collect()
}

impl Db {
    pub async fn event_head(&self) -> sqlx::Result<EventHead> {
        on_reader!(self, conn => sqlx::query_as(
            "select position, first_position, listening_until from event_head where id = 1",
        )
        .fetch_one(conn)
        .await)
    }

    /// Where the event with this id stands.
    pub async fn event_position(&self, id: Uuid) -> sqlx::Result<Option<i64>> {
        on_reader!(self, conn => sqlx::query_scalar("select position from events where id = $1")
            .bind(id)
            .fetch_optional(conn)
            .await)
    }

    pub async fn event_at(&self, position: i64) -> sqlx::Result<Option<StoredEvent>> {
        on_reader!(self, conn => sqlx::query_as(select_events!("position = $1", "1"))
            .bind(position)
            .fetch_optional(conn)
            .await)
    }

    /// Events behind a position, in the order of the commits.
    pub async fn events_after(&self, after: i64, filter: EventFilter, limit: i64) -> sqlx::Result<Vec<StoredEvent>> {
        let EventFilter { owner_id, account_number } = filter;
        // Each filter has an index of its own, which the database only finds if the other one is not in the query.
        match (account_number, owner_id) {
            (Some(number), owner_id) => on_reader!(self, conn => sqlx::query_as(select_events!(
                "account_number = $2 and position > $1 and ($3 is null or owner_id = $3)", "$4"
            ))
            .bind(after)
            .bind(number)
            .bind(owner_id)
            .bind(limit)
            .fetch_all(conn)
            .await),
            (None, Some(owner_id)) => on_reader!(self, conn => sqlx::query_as(select_events!(
                "owner_id = $2 and position > $1", "$3"
            ))
            .bind(after)
            .bind(owner_id)
            .bind(limit)
            .fetch_all(conn)
            .await),
            (None, None) => on_reader!(self, conn => sqlx::query_as(select_events!(
                "position > $1", "$2"
            ))
            .bind(after)
            .bind(limit)
            .fetch_all(conn)
            .await),
        }
    }
}

impl Tx<'_> {
    /// Has events written until this moment at least. If none were at `now`, something may have happened that nobody wrote
    /// down: that takes a place, and the log is whole from behind it on.
    pub async fn listen(&mut self, until: Timestamp, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update event_head
             set position = case when listening_until < $2 then position + 1 else position end,
                 first_position = case when listening_until < $2 then position + 2 else first_position end,
                 listening_until = case when listening_until < $1 then $1 else listening_until end
             where id = 1",
        )
        .bind(until)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Appends events. Last of all, because everybody who appends waits for the head until the commit.
    pub async fn append_events(&mut self, events: &[BankEvent], now: Timestamp) -> sqlx::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let last: i64 = in_transaction!(self, conn => sqlx::query_scalar(
            "update event_head set position = position + $1 where id = 1 returning position",
        )
        .bind(events.len() as i64)
        .fetch_one(conn)
        .await)?;
        for PlacedEvent { position, id, event } in placed(events, last) {
            in_transaction!(self, conn => sqlx::query(
                "insert into events (position, id, kind, account_number, owner_id, subject_id, sequence, created_at)
                 values ($1, $2, $3, $4, $5, $6, $7, $8)",
            )
            .bind(position)
            .bind(id)
            .bind(event.kind.name())
            .bind(event.account_number)
            .bind(event.owner_id)
            .bind(event.subject_id)
            .bind(event.sequence)
            .bind(now)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        }
        Ok(())
    }

    /// Deletes events from before `before`, among the oldest `most`.
    pub async fn delete_events_older_than(&mut self, before: Timestamp, most: i64) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query(
            "delete from events where created_at < $1 and position < (select min(position) from events) + $2",
        )
        .bind(before)
        .bind(most)
        .execute(conn)
        .await
        .map(|done| done.rows_affected()))
    }
}
