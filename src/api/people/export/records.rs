//! What the audit log has about somebody, without what it says of others.

use serde::Serialize;

use super::files::{Page, Person, Place, row};
use crate::api::http::error::Result;
use coffer_core::books::audit_event::Action;
use coffer_core::db::audit::AuditRecord;
use coffer_core::db::audit_search::AuditFilter;
use coffer_core::timestamp::Timestamp;

/// Records in one read.
const PAGE: i64 = 500;

/// What somebody does for themselves without a word about whom or which account: of the rest, those who work here do much for
/// others.
const OF_ONESELF: [Action; 3] = [Action::Login, Action::SessionEnded, Action::AccessDenied];

/// A record as the person sees it whom it is about. Who looks up a log of who looked something up is told when and what, and not
/// which of the staff it was (Court of Justice of the EU, C-579/21).
#[derive(Debug, Serialize)]
struct RecordBody<'r> {
    created_at: Timestamp,
    action: &'r str,
    /// "you", "the bank", or null when nobody was signed in.
    by: Option<&'static str>,
    subject: Option<&'r str>,
    address: Option<&'r str>,
    request_id: Option<&'r str>,
    client_request_id: Option<&'r str>,
    detail: Option<&'r str>,
}

/// First the records that the person has made or that are about them, then those that are about one of their accounts alone; the
/// newest first in each.
pub async fn read(person: &Person, place: Place) -> Result<Page> {
    let filter = match place.account.checked_sub(1).and_then(|index| person.accounts.get(index)) {
        None => AuditFilter { user_id: Some(person.user.id), ..AuditFilter::default() },
        Some(account) => AuditFilter { account_number: Some(account.account_number), ..AuditFilter::default() },
    };
    let found = person.app.db.find_audit_records(&filter, place.position, PAGE).await?;
    let wanted = found.records.iter().filter(|record| match filter.account_number {
        None => is_about(person, record),
        // The others were among those before.
        Some(number) => !has_been(person, record, &number.to_string()),
    });
    let rows = wanted.map(|record| row(&body(person, record))).collect::<Result<Vec<_>>>()?;
    let next = match found.next {
        Some(position) => Some(Place { position: Some(position), ..place }),
        None => {
            let account = place.account + 1;
            (account <= person.accounts.len()).then_some(Place { account, position: None, ..place })
        }
    };
    Ok(Page { rows, next })
}

/// Whether a record that the person made, or that names them, is about them.
fn is_about(person: &Person, record: &AuditRecord) -> bool {
    let id = person.user.id.to_string();
    let names_me = |key: &&str| **key == id || person.has_account(key);
    let names_nobody = || concerns_of_others(person, record).next().is_none();
    let is_of_oneself = || OF_ONESELF.iter().any(|action| action.name() == record.action);
    record.keys().iter().any(names_me) || (is_of_oneself() && names_nobody())
}

/// Whether a record about this account was among those about the person, or about an account before it.
fn has_been(person: &Person, record: &AuditRecord, number: &str) -> bool {
    let id = person.user.id.to_string();
    record.actor_id == Some(person.user.id)
        || record.keys().iter().any(|key| *key == id || (*key < number && person.has_account(key)))
}

/// Whom and which accounts it is about that are not the person's.
fn concerns_of_others<'r>(person: &'r Person, record: &'r AuditRecord) -> impl Iterator<Item = &'r str> {
    let is_mine = |word: &str| {
        let id = word.parse().ok();
        id == Some(person.user.id) || id.is_some_and(|id| person.api_keys.contains(&id)) || person.has_account(word)
    };
    record.concerns.words().filter(move |word| !is_mine(word))
}

fn body<'r>(person: &Person, record: &'r AuditRecord) -> RecordBody<'r> {
    let is_mine = record.actor_id == Some(person.user.id);
    let is_of_bank = record.actor_id.is_some() && !is_mine;
    let is_about_others = concerns_of_others(person, record).next().is_some();
    let unless = |hidden: bool, text: &'r Option<String>| text.as_deref().filter(|_| !hidden);
    RecordBody {
        created_at: record.created_at,
        action: &record.action,
        by: record.actor_id.map(|_| if is_mine { "you" } else { "the bank" }),
        subject: unless(is_about_others, &record.subject),
        address: unless(is_of_bank, &record.address),
        request_id: record.request_id.as_deref(),
        client_request_id: unless(is_of_bank, &record.client_request_id),
        detail: unless(is_about_others, &record.detail),
    }
}
