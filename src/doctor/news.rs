//! Events, webhooks and mail, by which people and programs hear of changes in the books.

use std::time::Duration;

use super::Finding;
use coffer_core::db::Tx;
use coffer_core::timestamp::Timestamp;

/// A mail server that was away for less is nothing to tell of.
const LONG_FOR_A_MAIL: Duration = Duration::from_secs(60 * 60);

/// Each that tells of a movement has it in the account's history, and none stands behind the last place.
pub(super) async fn events(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("events tell of what is in the books, each in its place", "events")
        .among(tx.count_events().await?);
    tx.visit_events_of_nothing(|id| finding.blame(format_args!("event {id}"))).await?;
    Ok(finding)
}

/// Each has a secret that signs now, and got no deliveries of events that there are not.
pub(super) async fn webhooks(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding = Finding::new("webhooks have their secrets, and are not ahead of the events", "webhooks")
        .among(tx.count_webhooks().await?);
    tx.visit_wrong_webhooks(|id| finding.blame(format_args!("webhook {id}"))).await?;
    Ok(finding)
}

/// Mail is sent within seconds. What has waited for long tells of a mail server that refuses it, or of a bank that has none any
/// more; the books are right all the same.
pub(super) async fn mails(tx: &mut Tx<'_>) -> sqlx::Result<Finding> {
    let mut finding =
        Finding::remark("no mail waits for more than an hour", "mails").among(tx.count_waiting_mails().await?);
    tx.visit_mails_older_than(Timestamp::now().minus(LONG_FOR_A_MAIL), |(id, kind, attempts)| {
        finding.blame(format_args!("mail {id} ({kind}), tried {attempts} times"));
    })
    .await?;
    Ok(finding)
}
