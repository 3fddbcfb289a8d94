//! Webhooks and their secrets.

use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use super::{Db, Tx, in_snapshot, in_transaction, on_reader};
use crate::books::bank_event::EventKinds;
use crate::timestamp::Timestamp;

/// A webhook, without its secrets.
#[derive(Clone, Debug, FromRow)]
pub struct Webhook {
    pub id: Uuid,
    pub url: String,
    pub description: Option<String>,
    pub(in crate::db) kinds: Option<String>,
    pub created_at: Timestamp,
    pub disabled_at: Option<Timestamp>,
    disabled_because: Option<String>,
    /// Deliveries are there of events up to it.
    pub(in crate::db) position: i64,
    pub(in crate::db) replay_position: Option<i64>,
    pub(in crate::db) replay_last_position: Option<i64>,
    pub last_delivered_at: Option<Timestamp>,
    /// Of the newest secret.
    pub public_key: Vec<u8>,
}

/// What an admin says of a webhook.
#[derive(Clone, Debug)]
pub struct WebhookTerms {
    pub url: String,
    pub description: Option<String>,
    /// None for all.
    pub kinds: Option<EventKinds>,
}

/// Why nothing is sent to a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DisabledBecause {
    ByAdmin,
    /// It has answered 410.
    Gone,
    /// A delivery was given up, and none has succeeded since it began.
    Failing,
}

/// A secret as it lies in the database, encrypted: see [`crate::auth::factor_keys`].
#[derive(Clone, Debug, FromRow)]
pub struct StoredWebhookSecret {
    pub id: Uuid,
    pub webhook_id: Uuid,
    pub secret: Vec<u8>,
}

impl WebhookTerms {
    /// As the audit log quotes them.
    pub fn in_words(&self) -> String {
        let kinds = self.kinds.as_ref().map_or_else(|| "all events".to_owned(), EventKinds::names);
        format!("{}; {kinds}", self.url)
    }
}

impl DisabledBecause {
    const ALL: [Self; 3] = [Self::ByAdmin, Self::Gone, Self::Failing];

    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::ByAdmin => "by_admin",
            Self::Gone => "gone",
            Self::Failing => "failing",
        }
    }
}

impl Webhook {
    /// None for all.
    pub fn kinds(&self) -> Option<EventKinds> {
        self.kinds.as_deref().map(EventKinds::from_names)
    }

    pub fn disabled_because(&self) -> Option<DisabledBecause> {
        let name = self.disabled_because.as_deref()?;
        DisabledBecause::ALL.into_iter().find(|because| because.name() == name)
    }

    pub fn is_replaying(&self) -> bool {
        self.replay_position.is_some()
    }
}

/// Webhooks that are not deleted, and for which the condition holds.
macro_rules! select_webhooks {
    ($condition:literal) => {
        concat!(
            "select id, url, description, kinds, created_at, disabled_at, disabled_because, position, replay_position,
                    replay_last_position, last_delivered_at,
                    (select s.public_key from webhook_secrets s
                     where s.webhook_id = webhooks.id and s.ends_at is null) as public_key
             from webhooks where deleted_at is null and ",
            $condition
        )
    };
}

impl Db {
    /// Every webhook, the newest first.
    pub async fn webhooks(&self) -> sqlx::Result<Vec<Webhook>> {
        on_reader!(self, conn => sqlx::query_as(select_webhooks!("true order by id desc")).fetch_all(conn).await)
    }

    pub async fn webhook(&self, id: Uuid) -> sqlx::Result<Option<Webhook>> {
        on_reader!(self, conn => sqlx::query_as(select_webhooks!("id = $1")).bind(id).fetch_optional(conn).await)
    }

    /// The enabled webhooks, in the order of their ids, that have events to be made deliveries of, or deliveries that are due.
    pub async fn webhook_work(&self, now: Timestamp) -> sqlx::Result<Vec<Webhook>> {
        on_reader!(self, conn => sqlx::query_as(select_webhooks!(
            "disabled_at is null
             and (position < (select h.position from event_head h where h.id = 1)
                  or replay_position is not null
                  or exists (select 1 from webhook_deliveries d
                             where d.webhook_id = webhooks.id and d.next_attempt_at <= $1))
             order by id"
        ))
        .bind(now)
        .fetch_all(conn)
        .await)
    }

    /// Whether events are sent to any.
    pub async fn has_enabled_webhooks(&self) -> sqlx::Result<bool> {
        on_reader!(self, conn => sqlx::query_scalar(
            "select exists (select 1 from webhooks where deleted_at is null and disabled_at is null)",
        )
        .fetch_one(conn)
        .await)
    }

    /// The secrets that sign for a webhook, the newest first.
    pub async fn webhook_secrets(&self, webhook_id: Uuid, now: Timestamp) -> sqlx::Result<Vec<StoredWebhookSecret>> {
        on_reader!(self, conn => sqlx::query_as(
            "select id, webhook_id, secret from webhook_secrets
             where webhook_id = $1 and (ends_at is null or ends_at > $2) order by id desc",
        )
        .bind(webhook_id)
        .bind(now)
        .fetch_all(conn)
        .await)
    }
}

impl Tx<'_> {
    /// A webhook that gets what happens from now on. Its secret comes in the same transaction.
    pub async fn insert_webhook(&mut self, id: Uuid, terms: &WebhookTerms, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into webhooks (id, url, description, kinds, created_at, position)
             values ($1, $2, $3, $4, $5, (select position from event_head where id = 1))",
        )
        .bind(id)
        .bind(&terms.url)
        .bind(&terms.description)
        .bind(terms.kinds.as_ref().map(EventKinds::names))
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    pub async fn count_webhooks(&mut self) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar("select count(*) from webhooks where deleted_at is null")
            .fetch_one(conn)
            .await)
    }

    /// The webhook, held until the transaction ends.
    pub async fn lock_webhook(&mut self, id: Uuid) -> sqlx::Result<Option<Webhook>> {
        in_transaction!(self, conn => sqlx::query("update webhooks set id = id where id = $1")
            .bind(id)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query_as(select_webhooks!("id = $1")).bind(id).fetch_optional(conn).await)
    }

    pub async fn set_webhook_terms(&mut self, id: Uuid, terms: &WebhookTerms) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update webhooks set url = $2, description = $3, kinds = $4 where id = $1",
        )
        .bind(id)
        .bind(&terms.url)
        .bind(&terms.description)
        .bind(terms.kinds.as_ref().map(EventKinds::names))
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Sends events to a webhook again: those from now on, and what was pending.
    pub async fn enable_webhook(&mut self, id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update webhooks set disabled_at = null, disabled_because = null,
                    position = (select position from event_head where event_head.id = 1)
             where id = $1 and disabled_at is not null",
        )
        .bind(id)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Whether it was enabled before.
    pub async fn disable_webhook(&mut self, id: Uuid, because: DisabledBecause, now: Timestamp) -> sqlx::Result<bool> {
        in_transaction!(self, conn => sqlx::query(
            "update webhooks set disabled_at = $2, disabled_because = $3
             where id = $1 and disabled_at is null and deleted_at is null",
        )
        .bind(id)
        .bind(now)
        .bind(because.name())
        .execute(conn)
        .await
        .map(|done| done.rows_affected() == 1))
    }

    /// Nothing is sent to it any more, and nothing signs for it. Housekeeping deletes its deliveries.
    pub async fn delete_webhook(&mut self, id: Uuid, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from webhook_secrets where webhook_id = $1")
            .bind(id)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query("update webhooks set deleted_at = $2 where id = $1")
            .bind(id)
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Deletes the secrets of all webhooks that have signed for the last time.
    pub async fn delete_ended_webhook_secrets(&mut self, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from webhook_secrets where ends_at <= $1")
            .bind(now)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// The secret that signs from now on. Those before it sign until `former_until`, and none of them once that has passed.
    pub async fn add_webhook_secret(
        &mut self,
        secret: &StoredWebhookSecret,
        public_key: &[u8],
        former_until: Timestamp,
        now: Timestamp,
    ) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from webhook_secrets where webhook_id = $1 and ends_at <= $2")
            .bind(secret.webhook_id)
            .bind(now)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(
            "update webhook_secrets set ends_at = $2 where webhook_id = $1 and ends_at is null",
        )
        .bind(secret.webhook_id)
        .bind(former_until)
        .execute(&mut *conn)
        .await
        .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query(
            "insert into webhook_secrets (id, webhook_id, secret, public_key) values ($1, $2, $3, $4)",
        )
        .bind(secret.id)
        .bind(secret.webhook_id)
        .bind(&secret.secret)
        .bind(public_key)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    pub async fn count_webhook_secrets(&mut self, webhook_id: Uuid, now: Timestamp) -> sqlx::Result<i64> {
        in_transaction!(self, conn => sqlx::query_scalar(
            "select count(*) from webhook_secrets where webhook_id = $1 and (ends_at is null or ends_at > $2)",
        )
        .bind(webhook_id)
        .bind(now)
        .fetch_one(conn)
        .await)
    }

    /// The secrets of all webhooks that do not begin with `prefix`.
    pub async fn webhook_secrets_without_prefix(&mut self, prefix: &[u8]) -> sqlx::Result<Vec<StoredWebhookSecret>> {
        in_transaction!(self, conn => sqlx::query_as(
            "select id, webhook_id, secret from webhook_secrets where substr(secret, 1, $1) <> $2 order by id",
        )
        .bind(prefix.len() as i32)
        .bind(prefix)
        .fetch_all(conn)
        .await)
    }

    /// Every secret, for the doctor.
    pub async fn all_webhook_secrets(&mut self) -> sqlx::Result<Vec<StoredWebhookSecret>> {
        in_snapshot!(self, conn => sqlx::query_as("select id, webhook_id, secret from webhook_secrets order by id")
            .fetch_all(conn)
            .await)
    }

    /// Puts a newly sealed secret in the place of what was stored, unless that has changed.
    pub async fn replace_webhook_secret(&mut self, stored: &StoredWebhookSecret, sealed: &[u8]) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "update webhook_secrets set secret = $3 where id = $1 and secret = $2",
        )
        .bind(stored.id)
        .bind(&stored.secret)
        .bind(sealed)
        .execute(conn)
        .await
        .map(|_| ()))
    }
}
