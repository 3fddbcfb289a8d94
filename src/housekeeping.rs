//! Periodic work, beside the requests: reading what other instances decided about sessions, API keys and people, renewing the TLS
//! certificate, checkpoints of SQLite's WAL, deleting what has expired, going on with erasures that were cut short, and noticing a
//! clock that is wrong.

use std::fs;
use std::time::{Duration, Instant};

use crate::api::App;
use crate::mailing;
use coffer_core::auth::tokens;
use coffer_core::books::unapproved::WINDOW;
use coffer_core::clock::{self, CertainTime, Jump, Jumps};
use coffer_core::db::accounts::MOST_LOOKED_UP;
use coffer_core::db::{Db, Tx, errors};
use coffer_core::disk::DiskReserve;
use coffer_core::files;
use coffer_core::timestamp::Timestamp;
use coffer_core::tls::Certificate;
use coffer_core::watches::{self, Watches};

/// A logout, a freeze or another role counts on other instances after this long and one query: within a second.
const TICK: Duration = Duration::from_millis(500);
/// Changes are asked for this much further back, so that a slow commit loses none.
const LOOK_BACK: Duration = Duration::from_secs(30);
/// Sessions and API keys are kept this long after they ended, for those who look into what happened.
const SESSION_RETENTION: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// Events are kept this long for those who have been away.
const EVENT_RETENTION: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most events that a tick deletes: more than are written in that time, and few enough to keep nobody waiting.
const EVENTS_AT_ONCE: i64 = 10_000;
/// A tick that takes longer is given up: nothing in it may keep the next one.
const TICK_LIMIT: Duration = Duration::from_secs(20);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// A ledger at full speed writes some 30 MiB to SQLite's WAL in this time.
const WAL_TICK: Duration = Duration::from_millis(200);
/// How long a served SQLite file is without its mark after a checkpoint by somebody else, at the most.
const MARK_TICK: Duration = Duration::from_secs(1);
/// A change by another instance, or the end of a hold, is seen by those who wait for it after this long and one query.
const WATCH_TICK: Duration = Duration::from_secs(1);
/// How often the disk is looked at: at full speed the books grow by some 10 MB meanwhile.
const DISK_TICK: Duration = Duration::from_millis(250);
/// How often erasures are looked for that are not at their end, such as when the bank was stopped meanwhile.
const ERASURE_TICK: Duration = Duration::from_secs(60);

pub struct Housekeeping {
    app: App,
    certificate: Option<Certificate>,
    idempotency_retention: Duration,
    /// Sessions that ended and standings that changed since then are still to be heard of.
    heard_until: Timestamp,
    certain_time: CertainTime,
    jumps: Jumps,
    /// Whether the clock has gone back, and what it has left behind while it was ahead is still to be dealt with.
    was_ahead: bool,
    by_the_minute: Due,
    by_the_hour: Due,
}

/// Work that is due once in so much time, from the first tick on. It stays due where it has failed.
#[derive(Debug)]
struct Due {
    every: Duration,
    done: Option<Instant>,
}

impl Due {
    fn new(every: Duration) -> Self {
        Self { every, done: None }
    }

    fn is_at(&self, now: Instant) -> bool {
        self.done.is_none_or(|done| now.duration_since(done) >= self.every)
    }
}

impl Housekeeping {
    /// Reads at once every change that access tokens which may still run do not know: a restart must not revive them.
    pub async fn start(
        app: &App,
        certificate: Option<Certificate>,
        idempotency_retention: Duration,
    ) -> sqlx::Result<Self> {
        let (now, instant) = (Timestamp::now(), Instant::now());
        let newest = app.db.newest_transaction_at().await?;
        let stored = app.db.certain_time().await?;
        // It may be later than what the clock says now: then that is wrong, and stamps go on from there.
        app.clock.set_certain(stored.unwrap_or(now));
        let certain_time = CertainTime::new(instant, now, stored.or(newest));
        let mut this = Self {
            app: app.clone(),
            certificate,
            idempotency_retention,
            heard_until: now,
            certain_time,
            jumps: Jumps::new(instant, now),
            was_ahead: true,
            by_the_minute: Due::new(MINUTE),
            by_the_hour: Due::new(HOUR),
        };
        this.app.clock.set_certain(this.certain_time.advance(instant, now));
        this.tell_whether_behind(newest, now);
        this.hear_from_before(now).await?;
        this.hear_of_listeners(now).await?;
        app.movement_limits.load(&app.db).await?;
        app.disk.measure();
        app.heads.send_replace(Some(app.db.heads().await?));
        for user in this.app.db.frozen_users().await? {
            this.app.auth.standings.set(user.id, user.standing, user.changed_at);
        }
        Ok(this)
    }

    /// Hears of everything that tokens which count at `now` may not know. First of all it ends the sessions that got a
    /// token while the clock was ahead: when that time comes, it would count again, whatever had been decided
    /// meanwhile.
    async fn hear_from_before(&mut self, now: Timestamp) -> sqlx::Result<()> {
        let mut tx = self.app.db.begin().await?;
        let ended = tx.end_sessions_used_after(now.plus(clock::TOLERANCE), now).await?;
        tx.commit().await?;
        if ended > 0 {
            tracing::warn!(ended, "sessions were ended that began or were renewed while the clock was ahead");
        }
        for session in self.app.db.ended_sessions_used_since(now.minus(tokens::LONGEST_LIFE)).await? {
            self.app.auth.ended_sessions.add([session.id], session.last_used_at);
        }
        self.app.auth.api_keys.drop_all();
        self.heard_until = now.minus(tokens::LONGEST_LIFE);
        self.hear_of_changes(now).await?;
        self.was_ahead = false;
        Ok(())
    }

    async fn hear_of_changes(&mut self, now: Timestamp) -> sqlx::Result<()> {
        let since = self.heard_until.minus(LOOK_BACK);
        for session in self.app.db.sessions_ended_since(since).await? {
            self.app.auth.ended_sessions.add([session.id], session.last_used_at);
        }
        self.app.auth.ended_sessions.drop_expired(now);
        for user in self.app.db.standings_changed_since(since).await? {
            self.app.auth.standings.set(user.id, user.standing, user.changed_at);
        }
        self.app.auth.api_keys.drop_changed(&self.app.db.api_keys_changed_since(since).await?);
        self.app.auth.api_keys.drop_idle(now);
        self.app.auth.standings.drop_older_than(now.minus(tokens::LONGEST_LIFE).minus(LOOK_BACK));
        self.heard_until = now;
        Ok(())
    }

    /// Reads until when events are wanted, and extends that for this process's streams, for webhooks and for the setting.
    async fn hear_of_listeners(&self, now: Timestamp) -> sqlx::Result<()> {
        let Self { app, .. } = self;
        app.listening.set_until(app.db.event_head().await?.listening_until);
        let is_to_be_extended = app.listening.is_to_be_extended(now);
        if is_to_be_extended
            && (app.always_events || app.listening.has_streams() || app.db.has_enabled_webhooks().await?)
        {
            app.listen(now).await?;
        }
        Ok(())
    }

    /// Warns once, when the clock is found to be behind.
    fn tell_whether_behind(&self, newest: Option<Timestamp>, now: Timestamp) {
        if let Some(newest) = newest
            && self.app.clock.compare(newest, now)
        {
            tracing::warn!(
                %newest,
                %now,
                "the clock is behind the newest movement: it is wrong, or was when that was booked; accounts keep the \
                 order of their entries, so those that it touched book with its date until then"
            );
        }
    }

    /// Never ends. What fails is logged and tried again at the next tick.
    pub async fn run(self) {
        let db = self.app.db.clone();
        let disk = self.app.disk.clone();
        let watches = self.app.watches.clone();
        tokio::join!(
            self.run_by_the_tick(),
            checkpoint_wal(&db),
            watch_disk(disk, &db),
            look_at_watched(&db, &watches),
            finish_erasures(&db),
        );
    }

    async fn run_by_the_tick(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let done = tokio::time::timeout(TICK_LIMIT, self.tick()).await;
            if let Err(error) = done.unwrap_or_else(|_| Err(errors::no_answer())) {
                tracing::warn!(%error, "housekeeping will try again");
            }
        }
    }

    async fn tick(&mut self) -> sqlx::Result<()> {
        if let Some(certificate) = &self.certificate {
            certificate.renew();
        }
        self.app.auth.drop_idle(Instant::now());
        self.app.edge.drop_idle(Instant::now());
        self.app.movement_limits.drop_idle(Instant::now());
        self.app.long_answers.drop_idle(Instant::now());
        self.app.views.drop_old(Instant::now());
        if let Some(metrics) = &self.app.metrics {
            metrics.run_upkeep();
        }
        // Before any is forgotten. Nobody's rights wait for it.
        if let Err(error) = self.app.auth.api_keys.store_uses(false).await {
            tracing::warn!(%error, "when API keys were last used will be stored later");
        }
        // Somebody who signed in just before got a token by a clock that was wrong.
        self.was_ahead |= self.app.db.follow_server_time().await?;
        let (now, instant) = (Timestamp::now(), Instant::now());
        let jump = self.jumps.notice(instant, now);
        if let Some(jump) = jump {
            tracing::warn!(?jump, "the clock has jumped");
        }
        self.was_ahead |= matches!(jump, Some(Jump::Back(_)));
        if self.was_ahead {
            self.hear_from_before(now).await?;
        } else {
            self.hear_of_changes(now).await?;
        }
        self.hear_of_listeners(now).await?;
        // Another instance may have opened an account in a unit that is new.
        self.app.db.learn_units().await?;
        self.app.heads.send_replace(Some(self.app.db.heads().await?));
        let newest = self.app.db.newest_transaction_at().await?;
        self.tell_whether_behind(newest, now);
        let certain = self.certain_time.advance(instant, now);
        self.app.clock.set_certain(certain);
        let (is_minute, is_hour) = (self.by_the_minute.is_at(instant), self.by_the_hour.is_at(instant));
        let mut tx = self.app.db.begin().await?;
        if is_minute {
            tx.store_certain_time(certain).await?;
        }
        // Nor does anything go before its time has passed by the newest movement.
        let certain = newest.map_or(certain, |newest| newest.min(certain));
        self.delete_what_is_old(&mut tx, now, certain).await?;
        if is_hour {
            delete_by_the_hour(&mut tx, certain).await?;
        }
        tx.commit().await?;
        if is_minute {
            self.by_the_minute.done = Some(instant);
        }
        if is_hour {
            self.by_the_hour.done = Some(instant);
        }
        self.app.movement_limits.store(&self.app.db).await
    }

    /// A slice of what is sorted by key at a time: a table of millions is never scanned at once, and each is seen every
    /// 9 hours, by the clock, so that a bank that is often started sees the later ones, too.
    async fn delete_what_is_old(&self, tx: &mut Tx<'_>, now: Timestamp, certain: Timestamp) -> sqlx::Result<()> {
        let slice = (now.as_micros() / TICK.as_micros() as i64) as u16;
        tx.prune_keys(slice, certain.minus(self.idempotency_retention)).await?;
        tx.delete_events_older_than(certain.minus(EVENT_RETENTION), EVENTS_AT_ONCE).await?;
        tx.delete_old_deliveries(EVENTS_AT_ONCE).await
    }
}

async fn delete_by_the_hour(tx: &mut Tx<'_>, certain: Timestamp) -> sqlx::Result<()> {
    tx.delete_whole_movement_quotas(certain).await?;
    tx.delete_unapproved_totals_older_than(certain.minus(WINDOW * 2)).await?;
    tx.delete_sessions_older_than(certain.minus(SESSION_RETENTION)).await?;
    tx.delete_api_keys_older_than(certain.minus(SESSION_RETENTION)).await?;
    tx.delete_mails_older_than(certain.minus(mailing::LIFETIME)).await?;
    tx.delete_mailed_links_older_than(certain.minus(mailing::LIFETIME)).await?;
    tx.delete_ended_webhook_secrets(certain).await
}

async fn checkpoint_wal(db: &Db) {
    let mut ticks = tokio::time::interval(WAL_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = db.checkpoint_wal().await {
            tracing::warn!(%error, "the WAL could not be checkpointed; it will be tried again");
        }
    }
}

/// Keeps the mark in a SQLite file that this process alone serves, for as long as it does.
pub async fn keep_mark(db: Db) {
    let mut ticks = tokio::time::interval(MARK_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = db.keep_mark().await {
            tracing::debug!(%error, "the mark of a file that is served will be looked at again");
        }
    }
}

/// Wakes who watches an account that another instance has changed, or of which a hold has expired.
async fn look_at_watched(db: &Db, watches: &Watches) {
    let mut ticks = tokio::time::interval(WATCH_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for numbers in watches.accounts().chunks(MOST_LOOKED_UP) {
            match db.accounts(numbers).await {
                Ok(accounts) => accounts.iter().for_each(|it| watches.see(it.account_number, watches::state_of(it))),
                Err(error) => tracing::warn!(%error, "accounts that are watched will be looked at again"),
            }
        }
    }
}

/// Erases what is left of the texts of people who were erased.
async fn finish_erasures(db: &Db) {
    let mut ticks = tokio::time::interval(ERASURE_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = finish_each_erasure(db).await {
            tracing::warn!(%error, "the texts of somebody who was erased are not all gone; it will be tried again");
        }
    }
}

async fn finish_each_erasure(db: &Db) -> sqlx::Result<()> {
    for user_id in db.erasures_to_finish().await? {
        db.erase_texts_of(user_id).await?;
    }
    Ok(())
}

/// On a thread that may wait: a file system can hang.
async fn watch_disk(disk: DiskReserve, db: &Db) {
    let (open_file, wal) = (db.open_file(), db.file().map(files::log_of_sqlite));
    let mut ticks = tokio::time::interval(DISK_TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let (disk, open_file, wal) = (disk.clone(), open_file.clone(), wal.clone());
        let measure = move || {
            disk.measure();
            if let Some(open_file) = open_file {
                open_file.look();
            }
            if let Some(Ok(wal)) = wal.map(fs::metadata) {
                metrics::gauge!("coffer_sqlite_wal_bytes").set(wal.len() as f64);
            }
        };
        let _ = tokio::task::spawn_blocking(measure).await;
    }
}
