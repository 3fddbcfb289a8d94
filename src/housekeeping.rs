//! What happens by the clock: hearing of what other instances decided about sessions and people, renewing the TLS
//! certificate, folding SQLite's WAL, making search texts that an older version has left out, and forgetting what is too
//! old to matter.

use std::time::{Duration, Instant};

use crate::api::App;
use crate::auth::tokens;
use crate::db::Db;
use crate::timestamp::Timestamp;
use crate::tls::Certificate;

/// A logout, a freeze or another role counts on other instances after this long and one query: within a second.
const TICK: Duration = Duration::from_millis(500);
/// Changes are asked for this much further back, so that a slow commit or a clock that differs loses none.
const LOOK_BACK: Duration = Duration::from_secs(30);
/// An access token made just before its session ended is refused at the latest when this much has passed.
const LONGEST_TOKEN: Duration = tokens::LIFETIME.saturating_add(Duration::from_secs(60));
/// Sessions are kept this long after they ended, for those who look into what happened.
const SESSION_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const TICKS_PER_HOUR: u64 = 7_200;
/// A ledger at full speed writes some 30 MiB to SQLite's WAL in this time.
const WAL_TICK: Duration = Duration::from_millis(200);

/// Search texts that are made in one transaction: a few milliseconds of the database's time.
const SEARCH_TEXTS_AT_ONCE: i64 = 200;
/// Search texts that are made before the bank serves: a second or so, and all of them for most banks.
const SEARCH_TEXTS_AT_START: usize = 10_000;
/// An older instance may run beside this one for a while, and sign people up.
const SEARCH_TEXT_TICK: Duration = Duration::from_secs(5);

pub struct Housekeeping {
    app: App,
    certificate: Option<Certificate>,
    idempotency_retention: Duration,
    /// Sessions that ended and standings that changed since then are still to be heard of.
    heard_until: Timestamp,
}

impl Housekeeping {
    /// Hears at once of everything that access tokens which may still run do not know: a restart must not revive them.
    pub async fn start(
        app: &App,
        certificate: Option<Certificate>,
        idempotency_retention: Duration,
    ) -> sqlx::Result<Self> {
        let heard_until = Timestamp::now().minus(LONGEST_TOKEN);
        let mut this = Self { app: app.clone(), certificate, idempotency_retention, heard_until };
        this.hear_of_changes(Timestamp::now()).await?;
        for user in this.app.db.frozen_users().await? {
            this.app.auth.standings.set(user.id, user.standing, user.changed_at);
        }
        fill_first_search_texts(&this.app.db).await;
        Ok(this)
    }

    async fn hear_of_changes(&mut self, now: Timestamp) -> sqlx::Result<()> {
        let since = self.heard_until.minus(LOOK_BACK);
        self.app.auth.ended_sessions.add(self.app.db.sessions_ended_since(since).await?, now);
        self.app.auth.ended_sessions.forget_older_than(now.minus(LONGEST_TOKEN));
        for user in self.app.db.standings_changed_since(since).await? {
            self.app.auth.standings.set(user.id, user.standing, user.changed_at);
        }
        self.app.auth.standings.forget_older_than(now.minus(LONGEST_TOKEN).minus(LOOK_BACK));
        self.heard_until = now;
        Ok(())
    }

    /// Never ends. What fails is logged and tried again at the next tick.
    pub async fn run(self) {
        let db = self.app.db.clone();
        tokio::join!(self.run_by_the_tick(), fold_wal(&db), fill_search_texts(&db));
    }

    async fn run_by_the_tick(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for tick in 0u64.. {
            ticks.tick().await;
            if let Err(error) = self.tick(tick).await {
                tracing::warn!(%error, "housekeeping will try again");
            }
        }
    }

    async fn tick(&mut self, tick: u64) -> sqlx::Result<()> {
        let now = Timestamp::now();
        if let Some(certificate) = &self.certificate {
            certificate.renew();
        }
        self.app.auth.forget_idle(Instant::now());
        self.app.edge.requests.forget_idle(Instant::now());
        self.hear_of_changes(now).await?;
        if let Some(metrics) = &self.app.metrics {
            metrics.run_upkeep();
        }
        // A slice of what is sorted by key at a time: a table of millions is never scanned at once, and each is seen every
        // 9 hours, by the clock, so that a bank that is often started sees the later ones, too.
        let slice = (now.as_micros() / TICK.as_micros() as i64) as u16;
        let mut tx = self.app.db.begin().await?;
        tx.prune_keys(slice, now.minus(self.idempotency_retention)).await?;
        if tick.is_multiple_of(TICKS_PER_HOUR) {
            tx.delete_sessions_older_than(now.minus(SESSION_RETENTION)).await?;
        }
        tx.commit().await
    }
}

async fn fold_wal(db: &Db) {
    let mut ticks = tokio::time::interval(WAL_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = db.fold_wal().await {
            tracing::warn!(%error, "the WAL could not be folded; it will be tried again");
        }
    }
}

/// What fails is no reason not to serve: it is tried again beside.
async fn fill_first_search_texts(db: &Db) {
    let mut filled = 0;
    while filled < SEARCH_TEXTS_AT_START
        && let Ok(more @ 1..) = db.fill_search_texts(SEARCH_TEXTS_AT_ONCE).await
    {
        filled += more;
    }
}

async fn fill_search_texts(db: &Db) {
    loop {
        match db.fill_search_texts(SEARCH_TEXTS_AT_ONCE).await {
            Ok(0) => tokio::time::sleep(SEARCH_TEXT_TICK).await,
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(%error, "search texts could not be made; it will be tried again");
                tokio::time::sleep(SEARCH_TEXT_TICK).await;
            }
        }
    }
}
