//! The heads of the books: hashes by which one state of them is told from a later one.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sqlx::FromRow;

use super::{Db, Tx, in_snapshot, on_reader};

/// The hash of an entry or of a record of the audit log. Whoever has it elsewhere can ask whether the books reach as far:
/// `coffer doctor --since HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head([u8; 32]);

impl From<[u8; 32]> for Head {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl TryFrom<Vec<u8>> for Head {
    type Error = Vec<u8>;

    fn try_from(bytes: Vec<u8>) -> Result<Self, Vec<u8>> {
        bytes.try_into().map(Self)
    }
}

impl FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut hash = [0; 32];
        match hex::decode_to_slice(text.trim(), &mut hash) {
            Ok(()) => Ok(Self(hash)),
            Err(_) => Err("send a hash of 64 hexadecimal digits, as the banner and /readyz show them".to_owned()),
        }
    }
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The newest hashes. Both chains only grow: books that have a hash have all that was committed before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    /// Of an entry of the newest movement, by its id; None before the first one.
    pub entry: Option<Head>,
    /// Of the last record of the audit log; zeros before the first one.
    pub audit: Head,
}

impl fmt::Display for Heads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.entry {
            Some(entry) => write!(f, "newest entry {entry}, audit log {}", self.audit),
            None => write!(f, "no entries, audit log {}", self.audit),
        }
    }
}

#[derive(FromRow)]
struct HeadsRow {
    entry: Option<Vec<u8>>,
    audit: Vec<u8>,
}

impl TryFrom<HeadsRow> for Heads {
    type Error = sqlx::Error;

    fn try_from(row: HeadsRow) -> sqlx::Result<Self> {
        let head = |bytes: Vec<u8>| Head::try_from(bytes).map_err(|_| sqlx::Error::Decode("no hash".into()));
        Ok(Self { entry: row.entry.map(head).transpose()?, audit: head(row.audit)? })
    }
}

/// The newest movement is the last by its id, a UUIDv7; an entry is found by account and sequence. So this looks at a handful
/// of pages, however large the books are.
const SELECT_HEADS: &str = "
    select (select e.hash
            from (select coalesce(debit_sequence, credit_sequence) as sequence,
                         case when debit_sequence is null then credit_account else debit_account end as account_number
                  from transactions order by id desc limit 1) newest
            join entries e on e.account_number = newest.account_number and e.sequence = newest.sequence) as entry,
           (select hash from audit_head where id = 1) as audit";

impl Db {
    pub async fn heads(&self) -> sqlx::Result<Heads> {
        let row: HeadsRow = on_reader!(self, conn => sqlx::query_as(SELECT_HEADS).fetch_one(conn).await)?;
        row.try_into()
    }
}

impl Tx<'_> {
    pub async fn heads(&mut self) -> sqlx::Result<Heads> {
        let row: HeadsRow = in_snapshot!(self, conn => sqlx::query_as(SELECT_HEADS).fetch_one(conn).await)?;
        row.try_into()
    }

    /// Whether an entry or a record of the audit log has this hash. Reads all of them: no index is worth this question.
    pub async fn has_head(&mut self, head: Head) -> sqlx::Result<bool> {
        let found: Option<i64> = in_snapshot!(self, conn => sqlx::query_scalar(
            "select cast(1 as bigint) from entries where hash = $1
             union all
             select cast(1 as bigint) from audit_log where hash = $1
             limit 1",
        )
        .bind(&head.0[..])
        .fetch_optional(conn)
        .await)?;
        Ok(found.is_some())
    }
}
