//! `coffer doctor`: walks the whole books and proves that they are right, or names the first rows that are not.
//!
//! It reads one snapshot and writes nothing, so it may run beside the server.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::time::Duration;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::webhooks::secret as webhook_secret;
use coffer_core::account_number::AccountNumber;
use coffer_core::auth::factor_keys::FactorKeys;
use coffer_core::auth::second_factor;
use coffer_core::bank_account::{BankAccount, BankAccountKind, OpenedBankAccount};
use coffer_core::books::account::GENESIS_HASH;
use coffer_core::books::account_limits::Limits;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::chain::entry_hash;
use coffer_core::books::entry::Entry;
use coffer_core::books::tags::Tag;
use coffer_core::books::texts::Integrity;
use coffer_core::clock;
use coffer_core::db::audit::record_hash;
use coffer_core::db::heads::Head;
use coffer_core::db::second_factors::StoredSecret;
use coffer_core::db::serving::LogOfFile;
use coffer_core::db::users::Role;
use coffer_core::db::verify::EntryInContext;
use coffer_core::db::verify::account_limits::LimitsInContext;
use coffer_core::db::webhooks::StoredWebhookSecret;
use coffer_core::db::{Db, Layout, Tx};
use coffer_core::money::{Currency, MoneySum};
use coffer_core::timestamp::Timestamp;

/// How many bad rows a check names; it counts all of them.
const MAX_NAMED: usize = 5;
/// A mail server that was away for less is nothing to tell of.
const LONG_FOR_A_MAIL: Duration = Duration::from_secs(60 * 60);

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
    if let Some(finding) = file(&mut tx).await? {
        note(finding);
    }
    if let Some(finding) = durability(db).await? {
        note(finding);
    }
    let layout = db.layout();
    if let Some(finding) = schema(&mut tx, layout).await? {
        note(finding);
    }
    let histories = entries(&mut tx, layout).await?;
    note(journal(&mut tx, layout, histories.in_journal).await?);
    for finding in histories.findings {
        note(finding);
    }
    note(limits(&mut tx).await?);
    note(owners(&mut tx).await?);
    for finding in books(&mut tx).await? {
        note(finding);
    }
    note(keys(&mut tx, layout).await?);
    if let Some(finding) = key_index(&mut tx).await? {
        note(finding);
    }
    note(approvals(&mut tx).await?);
    note(reversals(&mut tx).await?);
    note(holds(&mut tx).await?);
    note(reservations(&mut tx).await?);
    for finding in tags(&mut tx, layout).await? {
        note(finding);
    }
    note(erasures(&mut tx).await?);
    note(access_changes(&mut tx).await?);
    for finding in standings(&mut tx).await? {
        note(finding);
    }
    if layout == Layout::OneMachine {
        note(openings(&mut tx).await?);
    }
    note(account_limits(&mut tx).await?);
    note(counters(&mut tx).await?);
    note(limit_changes(&mut tx).await?);
    note(api_keys(&mut tx).await?);
    note(events(&mut tx).await?);
    note(webhooks(&mut tx).await?);
    note(mails(&mut tx).await?);
    for finding in audit_log(&mut tx).await? {
        note(finding);
    }
    Ok(all_good)
}

/// Why a file without its log is no good, and what to do.
const WITHOUT_LOG: &str = "it was copied or left without the log that a server wrote beside it, and what was booked after the last checkpoint is \
     not in it. Take a backup instead (coffer backup). If it has the newest head of that bank, nothing is missing: name it (--since)";

/// Why nobody can say of a file whether its log is missing, and what to do.
pub const PERHAPS_WITHOUT_LOG: &str = "whether the log is missing cannot be told, because another program made the checkpoints (COFFER_CHECKPOINTS=external). \
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

/// Refuses to take the books from a SQLite file without its log, which nobody would know of their copy.
pub fn refuse_without_log(bank: &Db) -> sqlx::Result<Result<(), String>> {
    let Some(file) = bank.file() else { return Ok(Ok(())) };
    Ok(match LogOfFile::of(file)? {
        LogOfFile::Missing => Err(format!("{}: {WITHOUT_LOG}", file.display())),
        LogOfFile::Whole | LogOfFile::Unknown => Ok(()),
    })
}

/// What the doctor finds wrong in the books.
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

async fn file(tx: &mut Tx<'_>) -> sqlx::Result<Option<Finding>> {
    let Some(damage) = tx.file_damage().await? else { return Ok(None) };
    let mut finding = Finding { counted: 1, ..Finding::new("the database file is sound", "file") };
    for line in damage {
        finding.blame(line);
    }
    Ok(Some(finding))
}

/// Nothing about the books of today, but about those of tomorrow.
async fn durability(db: &Db) -> sqlx::Result<Option<Finding>> {
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
async fn schema(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Option<Finding>> {
    let Some(found) = tx.schema_findings(layout).await? else { return Ok(None) };
    let mut finding = Finding::new("triggers and indexes are those that the migrations make", "of them");
    finding.counted = found.counted;
    found.wrong.iter().for_each(|wrong| finding.blame(wrong));
    Ok(Some(finding))
}

async fn journal(tx: &mut Tx<'_>, layout: Layout, entries_in_journal: u64) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("every transaction has its two sides", "transactions");
    finding.counted = tx.count_transactions().await? as u64;
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

/// What a walk over the histories of all accounts has found.
struct Histories {
    findings: Vec<Finding>,
    /// Entries that agree with the side of the journal that names them.
    in_journal: u64,
}

/// One walk over every entry of every account.
async fn entries(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Histories> {
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

/// Each of a movement's requester, and each found by the account that was acted on, once it is posted.
async fn tags(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<[Finding; 2]> {
    let mut owned =
        Finding::new("references, groups and metadata belong to movements, and each reference to one", "movements");
    let mut found_by = Finding::new("movements are found by reference, group and metadata", "entries");
    let (mut expected, mut found) = (SumOfRows::default(), SumOfRows::default());
    tx.visit_tags(layout, |it| {
        owned.counted += 1;
        if it.owned_by != Some(it.requested_by) {
            owned.blame(format_args!("movement {}", it.id));
        }
        let (Some(account), Some(sequence)) = (it.account_number, it.sequence) else { return };
        for Tag { key, value } in it.tags.each() {
            expected.add(&(account, sequence, it.id, key, value));
        }
    })
    .await?;
    tx.visit_references_taken_twice(|id| owned.blame(format_args!("movement {id}"))).await?;
    tx.visit_tagged_entries(|it| {
        found_by.counted += 1;
        found.add(&(it.account_number, it.sequence, it.transaction_id, it.key, it.value));
    })
    .await?;
    // While somebody's texts are being erased, the two go one after the other.
    if expected != found && !tx.is_erasure_under_way().await? {
        found_by.blame("some are missing, too many or wrong");
    }
    Ok([owned, found_by])
}

/// One walk over every record of the audit log.
/// Each that tells of a movement has it in the account's history, and none stands behind the last place.
async fn events(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("events tell of what is in the books, each in its place", "events");
    finding.counted = tx.count_events().await? as u64;
    tx.visit_events_of_nothing(|id| finding.blame(format_args!("event {id}"))).await?;
    Ok(finding)
}

/// Each has a secret that signs now, and got no deliveries of events that there are not.
async fn webhooks(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("webhooks have their secrets, and are not ahead of the events", "webhooks");
    finding.counted = tx.count_webhooks().await? as u64;
    tx.visit_wrong_webhooks(|id| finding.blame(format_args!("webhook {id}"))).await?;
    Ok(finding)
}

/// Each that counts is as the audit log says that it was created, and was not revoked.
async fn api_keys(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("API keys that count are what the audit log says of them", "API keys");
    let mut unrevoked = BTreeMap::new();
    tx.visit_unrevoked_api_keys(|key| {
        finding.counted += 1;
        let record = Event::at(Action::ApiKeyCreated, key.created_at).detail(key.in_words());
        unrevoked.insert(key.id.to_string(), record.detail);
    })
    .await?;
    let mut created = BTreeSet::new();
    tx.visit_records_of_api_keys(|record| {
        let Some(id) = record.subject else { return };
        if record.is_revocation {
            created.remove(&id);
        } else if unrevoked.get(&id) == Some(&record.detail) {
            created.insert(id);
        }
    })
    .await?;
    unrevoked.keys().filter(|id| !created.contains(*id)).for_each(|id| finding.blame(format_args!("API key {id}")));
    Ok(finding)
}

async fn audit_log(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
    let mut finding = Finding::new("the audit log has no gap and its hash chain is unbroken", "records");
    let mut keys = Finding::new("records of the audit log are found by what they are about", "keys");
    let (mut expected, mut found) = (SumOfRows::default(), SumOfRows::default());
    let (mut sequence, mut hash) = (0, GENESIS_HASH);
    tx.visit_audit_records(|record| {
        finding.counted += 1;
        for key in record.keys() {
            expected.add(&(record.sequence, record.created_at.as_micros(), key));
        }
        sequence += 1;
        if record.sequence != sequence || record.hash != record_hash(&hash, &record) {
            finding.blame(format_args!("record {}", record.sequence));
        }
        (sequence, hash) = (record.sequence, record.hash);
    })
    .await?;
    if tx.audit_head().await? != (sequence, hash) {
        finding.blame(format_args!("the end, after record {sequence}"));
    }
    tx.visit_audit_concerns(|key| {
        keys.counted += 1;
        found.add(&(key.sequence, key.created_at.as_micros(), key.concern.as_str()));
    })
    .await?;
    if expected != found {
        keys.blame("some are missing, too many or wrong");
    }
    Ok([finding, keys])
}

/// A sum over hashes of rows, in any order: two tables of any length have the same rows if they have the same sum.
#[derive(Debug, Default, PartialEq, Eq)]
struct SumOfRows {
    rows: u64,
    hashes: [u128; 2],
}

impl SumOfRows {
    fn add(&mut self, row: &impl std::fmt::Debug) {
        self.rows += 1;
        let hash: [u8; 32] = Sha256::digest(format!("{row:?}")).into();
        for (sum, half) in self.hashes.iter_mut().zip(hash.chunks_exact(16)) {
            let half = half.first_chunk().copied().map(u128::from_be_bytes).unwrap_or_default();
            *sum = sum.wrapping_add(half);
        }
    }
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

async fn limits(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("no balance is below its overdraft", "accounts");
    finding.counted = tx.count_accounts().await? as u64;
    tx.visit_accounts_below_limit(|number: AccountNumber| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

async fn owners(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("every open account has an active owner", "accounts");
    finding.counted = tx.count_accounts().await? as u64;
    tx.visit_ownerless_accounts(|number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// Customers' balances and the bank's own must cancel out, in each currency; and each of the bank's own must be one that
/// was opened.
async fn books(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
    let mut sums = Finding::new("the books sum to zero in every currency", "currencies");
    let opened = tx.bank_accounts().await?;
    let mut own = bank_accounts(tx, &opened).await?;
    for (code, balance) in tx.trial_balance(Timestamp::MAX).await? {
        sums.counted += 1;
        let currency = Currency::from_code(&code);
        match (balance.sum(), currency) {
            (0, _) => {}
            (sum, Some(currency)) => sums.blame(format_args!("off by {} {code}", MoneySum::new(sum, currency))),
            (sum, None) => sums.blame(format_args!("off by {sum} minor units of {code}")),
        }
        let number_of = |opened: &OpenedBankAccount| Some(AccountNumber::of_bank(opened.account.id, currency?));
        for number in balance.of_bank.into_keys() {
            if !opened.iter().any(|opened| number_of(opened) == Some(number)) {
                own.blame(format_args!("account {number} of the journal, {code}"));
            }
        }
    }
    Ok([sums, own])
}

/// The audit log, whose records nobody can change unseen, says which accounts of the bank's own were opened, in the order of
/// their ids.
async fn bank_accounts(tx: &mut Tx<'_>, opened: &[OpenedBankAccount]) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::new("the bank's own accounts are as the audit log says that they were opened", "accounts");
    finding.counted = opened.len() as u64;
    let cash = BankAccount::CASH.code.to_string();
    let mut recorded = vec![(cash, OpenedBankAccount::in_words("Cash", BankAccountKind::Asset), None)];
    tx.visit_records_of_bank_accounts(|record| {
        recorded.push((record.subject.unwrap_or_default(), record.detail.unwrap_or_default(), record.actor_id));
    })
    .await?;
    let recorded: BTreeMap<_, _> = (0..).zip(recorded).collect();
    let as_recorded = |opened: &OpenedBankAccount| {
        let words = OpenedBankAccount::in_words(&opened.name, opened.kind);
        (opened.account.id.as_i16(), (opened.account.code.to_string(), words, opened.opened_by))
    };
    let stored: BTreeMap<_, _> = opened.iter().map(as_recorded).collect();
    for id in recorded.keys().chain(stored.keys()).collect::<BTreeSet<_>>() {
        let (recorded, stored) = (recorded.get(id), stored.get(id));
        if recorded != stored {
            let code = stored.or(recorded).map(|(code, ..)| code.as_str()).unwrap_or_default();
            finding.blame(format_args!("account {code}"));
        }
    }
    Ok(finding)
}

async fn keys(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("every idempotency key names a transaction, an approval or a hold", "keys");
    finding.counted = tx.count_keys().await? as u64;
    tx.visit_keys_without_transaction(layout, |id| finding.blame(format_args!("transaction {id}"))).await?;
    Ok(finding)
}

async fn key_index(tx: &mut Tx<'_>) -> sqlx::Result<Option<Finding>> {
    let mut finding = Finding::new("every idempotency key is there once and can be found", "keys");
    let visited = tx.visit_keys_out_of_index(|id| finding.blame(format_args!("key of transaction {id}"))).await?;
    let Some(()) = visited else { return Ok(None) };
    finding.counted = tx.count_keys().await? as u64;
    Ok(Some(finding))
}

/// Approved movements must be in the journal as requested, and nothing else may be there under an approval's id.
async fn approvals(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what was approved is booked, and nothing that was not", "approvals");
    finding.counted = tx.count_approvals().await? as u64;
    tx.visit_approvals_at_odds_with_journal(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// Captured holds must be in the journal as they were created, and nothing else may be there under a hold's id.
async fn holds(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what was captured is booked as it was held, and nothing that was not", "holds");
    finding.counted = tx.count_holds().await? as u64;
    tx.visit_holds_at_odds_with_journal(|id| finding.blame(format_args!("hold {id}"))).await?;
    Ok(finding)
}

/// Holds and pending approvals must find their money.
async fn reservations(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what is held is still there", "accounts");
    finding.counted = tx.count_accounts().await? as u64;
    let now = Timestamp::now();
    tx.visit_accounts_without_what_is_reserved(now, |number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// Whoever was erased is so by the audit log, and the other way round; and what should be gone is gone.
async fn erasures(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::new("of people who were erased nothing is left but what the books need", "erased people");
    let (mut on_record, mut erased) = (BTreeSet::new(), BTreeSet::new());
    tx.visit_records_of_erasures(|subject| on_record.extend(subject.parse::<Uuid>())).await?;
    tx.visit_erased_users(|id| {
        erased.insert(id);
    })
    .await?;
    finding.counted = erased.len() as u64;
    on_record.symmetric_difference(&erased).for_each(|id| finding.blame(format_args!("user {id}")));
    tx.visit_badly_erased_users(|id| finding.blame(format_args!("user {id}"))).await?;
    Ok(finding)
}

/// A role or a second factor changes when two admins agree, neither of whom it is about.
async fn access_changes(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("changes of access were approved by a second admin", "changes");
    finding.counted = tx.count_access_changes().await? as u64;
    tx.visit_access_changes_by_one_person(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// Mail is sent within seconds. What has waited for long tells of a mail server that refuses it, or of a bank that has none any
/// more; the books are right all the same.
async fn mails(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::remark("no mail waits for more than an hour", "mails");
    finding.counted = tx.count_waiting_mails().await? as u64;
    tx.visit_mails_older_than(Timestamp::now().minus(LONG_FOR_A_MAIL), |(id, kind, attempts)| {
        finding.blame(format_args!("mail {id} ({kind}), tried {attempts} times"));
    })
    .await?;
    Ok(finding)
}

/// Compares roles and freezes with the audit log, whose records nobody can change unseen. A user without a record must be a
/// customer, and nothing without a record may be frozen.
async fn standings(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
    let mut roles = Finding::new("roles are as the audit log says that they were given", "users");
    let mut frozen = Finding::new("users and accounts are frozen as the audit log says", "users and accounts");
    let (mut given, mut on_record) = (BTreeMap::new(), BTreeSet::new());
    tx.visit_records_of_standings(|record| {
        let subject = record.subject.unwrap_or_default();
        let detail = record.detail.unwrap_or_default();
        match record.action.as_str() {
            "admin_created" => drop(given.insert(subject, Role::Admin.name().to_owned())),
            "service_user_created" => drop(given.insert(subject, detail)),
            // "customer to staff".
            "role_changed" => drop(given.insert(subject, detail.rsplit(' ').next().unwrap_or_default().to_owned())),
            "user_frozen" | "account_frozen" => drop(on_record.insert(subject)),
            _ => drop(on_record.remove(&subject)),
        }
    })
    .await?;
    let customer = Role::Customer.name();
    given.retain(|_, role| role != customer);
    tx.visit_standings(|user| {
        let id = user.id.to_string();
        if given.remove(&id).unwrap_or_else(|| customer.to_owned()) != user.role {
            roles.blame(format_args!("user {id}"));
        }
        if user.is_frozen && !on_record.remove(&id) {
            frozen.blame(format_args!("user {id}"));
        }
    })
    .await?;
    tx.visit_frozen_accounts(|number| {
        if !on_record.remove(&number.to_string()) {
            frozen.blame(format_args!("account {number}"));
        }
    })
    .await?;
    given.into_keys().for_each(|id| roles.blame(format_args!("user {id}")));
    on_record.into_iter().for_each(|subject| frozen.blame(subject));
    let users = tx.count_users().await? as u64;
    roles.counted = users;
    frozen.counted = users + tx.count_accounts().await? as u64;
    Ok([roles, frozen])
}

/// An account never has another owner than the one for whom it was opened.
async fn openings(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("accounts have the owners for whom the audit log has them opened", "accounts");
    tx.visit_opened_accounts(|opened| {
        finding.counted += 1;
        let is_about = |owner: &Uuid| opened.concerns.split(' ').any(|concern| concern == owner.to_string());
        if !opened.owner_id.as_ref().is_some_and(is_about) {
            finding.blame(format_args!("account {}", opened.account_number));
        }
    })
    .await?;
    Ok(finding)
}

/// The audit log, whose records nobody can change unseen, says what limits were set last.
async fn account_limits(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("limits of accounts are as the audit log says that they were set", "accounts");
    tx.visit_accounts_at_odds_with_limits(|number| finding.blame(format_args!("account {number}"))).await?;
    let mut set: BTreeMap<(String, String), String> = BTreeMap::new();
    tx.visit_records_of_limits(|record| {
        let key = (record.subject.unwrap_or_default(), record.action);
        set.insert(key, record.detail.unwrap_or_default());
    })
    .await?;
    tx.visit_account_limits(|found| {
        finding.counted += 1;
        let LimitsInContext { limits, currency, overdraft_limit } = found;
        let number = limits.account_number.to_string();
        let bank = set.remove(&(number.clone(), Action::LimitsSet.name().to_owned()));
        let own = set.remove(&(number, Action::OwnLimitsSet.name().to_owned()));
        let nothing = Limits::default();
        let is_recorded = bank.is_some() || own.is_some();
        let bank = bank.unwrap_or_else(|| nothing.of_bank_in_words(0, currency));
        let own = own.unwrap_or_else(|| nothing.in_words(currency));
        if !is_recorded
            || bank != limits.bank.of_bank_in_words(overdraft_limit, currency)
            || own != limits.own_in_words(currency)
        {
            finding.blame(format_args!("account {}", limits.account_number));
        }
    })
    .await?;
    set.into_keys().for_each(|(number, _)| finding.blame(format_args!("account {number}")));
    Ok(finding)
}

/// What has left an account is counted along, and must be the sum of what has left it.
async fn counters(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what is used of limits is what has left the account", "accounts");
    finding.counted = tx.count_account_limits().await? as u64;
    tx.visit_wrong_counters(|number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// A large overdraft is set when two agree, neither of whom owns the account.
async fn limit_changes(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("changes of limits were approved by a second person", "changes");
    finding.counted = tx.count_limit_changes().await? as u64;
    tx.visit_limit_changes_by_one_person(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// A movement is reversed whole, and once.
async fn reversals(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("every reversal mirrors the movement it names", "reversals");
    finding.counted = tx.count_reversals().await? as u64;
    tx.visit_movements_badly_reversed(|id| finding.blame(format_args!("transaction {id}"))).await?;
    Ok(finding)
}
