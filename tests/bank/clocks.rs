//! Clocks that are wrong, or were: they book nothing twice, sign nobody in, and keep no instance from hearing of another.
//!
//! The bank runs as a process of its own, whose wall clock libfaketime sets; its monotonic clock goes on as clocks do.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffer::doctor::{self, Finding};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, coffer};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, Customer, JWT_SECRET, TestBank, eventually};

const INSTALL_HINT: &str = "these tests set the clock of a process: `apt-get install faketime`";

/// A served bank with a wall clock of its own.
struct ClockedBank {
    _server: Server,
    address: SocketAddr,
    clock: PathBuf,
    log: Arc<Mutex<String>>,
    _directory: TempDir,
}

fn libfaketime() -> PathBuf {
    let architectures = std::fs::read_dir("/usr/lib").expect("/usr/lib").flatten();
    let mut candidates = architectures.map(|entry| entry.path().join("faketime/libfaketimeMT.so.1"));
    candidates.find(|library| library.exists()).expect(INSTALL_HINT)
}

impl ClockedBank {
    /// `offset` as libfaketime takes it: `+0`, `+8d`, `-3600`.
    fn start(database: &TestDatabase, offset: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let clock = directory.path().join("clock");
        set(&clock, offset);
        let mut command = coffer(directory.path(), &["--database-url", &database.url, "--jwt-secret", JWT_SECRET]);
        command.env("LD_PRELOAD", libfaketime()).env("FAKETIME_TIMESTAMP_FILE", &clock);
        command.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").stderr(Stdio::piped());
        let mut server = Server::start_as(command);
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, kept) = (BufReader::new(server.process.stderr.take().expect("its log")).lines(), log.clone());
        std::thread::spawn(move || {
            lines.map_while(Result::ok).for_each(|line| kept.lock().expect("a log").push_str(&line))
        });
        Self { address: server.address, _server: server, clock, log, _directory: directory }
    }

    fn set_clock(&self, offset: &str) {
        set(&self.clock, offset);
    }

    async fn logs(&self, text: &str) {
        eventually(text, async || self.log.lock().expect("a log").contains(text)).await;
    }

    /// Waits until the process knows that its clock has jumped. On PostgreSQL it is set right by the server's within two
    /// ticks, which nothing tells of.
    async fn notices(&self, jump: &str, kind: Kind) {
        match kind {
            Kind::Sqlite => self.logs(jump).await,
            Kind::Postgres => tokio::time::sleep(Duration::from_millis(1_100)).await,
        }
    }
}

/// Replaced whole: the process reads it at each look at the clock.
fn set(clock: &Path, offset: &str) {
    let draft = clock.with_extension("new");
    std::fs::write(&draft, offset).expect("a file");
    std::fs::rename(&draft, clock).expect("a file");
}

async fn keyed_deposit(at: SocketAddr, customer: &Customer<'_>, token: &str, key: &str) -> Answer {
    let body = json!({"account_number": customer.account, "amount": "1"});
    let request = customer.bank.request_to(at, Method::POST, "/deposit").bearer(token).json(body);
    request.header("idempotency-key", key).send().await
}

async fn sign_in_at(at: SocketAddr, customer: &Customer<'_>) -> String {
    let body = json!({"email": customer.email, "password": crate::harness::PASSWORD});
    let answer = customer.bank.request_to(at, Method::POST, "/login").json(body).send().await;
    answer.expect_status(200).text_at("/access_token")
}

async fn me_at(at: SocketAddr, customer: &Customer<'_>, token: &str) -> u16 {
    let answer = customer.bank.request_to(at, Method::GET, "/me").bearer(token).send().await;
    answer.status.as_u16()
}

/// Runs a body on both databases.
macro_rules! on_both {
    ($($name:ident: $body:ident;)*) => {$(
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                $body(Kind::Sqlite).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                $body(Kind::Postgres).await;
            }
        }
    )*};
}

on_both! {
    a_clock_that_was_ahead_makes_no_retry_book_twice: retries_after_a_clock_that_was_ahead;
    a_clock_that_was_behind_makes_no_retry_book_twice: retries_after_a_clock_that_was_behind;
    a_token_made_while_the_clock_was_ahead_does_not_count: tokens_of_a_clock_that_was_ahead;
    a_movement_in_the_future_is_told_of: movements_in_the_future;
}

/// The clock is 8 days ahead for a while, in a running bank and then in one that is started so, with movements meanwhile.
async fn retries_after_a_clock_that_was_ahead(kind: Kind) {
    const COUNT: usize = 40;
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let database = &bank.database;
    let send_all = async |server: &ClockedBank, expected: Option<&str>| {
        for n in 0..COUNT {
            let answer = keyed_deposit(server.address, &ada, &ada.token, &format!("key-{n}")).await.expect_status(201);
            assert_eq!(answer.header("idempotent-replayed"), expected, "key-{n}");
        }
    };
    let server = ClockedBank::start(database, "+0");
    send_all(&server, None).await;
    server.set_clock("+8d");
    server.notices("Ahead", kind).await;
    let token = sign_in_at(server.address, &ada).await;
    keyed_deposit(server.address, &ada, &token, "while-ahead").await.expect_status(201);
    // Two ticks of the housekeeping and more: each would forget what it takes to be old.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    server.set_clock("+0");
    server.notices("Back", kind).await;
    send_all(&server, Some("true")).await;
    drop(server);

    let ahead = ClockedBank::start(database, "+8d");
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    drop(ahead);
    let server = ClockedBank::start(database, "+0");
    send_all(&server, Some("true")).await;
    drop(server);
    bank.close_with_books_right().await;
}

/// The bank knows what time it is, is started with a clock that is behind, takes movements, and gets the right time.
async fn retries_after_a_clock_that_was_behind(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let database = &bank.database;
    drop(ClockedBank::start(database, "+0"));
    let server = ClockedBank::start(database, "-8d");
    let token = sign_in_at(server.address, &ada).await;
    for n in 0..20 {
        let answer = keyed_deposit(server.address, &ada, &token, &format!("key-{n}")).await.expect_status(201);
        assert_eq!(answer.header("idempotent-replayed"), None, "key {n}");
    }
    server.set_clock("+0");
    server.notices("Ahead", kind).await;
    let token = sign_in_at(server.address, &ada).await;
    keyed_deposit(server.address, &ada, &token, "afterwards").await.expect_status(201);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    for n in 0..20 {
        let answer = keyed_deposit(server.address, &ada, &token, &format!("key-{n}")).await.expect_status(201);
        assert_eq!(answer.header("idempotent-replayed"), Some("true"), "key {n}");
    }
    drop(server);
    bank.close_with_books_right().await;
}

/// Neither at once, nor when the time comes that it was made for.
async fn tokens_of_a_clock_that_was_ahead(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let database = &bank.database;
    let server = ClockedBank::start(database, "+0");
    assert_eq!(me_at(server.address, &ada, &ada.token).await, 200);
    if kind == Kind::Postgres {
        // All instances go by the server's clock: this one's own is of no account.
        server.set_clock("+8d");
        server.notices("Ahead", kind).await;
        let token = sign_in_at(server.address, &ada).await;
        server.set_clock("+0");
        server.notices("Back", kind).await;
        assert_eq!(me_at(server.address, &ada, &token).await, 200);
        drop(server);
        return bank.close_with_books_right().await;
    }
    server.set_clock("+8d");
    server.logs("Ahead").await;
    let token = sign_in_at(server.address, &ada).await;
    assert_eq!(me_at(server.address, &ada, &token).await, 200);
    server.set_clock("+0");
    server.logs("sessions were ended").await;
    assert_eq!(me_at(server.address, &ada, &token).await, 401);
    assert_eq!(me_at(server.address, &ada, &ada.token).await, 200);
    server.set_clock("+8d");
    assert_eq!(me_at(server.address, &ada, &token).await, 401);
    drop(server);
    let server = ClockedBank::start(database, "+8d");
    assert_eq!(me_at(server.address, &ada, &token).await, 401);
    drop(server);
    bank.close_with_books_right().await;
}

/// The order of an account's entries holds, so it goes on booking at the later date; whoever runs the bank must know.
async fn movements_in_the_future(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    ada.deposit("5").await.expect_status(201);
    bob.deposit("5").await.expect_status(201);
    assert_eq!(bank.get("/readyz").send().await.body["clock_behind_seconds"], 0);
    let database = &bank.database;
    match kind {
        Kind::Sqlite => {
            let server = ClockedBank::start(database, "+5113d");
            let token = sign_in_at(server.address, &ada).await;
            keyed_deposit(server.address, &ada, &token, "in-the-future").await.expect_status(201);
        }
        // The process goes by the server's clock, which was wrong once: by the ids, nothing shows it.
        Kind::Postgres => {
            let ahead = "update accounts set last_entry_at = last_entry_at + 441763200000000 where account_number =";
            bank.tamper(&format!("{ahead} {}", ada.account)).await;
        }
    }
    let server = ClockedBank::start(database, "+0");
    if kind == Kind::Postgres {
        keyed_deposit(server.address, &ada, &ada.token, "again").await.expect_status(201);
    }
    server.logs("the clock is behind the newest movement").await;
    let ready: Value = bank.request_to(server.address, Method::GET, "/readyz").send().await.expect_status(200).body;
    assert!(ready["clock_behind_seconds"].as_u64().is_some_and(|seconds| seconds > 400_000_000), "{ready}");
    let metrics = bank.request_to(server.address, Method::GET, "/metrics").send().await.body.to_string();
    let gauge = metrics.split("coffer_clock_behind_seconds ").nth(3).expect("the gauge");
    assert!(gauge.split("\\n").next().is_some_and(|seconds| seconds.parse::<f64>().is_ok_and(|s| s > 4e8)), "{gauge}");
    drop(server);
    if kind == Kind::Sqlite {
        let again = ada.deposit("1").await.expect_status(201);
        assert!(again.text_at("/created_at").starts_with("20") && again.text_at("/created_at").as_str() > "2039");
        let mut notes = Vec::new();
        let note = |finding: &Finding| {
            if finding.bad > 0 {
                notes.push(finding.to_string());
            }
        };
        assert!(doctor::examine(&bank.db, note).await.expect("an answer"), "{notes:?}");
        assert!(notes.len() == 1 && notes[0].starts_with("NOTE no account books ahead of the clock"), "{notes:?}");
        assert!(notes[0].contains(&ada.account), "{notes:?}");
        bank.close_with_books_right().await;
    }
}

/// An hour apart, both ways: a logout, a freeze and another role are heard of within a second, and tokens of one count at
/// the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_whose_clocks_differ_hear_of_each_other() {
    let bank = TestBank::open(Kind::Postgres).await;
    let admin = bank.employee("admin").await;
    for offset in ["+3600", "-3600"] {
        let twin = ClockedBank::start(&bank.database, offset);
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        let of_twin = sign_in_at(twin.address, &ada).await;
        assert_eq!(
            (me_at(twin.address, &ada, &ada.token).await, me_at(bank.address, &ada, &of_twin).await),
            (200, 200)
        );

        ada.request(Method::POST, "/logout").send().await.expect_status(204);
        eventually("the twin hears of the logout", async || me_at(twin.address, &ada, &ada.token).await == 401).await;
        bank.request_to(twin.address, Method::POST, "/logout").bearer(&of_twin).send().await.expect_status(204);
        eventually("we hear of the twin's logout", async || me_at(bank.address, &ada, &of_twin).await == 401).await;

        let id = bob.get("/me").send().await.text_at("/id");
        let freeze = |status: &str| json!({"status": status});
        let path = format!("/users/{id}/status");
        let at_twin = bank.request_to(twin.address, Method::PUT, &path).bearer(&admin.token);
        at_twin.json(freeze("frozen")).send().await.expect_status(200);
        eventually("we hear of the freeze", async || bob.deposit("1").await.status == 403).await;
        admin.request(Method::PUT, &path).json(freeze("active")).send().await.expect_status(200);
        let at_twin = async || keyed_deposit(twin.address, &bob, &bob.token, offset).await.status == 201;
        eventually("the twin hears of the release", at_twin).await;
    }
    bank.close_with_books_right().await;
}
