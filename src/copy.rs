//! `coffer copy`: carries a whole bank from one database to another, and shows that nothing was lost on the way.

use tokio::sync::mpsc;

use crate::doctor;
use coffer_core::db::copying::{CopyingError, Figures, schema};
use coffer_core::db::{ConnectError, Db, errors};

/// Why the target has no bank yet. What has come stays there, and the next run goes on from it.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("the target cannot be made ready: {0}")]
    Target(#[from] ConnectError),
    #[error("{0}")]
    Copying(#[from] CopyingError),
    #[error("a database does not answer: {0}")]
    Query(#[from] sqlx::Error),
    #[error(
        "source and target differ: {0}. The source has changed meanwhile: stop its server, empty the target, and copy anew"
    )]
    Differs(String),
    #[error("the books are WRONG in {place}:\n  {}", .findings.join("\n  "))]
    Wrong { place: &'static str, findings: Vec<String> },
}

impl CopyError {
    /// Whether the copy can go on from where it is.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Query(_) | Self::Copying(CopyingError::Query(_)) => true,
            Self::Target(_) | Self::Copying(CopyingError::Refused(_)) | Self::Differs(_) | Self::Wrong { .. } => false,
        }
    }
}

/// Tells of the way: rows that are written, of all.
pub type Progress<'a> = &'a mut (dyn FnMut(u64, u64) + Send);

/// Copies the bank of `source` into `target`, which has no tables yet, is empty, or is a copy of the same bank that was broken
/// off. Reads one moment of the source: what its server books meanwhile is not in the copy. At the end both sides must have the
/// same figures, and the doctor must find both right; until then no server opens the target. Whoever calls it has made sure that
/// the source has its log.
pub async fn copy(source: &Db, target: &Db, progress: Progress<'_>) -> Result<Figures, CopyError> {
    target.migrate_for_copy().await?;
    let tables = schema::plan(&source.tables().await?, &target.tables().await?)?;
    let mut snapshot = source.snapshot().await?;
    let figures = snapshot.figures(&tables).await?;
    let total = figures.rows.values().map(|rows| *rows as u64).sum();
    let identity = figures.heads.to_string();
    let mut there = 0;
    if target.begin_copy(&tables, &identity).await? {
        let here = schema::plan(&target.tables().await?, &source.tables().await?)?;
        there = target.renew_copy(&mut snapshot, &tables, &here).await?;
    }
    progress(there, total);
    let (written, mut told) = mpsc::unbounded_channel();
    let copying = target.copy_rows(&mut snapshot, &tables, written);
    let telling = async {
        while let Some(rows) = told.recv().await {
            progress(rows, total);
        }
    };
    let (copied, ()) = tokio::join!(copying, telling);
    copied?;
    target.complete_copy().await?;
    let mut arrived = target.snapshot().await?;
    let figures_of_target = arrived.figures(&tables).await?;
    arrived.rollback().await?;
    snapshot.rollback().await?;
    compare(&figures, &figures_of_target)?;
    examine_both(source, target).await?;
    target.end_copy().await?;
    Ok(figures)
}

/// The first figure that differs, in words.
fn compare(source: &Figures, target: &Figures) -> Result<(), CopyError> {
    if source == target {
        return Ok(());
    }
    let mut rows = source.rows.iter().filter(|(table, rows)| target.rows.get(*table) != Some(*rows));
    let of_rows = rows.next().map(|(table, rows)| {
        format!("{table} has {rows} rows in the source and {} in the target", target.rows.get(table).unwrap_or(&0))
    });
    let of_sums = || {
        let mut sums = source.sums.iter().filter(|(key, sum)| target.sums.get(*key) != Some(*sum));
        sums.next().map(|((name, currency), _)| format!("the sum of {name} in {currency}"))
    };
    Err(CopyError::Differs(of_rows.or_else(of_sums).unwrap_or_else(|| "in their heads".to_owned())))
}

async fn examine_both(source: &Db, target: &Db) -> Result<(), CopyError> {
    target.learn_units().await?;
    // Each is work for one core.
    let start = |db: Db| tokio::spawn(async move { doctor::what_is_wrong(&db).await });
    let (of_source, of_target) = (start(source.clone()), start(target.clone()));
    for (place, examined) in [("the source", of_source), ("the target", of_target)] {
        let findings = examined.await.unwrap_or_else(|_| Err(errors::no_answer()))?;
        if !findings.is_empty() {
            return Err(CopyError::Wrong { place, findings });
        }
    }
    Ok(())
}
