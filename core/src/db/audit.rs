//! The audit log's tables. [`super::audit_search`] finds records.

use std::collections::BTreeSet;

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use sqlx::QueryBuilder;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Tx, in_snapshot, in_transaction, verify};
use crate::books::audit_event::{Action, Concern, Event};
use crate::timestamp::Timestamp;

/// The most rows in one statement, which binds each value: SQLite takes 32,766 values, PostgreSQL 65,535.
const MAX_ROWS: usize = 1_000;

/// All concerns of a record, with a space between them: as they are stored, and hashed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerns(Option<String>);

impl Concerns {
    fn of(concerns: &BTreeSet<Concern>) -> Self {
        let words: Vec<String> = concerns.iter().map(ToString::to_string).collect();
        Self((!words.is_empty()).then(|| words.join(" ")))
    }

    pub(super) fn stored(&self) -> Option<&str> {
        self.0.as_deref()
    }

    pub fn words(&self) -> impl Iterator<Item = &str> {
        self.0.as_deref().unwrap_or_default().split_ascii_whitespace()
    }
}

impl From<Option<String>> for Concerns {
    fn from(words: Option<String>) -> Self {
        Self(words)
    }
}

impl Serialize for Concerns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.words())
    }
}

/// A record of the audit log.
#[derive(Clone, Debug, Serialize, sqlx::FromRow, ToSchema)]
pub struct AuditRecord {
    /// 1 for the first record, then without gaps.
    #[schema(example = 1, minimum = 1)]
    pub sequence: i64,
    pub created_at: Timestamp,
    /// What happened.
    #[schema(value_type = Action)]
    pub action: String,
    /// The user who did it; null when nobody was signed in, or when it was the command line.
    pub actor_id: Option<Uuid>,
    /// What it was done to: the id of a user, an approval or a movement, the number of an account, a route.
    #[schema(example = "10000000000180")]
    pub subject: Option<String>,
    /// Where the request came from.
    #[schema(example = "192.0.2.1")]
    pub address: Option<String>,
    /// The bank's own id of the request, which its answer had as `X-Request-Id`.
    #[schema(example = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88")]
    pub request_id: Option<String>,
    /// What the client called the request, in its own `X-Request-Id`: it may be anything.
    pub client_request_id: Option<String>,
    /// More about the event in words, such as a reason or a change of values; null if there is no more to say.
    pub detail: Option<String>,
    /// The accounts, by number, and the people, by id, that it is about beside the subject.
    #[sqlx(try_from = "Option<String>")]
    #[schema(value_type = Vec<String>, example = json!(["019a8f3e-6a10-7c52-8f7d-0b1c2d3e4f50"]))]
    pub concerns: Concerns,
    /// SHA-256 of the previous record's hash and this record's contents.
    #[serde(with = "hex")]
    #[sqlx(try_from = "Vec<u8>")]
    #[schema(value_type = String, example = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")]
    pub hash: [u8; 32],
}

/// The columns of [`AuditRecord`].
macro_rules! audit_columns {
    () => {
        "sequence, created_at, action, actor_id, subject, address, request_id, client_request_id, detail, concerns, hash"
    };
}

pub(super) use audit_columns;

/// Whether records are found by this subject: an account's number, or an id in lower case. The migrations say the same.
fn is_key(subject: &str) -> bool {
    let is_number =
        subject.len() == 14 && !subject.starts_with('0') && subject.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = || Uuid::try_parse(subject).is_ok_and(|id| id.hyphenated().to_string() == subject);
    is_number || is_id()
}

impl AuditRecord {
    /// The words that the record is found by.
    pub fn keys(&self) -> BTreeSet<&str> {
        self.concerns.words().chain(self.subject.as_deref().filter(|subject| is_key(subject))).collect()
    }
}

/// Names the layout of what a record's hash covers. A change of layout gets a new name, and old records keep theirs.
const LAYOUT: &[u8] = b"coffer.audit.1";

/// The hash of a record: SHA-256 over the layout's name, the hash before it and every field, each with its length, so
/// that no two records have the same bytes.
pub fn record_hash(previous: &[u8; 32], record: &AuditRecord) -> [u8; 32] {
    let mut hasher = Sha256::new().chain_update(LAYOUT).chain_update(previous);
    hasher.update(record.sequence.to_be_bytes());
    hasher.update(record.created_at.as_micros().to_be_bytes());
    let actor = record.actor_id.map(|id| id.to_string());
    let action = Some(record.action.clone());
    let who = [&action, &actor, &record.subject, &record.address, &record.request_id, &record.client_request_id];
    for field in who.into_iter().chain([&record.detail, &record.concerns.0]) {
        let length = field.as_ref().map_or(-1, |text| text.len() as i64);
        hasher.update(length.to_be_bytes());
        hasher.update(field.as_deref().unwrap_or_default());
    }
    hasher.finalize().into()
}

/// The last record, which the next is chained to.
#[derive(Clone, Copy, sqlx::FromRow)]
pub(super) struct AuditHead {
    pub sequence: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub hash: [u8; 32],
}

/// The records that events become behind `head`, and the last of them.
pub(super) fn chained(mut head: AuditHead, events: &[Event]) -> (Vec<AuditRecord>, AuditHead) {
    let records = events.iter().map(|event| {
        let mut record = AuditRecord {
            sequence: head.sequence + 1,
            created_at: event.created_at,
            action: event.action.name().to_owned(),
            actor_id: event.actor_id,
            subject: event.subject.clone(),
            address: event.address.clone(),
            request_id: event.request_id.clone(),
            client_request_id: event.client_request_id.clone(),
            detail: event.detail.clone(),
            concerns: Concerns::of(&event.concerns),
            hash: [0; 32],
        };
        record.hash = record_hash(&head.hash, &record);
        head = AuditHead { sequence: record.sequence, hash: record.hash };
        record
    });
    (records.collect(), head)
}

impl Tx<'_> {
    /// Appends to the log. Take every other lock of the transaction before, because everybody waits for this one.
    /// Nothing to append needs no lock.
    pub async fn append_to_audit_log(&mut self, events: &[Event]) -> sqlx::Result<()> {
        if events.is_empty() {
            return Ok(());
        }
        let (records, head) = chained(self.lock_audit_head().await?, events);
        for rows in records.chunks(MAX_ROWS) {
            self.insert_audit_records(rows).await?;
        }
        let keys: Vec<_> =
            records.iter().flat_map(|record| record.keys().into_iter().map(move |key| (key, record))).collect();
        for rows in keys.chunks(MAX_ROWS) {
            self.insert_audit_concerns(rows).await?;
        }
        in_transaction!(self, conn => sqlx::query("update audit_head set sequence = $1, hash = $2 where id = 1")
            .bind(head.sequence)
            .bind(head.hash.to_vec())
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// An update that changes nothing, because it locks in one way on every database.
    async fn lock_audit_head(&mut self) -> sqlx::Result<AuditHead> {
        in_transaction!(self, conn => sqlx::query_as(
            "update audit_head set sequence = sequence where id = 1 returning sequence, hash",
        )
        .fetch_one(conn)
        .await)
    }

    /// Sequence and hash of the last record.
    pub async fn audit_head(&mut self) -> sqlx::Result<(i64, [u8; 32])> {
        let head: AuditHead = in_transaction!(self, conn => sqlx::query_as("select sequence, hash from audit_head")
            .fetch_one(conn)
            .await)?;
        Ok((head.sequence, head.hash))
    }

    /// Hands every record to `visit`, the oldest first.
    pub async fn visit_audit_records(&mut self, mut visit: impl FnMut(AuditRecord)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => verify::drain(
            sqlx::query_as(concat!("select ", audit_columns!(), " from audit_log order by sequence")).fetch(conn),
            &mut visit,
        )
        .await)
    }

    async fn insert_audit_records(&mut self, rows: &[AuditRecord]) -> sqlx::Result<()> {
        in_transaction!(self, conn => {
            let mut insert = QueryBuilder::new(concat!("insert into audit_log (", audit_columns!(), ") "));
            insert.push_values(rows, |mut row, record| {
                row.push_bind(record.sequence)
                    .push_bind(record.created_at)
                    .push_bind(&record.action)
                    .push_bind(record.actor_id)
                    .push_bind(&record.subject)
                    .push_bind(&record.address)
                    .push_bind(&record.request_id)
                    .push_bind(&record.client_request_id)
                    .push_bind(&record.detail)
                    .push_bind(&record.concerns.0)
                    .push_bind(record.hash.to_vec());
            });
            insert.build().execute(conn).await.map(|_| ())
        })
    }

    async fn insert_audit_concerns(&mut self, rows: &[(&str, &AuditRecord)]) -> sqlx::Result<()> {
        in_transaction!(self, conn => {
            let mut insert = QueryBuilder::new("insert into audit_concerns (concern, created_at, sequence) ");
            insert.push_values(rows, |mut row, (key, record)| {
                row.push_bind(*key).push_bind(record.created_at).push_bind(record.sequence);
            });
            insert.build().execute(conn).await.map(|_| ())
        })
    }

    /// Hands every row by which a record is found to `visit`, in the order of the records.
    pub async fn visit_audit_concerns(&mut self, mut visit: impl FnMut(AuditConcern)) -> sqlx::Result<()> {
        in_snapshot!(self, conn => verify::drain(
            sqlx::query_as("select sequence, created_at, concern from audit_concerns order by sequence, concern").fetch(conn),
            &mut visit,
        )
        .await)
    }
}

/// A row by which a record is found.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AuditConcern {
    pub sequence: i64,
    pub created_at: Timestamp,
    pub concern: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> AuditRecord {
        AuditRecord {
            sequence: 7,
            created_at: Timestamp::from_micros(1_700_000_000_000_000),
            action: "login".to_owned(),
            actor_id: Some(Uuid::from_u128(1)),
            subject: Some("10000000000180".to_owned()),
            address: Some("192.0.2.1".to_owned()),
            request_id: Some("a".to_owned()),
            client_request_id: None,
            detail: None,
            concerns: Concerns::default(),
            hash: [0; 32],
        }
    }

    #[test]
    fn no_field_can_be_added_taken_away_or_swapped() {
        let text = || Some("text".to_owned());
        let with_id = AuditRecord { client_request_id: text(), ..record() };
        let with_detail = AuditRecord { detail: text(), ..record() };
        let with_concerns = AuditRecord { concerns: Concerns(text()), ..record() };
        let with_two = AuditRecord { concerns: Concerns(text()), ..with_id.clone() };
        let records = [record(), with_id, with_detail, with_concerns, with_two];
        let hashes: BTreeSet<_> = records.iter().map(|record| record_hash(&[9; 32], record)).collect();
        assert_eq!(hashes.len(), records.len());
    }

    #[test]
    fn a_record_is_found_by_what_it_concerns_and_by_a_subject_that_is_a_number_or_an_id() {
        let id = Uuid::from_u128(5);
        let keys = |subject: &str, concerns: Option<&str>| {
            let concerns = Concerns(concerns.map(str::to_owned));
            let record = AuditRecord { subject: Some(subject.to_owned()), concerns, ..record() };
            record.keys().into_iter().map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(keys("10000000000180", None), ["10000000000180"]);
        assert_eq!(keys("10000000000180", Some("10000000000180 x")), ["10000000000180", "x"]);
        assert_eq!(keys(&id.to_string(), None), [id.to_string()]);
        for subject in ["GET /users", "ada@example.com", "0000000000018", "00000000000180", &id.simple().to_string()] {
            assert_eq!(keys(subject, None), [""; 0], "{subject}");
        }
    }
}
