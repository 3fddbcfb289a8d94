//! `coffer doctor`: walks the whole books and proves that they are right, or names the first rows that are not.
//!
//! It reads one snapshot and writes nothing, so it may run beside the server.

mod audit_log;
mod books;
pub mod database;
mod histories;
mod news;

use std::fmt;

use crate::webhooks::secret as webhook_secret;
use coffer_core::auth::factor_keys::FactorKeys;
use coffer_core::auth::second_factor;
use coffer_core::db::heads::Head;
use coffer_core::db::second_factors::StoredSecret;
use coffer_core::db::webhooks::StoredWebhookSecret;
use coffer_core::db::{Db, Layout};

/// How many bad rows a check names; it counts all of them.
const MAX_NAMED: usize = 5;

/// The result of one check.
#[derive(Debug, Default)]
pub struct Finding {
    /// The invariant of the books that the check tests, in words.
    pub invariant: &'static str,
    /// How many things were looked at, and what they are.
    pub counted: u64,
    pub unit: &'static str,
    pub bad: u64,
    /// The first bad ones.
    pub named: Vec<String>,
    /// Whether the books are right all the same; bad rows are then only worth knowing.
    pub is_remark: bool,
}

impl Finding {
    fn new(invariant: &'static str, unit: &'static str) -> Self {
        Self { invariant, unit, ..Self::default() }
    }

    fn remark(invariant: &'static str, unit: &'static str) -> Self {
        Self { is_remark: true, ..Self::new(invariant, unit) }
    }

    /// Says how many things are looked at.
    fn among(self, counted: i64) -> Self {
        Self { counted: counted as u64, ..self }
    }

    fn blame(&mut self, row: impl fmt::Display) {
        self.bad += 1;
        if self.named.len() < MAX_NAMED {
            self.named.push(row.to_string());
        }
    }

    pub fn is_good(&self) -> bool {
        self.bad == 0 || self.is_remark
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, are) = match (self.bad, self.is_remark) {
            (0, _) => ("ok  ", ""),
            (_, true) => ("NOTE", "not so"),
            (_, false) => ("BAD ", "bad"),
        };
        write!(f, "{mark} {}: {} {}", self.invariant, self.counted, self.unit)?;
        if self.bad > 0 {
            write!(f, ", {} {are}, first: {}", self.bad, self.named.join("; "))?;
        }
        Ok(())
    }
}

/// Runs every check on one snapshot, handing each finding to `report` as soon as it is made. True when all is well.
pub async fn examine(db: &Db, mut report: impl FnMut(&Finding)) -> sqlx::Result<bool> {
    let mut tx = db.snapshot().await?;
    let mut all_good = true;
    let mut note = |finding: Finding| {
        all_good &= finding.is_good();
        report(&finding);
    };
    if let Some(finding) = database::file(&mut tx).await? {
        note(finding);
    }
    if let Some(finding) = database::durability(db).await? {
        note(finding);
    }
    let layout = db.layout();
    if let Some(finding) = database::schema(&mut tx, layout).await? {
        note(finding);
    }
    let histories = histories::entries(&mut tx, layout).await?;
    note(histories::journal(&mut tx, layout, histories.in_journal).await?);
    for finding in histories.findings {
        note(finding);
    }
    note(books::overdrafts(&mut tx).await?);
    note(books::owners(&mut tx).await?);
    for finding in books::sums(&mut tx).await? {
        note(finding);
    }
    note(books::keys(&mut tx, layout).await?);
    if let Some(finding) = books::key_index(&mut tx).await? {
        note(finding);
    }
    note(books::approvals(&mut tx).await?);
    note(books::reversals(&mut tx).await?);
    note(books::holds(&mut tx).await?);
    note(books::reservations(&mut tx).await?);
    for finding in books::tags(&mut tx, layout).await? {
        note(finding);
    }
    note(audit_log::erasures(&mut tx).await?);
    note(audit_log::access_changes(&mut tx).await?);
    for finding in audit_log::standings(&mut tx).await? {
        note(finding);
    }
    if layout == Layout::OneMachine {
        note(audit_log::openings(&mut tx).await?);
    }
    note(audit_log::account_limits(&mut tx).await?);
    note(books::counters(&mut tx).await?);
    note(audit_log::limit_changes(&mut tx).await?);
    note(audit_log::api_keys(&mut tx).await?);
    note(news::events(&mut tx).await?);
    note(news::webhooks(&mut tx).await?);
    note(news::mails(&mut tx).await?);
    for finding in audit_log::chain(&mut tx).await? {
        note(finding);
    }
    Ok(all_good)
}

/// Each check that the books have failed, as a line of the report.
pub async fn what_is_wrong(db: &Db) -> sqlx::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let note = |finding: &Finding| {
        if !finding.is_good() {
            wrong.push(finding.to_string());
        }
    };
    examine(db, note).await?;
    Ok(wrong)
}

/// Whether the books have each of these heads, which somebody has noted.
pub async fn heads(db: &Db, since: &[Head]) -> sqlx::Result<Finding> {
    let mut tx = db.snapshot().await?;
    let mut finding = Finding::new("the books are no older than the heads that were named", "heads");
    for head in since {
        finding.counted += 1;
        if !tx.has_head(*head).await? {
            finding.blame(format_args!("{head} is not in them: they are older, or those of another bank"));
        }
    }
    tx.rollback().await?;
    Ok(finding)
}

/// Whether every secret of an authenticator app or a webhook is encrypted and can be decrypted, handing the finding to `report`.
/// True when all is well. Without the keys nothing is known, which is only worth a remark.
pub async fn examine_secrets(
    db: &Db,
    keys: Option<&FactorKeys>,
    mut report: impl FnMut(&Finding),
) -> sqlx::Result<bool> {
    let mut tx = db.snapshot().await?;
    let invariant = "every secret of a second factor or a webhook is encrypted and can be read";
    let mut finding = match keys {
        Some(_) => Finding::new(invariant, "secrets"),
        None => Finding::remark(invariant, "secrets"),
    };
    let mut look = |what: String, is_readable: Option<bool>| {
        finding.counted += 1;
        match is_readable {
            Some(true) => {}
            Some(false) => finding.blame(what),
            None => finding.blame("not looked at without COFFER_SECOND_FACTOR_KEY"),
        }
    };
    for StoredSecret { user_id, secret } in tx.all_secrets().await? {
        let opened = keys.map(|keys| keys.open::<{ second_factor::SECRET_BYTES }>(user_id, &secret).is_some());
        look(format!("user {user_id}"), opened);
    }
    for StoredWebhookSecret { id, webhook_id, secret } in tx.all_webhook_secrets().await? {
        let opened = keys.map(|keys| keys.open::<{ webhook_secret::SECRET_BYTES }>(id, &secret).is_some());
        look(format!("webhook {webhook_id}"), opened);
    }
    report(&finding);
    Ok(finding.is_good())
}
