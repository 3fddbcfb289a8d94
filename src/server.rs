//! Opening the bank, serving it, and closing it without losing a request.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::api::cors::Origins;
use crate::api::edge::Edge;
use crate::api::{self, App};
use crate::audit::AuditLog;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::{ConfigError, Settings, production};
use crate::connection;
use crate::db::{ConnectError, Db};
use crate::housekeeping::Housekeeping;
use crate::ledger::committer::{Committer, Lanes};
use crate::tls::{Certificate, TlsError};

/// File descriptors kept for the database, the log and the runtime.
const RESERVED_FILES: u64 = 128;
/// How long what only happened (a wrong password, say) may take to be recorded at the end.
const LAST_NOTES_WITHIN: Duration = Duration::from_secs(2);
/// After an accept fails (out of file descriptors, say): long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Connections that may wait to be accepted when the bank closes: more than fit into the queue that tokio asks for. They
/// come in order, so that whoever connects later does not keep it open.
const MAX_WAITING: usize = 1_100;

/// Seconds, from a cached read to a commit on a slow disk.
const LATENCY_BUCKETS: [f64; 11] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const BATCH_BUCKETS: [f64; 8] = [1.0, 4.0, 16.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Why the bank cannot open, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("DATABASE_URL (--database-url): {0}")]
    Database(#[from] ConnectError),
    #[error("DATABASE_URL (--database-url): the database does not answer: {0}")]
    Query(#[from] sqlx::Error),
    /// Random numbers, or what passwords are hashed on.
    #[error("passwords cannot be checked: {0}")]
    Passwords(#[source] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("cannot record metrics: {0}")]
    Metrics(#[from] BuildError),
    #[error(
        "with COFFER_PRODUCTION (--production) this bank does not start yet:\n  - {}\nIt starts when each of these is set",
        .0.join("\n  - ")
    )]
    NotForProduction(Vec<String>),
    #[error("the ledger stopped working; the log says why")]
    LedgerStopped,
}

/// The other end of the connection that a request came by, in the request's extensions.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

/// A bank that is open: its database is migrated and its lanes are running.
pub struct Bank {
    app: App,
    lanes: Lanes,
    audit_writer: JoinHandle<()>,
    max_connections: usize,
    tls: Option<TlsAcceptor>,
    shutdown_deadline: Duration,
    housekeeping: Housekeeping,
}

impl Bank {
    /// Connects, migrates, and starts the lanes.
    pub async fn open(settings: &Settings) -> Result<Self, ServerError> {
        require_what_is_needed(settings)?;
        let secrets = settings.signing_secrets()?;
        let certificate = settings.certificate()?;
        let tls = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        if settings.approval_above.is_some() && settings.self_service_deposits {
            tracing::warn!(
                "COFFER_APPROVAL_ABOVE without COFFER_SELF_SERVICE_DEPOSITS=false: whoever works here can be a customer, \
                 too, and deposit any amount on their own word"
            );
        }
        let db = Db::connect(&settings.database(true)?).await?;
        db.migrate().await?;
        let auth =
            Auth::new(&secrets, settings.caller_rate, settings.staff_second_factor).map_err(ServerError::Passwords)?;
        let clock = Arc::new(Clock::default());
        let (committer, lanes) = Committer::start(&db, settings.max_amount, &clock);
        let metrics = if settings.metrics { Some(record_metrics()?) } else { None };
        let (audit, audit_writer) = AuditLog::start(&db);
        let app = App::new(api::Parts {
            db,
            committer,
            auth,
            default_currency: settings.currency.into(),
            edge: Edge::new(settings.trusted_proxies.clone(), settings.address_rate, tls.is_some()),
            origins: Origins::new(settings.cors_origins.clone()),
            audit,
            views: Default::default(),
            sign_up: settings.sign_up,
            swagger_ui: settings.swagger_ui,
            self_service_deposits: settings.self_service_deposits,
            approval_above: settings.approval_above,
            statements: Default::default(),
            clock,
            metrics,
        });
        let housekeeping = Housekeeping::start(&app, certificate, settings.idempotency_retention()).await?;
        Ok(Self {
            app,
            lanes,
            audit_writer,
            max_connections: affordable_connections(settings.max_connections),
            tls,
            shutdown_deadline: settings.shutdown_deadline(),
            housekeeping,
        })
    }

    pub fn db(&self) -> &Db {
        &self.app.db
    }

    /// Serves until `shutdown` completes. Then whatever has been asked is answered up to the deadline, by whomever has
    /// connected, everything that was queued is committed, and the database is closed.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self { app, mut lanes, audit_writer, max_connections, tls, shutdown_deadline, housekeeping } = self;
        let db = app.db.clone();
        let door = Door {
            router: api::router(app),
            tls,
            permits: Arc::new(Semaphore::new(max_connections)),
            closing: watch::Sender::new(false),
        };
        let housekeeping = tokio::spawn(housekeeping.run());
        let ended = tokio::select! {
            () = door.accept(&listener) => Ok(()),
            () = shutdown => Ok(()),
            // A bank that cannot book must not stay up and look healthy.
            () = lanes.one_ended() => Err(ServerError::LedgerStopped),
        };
        housekeeping.abort();
        lanes.close();
        let closing = async {
            door.close(listener).await;
            lanes.all_ended().await;
            if tokio::time::timeout(LAST_NOTES_WITHIN, audit_writer).await.is_err() {
                tracing::error!("the last notes could not be written to the audit log");
            }
            db.close().await;
        };
        if tokio::time::timeout(shutdown_deadline, closing).await.is_err() {
            tracing::warn!("the deadline for closing has passed; what is unfinished has had no answer");
        }
        ended
    }
}

/// A bank for production has all that it needs, or does not start. Another one that serves other machines warns.
fn require_what_is_needed(settings: &Settings) -> Result<(), ServerError> {
    let shortcomings = production::shortcomings(settings);
    if settings.production && !shortcomings.is_empty() {
        return Err(ServerError::NotForProduction(shortcomings));
    }
    if production::serves_others(settings) {
        for shortcoming in shortcomings {
            tracing::warn!("other machines are served, but {shortcoming}");
        }
    }
    Ok(())
}

/// As many as configured, or as the limit on open files leaves room for.
fn affordable_connections(configured: u32) -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let affordable = limit.saturating_sub(RESERVED_FILES).max(1);
    if affordable < configured.into() {
        tracing::warn!(configured, affordable, "COFFER_MAX_CONNECTIONS is more than the limit on open files allows");
    }
    usize::try_from(affordable.min(configured.into())).unwrap_or(usize::MAX)
}

/// Where clients come in.
struct Door {
    router: Router,
    tls: Option<TlsAcceptor>,
    /// As many as there may be connections: the next one waits in the kernel's queue.
    permits: Arc<Semaphore>,
    /// Turns true when the bank closes. Each connection holds a receiver.
    closing: watch::Sender<bool>,
}

impl Door {
    /// Accepts connections for ever.
    async fn accept(&self, listener: &TcpListener) {
        loop {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { return };
            match listener.accept().await {
                Ok((stream, peer)) => self.admit(stream, peer.ip(), permit),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr, permit: OwnedSemaphorePermit) {
        let client = connection::serve(stream, peer, self.tls.clone(), self.router.clone(), self.closing.subscribe());
        tokio::spawn(async move {
            client.await;
            drop(permit);
        });
    }

    /// Has all connections end, and waits for it. Nothing can be asked of the bank afterwards.
    async fn close(self, listener: TcpListener) {
        self.closing.send_replace(true);
        if let Err(error) = self.accept_waiting(listener).await {
            tracing::warn!(%error, "cannot accept the connections that are waiting");
        }
        self.closing.closed().await;
    }

    /// Accepts those that are waiting to be: to its client a connection is open, and it may have carried a request
    /// already. Then nobody can connect any more.
    async fn accept_waiting(&self, listener: TcpListener) -> io::Result<()> {
        // The runtime may not have heard of the last ones yet. The system has.
        let listener = listener.into_std()?;
        for _ in 0..MAX_WAITING {
            let Ok(permit) = self.permits.clone().acquire_owned().await else { break };
            match listener.accept() {
                Ok((stream, peer)) => {
                    stream.set_nonblocking(true)?;
                    self.admit(TcpStream::from_std(stream)?, peer.ip(), permit);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Its client has gone.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Installs the process's recorder, once.
fn record_metrics() -> Result<PrometheusHandle, BuildError> {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    if let Some(handle) = RECORDER.get() {
        return Ok(handle.clone());
    }
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("seconds".to_owned()), &LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full("coffer_batch_size".to_owned()), &BATCH_BUCKETS)?
        .build_recorder();
    let handle = RECORDER.get_or_init(|| recorder.handle()).clone();
    // Another bank in this process (a test) may have been first; then its recorder is used.
    let _ = metrics::set_global_recorder(recorder);
    Ok(handle)
}
