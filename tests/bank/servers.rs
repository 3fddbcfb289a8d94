//! PostgreSQL servers: an address that names several, what they promise, and poolers that share their sessions.

use coffer_core::db::Db;
use sqlx::AssertSqlSafe;
use tempfile::TempDir;

use crate::command_line::{run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{TestBank, eventually, settings};
use crate::safe_start::ALL_THAT_IS_NEEDED;

/// What the bank is given behind a pooler that shares sessions.
const POOLED: [&str; 4] = ["--statement-cache", "0", "--migration-lock", "false"];
/// Hosts of which no server is one.
const NOWHERE: &str = "host=/nowhere";

/// The same database, behind hosts that are written in place of its own.
fn by_hosts(url: &str, hosts: impl Fn(&str) -> String) -> String {
    let (before, parameters) = url.split_once('?').expect("parameters");
    let mut parameters: Vec<String> = parameters.split('&').map(str::to_owned).collect();
    let host = parameters.iter_mut().find(|parameter| parameter.starts_with("host=")).expect("a host");
    *host = hosts(host.trim_start_matches("host="));
    format!("{before}?{}", parameters.join("&"))
}

/// An exit code and what was said on standard error.
fn migrate(directory: &TempDir, url: &str) -> (Option<i32>, String) {
    let output = run(directory.path(), &["migrate", "--database-url", url]);
    (output.status.code(), text(&output.stderr))
}

#[track_caller]
fn expect_words(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

/// Makes a setting of the database, for sessions to come.
async fn set(database: &TestDatabase, setting: &str) {
    let options = settings(database, &[]).database(false).expect("settings");
    let db = Db::connect(&options).await.expect("a database");
    let Db::Postgres { write_pool, .. } = &db else { panic!("not PostgreSQL") };
    let sql = format!(
        "do $$ begin execute format('alter database %I set {}', current_database()); end $$",
        setting.replace('\'', "''")
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(write_pool).await.expect("a setting");
    db.close().await;
}

#[tokio::test]
async fn of_several_servers_the_one_that_answers_is_used_by_every_command() {
    let database = TestDatabase::create(Kind::Postgres).await;
    for hosts in ["/nowhere,HERE", "HERE,/nowhere"] {
        let url = by_hosts(&database.url, |here| format!("host={}", hosts.replace("HERE", here)));
        for attributes in ["", "&target_session_attrs=read-write", "&target_session_attrs=any"] {
            let url = format!("{url}{attributes}");
            for command in ["migrate", "doctor"] {
                let output = run(database.directory.path(), &[command, "--database-url", &url]);
                assert!(output.status.success(), "{url}: {}", text(&output.stderr));
            }
        }
    }
}

#[tokio::test]
async fn when_no_server_takes_writes_each_is_named_with_its_reason() {
    let database = TestDatabase::create(Kind::Postgres).await;
    let two = by_hosts(&database.url, |_| "host=/nowhere,/elsewhere".to_owned());
    let (code, message) = migrate(&database.directory, &two.replace("postgres:///", "postgres://ada:hunter2@/"));
    assert_eq!(code, Some(1), "{message}");
    expect_words(&message, &["none of the servers", "/nowhere/", "/elsewhere/", "Start the server"]);
    assert!(!message.contains("hunter2"), "{message}");

    set(&database, "default_transaction_read_only = on").await;
    let url = format!("{}&target_session_attrs=read-write", database.url);
    let (code, message) = migrate(&database.directory, &url);
    assert_eq!(code, Some(1), "{message}");
    expect_words(&message, &["takes no writes", "default_transaction_read_only"]);

    let (code, message) = migrate(&database.directory, &format!("{}&target_session_attrs=standby", database.url));
    assert_eq!(code, Some(1), "{message}");
    expect_words(&message, &["target_session_attrs=standby", "read-write"]);
    let uneven = by_hosts(&database.url, |_| format!("{NOWHERE},/b&port=1,2,3"));
    let (code, message) = migrate(&database.directory, &uneven);
    assert_eq!(code, Some(1), "{message}");
    expect_words(&message, &["3 servers", "host lists 2", "one for each"]);
}

#[tokio::test]
async fn a_hasty_server_is_told_to_wait_for_its_disk() {
    let database = TestDatabase::create(Kind::Postgres).await;
    set(&database, "synchronous_commit = off").await;
    for flags in [&[][..], &POOLED] {
        let options = settings(&database, flags).database(false).expect("settings");
        let db = Db::connect(&options).await.expect("a database");
        let (asked, lacking) = db.lacks_in_durability().await.expect("an answer");
        assert_eq!(asked, 3);
        assert!(!lacking.iter().any(|sentence| sentence.contains("synchronous_commit")), "{lacking:?}");
        db.close().await;
    }
    let (code, message) = migrate(&database.directory, &database.url);
    assert_eq!(code, Some(0), "{message}");
    expect_words(&message, &["synchronous_commit = off"]);
}

#[tokio::test]
async fn a_setting_that_is_stronger_than_needed_stays() {
    let database = TestDatabase::create(Kind::Postgres).await;
    set(&database, "synchronous_commit = remote_apply").await;
    for flags in [&[][..], &POOLED] {
        let options = settings(&database, flags).database(false).expect("settings");
        let db = Db::connect(&options).await.expect("a database");
        let mut tx = db.begin().await.expect("a transaction");
        assert_eq!(tx.server_setting("synchronous_commit").await.expect("an answer").as_deref(), Some("remote_apply"));
        drop(tx);
        db.close().await;
    }
}

#[tokio::test]
async fn a_server_that_may_lose_its_books_is_no_server_for_production() {
    let bank = TestBank::open(Kind::Postgres).await;
    let (_, lacking) = bank.db.lacks_in_durability().await.expect("an answer");
    let is_off = bank.number("select count(*) from pg_settings where name = 'fsync' and setting = 'off'").await == 1;
    assert_eq!(lacking.iter().any(|sentence| sentence.contains("fsync is off")), is_off, "{lacking:?}");
    let report = run(bank.database.directory.path(), &["doctor", "--database-url", &bank.database.url]);
    assert!(report.status.success(), "{}", text(&report.stderr));
    let mark = if is_off { "NOTE the server keeps" } else { "ok   the server keeps" };
    assert!(text(&report.stdout).contains(mark), "{}", text(&report.stdout));
    let database = bank.close().await;
    if is_off {
        let place = ["--listen", "127.0.0.1:0", "--database-url", &database.url];
        let output = run(database.directory.path(), &[&ALL_THAT_IS_NEEDED[..], &place].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{message}");
        expect_words(&message, &["COFFER_PRODUCTION", "fsync is off", "postgresql.conf"]);
    }
}

/// The driver sends a statement in two steps, and a pooler takes each to another session unless they are in a transaction.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_pooler_no_statement_is_without_a_transaction_and_none_stays_open() {
    let bank = TestBank::open_with(Kind::Postgres, &POOLED).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    ada.deposit("10").await.expect_status(201);
    ada.transfer(&bob.account, "4").await.expect_status(201);
    assert_eq!((ada.balance().await, ada.history().await.len()), ("6.00".to_owned(), 2));
    ada.get(&format!("/accounts/{}/statement", ada.account)).send().await.expect_status(200);
    eventually("every connection that waits is outside of a transaction", async || {
        let open =
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                    and state like 'idle in transaction%'";
        bank.number(open).await == 0
    })
    .await;
    let outside = "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
                   and state = 'idle' and query not in ('COMMIT', 'ROLLBACK', 'rollback', '/* SQLx ping */')
                   and query not like 'select case when%'";
    assert_eq!(bank.number(outside).await, 0, "something was asked without a transaction");
    bank.close_with_books_right().await;
}
