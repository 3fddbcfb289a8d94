//! Opening the bank, serving it, and closing it without losing a request.

use std::future::Future;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulConnection, GracefulShutdown};
use hyper_util::service::TowerToHyperService;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use crate::api::edge::Edge;
use crate::api::{self, App};
use crate::audit::AuditLog;
use crate::auth::Auth;
use crate::config::{ConfigError, Settings};
use crate::db::{ConnectError, Db};
use crate::housekeeping::Housekeeping;
use crate::ledger::committer::{Committer, Lanes};
use crate::tls::{Certificate, TlsError};

/// How long a TLS handshake may take: less than the usual deadline for closing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a client may take to send a request's headers, and to send the next request on a kept connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may leave an answer lying that it has asked for: a reader that takes nothing holds memory.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Request line and headers together. A token and a few headers need less than one of them.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// File descriptors kept for the database, the log and the runtime.
const RESERVED_FILES: u64 = 128;
/// After an accept fails (out of file descriptors, say): long enough not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
        let (committer, lanes) = Committer::start(&db, settings.max_amount);
        let metrics = if settings.metrics { Some(record_metrics()?) } else { None };
        let (audit, audit_writer) = AuditLog::start(&db);
        let app = App::new(api::Parts {
            db,
            committer,
            auth,
            default_currency: settings.currency,
            edge: Edge::new(settings.trusted_proxies.clone(), settings.address_rate, tls.is_some()),
            cors_origins: settings.cors_origins.clone(),
            audit,
            self_service_deposits: settings.self_service_deposits,
            approval_above: settings.approval_above,
            statements: Default::default(),
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

    /// Serves until `shutdown` completes. Then no connection is accepted any more, requests in flight get their answers
    /// up to the deadline, everything that was queued is committed, and the database is closed.
    pub async fn serve(self, listener: TcpListener, shutdown: impl Future<Output = ()>) -> Result<(), ServerError> {
        let Self { app, mut lanes, audit_writer, max_connections, tls, shutdown_deadline, housekeeping } = self;
        let db = app.db.clone();
        let connections = GracefulShutdown::new();
        let housekeeping = tokio::spawn(housekeeping.run());
        let ended = tokio::select! {
            () = accept(&listener, tls.as_ref(), api::router(app), &connections, max_connections) => Ok(()),
            () = shutdown => Ok(()),
            // A bank that cannot book must not stay up and look healthy.
            () = lanes.one_ended() => Err(ServerError::LedgerStopped),
        };
        drop(listener);
        housekeeping.abort();
        let closing = async {
            connections.shutdown().await;
            lanes.all_ended().await;
            let _ = audit_writer.await;
            db.close().await;
        };
        if tokio::time::timeout(shutdown_deadline, closing).await.is_err() {
            tracing::warn!("the deadline for closing has passed; what is unfinished has had no answer");
        }
        ended
    }
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

/// Accepts connections for ever, at most `max_connections` at once: the next one waits in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    tls: Option<&TlsAcceptor>,
    router: Router,
    connections: &GracefulShutdown,
    max_connections: usize,
) {
    let permits = Arc::new(Semaphore::new(max_connections));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole; waiting to fill a packet would only delay them.
        let _ = stream.set_nodelay(true);
        let (watcher, tls, router) = (connections.watcher(), tls.cloned(), router.clone());
        tokio::spawn(async move {
            // A client that hangs up or talks nonsense is no event.
            match tls {
                None => drop(watcher.watch(connection(stream, peer.ip(), router)).await),
                Some(tls) => {
                    if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
                        drop(watcher.watch(connection(stream, peer.ip(), router)).await);
                    }
                }
            }
            drop(permit);
        });
    }
}

/// One client. The released `axum::serve` sets no header timeout, which is why this is spelled out.
fn connection<S>(stream: S, peer: IpAddr, router: Router) -> impl GracefulConnection<Error = hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |request: Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(PeerAddress(peer));
        request
    });
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        // A client may end its side once it has sent its request (RFC 9112 section 9.6). Without this, hyper takes that
        // for a hang-up and drops the request, whose movement may be booked all the same.
        .half_close(true)
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), TowerToHyperService::new(service))
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
