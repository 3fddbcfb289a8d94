//! The audit log, and what must be as it says: its records are chained, so that nobody can change one unseen.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::Finding;
use coffer_core::books::account::GENESIS_HASH;
use coffer_core::books::account_limits::Limits;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::Tx;
use coffer_core::db::audit::record_hash;
use coffer_core::db::users::Role;
use coffer_core::db::verify::account_limits::LimitsInContext;
use coffer_core::sum_of_rows::SumOfRows;

/// One walk over every record of the audit log.
pub(super) async fn chain(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
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

/// Compares roles and freezes with the audit log, whose records nobody can change unseen. A user without a record must be a
/// customer, and nothing without a record may be frozen.
pub(super) async fn standings(tx: &mut Tx<'_>) -> sqlx::Result<[Finding; 2]> {
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
pub(super) async fn openings(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
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
pub(super) async fn account_limits(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
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

/// A large overdraft is set when two agree, neither of whom owns the account.
pub(super) async fn limit_changes(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("changes of limits were approved by a second person", "changes")
        .among(tx.count_limit_changes().await?);
    tx.visit_limit_changes_by_one_person(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// A role or a second factor changes when two admins agree, neither of whom it is about.
pub(super) async fn access_changes(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("changes of access were approved by a second admin", "changes")
        .among(tx.count_access_changes().await?);
    tx.visit_access_changes_by_one_person(|id| finding.blame(format_args!("approval {id}"))).await?;
    Ok(finding)
}

/// Each that counts is as the audit log says that it was created, and was not revoked.
pub(super) async fn api_keys(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
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

/// The audit log has a record of each erasure and of no other, and nothing is left that was to be erased.
pub(super) async fn erasures(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
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
