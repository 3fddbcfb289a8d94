//! Sends events to webhooks: each once, whichever instance does it, and again after a crash in between.
//!
//! A delivery is a row in the database. It is made from the log of events, taken by one instance for as long as sending may
//! take, and tried until it succeeds, the receiver says that it is gone, or [`schedule`] ends. Nobody who moves money waits
//! for a receiver.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use uuid::Uuid;

use crate::api::App;
use crate::api::money::events;
use crate::api::people::webhooks;
use crate::books::audit_event::{Action, Event};
use crate::db::bank_events::StoredEvent;
use crate::db::webhooks::{AttemptResult, ClaimedDelivery, DeliveryStatus, DisabledBecause, Webhook};
use crate::db::{Tx, errors};
use crate::timestamp::Timestamp;
use crate::webhooks::destinations::WebhookUrl;
use crate::webhooks::schedule;
use crate::webhooks::sender::{Message, Outcome, TIMEOUT};

/// What other instances have written, and what is due again, is noticed after this long and one query.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The shortest time between two looks, however much happens.
const PAUSE: Duration = Duration::from_millis(20);
/// Events that deliveries are made of at once: few milliseconds of the database's time.
const FED_AT_ONCE: i64 = 500;
/// Messages under way to one webhook. A slow receiver keeps nobody else waiting.
const UNDER_WAY: usize = 16;
/// Nobody else tries a delivery for so long after it was taken: sending and writing down what came of it.
const LEASE: Duration = Duration::from_secs(60);
const _: () = assert!(LEASE.as_secs() > 2 * TIMEOUT.as_secs());
/// When the bank closes, messages that are under way have so long to end.
const LAST_ANSWERS_WITHIN: Duration = Duration::from_secs(3);

pub struct Dispatcher {
    app: App,
    sending: JoinSet<AttemptResult>,
    /// How many messages are under way to each webhook.
    under_way: HashMap<Uuid, usize>,
    /// What came of messages, and is not written down yet.
    results: Vec<AttemptResult>,
}

impl Dispatcher {
    pub fn new(app: &App) -> Self {
        Self { app: app.clone(), sending: JoinSet::new(), under_way: HashMap::new(), results: Vec::new() }
    }

    /// Sends until the bank closes. What fails is logged and tried again.
    pub async fn run(mut self) {
        let watches = self.app.watches.clone();
        let mut closing = Box::pin(watches.closing());
        let mut written = self.app.listening.written();
        loop {
            let has_more = self.turn().await.unwrap_or_else(|error| {
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
    async fn turn(&mut self) -> sqlx::Result<bool> {
        while let Some(result) = self.sending.try_join_next() {
            self.ended(result);
        }
        if self.sending.is_empty() {
            // Also what a task that has failed has left behind.
            self.under_way.clear();
        }
        let now = Timestamp::now();
        let work = self.app.db.webhook_work(now).await?;
        if self.results.is_empty() && work.is_empty() {
            return Ok(false);
        }
        let mut tx = self.app.db.begin().await?;
        write_results(&mut tx, &self.results, now).await?;
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
        self.results.clear();
        for (webhook, claimed) in claimed {
            *self.under_way.entry(webhook.id).or_default() += claimed.len();
            for claimed in claimed {
                self.sending.spawn(attempt(self.app.clone(), webhook.clone(), claimed));
            }
        }
        Ok(has_more)
    }

    fn ended(&mut self, result: Result<AttemptResult, tokio::task::JoinError>) {
        match result {
            Ok(result) => {
                if let Some(count) = self.under_way.get_mut(&result.webhook_id) {
                    *count = count.saturating_sub(1);
                }
                self.results.push(result);
            }
            // Its lease will end, and it is tried again.
            Err(error) => tracing::error!(%error, "sending to a webhook has failed"),
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
        let written = tokio::time::timeout(LAST_ANSWERS_WITHIN, async {
            let mut tx = self.app.db.begin().await?;
            write_results(&mut tx, &self.results, Timestamp::now()).await?;
            tx.commit().await
        });
        let written = written.await;
        if let Err(error) = written.unwrap_or_else(|_| Err(errors::no_answer())) {
            tracing::warn!(%error, "what came of messages to webhooks could not be written; they will be sent again");
        }
    }
}

/// They are kept until this is committed, so that nothing is sent twice because the database was away for a moment.
async fn write_results(tx: &mut Tx<'_>, results: &[AttemptResult], now: Timestamp) -> sqlx::Result<()> {
    for result in results {
        tx.record_attempt(result, now).await?;
    }
    let mut audit = Vec::new();
    for result in results {
        audit.extend(disable_if_useless(tx, result, now).await?);
    }
    if !audit.is_empty() {
        tx.append_to_audit_log(&audit).await?;
    }
    Ok(())
}

/// Disables a webhook that wants nothing any more, or that has got nothing since a delivery began that is given up now.
async fn disable_if_useless(tx: &mut Tx<'_>, result: &AttemptResult, now: Timestamp) -> sqlx::Result<Option<Event>> {
    if result.status != DeliveryStatus::Failed {
        return Ok(None);
    }
    let Some(webhook) = tx.lock_webhook(result.webhook_id).await? else { return Ok(None) };
    let because = match result.answered {
        Some(GONE) => DisabledBecause::Gone,
        _ if webhook.last_delivered_at >= Some(result.claimed.created_at) => return Ok(None),
        _ => DisabledBecause::Failing,
    };
    if !tx.disable_webhook(webhook.id, because, now).await? {
        return Ok(None);
    }
    tracing::warn!(
        url = webhook.url,
        because = because.name(),
        "a webhook is disabled; PATCH /webhooks/{{id}} enables it"
    );
    Ok(Some(Event::at(Action::WebhookChanged, now).on(webhook.id).detail(format!("disabled: {}", because.name()))))
}

/// 410 (RFC 9110, section 15.5.11).
const GONE: i32 = 410;

/// Sends one event, to the webhook as it was a moment ago.
async fn attempt(app: App, webhook: Webhook, claimed: ClaimedDelivery) -> AttemptResult {
    let result = AttemptResult {
        webhook_id: webhook.id,
        claimed,
        status: DeliveryStatus::Pending,
        next_attempt_at: None,
        answered: None,
        error: None,
    };
    match outcome_of(&app, &webhook, claimed).await {
        Ok(outcome) => after(result, outcome),
        Err(error) => later(AttemptResult { error: Some(error), ..result }, None),
    }
}

async fn outcome_of(app: &App, webhook: &Webhook, claimed: ClaimedDelivery) -> Result<Outcome, String> {
    let url = WebhookUrl::parse(&webhook.url).map_err(|error| error.to_string())?;
    let secrets = webhooks::secrets_of(app, webhook.id).await.map_err(|error| error.to_string())?;
    let message = message_of(app, claimed.position).await.map_err(|error| error.to_string())?;
    let message = message.ok_or_else(|| "the event is not kept any more".to_owned())?;
    Ok(app.webhook_sender.send(&url, &secrets, &message).await)
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
