//! SQLite on a disk that fails: what is acknowledged is on it, what is refused never comes back, and nobody waits long.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, coffer};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{JWT_SECRET, TestBank, eventually};

/// A bank with one customer, in a process whose disk does as it is told.
struct BankOnFailingDisk {
    server: Server,
    disk: PathBuf,
    account: String,
    token: String,
    client: reqwest::Client,
    _directory: TempDir,
}

/// Compiled once for all tests.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/bank/failing_disk.c");
        let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("failing_disk.so");
        let compiled = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(source).status();
        assert!(compiled.expect("a C compiler").success());
        library
    })
}

/// Has the disk of a bank be as the file says.
pub fn put_between(bank: &mut Command, disk: &Path) {
    bank.env("LD_PRELOAD", library()).env("FAILING_DISK", disk).stderr(Stdio::null());
}

impl BankOnFailingDisk {
    async fn start() -> (Self, TestDatabase) {
        let bank = TestBank::open(Kind::Sqlite).await;
        let ada = bank.customer().await;
        let (account, token) = (ada.account.clone(), ada.token.clone());
        let database = bank.close().await;
        let directory = TempDir::new().expect("a directory");
        let disk = directory.path().join("disk");
        let mut command = coffer(directory.path(), &["--database-url", &database.url, "--jwt-secret", JWT_SECRET]);
        put_between(&mut command, &disk);
        let (server, client) = (Server::start_as(command), reqwest::Client::new());
        (Self { server, disk, account, token, client, _directory: directory }, database)
    }

    fn set_disk(&self, state: &str) {
        let draft = self.disk.with_extension("new");
        std::fs::write(&draft, state).expect("a file");
        std::fs::rename(&draft, &self.disk).expect("a file");
    }

    /// Within a second, however the disk is.
    async fn ready(&self) -> u16 {
        let ready = self.client.get(self.server.url("/readyz")).send();
        let answer = tokio::time::timeout(Duration::from_secs(1), ready).await.expect("an answer within a second");
        answer.expect("an answer").status().as_u16()
    }

    async fn becomes_ready(&self) {
        eventually("it is ready", async || self.ready().await == 200).await;
    }

    async fn deposit(&self) -> u16 {
        let body = json!({"account_number": self.account, "amount": "1"});
        let deposit = self.client.post(self.server.url("/deposit")).bearer_auth(&self.token).json(&body);
        deposit.send().await.expect("an answer").status().as_u16()
    }

    /// The statuses of so many at once, each within 10 seconds.
    async fn deposits(&self, count: usize) -> Vec<u16> {
        let all = futures_util::future::join_all((0..count).map(|_| self.deposit()));
        tokio::time::timeout(Duration::from_secs(10), all).await.expect("answers within 10 seconds")
    }

    /// Kills it, and opens its books where the disk works.
    async fn crash(self, database: TestDatabase) -> String {
        let (account, token) = (self.account.clone(), self.token.clone());
        drop(self);
        let bank = TestBank::open_on(database, &[]).await;
        let path = format!("/balance?account_number={account}");
        let balance = bank.get(&path).bearer(&token).send().await.expect_status(200).text_at("/balance");
        bank.close_with_books_right().await;
        balance
    }

    fn terminate(&mut self) -> Duration {
        let started = Instant::now();
        self.server.signal(Signal::TERM);
        assert!(self.server.process.wait().expect("its end").success());
        started.elapsed()
    }
}

/// Its pages are in the WAL, and a crash must not bring them back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_synced_is_refused_and_stays_refused() {
    let (bank, database) = BankOnFailingDisk::start().await;
    assert_eq!(bank.deposit().await, 201);
    bank.set_disk("sync fails");
    assert_eq!(bank.deposits(20).await, [503; 20]);
    assert_eq!(bank.ready().await, 503);
    assert_eq!(bank.crash(database).await, "1.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_syncs_again_is_used_again() {
    let (mut bank, database) = BankOnFailingDisk::start().await;
    bank.set_disk("sync fails");
    assert_eq!(bank.deposits(5).await, [503; 5]);
    bank.set_disk("works");
    bank.becomes_ready().await;
    assert_eq!(bank.deposits(5).await, [201; 5]);
    bank.set_disk("sync fails");
    assert_eq!(bank.deposit().await, 503);
    let took = bank.terminate();
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(bank.crash(database).await, "5.00");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_takes_no_movement_and_loses_none() {
    let (bank, database) = BankOnFailingDisk::start().await;
    assert_eq!(bank.deposits(5).await, [201; 5]);
    bank.set_disk("full");
    assert_eq!(bank.deposits(20).await, [507; 20]);
    assert_eq!(bank.ready().await, 503);
    let balance = bank.client.get(bank.server.url(&format!("/balance?account_number={}", bank.account)));
    let balance: Value =
        balance.bearer_auth(&bank.token).send().await.expect("an answer").json().await.expect("a balance");
    assert_eq!(balance["balance"], "5.00");
    bank.set_disk("works");
    bank.becomes_ready().await;
    assert_eq!(bank.deposits(5).await, [201; 5]);
    assert_eq!(bank.crash(database).await, "10.00");
}

/// The commit that hangs is in doubt, so its caller waits for the verdict. Everybody behind it is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_long_behind_a_disk_that_hangs() {
    let (bank, database) = BankOnFailingDisk::start().await;
    for _ in 0..5 {
        assert_eq!(bank.deposit().await, 201);
    }
    bank.set_disk("sync hangs");
    let verdict = async { assert_eq!(bank.deposit().await, 201) };
    let behind = async {
        while !bank.disk.with_extension("hangs").exists() {
            tokio::task::yield_now().await;
        }
        assert_eq!(bank.deposits(20).await, [503; 20]);
        bank.set_disk("works");
        bank.becomes_ready().await;
    };
    tokio::join!(verdict, behind);
    assert_eq!(bank.crash(database).await, "6.00");
}

/// Neither left without an answer nor told that nothing was booked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_hangs_at_the_end_is_told_to_be_unknown() {
    let (mut bank, database) = BankOnFailingDisk::start().await;
    for _ in 0..5 {
        assert_eq!(bank.deposit().await, 201);
    }
    bank.set_disk("sync hangs");
    let told = async { assert_eq!(bank.deposit().await, 504) };
    let end = async {
        while !bank.disk.with_extension("hangs").exists() {
            tokio::task::yield_now().await;
        }
        bank.server.signal(Signal::TERM);
    };
    tokio::join!(told, end);
    bank.set_disk("works");
    assert!(bank.server.process.wait().expect("its end").success());
    assert_eq!(bank.crash(database).await, "6.00");
}
