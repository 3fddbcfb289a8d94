//! Databases that the bank opens, refuses with a reason, or shares with other processes that start at the same time.

use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::{AssertSqlSafe, Connection, PgConnection, SqliteConnection};
use tempfile::TempDir;

use crate::command_line::{Server, coffer, run, text};
use crate::databases::{Kind, TestDatabase, start_cluster_with_old_certificate};
use crate::harness::eventually;

/// `coffer migrate` on this database; it must be refused.
fn refused(directory: &Path, url: &str) -> String {
    let output = run(directory, &["migrate", "--database-url", url]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{url}: {message}");
    assert!(!message.contains("hunter2"), "a password was printed: {message}");
    message
}

#[track_caller]
fn expect_words(message: &str, words: &[&str]) {
    for word in words {
        assert!(message.contains(word), "{word}: {message}");
    }
}

async fn execute(kind: Kind, url: &str, sql: &str) {
    let sql = AssertSqlSafe(sql.to_owned());
    match kind {
        Kind::Sqlite => {
            let mut conn = SqliteConnection::connect(url).await.expect("a connection");
            sqlx::raw_sql(sql).execute(&mut conn).await.expect("SQL");
            conn.close().await.expect("an end");
        }
        Kind::Postgres => {
            let mut conn = PgConnection::connect(url).await.expect("a connection");
            sqlx::raw_sql(sql).execute(&mut conn).await.expect("SQL");
            conn.close().await.expect("an end");
        }
    }
}

/// A server that says `answer` to whoever connects, and hangs up; or never says anything.
fn pretend_to_serve(answer: Option<&'static [u8]>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            match answer {
                Some(answer) => {
                    let _ = stream.read(&mut [0; 8]);
                    let _ = stream.write_all(answer);
                }
                None => open.push(stream),
            }
        }
    });
    address
}

#[tokio::test]
async fn a_server_that_cannot_be_used_is_named_with_the_reason() {
    let directory = TempDir::new().expect("a directory");
    let usable = TestDatabase::create(Kind::Postgres).await.url;
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port");
    let silent = pretend_to_serve(None);
    let web = pretend_to_serve(Some(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
    let hung_up = pretend_to_serve(Some(b""));
    let no_tls = pretend_to_serve(Some(b"N"));
    let (before, after) = usable.split_once("/coffer_test").expect("a database of the tests");
    let after = after.split_once('?').expect("a host").1;
    let missing = format!("{before}/nowhere?{after}");
    let wrong_user = usable.replace("user=postgres", "user=nobody_at_all");
    let soon = Duration::from_secs(3);
    let in_time = Duration::from_secs(9);
    for (url, words, within) in [
        (format!("postgres://ada:hunter2@{closed}/bank"), vec!["connection refused", &*closed.to_string()], soon),
        ("postgres://ada:hunter2@no-such-host.invalid/bank".to_owned(), vec!["no-such-host.invalid"], in_time),
        ("postgres://ada:hunter2@localhost/bank?host=/nowhere".to_owned(), vec!["/nowhere"], soon),
        (format!("postgres://ada:hunter2@{silent}/bank"), vec!["no answer within 5 s"], in_time),
        (format!("postgres://ada:hunter2@{web}/bank"), vec!["not answer as PostgreSQL"], soon),
        (format!("postgres://ada:hunter2@{hung_up}/bank"), vec!["Correct host and port"], soon),
        (format!("postgres://ada:hunter2@{no_tls}/bank?sslmode=require"), vec!["TLS", "sslmode"], soon),
        (missing, vec!["\"nowhere\" does not exist", "create database"], soon),
        (wrong_user, vec!["nobody_at_all", "Correct user and password"], soon),
    ] {
        let started = Instant::now();
        let message = refused(directory.path(), &url);
        assert!(started.elapsed() < within, "{url} took {:?}", started.elapsed());
        expect_words(&message, &words);
        expect_words(&message, &["DATABASE_URL"]);
    }
}

#[tokio::test]
async fn a_server_that_starts_up_is_waited_for() {
    let directory = TempDir::new().expect("a directory");
    let mut refusal = b"E\0\0\0\0SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0".to_vec();
    let length = u32::try_from(refusal.len() - 1).expect("a short one").to_be_bytes();
    refusal[1..5].copy_from_slice(&length);
    let address = pretend_to_serve(Some(refusal.leak()));
    let started = Instant::now();
    let message = refused(directory.path(), &format!("postgres://ada:hunter2@{address}/bank?sslmode=disable"));
    expect_words(&message, &["starting up", "Try again when"]);
    assert!(started.elapsed() > Duration::from_secs(5), "{:?}", started.elapsed());
}

#[tokio::test]
async fn an_encoding_that_cannot_hold_every_name_is_refused() {
    for encoding in ["SQL_ASCII", "LATIN1"] {
        let options = format!("encoding '{encoding}' lc_collate 'C' lc_ctype 'C' template template0");
        let database = TestDatabase::create_on_postgres(&options).await;
        let message = refused(database.directory.path(), &database.url);
        expect_words(&message, &[encoding, "UTF8", "create database"]);
    }
}

/// libpq's `prefer` does without TLS if that fails, and so does this one, aloud; its `require` takes any certificate.
#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_done_without_where_that_is_allowed() {
    let directory = TempDir::new().expect("a directory");
    let address = start_cluster_with_old_certificate();
    let url = |mode: &str| format!("postgres://postgres:hunter2@{address}/postgres{mode}");
    for mode in ["?sslmode=verify-ca", "?sslmode=verify-full"] {
        expect_words(&refused(directory.path(), &url(mode)), &["version 1", "sslmode=disable"]);
    }
    for mode in ["", "?sslmode=prefer", "?sslmode=disable"] {
        let output = run(directory.path(), &["migrate", "--database-url", &url(mode)]);
        assert!(output.status.success(), "{mode}: {}", text(&output.stderr));
        assert_eq!(
            text(&output.stderr).contains("without TLS"),
            mode != "?sslmode=disable",
            "{}",
            text(&output.stderr)
        );
    }
    for mode in ["", "?sslmode=require"] {
        let server = Server::start(directory.path(), &["--database-url", &url(mode)]);
        reqwest::get(server.url("/readyz")).await.expect("an answer").error_for_status().expect("ready");
        let mut conn = PgConnection::connect(&url("?sslmode=disable")).await.expect("a connection");
        let is_encrypted: bool = sqlx::query_scalar(
            "select bool_and(s.ssl) from pg_stat_ssl s join pg_stat_activity a using (pid)
             where a.application_name = 'coffer'",
        )
        .fetch_one(&mut conn)
        .await
        .expect("an answer");
        assert_eq!(is_encrypted, mode == "?sslmode=require");
    }
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_reason() {
    let directory = TempDir::new().expect("a directory");
    std::fs::create_dir(directory.path().join("folder")).expect("a folder");
    std::fs::write(directory.path().join("letter"), "Dear Sir or Madam, ".repeat(100)).expect("a file");
    for (url, words) in [
        ("sqlite://folder", &["folder", "is a directory"][..]),
        ("sqlite://letter", &["letter", "not a SQLite database"]),
        ("sqlite://missing/bank.db", &["missing/bank.db", "No such file"]),
    ] {
        expect_words(&refused(directory.path(), url), words);
    }
    let unmade = run(directory.path(), &["doctor", "--database-url", "sqlite://never.db"]);
    expect_words(&text(&unmade.stderr), &["cannot open the database", "never.db", "no such file"]);
    assert!(!directory.path().join("never.db").exists());
    assert!(run(directory.path(), &["migrate", "--database-url", "sqlite:relative.db"]).status.success());
    assert!(directory.path().join("relative.db").exists());
}

#[tokio::test]
async fn a_standby_is_refused_for_writing_and_examined_all_the_same() {
    let database = TestDatabase::create(Kind::Postgres).await;
    let directory = database.directory.path();
    let name = database.url.split(['/', '?']).find(|part| part.starts_with("coffer_test")).expect("a name").to_owned();
    let sql = format!("alter database {name} set default_transaction_read_only = on");
    execute(Kind::Postgres, &database.url, &sql).await;
    expect_words(&refused(directory, &database.url), &["read-only", "primary"]);
    let writable = format!("{}&options=-c%20default_transaction_read_only%3Doff", database.url);
    let output = run(directory, &["migrate", "--database-url", &writable]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let report = run(directory, &["doctor", "--database-url", &database.url]);
    assert!(report.status.success(), "{}", text(&report.stderr));
}

#[tokio::test]
async fn tables_of_another_version_are_refused_in_words() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let directory = database.directory.path();
        assert!(run(directory, &["migrate", "--database-url", &database.url]).status.success());
        let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     select 9001, 'from the future', success, checksum, 0 from _sqlx_migrations where version = 1;
                     insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                     select 9002, 'from the future', success, checksum, 0 from _sqlx_migrations where version = 1";
        execute(kind, &database.url, newer).await;
        let words = ["written by a newer Coffer", "version 9002", "knows up to"];
        expect_words(&refused(directory, &database.url), &words);
        for command in [&["doctor"][..], &["admin", "reset-second-factor", "ada@example.com"], &["serve"], &["demo"]] {
            let flags = ["--database-url", &database.url, "--listen", "127.0.0.1:0"];
            let output = run(directory, &[command, &flags].concat());
            assert_eq!(output.status.code(), Some(1), "{command:?}");
            expect_words(&text(&output.stderr), &words);
        }
        let edited = "delete from _sqlx_migrations where version > 9000;
                      update _sqlx_migrations set checksum = (select checksum from _sqlx_migrations where version = 1)
                      where version = 2";
        execute(kind, &database.url, edited).await;
        expect_words(&refused(directory, &database.url), &["never released", "migration 2", "new database"]);
        // As a bank of before has them: other migrations, and more of them.
        let unreleased =
            "update _sqlx_migrations set checksum = (select checksum from _sqlx_migrations where version = 3);
                          insert into _sqlx_migrations (version, description, success, checksum, execution_time)
                          select (select max(version) + 1 from _sqlx_migrations), 'before', success, checksum, 0
                          from _sqlx_migrations where version = 1";
        execute(kind, &database.url, unreleased).await;
        let words = ["never released", "migration 1", "new database"];
        expect_words(&refused(directory, &database.url), &words);
        let output = run(directory, &["doctor", "--database-url", &database.url]);
        expect_words(&text(&output.stderr), &words);
    }
}

/// Two servers on one file would wait for each other at every commit.
#[test]
fn a_second_server_on_a_sqlite_file_is_refused_and_other_commands_work_beside_the_first() {
    let directory = TempDir::new().expect("a directory");
    let directory = directory.path();
    let first = Server::start(directory, &[]);
    let second = run(directory, &["--listen", "127.0.0.1:0"]);
    let message = text(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{message}");
    expect_words(
        &message,
        &["coffer.db", "another server", &first.process.id().to_string(), "DATABASE_URL", "PostgreSQL"],
    );
    // By another name it is the same file.
    let link = directory.join("link.db");
    std::os::unix::fs::symlink(directory.join("data/coffer.db"), &link).expect("a link");
    let by_link =
        run(directory, &["--listen", "127.0.0.1:0", "--database-url", &format!("sqlite://{}", link.display())]);
    expect_words(&text(&by_link.stderr), &["another server"]);
    for arguments in [&["doctor"][..], &["migrate"], &["admin", "create", "root@example.com"], &["demo"]] {
        let beside = run(directory, arguments);
        assert!(beside.status.success(), "{arguments:?}: {}", text(&beside.stderr));
    }
    drop(first);
    drop(Server::start(directory, &[]));
}

fn finish(process: Child) -> Output {
    process.wait_with_output().expect("an end")
}

/// Three processes that all find nothing, at once.
async fn all_may_start_at_once(kind: Kind, rounds: usize, flags: &[&str]) {
    for round in 0..rounds {
        let database = TestDatabase::create(kind).await;
        let directory = database.directory.path();
        let data = directory.join("data");
        let data = data.to_str().expect("a path in UTF-8");
        let url = ["--database-url", &database.url];
        let place: &[&str] = if kind == Kind::Sqlite { &[] } else { &url };
        let arguments = |command: &[&'static str]| [command, &["--data-dir", data], place, flags].concat();
        let spawn = |command: &[&'static str]| {
            let mut command = coffer(directory, &arguments(command));
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the binary runs")
        };
        let mut command = coffer(directory, &arguments(&["serve"]));
        command.env("COFFER_LISTEN", "127.0.0.1:0").stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let serving = command.spawn().expect("the binary runs");
        let others = [
            spawn(&["admin", "create", "root@example.com"]),
            spawn(&["migrate"]),
            spawn(&["admin", "create", "second@example.com"]),
            spawn(&["migrate"]),
        ];
        for other in others {
            let ended = finish(other);
            assert!(ended.status.success(), "{kind:?}, round {round}: {}", text(&ended.stderr));
        }
        let pid = serving.id().to_string();
        let ready = wait_until_open(serving);
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
        let ended = finish(ready);
        assert!(ended.status.success(), "{kind:?}, round {round}: {}", text(&ended.stderr));
        let report = run(directory, &arguments(&["doctor"]));
        assert!(report.status.success(), "{}{}", text(&report.stdout), text(&report.stderr));
    }
}

/// Reads the banner to its end.
fn wait_until_open(mut serving: Child) -> Child {
    let mut banner = Vec::new();
    let output = serving.stdout.as_mut().expect("its output");
    while !text(&banner).contains("Press Ctrl-C") {
        let mut byte = [0];
        if output.read(&mut byte).expect("its output") == 0 {
            let ended = finish(serving);
            panic!("it ended early: {}", text(&ended.stderr));
        }
        banner.push(byte[0]);
    }
    serving
}

#[tokio::test]
async fn all_may_start_at_once_on_one_file() {
    all_may_start_at_once(Kind::Sqlite, 12, &[]).await;
}

#[tokio::test]
async fn all_may_start_at_once_on_one_server() {
    all_may_start_at_once(Kind::Postgres, 4, &[]).await;
}

#[tokio::test]
async fn all_may_start_at_once_on_a_server_without_locks() {
    all_may_start_at_once(Kind::Postgres, 4, &["--migration-lock", "false"]).await;
}

/// Each command on a file that is no bank's, and what else it needs.
const COMMANDS: [&[&str]; 7] = [
    &["serve", "--listen", "127.0.0.1:0"],
    &["migrate"],
    &["demo"],
    &["doctor"],
    &["backup", "backup.db"],
    &["copy", "--to", "sqlite://copy.db"],
    &["admin", "create", "ada@example.com"],
];

#[test]
fn somebody_elses_file_is_refused_and_left_as_it_is() {
    let file = Path::new("books.db");
    for mode in ["delete", "wal"] {
        let directory = TempDir::new().expect("a directory");
        let books = directory.path().join(file);
        let script = format!(
            "import sqlite3; books = sqlite3.connect('books.db'); books.execute('pragma journal_mode = {mode}')
books.execute('create table people (name text)'); books.commit()"
        );
        let made = Command::new("python3").args(["-c", &script]).current_dir(directory.path()).status();
        assert!(made.expect("Python runs").success());
        fs::set_permissions(&books, Permissions::from_mode(0o644)).expect("a mode");
        let state = || {
            let beside = |ending: &str| directory.path().join(format!("books.db{ending}")).exists();
            let mode = fs::metadata(&books).expect("a file").permissions().mode();
            (fs::read(&books).expect("a file"), mode, beside("-wal"), beside("-shm"))
        };
        let before = state();
        for command in COMMANDS {
            let output = run(directory.path(), &[command, &["--database-url", "sqlite://books.db"]].concat());
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
            expect_words(&message, &["it has people", "Coffer needs a database of its own"]);
            assert!(state() == before, "{command:?} has changed it");
        }
        let restored = run(directory.path(), &["restore", "books.db"]);
        expect_words(&text(&restored.stderr), &["nothing was restored", "it has people"]);
        assert!(state() == before && !directory.path().join("data/coffer.db").exists());
    }
}

#[test]
fn a_file_without_tables_has_no_books_to_restore_or_to_look_at() {
    let directory = TempDir::new().expect("a directory");
    let script = "import sqlite3; books = sqlite3.connect('books.db')
books.execute('create table people (name text)'); books.execute('drop table people'); books.commit()";
    let made = Command::new("python3").args(["-c", script]).current_dir(directory.path()).status();
    assert!(made.expect("Python runs").success());
    let before = fs::read(directory.path().join("books.db")).expect("a file");
    for command in [&["restore", "books.db"][..], &["doctor", "--database-url", "sqlite://books.db"]] {
        let output = run(directory.path(), command);
        assert_eq!(output.status.code(), Some(1));
        expect_words(&text(&output.stderr), &["it has no tables"]);
    }
    assert!(fs::read(directory.path().join("books.db")).expect("a file") == before);
    assert!(!directory.path().join("data/coffer.db").exists());
}

#[tokio::test]
async fn somebody_elses_schema_on_postgres_is_refused_and_left_as_it_is() {
    let database = TestDatabase::create(Kind::Postgres).await;
    execute(Kind::Postgres, &database.url, "create table people (name text)").await;
    for command in [&COMMANDS[..3], &COMMANDS[6..]].concat() {
        let output = run(database.directory.path(), &[command, &["--database-url", &database.url]].concat());
        expect_words(&text(&output.stderr), &["it has people", "Coffer needs a database of its own"]);
    }
    execute(Kind::Postgres, &database.url, "create table entries (name text)").await;
}

/// A backup on a medium that is read-only, or that somebody else has made.
#[tokio::test]
async fn books_that_can_only_be_read_are_examined() {
    let directory = TempDir::new().expect("a directory");
    let mut server = Server::start(directory.path(), &[]);
    server.signal(Signal::TERM);
    assert!(server.process.wait().expect("its end").success());
    let books = directory.path().join("data/coffer.db");
    let program = directory.path().join("coffer");
    fs::copy(env!("CARGO_BIN_EXE_coffer"), &program).expect("a copy");
    for (path, mode) in [(directory.path(), 0o755), (&*directory.path().join("data"), 0o555), (&*books, 0o444)] {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    }
    let mut command = Command::new(&program);
    command.args(["doctor", "--database-url", "sqlite://data/coffer.db", "--data-dir", "nowhere"]);
    command.current_dir(directory.path()).env_clear();
    if rustix::process::geteuid().is_root() {
        const NOBODY: u32 = 65_534;
        command.uid(NOBODY).gid(NOBODY);
    }
    let output = command.output().expect("the binary runs");
    expect_words(&text(&output.stdout), &["The books are right."]);
    assert!(!directory.path().join("data/coffer.db-wal").exists());
    fs::set_permissions(directory.path().join("data"), Permissions::from_mode(0o755)).expect("a mode");
}

#[tokio::test]
async fn a_signal_for_a_backup_does_not_end_a_bank_that_opens() {
    let directory = TempDir::new().expect("a directory");
    fs::create_dir(directory.path().join("data")).expect("a directory");
    // As another process does that migrates.
    let busy = File::open(directory.path().join("data")).expect("a directory");
    busy.lock().expect("a lock");
    let log = directory.path().join("log");
    let mut command = coffer(directory.path(), &["--listen", "127.0.0.1:0"]);
    let mut process =
        command.stderr(File::create(&log).expect("a file")).stdout(Stdio::piped()).spawn().expect("it runs");
    let said = || fs::read_to_string(&log).expect("a log");
    eventually("it waits", async || said().contains("another process opens or migrates")).await;
    kill_process(Pid::from_child(&process), Signal::USR1).expect("a signal");
    drop(busy);
    eventually("it answers the signal", async || said().contains("set COFFER_BACKUP_DIR")).await;
    kill_process(Pid::from_child(&process), Signal::TERM).expect("a signal");
    assert!(process.wait().expect("its end").success());
}
