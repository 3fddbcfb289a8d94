//! Whether the database itself is whole: its file, its settings, its triggers and indexes.

use std::path::Path;

use super::Finding;
use coffer_core::db::serving::LogOfFile;
use coffer_core::db::{Db, Layout, Tx};

/// Why a file without its log is no good, and what to do.
const WITHOUT_LOG: &str = "it was copied or left without the log that a server wrote beside it, and what was booked after the last checkpoint is \
     not in it. Take a backup instead (coffer backup). If it has the newest head of that bank, nothing is missing: name it (--since)";

/// Why nobody can say of a file whether its log is missing, and what to do.
const PERHAPS_WITHOUT_LOG: &str = "whether the log is missing cannot be told, because another program made the checkpoints (COFFER_CHECKPOINTS=external). \
     Name the newest head of that bank (--since)";

/// Why a file is not known to be whole; None of one that is.
pub fn why_not_whole(log: LogOfFile) -> Option<&'static str> {
    match log {
        LogOfFile::Whole => None,
        LogOfFile::Missing => Some(WITHOUT_LOG),
        LogOfFile::Unknown => Some(PERHAPS_WITHOUT_LOG),
    }
}

/// Whether a SQLite file is more than a copy without its log. Where the books have a head that somebody named, nothing is missing.
pub fn log(log: LogOfFile, has_heads: bool) -> Finding {
    let invariant = "the database file has the log that was written beside it";
    let mut finding = match log {
        LogOfFile::Unknown => Finding::remark(invariant, "file"),
        LogOfFile::Whole | LogOfFile::Missing => Finding::new(invariant, "file"),
    };
    finding.counted = 1;
    why_not_whole(log).filter(|_| !has_heads).into_iter().for_each(|why| finding.blame(why));
    finding
}

/// Why the books in a SQLite file are not to be copied, or changed.
#[derive(Debug, thiserror::Error)]
pub enum NotWhole {
    #[error("{0}: {WITHOUT_LOG}")]
    WithoutLog(String),
    #[error(transparent)]
    Unreadable(#[from] sqlx::Error),
}

/// Refuses a SQLite file without its log: what is missing nobody would know of a copy, and what is changed would fork from it. Warns
/// where the log may be missing.
pub fn refuse_without_log(file: &Path) -> Result<LogOfFile, NotWhole> {
    let log = LogOfFile::of(file)?;
    match log {
        LogOfFile::Whole => {}
        LogOfFile::Missing => return Err(NotWhole::WithoutLog(file.display().to_string())),
        LogOfFile::Unknown => tracing::warn!(file = %file.display(), "{PERHAPS_WITHOUT_LOG}"),
    }
    Ok(log)
}

pub(super) async fn file(tx: &mut Tx<'_>) -> sqlx::Result<Option<Finding>> {
    let Some(damage) = tx.file_damage().await? else { return Ok(None) };
    let mut finding = Finding { counted: 1, ..Finding::new("the database file is sound", "file") };
    for line in damage {
        finding.blame(line);
    }
    Ok(Some(finding))
}

/// Nothing about the books of today, but about those of tomorrow.
pub(super) async fn durability(db: &Db) -> sqlx::Result<Option<Finding>> {
    let (settings, lacking) = db.lacks_in_durability().await?;
    if settings == 0 {
        return Ok(None);
    }
    let invariant = "the server keeps what it has acknowledged when its machine crashes";
    let mut finding = Finding { counted: settings as u64, ..Finding::remark(invariant, "settings") };
    lacking.into_iter().for_each(|sentence| finding.blame(sentence));
    Ok(Some(finding))
}

/// Compares the triggers, which keep programs from rewriting history, and the indexes, without which they read whole tables.
pub(super) async fn schema(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Option<Finding>> {
    let Some(found) = tx.schema_findings(layout).await? else { return Ok(None) };
    let mut finding = Finding::new("triggers and indexes are those that the migrations make", "of them");
    finding.counted = found.counted;
    found.wrong.iter().for_each(|wrong| finding.blame(wrong));
    Ok(Some(finding))
}
