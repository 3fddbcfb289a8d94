//! The histories of all accounts, each entry beside the one before it and its transaction.

use std::collections::HashSet;

use uuid::Uuid;

use super::Finding;
use coffer_core::books::account::GENESIS_HASH;
use coffer_core::books::chain::entry_hash;
use coffer_core::books::entry::Entry;
use coffer_core::books::texts::Integrity;
use coffer_core::clock;
use coffer_core::db::verify::EntryInContext;
use coffer_core::db::{Layout, Tx};
use coffer_core::timestamp::Timestamp;

/// The findings of one walk over the histories of all accounts.
pub(super) struct Histories {
    pub findings: Vec<Finding>,
    /// Entries that agree with the side of the journal that names them.
    pub in_journal: u64,
}

/// One walk over every entry of every account.
pub(super) async fn entries(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Histories> {
    let mut walk = HistoryWalk::new(Timestamp::now());
    tx.visit_records_of_erasures(|subject| walk.on_record.extend(subject.parse::<Uuid>())).await?;
    tx.visit_entries(layout, |entry| walk.visit(&entry)).await?;
    walk.finish_account();
    walk.heads.counted = tx.count_accounts().await? as u64;
    tx.visit_accounts_with_wrong_empty_history(|number| walk.heads.blame(format_args!("account {number}"))).await?;
    let in_journal = walk.journal.counted - walk.journal.bad;
    let HistoryWalk { sequences, balances, hashes, texts, erased, journal, heads, dates, .. } = walk;
    Ok(Histories { findings: vec![sequences, balances, hashes, texts, erased, journal, heads, dates], in_journal })
}

pub(super) async fn journal(tx: &mut Tx<'_>, layout: Layout, entries_in_journal: u64) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::new("every transaction has its two sides", "transactions").among(tx.count_transactions().await?);
    tx.visit_transactions_without_two_sides(layout, |id| finding.blame(format_args!("transaction {id}"))).await?;
    if layout == Layout::Sharded {
        // An entry that is in the journal is there on one side, which names no other.
        let sides = tx.count_sides().await? as u64;
        if sides != entries_in_journal {
            finding.blame(format_args!("transactions name {sides} entries, of which {entries_in_journal} are there"));
        }
    }
    Ok(finding)
}

struct HistoryWalk {
    previous: Option<EntryInContext>,
    sequences: Finding,
    balances: Finding,
    hashes: Finding,
    texts: Finding,
    erased: Finding,
    /// The people whose erasure the audit log has.
    on_record: HashSet<Uuid>,
    journal: Finding,
    heads: Finding,
    dates: Finding,
    /// Entries dated later lie ahead of the clock.
    latest: Timestamp,
}

impl HistoryWalk {
    fn new(now: Timestamp) -> Self {
        Self {
            previous: None,
            sequences: Finding::new("histories have no gaps and never go back in time", "entries"),
            balances: Finding::new("running balances add up", "entries"),
            hashes: Finding::new("hash chains are unbroken", "entries"),
            texts: Finding::new("texts are as they were written, or erased", "entries"),
            erased: Finding::new("erased texts are of people whose erasure is on record", "erased texts"),
            on_record: HashSet::new(),
            journal: Finding::new("every entry is in the journal", "entries"),
            heads: Finding::new("accounts agree with their last entry", "accounts"),
            dates: Finding::remark("no account books ahead of the clock", "accounts"),
            latest: now.plus(clock::TOLERANCE),
        }
    }

    fn visit(&mut self, found: &EntryInContext) {
        let entry = &found.entry;
        let is_same_account =
            self.previous.as_ref().is_some_and(|previous| previous.entry.account_number == entry.account_number);
        if !is_same_account {
            self.finish_account();
        }
        let previous = self.previous.as_ref().map(|previous| &previous.entry);
        let (sequence, balance, hash) =
            previous.map_or((0, 0, GENESIS_HASH), |entry| (entry.sequence, entry.balance, entry.hash));
        for finding in [&mut self.sequences, &mut self.balances, &mut self.hashes, &mut self.texts, &mut self.journal] {
            finding.counted += 1;
        }
        if entry.sequence != sequence + 1 || previous.is_some_and(|previous| previous.created_at > entry.created_at) {
            self.sequences.blame(name(entry));
        }
        if balance.checked_add(entry.amount) != Some(entry.balance) {
            self.balances.blame(name(entry));
        }
        let other_side = if entry.amount < 0 { found.credit_account } else { found.debit_account };
        if other_side.is_none_or(|other_side| entry_hash(&hash, entry, other_side) != entry.hash) {
            self.hashes.blame(name(entry));
        }
        match entry.texts.integrity() {
            Integrity::Intact => {}
            Integrity::Erased if found.is_acted_on() => {
                self.erased.counted += 1;
                if found.erased_of.is_none_or(|owner| !self.on_record.contains(&owner)) {
                    self.erased.blame(name(entry));
                }
            }
            Integrity::Erased => {}
            Integrity::Forged => self.texts.blame(name(entry)),
        }
        if !agrees_with_journal(found) {
            self.journal.blame(name(entry));
        }
        self.previous = Some(found.clone());
    }

    /// The previous entry was the account's last: the account's row must say the same.
    fn finish_account(&mut self) {
        let Some(last) = self.previous.take() else { return };
        let entry = &last.entry;
        let agrees = last.account_balance == Some(entry.balance)
            && last.account_sequence == Some(entry.sequence)
            && last.account_head_hash.as_deref() == Some(&entry.hash[..])
            && last.account_last_entry_at == Some(entry.created_at)
            && last.account_currency.as_deref() == Some(entry.currency.code());
        if !agrees {
            self.heads.blame(format_args!("account {}", entry.account_number));
        }
        self.dates.counted += 1;
        if entry.created_at > self.latest {
            self.dates.blame(format_args!("account {}, last entry {}", entry.account_number, entry.created_at));
        }
    }
}

fn agrees_with_journal(found: &EntryInContext) -> bool {
    let entry = &found.entry;
    let (account, sequence) = if entry.amount < 0 {
        (found.debit_account, found.debit_sequence)
    } else {
        (found.credit_account, found.credit_sequence)
    };
    account == Some(entry.account_number)
        && sequence == Some(entry.sequence)
        && found.journal_amount == entry.amount.checked_abs()
        && found.journal_type == Some(entry.movement_type)
        && found.journal_created_at == Some(entry.created_at)
        && found.account_currency.as_deref().is_none_or(|currency| currency == entry.currency.code())
}

fn name(entry: &Entry) -> String {
    format!("account {} entry {}", entry.account_number, entry.sequence)
}
