//! Facts that the books hold in several places, which must agree.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::{BankAccount, BankAccountKind, OpenedBankAccount};
use coffer_core::books::tags::Tag;
use coffer_core::db::{Layout, Tx};
use coffer_core::money::{Currency, MoneySum};
use coffer_core::sum_of_rows::SumOfRows;
use coffer_core::timestamp::Timestamp;

pub(super) async fn overdrafts(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("no balance is below its overdraft", "accounts").among(tx.count_accounts().await?);
    tx.visit_accounts_below_limit(|number: AccountNumber| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

pub(super) async fn owners(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::new("every open account has an active owner", "accounts").among(tx.count_accounts().await?);
    tx.visit_ownerless_accounts(|number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// Customers' balances and the bank's own must cancel out, in each currency; and each of the bank's own must be one that
/// was opened.
pub(super) async fn sums(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
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

pub(super) async fn keys(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("every idempotency key names a transaction, an approval or a hold", "keys")
        .among(tx.count_keys().await?);
    tx.visit_keys_without_transaction(layout, |id| finding.blame(format_args!("transaction {id}"))).await?;
    Ok(finding)
}

pub(super) async fn key_index(tx: &mut Tx<'_>) -> sqlx::Result<Option<Finding>> {
    let mut finding = Finding::new("every idempotency key is there once and can be found", "keys");
    let visited = tx.visit_keys_out_of_index(|id| finding.blame(format_args!("key of transaction {id}"))).await?;
    let Some(()) = visited else { return Ok(None) };
    finding.counted = tx.count_keys().await? as u64;
    Ok(Some(finding))
}

/// Approved movements must be in the journal as requested, and nothing else may be there under an approval's id.
pub(super) async fn approvals(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what was approved is booked, and nothing that was not", "approvals")
        .among(tx.count_approvals().await?);
    tx.visit_approvals_at_odds_with_journal(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// A movement is reversed whole, and once.
pub(super) async fn reversals(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::new("every reversal mirrors the movement it names", "reversals").among(tx.count_reversals().await?);
    tx.visit_movements_badly_reversed(|id| finding.blame(format_args!("transaction {id}"))).await?;
    Ok(finding)
}

/// Captured holds must be in the journal as they were created, and nothing else may be there under a hold's id.
pub(super) async fn holds(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what was captured is booked as it was held, and nothing that was not", "holds")
        .among(tx.count_holds().await?);
    tx.visit_holds_at_odds_with_journal(|id| finding.blame(format_args!("hold {id}"))).await?;
    Ok(finding)
}

/// Holds and pending approvals must find their money.
pub(super) async fn reservations(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what is held is still there", "accounts").among(tx.count_accounts().await?);
    let now = Timestamp::now();
    tx.visit_accounts_without_what_is_reserved(now, |number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// The counters of an account's limits must equal the sum of what has left the account.
pub(super) async fn counters(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("what is used of limits is what has left the account", "accounts")
        .among(tx.count_account_limits().await?);
    tx.visit_wrong_counters(|number| finding.blame(format_args!("account {number}"))).await?;
    Ok(finding)
}

/// Each of a movement's requester, and each found by the account that was acted on, once it is posted.
pub(super) async fn tags(tx: &mut Tx<'_>, layout: Layout) -> sqlx::Result<[Finding; 2]> {
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
