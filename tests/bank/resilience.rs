//! What goes wrong around the bank: full disks, lost connections, held locks, restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coffer_core::files;
use reqwest::Method;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, SqliteConnection};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Customer, PASSWORD, Request, TestBank, bank_tests, eventually};

bank_tests! {
    async fn a_restart_does_not_revive_a_session_that_was_ended(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.request(Method::POST, "/logout").send().await.expect_status(204);
        // Long enough ago that nobody would look for it in passing.
        bank.tamper("update sessions set ended_at = ended_at - 600000000 where ended_at is not null").await;
        let (twin, instance) = bank.twin().await;
        let answer = bank.request_to(twin, Method::GET, "/me").bearer(&ada.token).send().await;
        answer.expect_problem(401, "invalid_token");
        instance.close().await;
    }

    async fn a_new_account_and_leaving_never_both_succeed(bank: &TestBank) {
        for _ in 0..10 {
            let ada = bank.customer().await;
            ada.request(Method::DELETE, &format!("/accounts/{}", ada.account)).send().await.expect_status(204);
            let leave = ada.request(Method::DELETE, "/me").send();
            let open = ada.open_account(json!({}));
            let (left, opened) = tokio::join!(leave, open);
            assert!(!(left.status == 204 && opened.status == 201), "left with an open account");
        }
    }

    async fn no_session_is_made_from_a_password_that_has_just_been_changed(bank: &TestBank) {
        for _ in 0..5 {
            let ada = bank.customer().await;
            let change = json!({"current_password": PASSWORD, "new_password": "a new and better one"});
            let change = ada.request(Method::PUT, "/me/password").json(change).send();
            let (changed, login) = tokio::join!(change, bank.sign_in(&ada.email, PASSWORD));
            changed.expect_status(204);
            if login.status == 200 {
                // It came first, so the change has ended it.
                let body = json!({"refresh_token": login.text_at("/refresh_token")});
                bank.post("/refresh", body).send().await.expect_problem(401, "invalid_refresh_token");
            }
        }
    }

    async fn name_and_address_changed_at_once_are_both_changed(bank: &TestBank) {
        for round in 1..=5 {
            let ada = bank.customer().await;
            let address = format!("new.{}", ada.email);
            let name = || ada.request(Method::PATCH, "/me").json(json!({"name": "New Name"})).send();
            let name = async { futures_util::future::join_all((0..10).map(|_| name())).await.remove(0) };
            let email = json!({"email": address, "current_password": PASSWORD});
            let email = ada.request(Method::PATCH, "/me").json(email).send();
            let (name, email) = tokio::join!(name, email);
            name.expect_status(200);
            email.expect_status(200);
            let me = ada.get("/me").send().await.expect_status(200);
            assert_eq!((&me.body["name"], &me.body["email"]), (&json!("New Name"), &json!(address)));
            // Who changed the name changed no address.
            let records = "select count(*) from audit_log where action = 'address_changed'";
            assert_eq!(bank.number(records).await, round);
        }
    }

    async fn parallel_openings_stop_at_the_limit(bank: &TestBank) {
        let ada = bank.customer().await;
        let answers = futures_util::future::join_all((0..110).map(|_| ada.open_account(json!({})))).await;
        assert_eq!(answers.iter().filter(|answer| answer.status == 201).count(), 99);
        for answer in answers.into_iter().filter(|answer| answer.status != 201) {
            answer.expect_problem(409, "too_many_accounts");
        }
    }

    async fn invented_methods_make_no_metrics(bank: &TestBank) {
        let method = Method::from_bytes(b"INVENTED").expect("a method");
        bank.request(method, "/balance").send().await.expect_problem(405, "method_not_allowed");
        let metrics = bank.get("/metrics").send().await.expect_status(200);
        assert!(!metrics.body.to_string().contains("INVENTED"));
    }
}

/// The rollback of a transaction that met a full disk fails, and its connection can begin nothing any more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_met_a_full_disk_is_replaced() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let ada = bank.customer().await;
    // To the one connection that is not the ledger's, the disk is full: the file may not get more pages than it has.
    bank.tamper("pragma max_page_count = 1").await;
    let mut tx = bank.db.begin().await.expect("a transaction");
    let coffer_core::db::Tx::Sqlite(connection, _) = &mut tx else { unreachable!("SQLite was asked for") };
    // A table that has no trigger: SQLite then gives up the whole transaction, and not only the statement.
    let fill = "insert into heartbeats (writer, written_at)
                with recursive n(i) as (select 1 union all select i + 1 from n where i < 10000)
                select randomblob(16), 1 from n";
    let filled = sqlx::query(fill).execute(&mut **connection).await;
    assert!(filled.is_err_and(|error| error.to_string().contains("full")));
    drop(tx);
    for _ in 0..3 {
        ada.open_account(json!({})).await.expect_status(201);
    }
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_held_by_a_stranger_costs_only_its_own_requests() {
    let bank = TestBank::open_with(Kind::Postgres, &["--ledger-writers", "1", "--shutdown-seconds", "5"]).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    let coffer_core::db::Db::Postgres { read_pool, .. } = &bank.db else { unreachable!("PostgreSQL was asked for") };
    let mut stranger = read_pool.begin().await.expect("a transaction");
    let hold = format!("select 1 from accounts where account_number = {} for update", ada.account);
    sqlx::query(sqlx::AssertSqlSafe(hold)).execute(&mut *stranger).await.expect("a lock");
    let started = Instant::now();
    let held = futures_util::future::join_all((0..20).map(|_| ada.deposit("1")));
    let (held, free) = tokio::join!(held, bob.deposit("1"));
    for answer in held {
        answer.expect_problem(503, "account_busy");
    }
    free.expect_status(201);
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    stranger.rollback().await.expect("released");
    eventually("the account can be used again", async || ada.deposit("1").await.status == 201).await;
    assert_eq!(ada.balance().await, "1.00");
    bank.close_with_books_right().await;
}

/// A writer that was kept so long that the question whether it can write had to wait, and a bank that books nothing
/// afterwards: it is asked again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_whose_writer_was_kept_is_ready_again_without_a_movement() {
    let bank = TestBank::open_with(Kind::Postgres, &["--ledger-writers", "1"]).await;
    let mut customers = Vec::new();
    for _ in 0..5 {
        customers.push(bank.customer().await);
    }
    let coffer_core::db::Db::Postgres { read_pool, .. } = &bank.db else { unreachable!("PostgreSQL was asked for") };
    let mut stranger = read_pool.begin().await.expect("a transaction");
    sqlx::query("select 1 from accounts for update").execute(&mut *stranger).await.expect("locks");
    // Each waits for its lock by itself.
    let deposits = futures_util::future::join_all(customers.iter().map(|customer| customer.deposit("1")));
    let mut probes = Vec::new();
    let probing = async {
        loop {
            probes.push(bank.get("/readyz").send().await.status);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let answers = tokio::select! {
        answers = deposits => answers,
        () = probing => unreachable!("it goes on for ever"),
    };
    assert!(answers.iter().all(|answer| answer.status == 503));
    assert!(probes.iter().any(|status| *status == 503), "{probes:?}");
    stranger.rollback().await.expect("released");
    becomes_ready(&bank).await;
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_commit_is_looked_up() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &[]).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    for round in 1..=3 {
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        // Bob's withdrawal is refused: whatever becomes of the deposit beside it, it must not be booked later.
        let (deposit, refused) = tokio::join!(ada.deposit("1"), bob.withdraw("1"));
        assert!(!faults.lose_next_commit_answer.load(Ordering::SeqCst), "no commit was lost");
        assert_eq!(deposit.expect_status(201).body["sequence"], round);
        refused.expect_problem(409, "insufficient_funds");
    }
    assert_eq!((ada.balance().await, ada.history().await.len()), ("3.00".to_owned(), 3));
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_commit_of_an_approval_is_looked_up() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &["--approval-above", "1000"]).await;
    let (ada, clerk, other) = (bank.customer().await, bank.employee("staff").await, bank.employee("staff").await);
    for round in 1..=3 {
        let body = json!({"account_number": ada.account, "amount": "5000"});
        let id = clerk.post("/deposit", body).send().await.expect_status(202).text_at("/id");
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        let approved = other.post(&format!("/approvals/{id}/approve"), json!({})).send().await.expect_status(200);
        assert!(!faults.lose_next_commit_answer.load(Ordering::SeqCst), "no commit was lost");
        assert_eq!(approved.text_at("/status"), "approved");
        assert_eq!(ada.balance().await, format!("{}.00", 5_000 * round));
    }
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_commit_of_a_reversal_is_looked_up() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &[]).await;
    let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
    for _ in 1..=3 {
        let id = ada.deposit("5").await.expect_status(201).text_at("/id");
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        // Not "already reversed" by what it has done itself.
        clerk.post(&format!("/transactions/{id}/reverse"), json!({})).send().await.expect_status(201);
        assert!(!faults.lose_next_commit_answer.load(Ordering::SeqCst), "no commit was lost");
        assert_eq!(ada.balance().await, "0.00");
    }
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_answer_to_the_commit_of_a_hold_or_a_capture_is_looked_up() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &[]).await;
    let ada = bank.customer().await;
    ada.deposit("10").await.expect_status(201);
    for round in 1..=3 {
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        let hold =
            ada.post("/holds", json!({"account_number": ada.account, "amount": "1"})).send().await.expect_status(201);
        assert!(!faults.lose_next_commit_answer.load(Ordering::SeqCst), "no commit was lost");
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        // Not "already captured" by what it has done itself.
        ada.post(&format!("/holds/{}/capture", hold.text_at("/id")), json!({})).send().await.expect_status(201);
        assert!(!faults.lose_next_commit_answer.load(Ordering::SeqCst), "no commit was lost");
        assert_eq!(ada.balance().await, format!("{}.00", 10 - round));
    }
    bank.close_with_books_right().await;
}

/// Whoever asks of a bank whose database does not answer: each is told within 10 seconds, and `/readyz` within one.
/// Returns how many deposits were booked.
async fn all_are_told_in_time(bank: &TestBank, ada: &Customer<'_>) -> usize {
    let timed = async |request: Request, within: Duration| {
        let answer = tokio::time::timeout(within, request.send()).await.expect("an answer in time");
        assert!([201, 503].contains(&answer.status.as_u16()), "{}", answer.body);
        assert!(answer.status == 201 || answer.header("retry-after").is_some());
        answer
    };
    let ten = Duration::from_secs(10);
    let deposit = || timed(ada.post("/deposit", json!({"account_number": ada.account, "amount": "1"})), ten);
    let deposits = futures_util::future::join_all((0..20).map(|_| deposit()));
    let others = futures_util::future::join_all([
        timed(ada.post("/accounts", json!({})), ten),
        timed(bank.post("/login", json!({"email": ada.email, "password": PASSWORD})), ten),
    ]);
    let ready = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        timed(bank.get("/readyz"), Duration::from_secs(1)).await
    };
    let (deposits, others, ready) = tokio::join!(deposits, others, ready);
    ready.expect_problem(503, "not_ready");
    assert!(others.iter().all(|answer| answer.status == 503));
    deposits.iter().filter(|answer| answer.status == 201).count()
}

/// Waits until the bank says that it is ready again.
async fn becomes_ready(bank: &TestBank) {
    eventually("it is ready", async || bank.get("/readyz").send().await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_long_while_another_program_holds_the_lock() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let ada = bank.customer().await;
    let mut other = SqliteConnection::connect(&bank.database.url).await.expect("a connection");
    sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("the lock");
    assert_eq!(all_are_told_in_time(&bank, &ada).await, 0);
    // Reads go on.
    assert_eq!(ada.balance().await, "0.00");
    sqlx::raw_sql("rollback").execute(&mut other).await.expect("released");
    becomes_ready(&bank).await;
    ada.deposit("1").await.expect_status(201);
    assert_eq!((ada.balance().await, ada.history().await.len()), ("1.00".to_owned(), 1));
    bank.close_with_books_right().await;
}

/// Deleted or moved by somebody who took the bank for stopped: what it booked would be gone when it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bank_whose_file_is_gone_books_nothing_until_it_is_back() {
    let bank = TestBank::open(Kind::Sqlite).await;
    let ada = bank.customer().await;
    ada.deposit("1").await.expect_status(201);
    let file = bank.db.file().expect("a file").to_owned();
    let mut booked = 1;
    for gone in [files::log_of_sqlite(&file), file] {
        let aside = gone.with_extension("aside");
        std::fs::rename(&gone, &aside).expect("moved");
        eventually("a refusal", async || {
            let answer = ada.deposit("1").await;
            booked += usize::from(answer.status == 201);
            answer.status == 503 && answer.text_at("/code") == "database_unavailable"
        })
        .await;
        bank.get("/readyz").send().await.expect_problem(503, "not_ready");
        // Another file in its place is none of the bank's.
        std::fs::write(&gone, "").expect("a file");
        ada.deposit("1").await.expect_problem(503, "database_unavailable");
        std::fs::rename(&aside, &gone).expect("moved back");
        becomes_ready(&bank).await;
        ada.deposit("1").await.expect_status(201);
        booked += 1;
    }
    assert_eq!(ada.history().await.len(), booked);
    bank.close_with_books_right().await;
}

/// At each moment somebody reads what was written last, as in a bank that is asked for many balances.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_starts_its_log_anew_though_somebody_always_reads() {
    const ROUNDS: u64 = 8;
    const WRITTEN: u64 = 33 << 20;
    let bank = TestBank::open(Kind::Sqlite).await;
    let readers: Vec<_> = (0..8).map(|_| tokio::spawn(read_again_and_again(bank.database.url.clone()))).collect();
    bank.tamper("create table filler (bytes blob)").await;
    for _ in 0..ROUNDS {
        bank.tamper(&format!("insert into filler values (zeroblob({WRITTEN}))")).await;
        bank.db.checkpoint_wal().await.expect("a checkpoint");
    }
    let log = files::log_of_sqlite(bank.db.file().expect("a file"));
    let length = std::fs::metadata(&log).expect("a log").len();
    // Once or twice somebody may have kept it for too long.
    assert!((WRITTEN..WRITTEN * ROUNDS / 2).contains(&length), "{length} bytes of log");
    for reader in readers {
        reader.abort();
        assert!(reader.await.expect_err("it reads until it is aborted").is_cancelled());
    }
    bank.tamper("drop table filler").await;
    bank.close_with_books_right().await;
}

async fn read_again_and_again(url: String) {
    let mut connection = SqliteConnection::connect(&url).await.expect("a connection");
    loop {
        sqlx::raw_sql("begin; select count(*) from users").execute(&mut connection).await.expect("an answer");
        tokio::time::sleep(Duration::from_millis(2)).await;
        sqlx::raw_sql("rollback").execute(&mut connection).await.expect("the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_long_while_the_database_is_silent() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &[]).await;
    let ada = bank.customer().await;
    ada.deposit("1").await.expect_status(201);
    faults.is_silent.store(true, Ordering::SeqCst);
    let booked = all_are_told_in_time(&bank, &ada).await;
    let balance = ada.get(&format!("/balance?account_number={}", ada.account)).send();
    let balance = tokio::time::timeout(Duration::from_secs(10), balance).await.expect("an answer in time");
    balance.expect_problem(503, "database_unavailable");
    // The old connections stay silent for good: the bank must have taken new ones.
    faults.is_silent.store(false, Ordering::SeqCst);
    becomes_ready(&bank).await;
    ada.deposit("1").await.expect_status(201);
    assert_eq!(ada.history().await.len(), 2 + booked);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_takes_no_writes_is_no_bug() {
    let bank = TestBank::open(Kind::Postgres).await;
    let ada = bank.customer().await;
    let name = bank.database.url.split(['/', '?']).nth(3).expect("a name").to_owned();
    let become_read_only = async |on: &str| {
        // Whatever the session's own default is by now.
        let set = format!("alter database {name} set default_transaction_read_only = {on}");
        bank.tamper(&format!(
            "begin read write; {set}; commit;
             select pg_terminate_backend(pid) from pg_stat_activity
             where datname = '{name}' and pid <> pg_backend_pid()"
        ))
        .await;
    };
    become_read_only("on").await;
    ada.deposit("1").await.expect_problem(503, "database_unavailable");
    bank.get("/readyz").send().await.expect_problem(503, "not_ready");
    assert_eq!(ada.balance().await, "0.00");
    become_read_only("off").await;
    becomes_ready(&bank).await;
    ada.deposit("1").await.expect_status(201);
    bank.close_with_books_right().await;
}

/// A commit whose answer is lost, while the database stays away: whoever is behind it is refused at once, whoever waits for
/// it hears after half a minute that nobody knows, and the same key tells later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_in_doubt_keeps_nobody_else_and_is_told_of() {
    let mut database = TestDatabase::create(Kind::Postgres).await;
    let faults = Faults::start(&mut database).await;
    let bank = TestBank::open_on(database, &["--ledger-writers", "1"]).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    let keyed = |key| {
        let body = json!({"account_number": ada.account, "amount": "1"});
        ada.post("/deposit", body).header("idempotency-key", key).send()
    };
    for verdict_comes in [true, false] {
        faults.is_silent_after_commit.store(true, Ordering::SeqCst);
        faults.lose_next_commit_answer.store(true, Ordering::SeqCst);
        let key = if verdict_comes { "told-late" } else { "not-told" };
        let in_doubt = keyed(key);
        let behind = async {
            while !faults.is_silent.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            let started = Instant::now();
            // The first finds out that the answer is missing, the second is told what is known.
            bob.deposit("1").await.expect_problem(503, "database_unavailable");
            bob.deposit("1").await.expect_problem(503, "database_unavailable");
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
            bank.get("/readyz").send().await.expect_problem(503, "not_ready");
            if verdict_comes {
                faults.is_silent.store(false, Ordering::SeqCst);
            }
        };
        let (answer, ()) = tokio::join!(in_doubt, behind);
        if verdict_comes {
            answer.expect_status(201);
            becomes_ready(&bank).await;
            ada.deposit("1").await.expect_status(201);
        } else {
            let unknown = answer.expect_problem(504, "outcome_unknown");
            let id = unknown.text_at("/transaction_id");
            faults.is_silent.store(false, Ordering::SeqCst);
            becomes_ready(&bank).await;
            ada.get(&format!("/transactions/{id}")).send().await.expect_status(200);
            let again = keyed(key).await.expect_status(201);
            assert_eq!((again.header("idempotent-replayed"), again.text_at("/id")), (Some("true"), id));
        }
    }
    bank.close_with_books_right().await;
}

/// Stands between the bank and PostgreSQL and swallows answers on request.
#[derive(Clone, Default)]
struct Faults {
    lose_next_commit_answer: Arc<AtomicBool>,
    /// Whether to fall silent when that has happened.
    is_silent_after_commit: Arc<AtomicBool>,
    /// Connections are taken, old ones kept, and nothing passes. One that was silent once stays so.
    is_silent: Arc<AtomicBool>,
}

impl Faults {
    /// Puts itself into the database's URL.
    async fn start(database: &mut TestDatabase) -> Self {
        let target: PgConnectOptions = database.url.parse().expect("a URL");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let name = target.get_database().unwrap_or_default();
        database.url = format!("postgres://{}@127.0.0.1:{port}/{name}?sslmode=disable", target.get_username());
        let this = Self::default();
        let faults = this.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (target, faults) = (target.clone(), faults.clone());
                tokio::spawn(async move {
                    match target.get_socket().cloned().or_else(|| socket_in_host(&target)) {
                        Some(socket) => {
                            let file = socket.join(format!(".s.PGSQL.{}", target.get_port()));
                            relay(client, UnixStream::connect(file).await.expect("PostgreSQL"), faults).await;
                        }
                        None => {
                            let address = (target.get_host().to_owned(), target.get_port());
                            relay(client, TcpStream::connect(address).await.expect("PostgreSQL"), faults).await;
                        }
                    }
                });
            }
        });
        this
    }
}

fn socket_in_host(target: &PgConnectOptions) -> Option<std::path::PathBuf> {
    target.get_host().starts_with('/').then(|| target.get_host().into())
}

/// What only a writer of the ledger asks for, in each batch. Others commit, too, and theirs is not the answer to lose.
const LOCK_OF_THE_LEDGER: &[u8] = b"order by account_number for update";

/// Passes bytes both ways, until a COMMIT of the ledger whose answer is to be lost: that is passed on, its answer is awaited
/// and thrown away, and both sides are cut off. While the network is silent, nothing passes, and nobody is told.
async fn relay(client: TcpStream, server: impl AsyncRead + AsyncWrite, faults: Faults) {
    let (mut client_in, mut client_out) = client.into_split();
    let (mut server_in, mut server_out) = tokio::io::split(server);
    let (mut request, mut answer) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let mut is_ledgers = false;
    loop {
        let (from_client, length) = tokio::select! {
            read = client_in.read(&mut request) => (true, read),
            read = server_in.read(&mut answer) => (false, read),
        };
        let Ok(length @ 1..) = length else { return };
        if faults.is_silent.load(Ordering::SeqCst) {
            return std::future::pending().await;
        }
        let passed = if from_client {
            server_out.write_all(&request[..length]).await
        } else {
            client_out.write_all(&answer[..length]).await
        };
        if passed.is_err() {
            return;
        }
        let asks = |words: &[u8]| from_client && request[..length].windows(words.len()).any(|window| window == words);
        is_ledgers |= asks(LOCK_OF_THE_LEDGER);
        if is_ledgers && asks(b"COMMIT") && faults.lose_next_commit_answer.swap(false, Ordering::SeqCst) {
            let _ = tokio::time::timeout(Duration::from_secs(5), server_in.read(&mut answer)).await;
            if faults.is_silent_after_commit.swap(false, Ordering::SeqCst) {
                faults.is_silent.store(true, Ordering::SeqCst);
            }
            return;
        }
    }
}
