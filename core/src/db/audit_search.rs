//! Finding records of the audit log: by what happened, who did it, whom and what it is about, and when.
//!
//! Records are read by scanning one index (see [`Scan`]); the other filters are applied to what has been read. So
//! each read costs the same, however long the log is and however little of it is wanted: it may find nothing, and say
//! where to go on.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::audit::{AuditRecord, audit_columns};
use super::{Db, on_reader};
use crate::account_number::AccountNumber;
use crate::books::audit_event::Action;
use crate::timestamp::Timestamp;

/// Records in one read of which some may not be wanted: a few milliseconds, and some 200 KB.
const READ_AT_ONCE: i64 = 500;

/// Which records are wanted. What is None or empty does not count; the rest must all hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Any of these happened.
    pub actions: Vec<Action>,
    /// This user did it.
    pub actor_id: Option<Uuid>,
    /// This user did it, or it is about this user.
    pub user_id: Option<Uuid>,
    /// This API key did it, or it was done to this one.
    pub api_key_id: Option<Uuid>,
    /// It is about this account.
    pub account_number: Option<AccountNumber>,
    /// It happened at this moment or later.
    pub from: Option<Timestamp>,
    /// It happened before this moment.
    pub to: Option<Timestamp>,
}

/// A place in the list, which is sorted by time, and within one moment by sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    pub created_at: Timestamp,
    pub sequence: i64,
}

/// The records that one read has found, the newest first.
#[derive(Debug)]
pub struct AuditSearchPage {
    pub records: Vec<AuditRecord>,
    /// How many records were read for it.
    pub looked_at: usize,
    /// Where to read on. None when that was all.
    pub next: Option<Position>,
}

/// The newest records first, those from $1 on and before the place ($2, $3), at most $4.
macro_rules! select_records {
    ($condition:literal) => {
        concat!(
            "select ",
            audit_columns!(),
            " from audit_log where ",
            $condition,
            "created_at >= $1 and (created_at, sequence) < ($2, $3) order by created_at desc, sequence desc limit $4"
        )
    };
}

const SELECT_BY_TIME: &str = select_records!("");
const SELECT_BY_ACTOR: &str = select_records!("actor_id = $5 and ");
const SELECT_BY_ACTION: &str = select_records!("action = $5 and ");
const SELECT_BY_CONCERN: &str = concat!(
    "select ",
    audit_columns!(),
    " from audit_log
     join (select sequence as number from audit_concerns
           where concern = $5 and created_at >= $1 and (created_at, sequence) < ($2, $3)
           order by created_at desc, sequence desc limit $4) as found on sequence = number
     order by created_at desc, sequence desc"
);

/// An index of the log, and the key in it whose records are read.
#[derive(Clone, Debug)]
enum Scan {
    Concern(String),
    Actor(Uuid),
    Action(Action),
    Time,
}

impl Position {
    pub fn of(record: &AuditRecord) -> Self {
        Self { created_at: record.created_at, sequence: record.sequence }
    }

    /// After every record.
    const END: Self = Self { created_at: Timestamp::from_micros(i64::MAX), sequence: i64::MAX };
}

impl AuditFilter {
    /// The scans that find every record that is wanted, those that read the fewest others; and whether they read others
    /// at all.
    fn scans(&self) -> (Vec<Scan>, bool) {
        let by_action = !self.actions.is_empty();
        if let Some(number) = self.account_number {
            let others = by_action || [self.user_id, self.actor_id, self.api_key_id].iter().any(Option::is_some);
            return (vec![Scan::Concern(number.to_string())], others);
        }
        if let Some(id) = self.api_key_id {
            let others = by_action || self.user_id.is_some() || self.actor_id.is_some();
            return (vec![Scan::Concern(id.to_string())], others);
        }
        if let Some(id) = self.user_id {
            return (vec![Scan::Actor(id), Scan::Concern(id.to_string())], by_action || self.actor_id.is_some());
        }
        if let Some(id) = self.actor_id {
            return (vec![Scan::Actor(id)], by_action);
        }
        if by_action {
            (self.actions.iter().copied().map(Scan::Action).collect(), false)
        } else {
            (vec![Scan::Time], false)
        }
    }

    /// Whether a record is wanted, but for its time.
    fn wants(&self, record: &AuditRecord) -> bool {
        let keys = record.keys();
        let has_key = |key: String| keys.contains(key.as_str());
        (self.actions.is_empty() || self.actions.iter().any(|action| action.name() == record.action))
            && self.actor_id.is_none_or(|id| record.actor_id == Some(id))
            && self.user_id.is_none_or(|id| record.actor_id == Some(id) || has_key(id.to_string()))
            && self.api_key_id.is_none_or(|id| has_key(id.to_string()))
            && self.account_number.is_none_or(|number| has_key(number.to_string()))
    }
}

impl Db {
    /// Some of the records that are wanted, from the newest before `before` on: at least `limit` of them, or all that
    /// there are, or those among the records that one read takes.
    pub async fn find_audit_records(
        &self,
        filter: &AuditFilter,
        before: Option<Position>,
        limit: i64,
    ) -> sqlx::Result<AuditSearchPage> {
        let until = filter.to.map(|to| Position { created_at: to, sequence: 0 });
        let before = before.unwrap_or(Position::END).min(until.unwrap_or(Position::END));
        let from = filter.from.unwrap_or(Timestamp::from_micros(i64::MIN));
        let (scans, lead_to_others) = filter.scans();
        let limit = if lead_to_others { READ_AT_ONCE.max(limit) } else { limit };
        let mut read = BTreeMap::new();
        // Up to where every scan has read. One that has returned less than it was asked for has read to its end.
        let mut followed_to: Option<Position> = None;
        for scan in scans {
            let records = self.audit_records_by(scan, from, before, limit).await?;
            if records.len() as i64 == limit {
                followed_to = followed_to.max(records.last().map(Position::of));
            }
            read.extend(records.into_iter().map(|record| (Position::of(&record), record)));
        }
        let looked_at = read.len();
        let followed = |position: &Position| followed_to.is_none_or(|to| *position >= to);
        let records = read.into_iter().rev().filter(|(position, _)| followed(position)).map(|(_, record)| record);
        let records = records.filter(|record| filter.wants(record)).collect();
        Ok(AuditSearchPage { records, looked_at, next: followed_to })
    }

    async fn audit_records_by(
        &self,
        scan: Scan,
        from: Timestamp,
        before: Position,
        limit: i64,
    ) -> sqlx::Result<Vec<AuditRecord>> {
        macro_rules! read {
            ($select:ident $(, $key:expr)?) => {
                on_reader!(self, conn => sqlx::query_as($select)
                    .bind(from)
                    .bind(before.created_at)
                    .bind(before.sequence)
                    .bind(limit)
                    $(.bind($key))?
                    .fetch_all(conn)
                    .await)
            };
        }
        match scan {
            Scan::Time => read!(SELECT_BY_TIME),
            Scan::Actor(id) => read!(SELECT_BY_ACTOR, id),
            Scan::Action(action) => read!(SELECT_BY_ACTION, action.name()),
            Scan::Concern(concern) => read!(SELECT_BY_CONCERN, concern),
        }
    }

    /// The place of a record in the order of the list.
    pub async fn audit_position(&self, sequence: i64) -> sqlx::Result<Option<Position>> {
        let created_at: Option<Timestamp> = on_reader!(self, conn => sqlx::query_scalar(
            "select created_at from audit_log where sequence = $1",
        )
        .bind(sequence)
        .fetch_optional(conn)
        .await)?;
        Ok(created_at.map(|created_at| Position { created_at, sequence }))
    }
}
