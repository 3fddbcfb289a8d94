//! Opening the bank, serving it, and closing it without losing a request.

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::BuildError;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::acceptor::Acceptor;
use crate::api::docs::gauges::Gauges;
use crate::api::docs::postman;
use crate::api::http::cors::Origins;
use crate::api::http::edge::Edge;
use crate::api::http::long_answers::LongAnswers;
use crate::api::{App, app, router};
use crate::background::Background;
use crate::backup::schedule::{Backups, Schedule};
use crate::config::{ConfigError, Settings, WriteEvents, production};
use crate::connection_limits::ConnectionLimits;
use crate::dispatcher::Dispatcher;
use crate::doctor::database::{self, NotWhole};
use crate::housekeeping::{Housekeeping, keep_mark};
use crate::mailing::Mailing;
use crate::mailing::smtp::SmtpError;
use crate::service_manager::{feed_watchdog, tell_ready, tell_stopping};
use crate::telemetry;
use crate::webhooks::destinations::Destinations;
use crate::webhooks::sender::Sender;
use coffer_core::audit::AuditLog;
use coffer_core::auth::factor_keys::{FactorKeyError, FactorKeys, Unreadable};
use coffer_core::auth::tokens::SigningSecrets;
use coffer_core::auth::{Auth, CallerLimits};
use coffer_core::clock::Clock;
use coffer_core::committer::{Committer, Writers};
use coffer_core::db::claim::Claim;
use coffer_core::db::serving;
use coffer_core::db::{ConnectError, Db, DbOptions, DbTarget, DefineUnitsError, errors, of_query};
use coffer_core::disk::DiskReserve;
use coffer_core::limits::movements::MovementLimits;
use coffer_core::listening::Listening;
use coffer_core::tls::{self, Certificate, TlsError};
use coffer_core::watches::Watches;

/// File descriptors reserved for the database, the log and the runtime.
const RESERVED_FILES: u64 = 128;
/// How long it may take at the end to write the last notes to the audit log.
const LAST_NOTES_WITHIN: Duration = Duration::from_secs(2);
/// How long it may take at the end to store what callers have used of their day.
const LAST_QUOTAS_WITHIN: Duration = Duration::from_secs(2);

/// How long it may take at the end to finish the mails that are being sent.
const LAST_MAILS_WITHIN: Duration = Duration::from_secs(2);

/// Why the bank cannot open, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("DATABASE_URL (--database-url): {0}")]
    Database(#[from] ConnectError),
    #[error(transparent)]
    Units(#[from] DefineUnitsError),
    #[error("DATABASE_URL (--database-url): the database does not answer: {}", of_query(.0))]
    Query(#[from] sqlx::Error),
    /// There are no random numbers, or no threads to hash passwords on.
    #[error("passwords cannot be checked: {0}")]
    Passwords(#[source] std::io::Error),
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    FactorKey(#[from] FactorKeyError),
    #[error(transparent)]
    Mail(#[from] SmtpError),
    #[error("cannot listen for signals: {0}")]
    Signals(#[source] std::io::Error),
    #[error("cannot record metrics: {0}")]
    Metrics(#[from] BuildError),
    #[error(
        "with COFFER_PRODUCTION (--production) this bank does not start yet:\n  - {}\nIt starts when each of these is set",
        .0.join("\n  - ")
    )]
    NotForProduction(Vec<String>),
    #[error(
        "{0} was copied or left without the log that a server wrote beside it: what was booked after the last checkpoint is not in \
         it. Put the log back beside it, or a backup in its place. If this is all that there is, move it away and take it for a \
         backup that has a head which you name: coffer restore FILE --since HEAD"
    )]
    WithoutLog(String),
    #[error(
        "{0} has nothing in it, and a log lies beside it: the file that this belongs to was deleted or moved. Bring it back, or a backup;          to begin with an empty bank, move {0}-wal and {0}-shm away"
    )]
    LoneLog(String),
    #[error(
        "{file} has {names} names (hard links), and another server could open it by each of them. Copy it (cp) to a file of its own while          nobody has it open, and serve that"
    )]
    ManyNames { file: String, names: u64 },
    /// A bank that does only a part of its work must not stay up and look healthy.
    #[error("{0} stopped working; the log says why")]
    Stopped(&'static str),
}

/// Where the bank is served.
pub struct Listeners {
    pub public: TcpListener,
    /// For those who run the bank: probes and metrics, over plain HTTP.
    pub admin: Option<TcpListener>,
}

impl From<TcpListener> for Listeners {
    fn from(public: TcpListener) -> Self {
        Self { public, admin: None }
    }
}

/// A bank that is open: its database is migrated and its writers are running.
pub struct Bank {
    app: App,
    writers: Writers,
    audit_writer: JoinHandle<()>,
    connection_limits: ConnectionLimits,
    tls: Option<TlsAcceptor>,
    shutdown_deadline: Duration,
    housekeeping: Housekeeping,
    mailing: Option<Mailing>,
    backups: Backups,
    /// Whether this is the only server on its SQLite file, and the file says so.
    is_marked: bool,
}

impl Bank {
    /// Opens the bank as the only server on its SQLite file. The claim must be held for as long as it runs.
    pub async fn open_alone(settings: &Settings) -> Result<(Self, Option<Claim>), ServerError> {
        require_what_is_needed(settings)?;
        let target = settings.database(true)?.target;
        refuse_unsafe_file(&target)?;
        let claim = Claim::on(&target)?;
        let mut bank = Self::open_sound(settings).await?;
        if claim.is_some() {
            // A full disk is no reason not to serve what can be read; it is tried again.
            if let Err(error) = bank.db().keep_mark().await {
                tracing::warn!(%error, "nobody can tell a copy of the database file without its WAL yet");
            }
            bank.is_marked = true;
        }
        Ok((bank, claim))
    }

    /// Opens the bank beside others.
    pub async fn open(settings: &Settings) -> Result<Self, ServerError> {
        require_what_is_needed(settings)?;
        Self::open_sound(settings).await
    }

    /// Connects, migrates, and starts the writers.
    async fn open_sound(settings: &Settings) -> Result<Self, ServerError> {
        let metrics = if settings.metrics { Some(telemetry::record()?) } else { None };
        let secrets = settings.signing_secrets()?;
        let factor_keys = settings.factor_keys()?;
        let certificate = settings.certificate()?;
        let acceptor = certificate.as_ref().map(Certificate::acceptor).transpose()?;
        let mail = settings.mail()?;
        warn_of_unapproved_deposits(settings);
        let database = settings.database(true)?;
        // Opening may take long, and a signal that nobody catches would end it.
        let backups = Backups::new(database.clone(), backup_schedule(settings)?, settings.disk_reserve.bytes())
            .map_err(ServerError::Signals)?;
        let db = open_database(settings, &database).await?;
        let default_currency = settings.default_currency()?;
        warn_of_unreadable_secrets(&factor_keys.adopt(&db).await?);
        let auth = auth_of(settings, &db, &secrets, factor_keys)?;
        let ledger = Ledger::start(settings, &db, mail.is_some());
        let mailing = mail.map(|mail| Mailing::new(&db, mail)).transpose()?;
        let (audit, audit_writer) = AuditLog::start(&db);
        let app = App::new(app::Parts {
            db,
            committer: ledger.committer,
            auth,
            default_currency,
            units: settings.units.clone(),
            edge: Edge::new(settings.trusted_proxies.clone(), settings.address_rate, acceptor.is_some()),
            origins: Origins::new(settings.cors_origins.clone()),
            audit,
            views: Default::default(),
            collection: postman::collection(),
            sign_up: settings.sign_up,
            sends_mail: mailing.is_some(),
            swagger_ui: settings.swagger_ui,
            self_service_deposits: settings.self_service_deposits,
            maximum_major_units: settings.max_amount,
            approval_above: settings.approval_above,
            calendar: settings.time_zone.clone(),
            long_answers: LongAnswers::new(settings.caller_rate > 0),
            watches: ledger.watches,
            listening: ledger.listening,
            webhook_sender: sender_of(settings)?,
            always_events: settings.events == WriteEvents::Always,
            clock: ledger.clock,
            access_log: settings.access_log,
            heads: watch::Sender::new(None),
            metrics,
            gauges: Gauges::default(),
            has_admin_listener: settings.admin_listen.is_some(),
            accounts_per_day: settings.accounts_per_day,
            movement_limits: ledger.movement_limits,
            disk: ledger.disk,
        });
        let housekeeping = Housekeeping::start(&app, certificate, settings.idempotency_retention()).await?;
        Ok(Self {
            app,
            writers: ledger.writers,
            audit_writer,
            connection_limits: connection_limits_of(settings),
            tls: acceptor,
            shutdown_deadline: settings.shutdown_deadline(),
            housekeeping,
            mailing,
            backups,
            is_marked: false,
        })
    }

    pub fn db(&self) -> &Db {
        &self.app.db
    }

    /// Serves until `shutdown` completes. Then whatever has been asked is answered up to the deadline, by whomever has
    /// connected, everything that was queued is committed, and the database is closed.
    pub async fn serve(
        self,
        listeners: impl Into<Listeners>,
        shutdown: impl Future<Output = ()>,
    ) -> Result<(), ServerError> {
        let Self { app, mut writers, mut audit_writer, connection_limits, tls, shutdown_deadline, .. } = self;
        let Self { housekeeping, mailing, backups, is_marked, .. } = self;
        let Listeners { public, admin } = listeners.into();
        let (db, movement_limits, watches) = (app.db.clone(), app.movement_limits.clone(), app.watches.clone());
        let (auth, committer) = (app.auth.clone(), app.committer.clone());
        let of_admin =
            |listener| (Acceptor::new(router::admin_router(app.clone()), None, ConnectionLimits::of_admin()), listener);
        let admin = admin.map(of_admin);
        let mut background = Background::default();
        let dispatcher = background.spawn("sending to webhooks", Dispatcher::new(&app).run());
        let acceptor = Acceptor::new(router::router(app), tls, connection_limits);
        let housekeeping = background.spawn("housekeeping", housekeeping.run());
        let keeping_mark = is_marked.then(|| background.spawn("marking the database file", keep_mark(db.clone())));
        let (is_closing, closing) = watch::channel(false);
        let backups = background.spawn("making backups", backups.run(closing.clone()));
        let mailing = mailing.map(|mailing| background.spawn("sending mail", mailing.run(closing)));
        tell_ready();
        let ended = tokio::select! {
            () = acceptor.accept(&public) => Ok(()),
            () = accept_if_any(admin.as_ref()) => Ok(()),
            () = feed_watchdog(&committer) => Ok(()),
            () = shutdown => Ok(()),
            () = writers.one_ended() => Err(ServerError::Stopped("the ledger")),
            _ = &mut audit_writer => Err(ServerError::Stopped("the audit log")),
            name = background.one_panicked() => Err(ServerError::Stopped(name)),
        };
        tell_stopping(shutdown_deadline);
        // The writers end with the last of these.
        drop(committer);
        housekeeping.abort();
        end_keeping_mark(keeping_mark).await;
        let _ = is_closing.send(true);
        writers.close();
        watches.close();
        let closing = async {
            let admin = async {
                if let Some((acceptor, listener)) = admin {
                    acceptor.close(listener).await;
                }
            };
            let _ = tokio::join!(acceptor.close(public), admin, dispatcher);
            writers.all_ended().await;
            store_quotas(&movement_limits, &db).await;
            store_uses_of_keys(&auth).await;
            if !audit_writer.is_finished() && tokio::time::timeout(LAST_NOTES_WITHIN, audit_writer).await.is_err() {
                tracing::error!("the last notes could not be written to the audit log");
            }
            finish_mails(mailing).await;
            let _ = backups.await;
            if is_marked && let Err(error) = db.mark_as_closed().await {
                tracing::warn!(%error, "the database file goes on saying that it is served");
            }
            db.close().await;
        };
        if tokio::time::timeout(shutdown_deadline, closing).await.is_err() {
            tracing::warn!("the deadline for closing has passed; what is unfinished has had no answer");
        }
        ended
    }
}

/// The ledger's writers, and what they share with the handlers.
struct Ledger {
    committer: Committer,
    writers: Writers,
    clock: Arc<Clock>,
    watches: Watches,
    listening: Listening,
    movement_limits: MovementLimits,
    disk: DiskReserve,
}

impl Ledger {
    fn start(settings: &Settings, db: &Db, sends_mail: bool) -> Self {
        let (clock, watches, listening) = (Arc::new(Clock::default()), Watches::default(), Listening::default());
        let movement_limits = MovementLimits::new(settings.movement_rate, settings.movements_per_day);
        let disk = DiskReserve::new(db.file(), settings.disk_reserve.bytes());
        let (maximum, time_zone) = (settings.max_amount, &settings.time_zone);
        let (committer, writers) = Committer::start(db, maximum, time_zone, &clock, &watches, &listening, sends_mail);
        let committer = committer.within(movement_limits.clone(), disk.clone());
        Self { committer, writers, clock, watches, listening, movement_limits, disk }
    }
}

fn sender_of(settings: &Settings) -> Result<Sender, ServerError> {
    let destinations = Destinations::new(settings.webhook_networks.clone());
    Ok(Sender::new(destinations, tls::client_config(settings.webhook_ca.as_deref())?, settings.drill))
}

fn connection_limits_of(settings: &Settings) -> ConnectionLimits {
    ConnectionLimits::new(
        affordable_connections(settings.max_connections),
        settings.connections_per_network as usize,
        settings.trusted_proxies.clone(),
    )
}

/// Connects, and brings tables and units to what this version and the settings say.
async fn open_database(settings: &Settings, database: &DbOptions) -> Result<Db, ServerError> {
    let db = Db::connect(database).await?;
    require_durability(&db, settings.production).await?;
    db.migrate().await?;
    db.define_units(&settings.units).await?;
    Ok(db)
}

fn auth_of(
    settings: &Settings,
    db: &Db,
    secrets: &SigningSecrets,
    factor_keys: FactorKeys,
) -> Result<Auth, ServerError> {
    let limits = CallerLimits {
        requests_per_second: settings.caller_rate,
        changes_per_day: settings.changes_per_day,
        sign_ups_per_hour: settings.sign_ups_per_hour,
    };
    let (second_factor, hash_cost) = (settings.staff_second_factor, settings.hash_cost.clone());
    Auth::new(db, secrets, factor_keys, limits, second_factor, hash_cost).map_err(ServerError::Passwords)
}

/// Refuses a file that another server may have open by another name, and a copy without its log. What is missing from it was acknowledged, and a bank that served it would give the same
/// sequences to other movements. A bank that has crashed still has its log, or somebody has played that into the file.
fn refuse_unsafe_file(target: &DbTarget) -> Result<(), ServerError> {
    let DbTarget::Sqlite(file) = target else { return Ok(()) };
    let file_name = file.get_filename();
    if serving::is_lone_log(file_name) {
        return Err(ServerError::LoneLog(file_name.display().to_string()));
    }
    if let Ok(found) = fs::metadata(file_name)
        && found.nlink() > 1
    {
        return Err(ServerError::ManyNames { file: file_name.display().to_string(), names: found.nlink() });
    }
    match database::refuse_without_log(file_name) {
        Err(NotWhole::WithoutLog(file)) => Err(ServerError::WithoutLog(file)),
        // A file that cannot be read is refused with better words when it is opened.
        Err(NotWhole::Unreadable(_)) | Ok(_) => Ok(()),
    }
}

/// Where the running bank makes backups, and when. The directory is made now, so that a wrong one is noticed now.
fn backup_schedule(settings: &Settings) -> Result<Option<Schedule>, ConfigError> {
    let directory = settings.backup_directory()?.map(Path::to_owned);
    let (every, keep) = (settings.backup_every.duration(), settings.backup_keep as usize);
    Ok(directory.map(|directory| Schedule { directory, every, keep }))
}

fn warn_of_unapproved_deposits(settings: &Settings) {
    if settings.approval_above.is_some() && settings.self_service_deposits {
        tracing::warn!(
            "COFFER_APPROVAL_ABOVE without COFFER_SELF_SERVICE_DEPOSITS=false: whoever works here can be a customer, \
             too, and deposit any amount on their own word"
        );
    }
}

/// Warns of secrets that no key decrypts: users cannot sign in with a code, and nothing is sent to webhooks.
fn warn_of_unreadable_secrets(unreadable: &Unreadable) {
    if let Some(first) = unreadable.users.first() {
        tracing::warn!(
            count = unreadable.users.len(),
            %first,
            "secrets of authenticator apps cannot be decrypted: their users sign in with a recovery code, or once \
             `coffer admin reset-second-factor` has taken the second factor away"
        );
    }
    for id in &unreadable.webhooks {
        tracing::warn!(%id, "the secret of a webhook cannot be decrypted: POST /webhooks/{{id}}/secret gives it another");
    }
}

/// Never ends, whether there is such a listener or not.
async fn accept_if_any(admin: Option<&(Acceptor, TcpListener)>) {
    match admin {
        Some((acceptor, listener)) => acceptor.accept(listener).await,
        None => std::future::pending().await,
    }
}

/// It may be in the middle of a mark.
async fn end_keeping_mark(keeping_mark: Option<JoinHandle<()>>) {
    let Some(keeping_mark) = keeping_mark else { return };
    keeping_mark.abort();
    let _ = keeping_mark.await;
}

/// A mail that is on its way then is sent again by whoever opens the bank next.
async fn finish_mails(mailing: Option<JoinHandle<()>>) {
    let Some(mut mailing) = mailing else { return };
    if tokio::time::timeout(LAST_MAILS_WITHIN, &mut mailing).await.is_err() {
        mailing.abort();
    }
}

async fn store_quotas(limits: &MovementLimits, db: &Db) {
    let stored = tokio::time::timeout(LAST_QUOTAS_WITHIN, limits.store_all(db)).await;
    if let Err(error) = stored.unwrap_or_else(|_| Err(errors::no_answer())) {
        tracing::warn!(%error, "what callers have used of their day could not be stored");
    }
}

async fn store_uses_of_keys(auth: &Auth) {
    let stored = tokio::time::timeout(LAST_QUOTAS_WITHIN, auth.api_keys.store_uses(true)).await;
    if let Err(error) = stored.unwrap_or_else(|_| Err(errors::no_answer())) {
        tracing::warn!(%error, "when API keys were last used could not be stored");
    }
}

/// Refuses to start a bank for production that lacks something. Another bank that serves other machines only warns.
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

/// A server that may lose its books when its machine crashes is refused for production, and warned of otherwise.
async fn require_durability(db: &Db, is_production: bool) -> Result<(), ServerError> {
    let (_, lacking) = db.lacks_in_durability().await?;
    if is_production && !lacking.is_empty() {
        return Err(ServerError::NotForProduction(lacking));
    }
    for shortcoming in lacking {
        tracing::warn!("PostgreSQL: {shortcoming}");
    }
    Ok(())
}

/// The most connections: as configured, or fewer if the limit on open files leaves room for fewer.
fn affordable_connections(configured: u32) -> usize {
    let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    let affordable = limit.saturating_sub(RESERVED_FILES).max(1);
    if affordable < configured.into() {
        tracing::warn!(configured, affordable, "COFFER_MAX_CONNECTIONS is more than the limit on open files allows");
    }
    let most = affordable.min(configured.into());
    metrics::gauge!("coffer_connections_max").set(most as f64);
    usize::try_from(most).unwrap_or(usize::MAX)
}
