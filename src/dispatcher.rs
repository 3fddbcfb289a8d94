//! Sends events to webhooks: each once, whichever instance does it, and again after a crash in between.
//!
//! A delivery is a row in the database. It is made from the log of events, taken by one instance for as long as sending may
//! take, and tried until it succeeds, the receiver says that it is gone, or [`schedule`] ends. Nobody who moves money waits
//! for a receiver.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::task::{JoinError, JoinSet};
use uuid::Uuid;

use crate::api::App;
use crate::api::money::events;
use crate::api::people::webhooks;
use crate::webhooks::destinations::WebhookUrl;
use crate::webhooks::schedule;
use crate::webhooks::sender::{Message, Outcome, TIMEOUT};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::db::bank_events::StoredEvent;
use coffer_core::db::webhook_deliveries::{AttemptResult, ClaimedDelivery, DeliveryStatus};
use coffer_core::db::webhooks::DisabledBecause;
use coffer_core::db::{Tx, errors};
use coffer_core::timestamp::Timestamp;

/// What other instances have written, and what is due again, is noticed after this long and one query.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two looks, however much happens.
const PAUSE: Duration = Duration::from_millis(20);
/// Events of which deliveries to one webhook are made at once: a millisecond or two of the database's time.
const FED_AT_ONCE: i64 = 100;
/// Messages under way to one webhook. A slow receiver keeps nobody else waiting.
const UNDER_WAY: usize = 16;
/// Nobody else tries a delivery for so long after it was taken: sending and writing down what came of it.
const LEASE: Duration = Duration::from_secs(60);
const _: () = assert!(LEASE.as_secs() > 2 * TIMEOUT.as_secs());
/// What the bank itself could not do is tried again after this long.
const OWN_FAILURE_PAUSE: Duration = Duration::from_secs(60);
/// When the bank closes, messages that are under way have so long to end.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

pub struct Dispatcher {
    app: App,
    /// Each with its webhook; without a result when the sending has panicked.
    sending: JoinSet<(Uuid, Option<AttemptResult>)>,
    /// How many messages are under way to each webhook.
    under_way: HashMap<Uuid, usize>,
    /// What came of messages, and is not written down yet.
    results: Vec<AttemptResult>,
}

impl Dispatcher {
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), sending: JoinSet::new(), under_way: HashMap::new(), results: Vec::new() }
    }

    /// Sends until the bank closes. What fails is logged and tried again. In a drill it leaves everything as it is.
    pub async fn run(mut self) {
        if self.app.webhook_sender.is_drill() {
            return;
        }
        let watches = self.app.watches.clone();
        let mut closing = Box::pin(watches.closing());
        let mut written = self.app.listening.written();
        loop {
            let has_more = self.look_once().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "webhooks will be looked at again");
                false
            });
            tokio::select! {
                () = &mut closing => break,
                () = tokio::time::sleep(PAUSE) => {}
            }
            if has_more {
                continue;
            }
            tokio::select! {
                () = &mut closing => break,
                _ = tokio::time::timeout(LOOK_EVERY, written.changed()) => {}
                Some(result) = self.sending.join_next() => self.ended(result),
            }
        }
        self.finish().await;
    }

    /// Writes down what came of messages, makes deliveries of new events, and takes some to send. Whether there is more to do
    /// at once.
    async fn look_once(&mut self) -> sqlx::Result<bool> {
        while let Some(result) = self.sending.try_join_next() {
            self.ended(result);
        }
        self.write_results().await?;
        let now = Timestamp::now();
        let work = self.app.db.webhook_work(now).await?;
        if work.is_empty() {
            return Ok(false);
        }
        let mut tx = self.app.db.begin().await?;
        let mut has_more = false;
        let mut claimed = Vec::new();
        for webhook in &work {
            has_more |= tx.feed_webhook(webhook, FED_AT_ONCE, now).await?;
            has_more |= tx.feed_replay(webhook, FED_AT_ONCE, now).await?;
            let free = UNDER_WAY.saturating_sub(self.under_way.get(&webhook.id).copied().unwrap_or_default());
            if free > 0 {
                claimed.push((webhook, tx.claim_deliveries(webhook.id, free as i64, now, now.plus(LEASE)).await?));
            }
        }
        tx.commit().await?;
        for (webhook, claimed) in claimed {
            *self.under_way.entry(webhook.id).or_default() += claimed.len();
            for claimed in claimed {
                let (attempt, webhook_id) = (attempt(self.app.clone(), webhook.id, claimed), webhook.id);
                self.sending.spawn(async move { (webhook_id, AssertUnwindSafe(attempt).catch_unwind().await.ok()) });
            }
        }
        Ok(has_more)
    }

    /// They are kept until this is committed, so that nothing is sent twice because the database was away for a moment.
    async fn write_results(&mut self) -> sqlx::Result<()> {
        if self.results.is_empty() {
            return Ok(());
        }
        // Every instance goes through the webhooks in the order of their ids, so that none waits for another in a circle.
        self.results.sort_by_key(|result| (result.webhook_id, result.claimed.position));
        let now = Timestamp::now();
        let mut tx = self.app.db.begin().await?;
        let mut audit = Vec::new();
        for results in self.results.chunk_by(|one, next| one.webhook_id == next.webhook_id) {
            audit.extend(write_results_of(&mut tx, results, now).await?);
        }
        // Last, because movements wait for it.
        if !audit.is_empty() {
            tx.append_to_audit_log(&audit).await?;
        }
        tx.commit().await?;
        self.results.clear();
        Ok(())
    }

    fn ended(&mut self, ended: Result<(Uuid, Option<AttemptResult>), JoinError>) {
        // Nobody aborts one.
        let Ok((webhook_id, result)) = ended else { return };
        if let Some(count) = self.under_way.get_mut(&webhook_id) {
            *count = count.saturating_sub(1);
        }
        match result {
            Some(result) => {
                count(result.status);
                self.results.push(result);
            }
            // Its lease will end, and it is tried again.
            None => tracing::error!(%webhook_id, "sending to a webhook has failed"),
        }
    }

    /// Waits a little for what is under way, so that the next start does not send it again.
    async fn finish(&mut self) {
        let ended = tokio::time::timeout(LAST_ANSWERS_WITHIN, async {
            while let Some(result) = self.sending.join_next().await {
                self.ended(result);
            }
        });
        if ended.await.is_err() {
            tracing::warn!("some messages to webhooks were under way; they will be sent again");
        }
        let written = tokio::time::timeout(LAST_ANSWERS_WITHIN, self.write_results()).await;
        if let Err(error) = written.unwrap_or_else(|_| Err(errors::no_answer())) {
            tracing::warn!(%error, "what came of messages to webhooks could not be written; they will be sent again");
        }
    }
}

fn count(status: DeliveryStatus) {
    let outcome = match status {
        DeliveryStatus::Delivered => "delivered",
        DeliveryStatus::Pending => "postponed",
        DeliveryStatus::Failed => "failed",
    };
    metrics::counter!("coffer_webhook_attempts_total", "outcome" => outcome).increment(1);
}

/// Writes what came of messages to one webhook. The record of what that leads to is for the audit log.
async fn write_results_of(tx: &mut Tx<'_>, results: &[AttemptResult], now: Timestamp) -> sqlx::Result<Option<Event>> {
    let Some(first) = results.first() else { return Ok(None) };
    // The webhook comes before its deliveries, as with everybody else who changes both.
    let Some(webhook) = tx.lock_webhook(first.webhook_id).await? else { return Ok(None) };
    let mut last_delivered_at = webhook.last_delivered_at;
    if results.iter().any(|result| result.status == DeliveryStatus::Delivered) {
        tx.note_delivered(webhook.id, now).await?;
        last_delivered_at = Some(now);
    }
    let mut because = None;
    for result in results {
        // What another address has answered says nothing of this one.
        let counts = tx.record_attempt(result).await? && result.url.as_ref() == Some(&webhook.url);
        because = because.or(if counts { reason_to_disable(result, last_delivered_at) } else { None });
    }
    let Some(because) = because else { return Ok(None) };
    if !tx.disable_webhook(webhook.id, because, now).await? {
        return Ok(None);
    }
    tracing::warn!(
        webhook = %webhook.id,
        because = because.name(),
        "a webhook is disabled; PATCH /webhooks/{{id}} enables it"
    );
    Ok(Some(Event::at(Action::WebhookChanged, now).on(webhook.id).detail(format!("disabled: {}", because.name()))))
}

/// A webhook is disabled that wants nothing any more, or that has got nothing since a delivery began that is given up now.
fn reason_to_disable(result: &AttemptResult, last_delivered_at: Option<Timestamp>) -> Option<DisabledBecause> {
    match result.status {
        DeliveryStatus::Failed if result.answered == Some(GONE) => Some(DisabledBecause::Gone),
        DeliveryStatus::Failed if last_delivered_at < Some(result.claimed.created_at) => Some(DisabledBecause::Failing),
        DeliveryStatus::Failed | DeliveryStatus::Pending | DeliveryStatus::Delivered => None,
    }
}

/// 410 (RFC 9110, section 15.5.11).
const GONE: i32 = 410;

/// Sends one event, to the webhook as it is now.
async fn attempt(app: App, webhook_id: Uuid, claimed: ClaimedDelivery) -> AttemptResult {
    let result = AttemptResult {
        webhook_id,
        claimed,
        url: None,
        status: DeliveryStatus::Pending,
        next_attempt_at: None,
        answered: None,
        error: None,
    };
    match send(&app, webhook_id, claimed).await {
        Ok((url, outcome)) => after(AttemptResult { url: Some(url), ..result }, outcome),
        // The receiver has not been asked, so it is not to blame.
        Err(error) => {
            let next_attempt_at = Some(Timestamp::now().plus(OWN_FAILURE_PAUSE));
            AttemptResult { next_attempt_at, error: Some(error), ..result }
        }
    }
}

/// Where it was sent, and what came of it; or why the bank could not.
async fn send(app: &App, webhook_id: Uuid, claimed: ClaimedDelivery) -> Result<(String, Outcome), String> {
    let webhook = app.db.webhook(webhook_id).await.map_err(|error| error.to_string())?;
    let webhook = webhook.filter(|webhook| webhook.disabled_at.is_none());
    let webhook = webhook.ok_or_else(|| "the webhook is disabled".to_owned())?;
    let url = WebhookUrl::parse(&webhook.url).map_err(|error| error.to_string())?;
    let secrets = webhooks::secrets_of(app, webhook_id).await.map_err(|error| error.to_string())?;
    let message = message_of(app, claimed.position).await.map_err(|error| error.to_string())?;
    let message = message.ok_or_else(|| "the event is not kept any more".to_owned())?;
    let outcome = app.webhook_sender.send(&url, &secrets, &message).await;
    Ok((webhook.url, outcome))
}

async fn message_of(app: &App, position: i64) -> crate::api::http::error::Result<Option<Message>> {
    let event: Option<StoredEvent> = app.db.event_at(position).await?;
    match event {
        Some(event) => events::message_of(app, &event).await,
        None => Ok(None),
    }
}

fn after(result: AttemptResult, outcome: Outcome) -> AttemptResult {
    let result = AttemptResult {
        answered: outcome.status.map(|status| status.as_u16().into()),
        error: outcome.error.clone(),
        ..result
    };
    match () {
        () if outcome.is_delivered() => AttemptResult { status: DeliveryStatus::Delivered, ..result },
        () if outcome.is_gone() => AttemptResult { status: DeliveryStatus::Failed, ..result },
        () => later(result, outcome.retry_after),
    }
}

/// Tried again, or given up.
fn later(result: AttemptResult, retry_after: Option<Duration>) -> AttemptResult {
    // Without random numbers everything comes back at the same time, which is no reason not to come back.
    let chance = getrandom::u32().map_or(0.0, |number| f64::from(number) / f64::from(u32::MAX));
    let attempts = u32::try_from(result.claimed.attempts).unwrap_or(u32::MAX);
    match schedule::pause_after(attempts, retry_after, chance) {
        Some(pause) => AttemptResult { next_attempt_at: Some(Timestamp::now().plus(pause)), ..result },
        None => AttemptResult { status: DeliveryStatus::Failed, next_attempt_at: None, ..result },
    }
}
