//! The PostgreSQL servers that `DATABASE_URL` names: how each is reached, and what it says of itself.

use std::io::{self, ErrorKind};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{Connection, PgConnection, Row};
use tokio::time::timeout;

use super::{refusals, tls_relay};

/// How long a server may take to greet. One that drops packets never does.
pub(super) const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// What a server is asked that must take writes. By the simple protocol, which every pooler lets through. The first eight
/// digits of the name of a log file are the timeline, which each promotion raises.
const STATE: &str = "
    select case when pg_is_in_recovery() then 'standby'
                when current_setting('transaction_read_only') = 'on' then 'read-only'
                else 'primary' end,
           case when not pg_is_in_recovery() then left(pg_walfile_name(pg_current_wal_lsn()), 8) end";

/// Which cluster a server is of: the same number for a primary and its standbys, and for no other.
/// <https://www.postgresql.org/docs/current/functions-info.html>
const SYSTEM: &str = "select system_identifier::text from pg_control_system()";

/// The servers of one bank: one, or a primary and its standbys.
#[derive(Clone, Debug)]
pub struct Servers {
    pub named: Vec<PgConnectOptions>,
    /// Whether each is asked if it takes writes before it is used (`target_session_attrs`).
    pub must_write: bool,
}

/// Why a server that answers is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotPrimary {
    #[error("it is a standby, which takes no writes. Promote it, or start the primary")]
    Standby,
    #[error("it takes no writes. Take default_transaction_read_only out of its settings")]
    ReadOnly,
    #[error(
        "it was the primary before another one was promoted (timeline {0}, where {1} is known). Stop it, or make it a standby"
    )]
    Former(u32, u32),
    #[error(
        "it is of another cluster (system identifier {0}, where the bank is on {1}): these are other books. Take it out of DATABASE_URL"
    )]
    Stranger(String, String),
    #[error("none of the servers takes writes: {0}")]
    Nobody(String),
}

impl From<NotPrimary> for sqlx::Error {
    fn from(reason: NotPrimary) -> Self {
        Self::AnyDriverError(Box::new(reason))
    }
}

/// The reason, if a server was refused because it is not the primary.
pub(super) fn not_primary(error: &sqlx::Error) -> Option<&NotPrimary> {
    match error {
        sqlx::Error::AnyDriverError(cause) => cause.downcast_ref(),
        _ => None,
    }
}

/// One of the servers.
#[derive(Debug)]
pub(super) struct Candidate {
    named: PgConnectOptions,
    /// How it was found to be reached: without TLS, or by the relay.
    reached: RwLock<PgConnectOptions>,
}

impl Candidate {
    pub fn new(named: PgConnectOptions) -> Self {
        Self { reached: RwLock::new(named.clone()), named }
    }

    /// Its address in a few words.
    pub fn place(&self) -> String {
        refusals::place_of(&self.named)
    }

    /// How the driver reaches it.
    pub fn reached(&self) -> PgConnectOptions {
        self.reached.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn reach(&self, target: PgConnectOptions) {
        *self.reached.write().unwrap_or_else(PoisonError::into_inner) = target;
    }

    /// Connects. `sslmode=prefer` means TLS if that works: where it does not, the server is talked to without from here
    /// on, as libpq does.
    pub async fn connect(&self) -> sqlx::Result<PgConnection> {
        loop {
            let target = self.reached();
            match greeted(&target).await {
                Err(error) if prefers_tls(&target) && is_about_tls(&error) => {
                    let (server, reason) = (self.place(), refusals::of_postgres(&error));
                    tracing::warn!(%server, %reason, "connecting without TLS, as sslmode=prefer allows");
                    self.reach(target.ssl_mode(PgSslMode::Disable));
                }
                Err(error) if requires_tls(&target) && refusals::is_unreadable(&error) => {
                    let server = self.place();
                    tracing::warn!(%server, "the server's certificate is of X.509 version 1: sslmode=require takes it unread");
                    self.reach(tls_relay::start(&target).await?);
                }
                greeted => return greeted,
            }
        }
    }
}

async fn greeted(target: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    timeout(GREETING_TIMEOUT, PgConnection::connect_with(target)).await.unwrap_or_else(|_| {
        let reason = format!("there was no answer within {} s", GREETING_TIMEOUT.as_secs());
        Err(io::Error::new(ErrorKind::TimedOut, reason).into())
    })
}

fn prefers_tls(target: &PgConnectOptions) -> bool {
    matches!(target.get_ssl_mode(), PgSslMode::Prefer)
}

fn requires_tls(target: &PgConnectOptions) -> bool {
    matches!(target.get_ssl_mode(), PgSslMode::Require)
}

fn is_about_tls(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Tls(_)) || refusals::tls_error(error).is_some()
}

/// Which cluster it is of, where it may say so.
pub(super) async fn system(conn: &mut PgConnection) -> Option<String> {
    sqlx::raw_sql(SYSTEM).fetch_one(conn).await.ok()?.try_get(0).ok()
}

/// The timeline of a server that takes writes. Any other is an error.
pub(super) async fn timeline(conn: &mut PgConnection) -> sqlx::Result<u32> {
    let row = sqlx::raw_sql(STATE).fetch_one(conn).await?;
    match row.try_get::<String, _>(0)?.as_str() {
        "standby" => return Err(NotPrimary::Standby.into()),
        "read-only" => return Err(NotPrimary::ReadOnly.into()),
        _ => {}
    }
    let digits: String = row.try_get(1)?;
    u32::from_str_radix(&digits, 16).map_err(|error| sqlx::Error::Decode(error.into()))
}
