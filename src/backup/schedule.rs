//! Backups that the running bank makes: by the clock, and when it is asked to by a signal.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::{Duration, Instant};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Interval, interval, sleep_until};

use super::{BackupError, Contents, draft};
use coffer_core::db::{Db, DbOptions};
use coffer_core::files;
use coffer_core::timestamp::Timestamp;

/// The names of backups are this, the moment, and the ending. Nothing else in the directory is ever touched.
const PREFIX: &str = "coffer-";
const SUFFIX: &str = ".db";
/// `20260131T120000Z`.
const MOMENT_LENGTH: usize = 16;
/// A backup that failed is tried again after this, or when the next one is due.
const RETRY_AFTER: Duration = Duration::from_secs(10 * 60);
/// A backup that takes longer is given up: a server that has gone without a word never answers. A draft that is older has been
/// left behind.
const LONGEST_BACKUP: Duration = Duration::from_secs(24 * 60 * 60);
/// Several backups within one second have the names of the next ones. Names that are further ahead are of another clock.
const NAMES_AHEAD: Duration = Duration::from_secs(60 * 60);
/// How often the metrics say anew how old the last good backup is.
const METRICS_TICK: Duration = Duration::from_secs(1);

/// Where backups go, and when.
#[derive(Clone, Debug)]
pub struct Schedule {
    pub directory: PathBuf,
    /// None for those alone that are asked for.
    pub every: Option<Duration>,
    /// At least one.
    pub keep: usize,
}

/// Makes backups for as long as the bank is open.
pub struct Backups {
    bank: DbOptions,
    /// None where the settings name no directory: then a signal changes nothing, and is answered in the log.
    schedule: Option<Schedule>,
    /// Bytes that stay free on the disk of the books.
    reserve: u64,
    requests: Signal,
    /// When the last good one was made, by the monotonic clock, or was first missed.
    last_good: Option<Instant>,
}

impl Backups {
    /// Catches SIGUSR1 from here on.
    pub fn new(bank: DbOptions, schedule: Option<Schedule>, reserve: u64) -> io::Result<Self> {
        let requests = signal(SignalKind::user_defined1())?;
        Ok(Self { bank, schedule, reserve, requests, last_good: None })
    }

    /// Ends when the bank closes; a backup that is being made then is given up.
    pub async fn run(mut self, mut closing: watch::Receiver<bool>) {
        let is_closing = closing.clone();
        tokio::select! {
            () = self.run_until_closing(&is_closing) => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
    }

    async fn run_until_closing(&mut self, closing: &watch::Receiver<bool>) {
        let opened = Instant::now();
        let age = match self.schedule.clone() {
            Some(schedule) => {
                off_the_runtime(move || age_of_newest(&schedule.directory, Timestamp::now())).await.flatten()
            }
            None => None,
        };
        let every = self.schedule.as_ref().and_then(|schedule| schedule.every);
        // Before the first one, the bank has been without a backup since it opened.
        let of_none = every.map(|_| opened);
        self.last_good = age.map_or(of_none, |age| opened.checked_sub(age));
        let mut due = every.map(|every| opened + every.saturating_sub(age.unwrap_or(every)));
        let mut metrics_ticks = interval(METRICS_TICK);
        loop {
            tokio::select! {
                _ = self.requests.recv() => {}
                () = wait_until(due) => {}
                _ = metrics_ticks.tick() => {
                    self.tell_age();
                    continue;
                }
            }
            let began = Instant::now();
            let is_good = self.make_while_telling_age(&mut metrics_ticks, closing).await;
            if is_good {
                self.last_good = Some(began);
                self.tell_age();
            }
            due = every.map(|every| Instant::now() + if is_good { every } else { every.min(RETRY_AFTER) });
        }
    }

    fn tell_age(&self) {
        if let Some(last_good) = self.last_good {
            metrics::gauge!("coffer_backup_age_seconds").set(last_good.elapsed().as_secs() as f64);
        }
    }

    /// One that takes long must not hide how old the last one is.
    async fn make_while_telling_age(&self, metrics_ticks: &mut Interval, closing: &watch::Receiver<bool>) -> bool {
        let mut making = pin!(self.make(closing));
        loop {
            tokio::select! {
                is_good = &mut making => return is_good,
                _ = metrics_ticks.tick() => self.tell_age(),
            }
        }
    }

    async fn make(&self, closing: &watch::Receiver<bool>) -> bool {
        let Some(schedule) = self.schedule.clone() else {
            tracing::error!(
                "SIGUSR1 asks for a backup, and there is no directory for one: set COFFER_BACKUP_DIR, and not COFFER_DRILL"
            );
            return false;
        };
        let directory = schedule.directory.display().to_string();
        let (bank, reserve, closing) = (self.bank.clone(), self.reserve, closing.clone());
        let made = off_the_runtime(move || make_in(&schedule, &bank, reserve, closing)).await;
        let made = made.unwrap_or_else(|| Err(BackupError::Refused("its thread has ended by itself".to_owned())));
        let outcome = if made.is_ok() { "done" } else { "failed" };
        metrics::counter!("coffer_backups_total", "outcome" => outcome).increment(1);
        match made {
            Ok((file, Contents { heads, transactions, bytes, took })) => {
                let (file, milliseconds) = (file.display(), took.as_millis());
                tracing::info!(%file, milliseconds, bytes, transactions, "a backup is done and its books are right: {heads}");
                true
            }
            Err(error) => {
                tracing::error!(%error, directory, "there is no new backup");
                false
            }
        }
    }
}

async fn wait_until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

/// The disk of the backups may stand still, and checking the books keeps a core busy: no request waits for either. None when the
/// thread has panicked.
async fn off_the_runtime<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Makes a backup with connections of its own, and deletes what it makes superfluous.
fn make_in(
    schedule: &Schedule,
    bank: &DbOptions,
    reserve: u64,
    mut closing: watch::Receiver<bool>,
) -> Result<(PathBuf, Contents), BackupError> {
    delete_abandoned(&schedule.directory, Timestamp::now());
    let target = schedule.directory.join(name_at(Timestamp::now(), &schedule.directory));
    let failed = |cause| BackupError::Write { path: target.display().to_string(), cause };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let contents = runtime.block_on(async {
        tokio::select! {
            made = connect_and_make(bank, &target, reserve) => made,
            () = tokio::time::sleep(LONGEST_BACKUP) => Err(BackupError::Refused("it took more than a day".to_owned())),
            _ = closing.wait_for(|closing| *closing) => Err(BackupError::Refused("the bank closes".to_owned())),
        }
    })?;
    delete_old(schedule, &target, Timestamp::now());
    Ok((target, contents))
}

async fn connect_and_make(bank: &DbOptions, target: &Path, reserve: u64) -> Result<Contents, BackupError> {
    let bank = Db::connect(bank).await?;
    let made = super::make(&bank, target, reserve).await;
    bank.close().await;
    made
}

/// A name that is not taken. Within the second another backup may have been made.
fn name_at(moment: Timestamp, directory: &Path) -> String {
    let moments = (0..).map(|later| moment.plus(Duration::from_secs(later)));
    let mut names = moments.map(|moment| format!("{PREFIX}{}{SUFFIX}", compact(moment)));
    names.find(|name| !directory.join(name).exists()).unwrap_or_default()
}

/// ISO 8601 in its basic form, in UTC: sorted by name, backups are sorted by time, and no system minds a sign in it.
fn compact(moment: Timestamp) -> String {
    let whole_seconds: String = moment.to_string().chars().take_while(|sign| *sign != '.').collect();
    whole_seconds.replace(['-', ':'], "") + "Z"
}

/// The moment in the name of a backup that the bank has made.
fn moment_of(name: &str) -> Option<Timestamp> {
    let moment = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let is_sign = |(at, sign): (usize, char)| match at {
        8 => sign == 'T',
        15 => sign == 'Z',
        _ => sign.is_ascii_digit(),
    };
    if moment.len() != MOMENT_LENGTH || !moment.chars().enumerate().all(is_sign) {
        return None;
    }
    let [year, month, day, hour, minute, second] =
        [(0, 4), (4, 6), (6, 8), (9, 11), (11, 13), (13, 15)].map(|(from, to)| &moment[from..to]);
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z").parse().ok()
}

/// The names of the backups in the directory, oldest first.
fn backups_in(directory: &Path) -> Vec<String> {
    let names = entries_of(directory).into_iter().filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| moment_of(name).is_some()).collect();
    names.sort_unstable();
    names
}

/// The drafts in the directory that nobody works on any more: the bank was killed while it made them.
fn abandoned_drafts_in(directory: &Path, now: Timestamp) -> Vec<PathBuf> {
    let is_abandoned = |path: &PathBuf| {
        let target = draft::target_of(path).and_then(|target| moment_of(&target));
        target.is_some_and(|moment| now.since(moment) > LONGEST_BACKUP)
    };
    entries_of(directory).into_iter().map(|entry| entry.path()).filter(is_abandoned).collect()
}

/// None of a directory that cannot be read.
fn entries_of(directory: &Path) -> Vec<fs::DirEntry> {
    fs::read_dir(directory).map(|entries| entries.flatten().collect()).unwrap_or_default()
}

/// How long ago the newest backup was made. A file without anything in it is none, and neither is one of the future: it was made
/// by a clock that was wrong, and the schedule would wait until then.
fn age_of_newest(directory: &Path, now: Timestamp) -> Option<Duration> {
    let is_filled = |name: &String| fs::metadata(directory.join(name)).is_ok_and(|file| file.len() > 0);
    let names = backups_in(directory).into_iter().rev().filter(is_filled);
    let mut moments = names.filter_map(|name| moment_of(&name));
    moments.find(|moment| *moment <= now).map(|moment| now.since(moment))
}

/// Deletes the oldest backups beyond those that stay, and never the new one. Those of the future, which were made by a clock that
/// was wrong, or are the good ones and it is wrong now, count for nothing and stay.
fn delete_old(schedule: &Schedule, new: &Path, now: Timestamp) {
    let mut names = backups_in(&schedule.directory);
    names.retain(|name| new.file_name().is_none_or(|new| new != name.as_str()));
    let known = names.len();
    names.retain(|name| moment_of(name).is_some_and(|moment| moment <= now.plus(NAMES_AHEAD)));
    if names.len() < known {
        let directory = schedule.directory.display();
        tracing::warn!(%directory, "{} backups are of the future, by their names, and never deleted", known - names.len());
    }
    let too_many = (names.len() + 1).saturating_sub(schedule.keep);
    for name in names.into_iter().take(too_many) {
        delete(&schedule.directory.join(name), "an old backup");
    }
}

/// Deletes drafts that nobody works on any more: before a new one is made, which may need their room.
fn delete_abandoned(directory: &Path, now: Timestamp) {
    for draft in abandoned_drafts_in(directory, now) {
        for file in files::of_sqlite(&draft).filter(|file| file.exists()) {
            delete(&file, "a draft that was left behind");
        }
    }
}

fn delete(file: &Path, what: &str) {
    match fs::remove_file(file) {
        Ok(()) => tracing::info!(file = %file.display(), "{what} was deleted"),
        Err(error) => tracing::warn!(%error, file = %file.display(), "{what} cannot be deleted"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_name_tells_the_second_that_it_was_made_in(seconds in 0i64..4_000_000_000) {
            let directory = tempfile::TempDir::new().expect("a directory");
            let moment = Timestamp::from_micros(seconds * 1_000_000 + 123_456);
            let name = name_at(moment, directory.path());
            prop_assert_eq!(moment_of(&name), Some(Timestamp::from_micros(seconds * 1_000_000)));
        }
    }

    #[test]
    fn a_name_is_given_once_and_other_files_are_nobodys() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let moment: Timestamp = "2026-01-31T12:00:00.5Z".parse().expect("a moment");
        for expected in ["coffer-20260131T120000Z.db", "coffer-20260131T120001Z.db"] {
            let name = name_at(moment, directory.path());
            assert_eq!(name, expected);
            fs::write(directory.path().join(name), "").expect("a file");
        }
        for other in [
            "coffer.db",
            "coffer-20260131T120000Z.db-wal",
            "coffer-20261331T120000Z.db",
            "coffer-2026-01-31T12.db",
            "coffer-20260131T120000Zä.db",
            "xcoffer-20260131T120000Z.db",
        ] {
            assert_eq!(moment_of(other), None, "{other}");
        }
    }

    #[test]
    fn neither_an_empty_file_nor_one_of_the_future_is_the_newest() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let now: Timestamp = "2026-02-02T12:00:00Z".parse().expect("a moment");
        let write = |name: &str, content: &str| fs::write(directory.path().join(name), content).expect("a file");
        write("coffer-20260202T110000Z.db", "");
        write("coffer-20990101T000000Z.db", "the books");
        assert_eq!(age_of_newest(directory.path(), now), None);
        write("coffer-20260202T100000Z.db", "the books");
        assert_eq!(age_of_newest(directory.path(), now), Some(Duration::from_secs(2 * 60 * 60)));
    }

    #[test]
    fn the_oldest_go_and_the_new_one_never_does() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let schedule = Schedule { directory: directory.path().to_owned(), every: None, keep: 2 };
        let names =
            ["coffer-20270101T000000Z.db", "coffer-20260101T000000Z.db", "coffer-20280101T000000Z.db", "mine.db"];
        names.iter().for_each(|name| fs::write(directory.path().join(name), "").expect("a file"));
        // Made when the clock had gone back.
        let new = directory.path().join("coffer-20250101T000000Z.db");
        fs::write(&new, "").expect("a file");
        delete_old(&schedule, &new, "2029-01-01T00:00:00Z".parse().expect("a moment"));
        assert_eq!(backups_in(directory.path()), ["coffer-20250101T000000Z.db", "coffer-20280101T000000Z.db"]);
        assert!(directory.path().join("mine.db").exists());
    }

    #[test]
    fn backups_of_the_future_take_no_place() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let schedule = Schedule { directory: directory.path().to_owned(), every: None, keep: 2 };
        let names = ["coffer-20260101T000000Z.db", "coffer-20260102T000000Z.db", "coffer-20260103T000000Z.db"];
        let of_future = ["coffer-20280101T000000Z.db", "coffer-20280102T000000Z.db"];
        names.iter().chain(&of_future).for_each(|name| fs::write(directory.path().join(name), "").expect("a file"));
        delete_old(&schedule, &directory.path().join(names[2]), "2026-01-04T00:00:00Z".parse().expect("a moment"));
        assert_eq!(backups_in(directory.path()), [&names[1..], &of_future].concat());
    }

    /// The bank was killed while it made them: they have the whole books in them.
    #[test]
    fn drafts_that_were_left_behind_go_and_others_stay() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let draft = |name: &str| directory.path().join(format!(".{name}.0123456789ab.part"));
        let (old, young) = (draft("coffer-20260131T120000Z.db"), draft("coffer-20260202T000000Z.db"));
        let journal = PathBuf::from(format!("{}-journal", old.display()));
        for file in [&old, &journal, &young, &draft("mine.db")] {
            fs::write(file, "the books").expect("a file");
        }
        delete_abandoned(directory.path(), "2026-02-02T00:30:00Z".parse().expect("a moment"));
        assert!(!old.exists() && !journal.exists());
        assert!(young.exists() && draft("mine.db").exists());
    }
}
