//! Backups and their way back: made while the bank books, checked before they count, put back where nothing is.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use coffer_core::db::Db;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, coffer, run, text};
use crate::databases::{Kind, TestDatabase};
use crate::doctor::disarm;
use crate::harness::{PASSWORD, TestBank, bank_tests, eventually, settings};

/// A command on the books of this bank.
fn on(bank: &TestBank, arguments: &[&str]) -> Output {
    let directory = bank.database.directory.path();
    let settings = ["--database-url", &bank.database.url, "--data-dir", directory.to_str().expect("UTF-8")];
    run(directory, &[arguments, &settings].concat())
}

fn succeed(output: Output) -> String {
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    said
}

fn refuse(output: Output, because: &str) {
    let said = text(&output.stderr) + &text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(because), "{because}: {said}");
}

fn doctor(file: &Path, arguments: &[&str]) -> Output {
    let url = format!("sqlite://{}", file.display());
    run(file.parent().expect("a directory"), &[&["doctor", "--database-url", &url], arguments].concat())
}

fn names_in(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

/// A head, as the readiness probe shows it within a second, once it is another than this one.
async fn head(server: &Server, name: &str, former: &str) -> String {
    let mut head = String::new();
    eventually("the head shows", async || {
        let ready: Value = reqwest::get(server.url("/readyz")).await.expect("an answer").json().await.expect("JSON");
        head = ready["heads"][name].as_str().unwrap_or_default().to_owned();
        !head.is_empty() && head != former
    })
    .await;
    head
}

bank_tests! {
    async fn a_backup_is_made_while_the_bank_books_and_overwrites_nothing(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        let place = TempDir::new().expect("a directory");
        let file = place.path().join("bank.db");
        let name = file.to_str().expect("UTF-8");
        let mut backup = coffer(place.path(), &["backup", name, "--database-url", &bank.database.url])
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let mut booked_meanwhile = 0;
        loop {
            ada.deposit("1").await.expect_status(201);
            if backup.try_wait().expect("its state").is_some() {
                break;
            }
            booked_meanwhile += 1;
        }
        assert!(booked_meanwhile > 0);
        let said = succeed(backup.wait_with_output().expect("its output"));
        for part in ["Done: ", "Heads: newest entry ", "second_factor_key", "jwt_secret"] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o777, 0o600);
        assert_eq!(names_in(place.path()), ["bank.db"]);
        assert!(succeed(doctor(&file, &[])).contains("The books are right."));

        let before = fs::read(&file).expect("a file");
        refuse(on(bank, &["backup", name]), "is there already");
        assert!(fs::read(&file).expect("a file") == before && names_in(place.path()) == ["bank.db"]);
    }

    async fn a_backup_goes_to_standard_output_too(bank: &TestBank) {
        bank.customer().await.deposit("1").await.expect_status(201);
        let place = TempDir::new().expect("a directory");
        let made = coffer(place.path(), &["backup", "-", "--database-url", &bank.database.url])
            .env("TMPDIR", place.path())
            .stdout(File::create(place.path().join("bank.db")).expect("a file"))
            .output()
            .expect("the binary runs");
        let said = text(&made.stderr);
        assert!(made.status.success() && said.contains("Done: standard output"), "{said}");
        assert_eq!(names_in(place.path()), ["bank.db"]);
        succeed(doctor(&place.path().join("bank.db"), &[]));
    }
}

/// Into a pipe that nobody reads.
#[tokio::test]
async fn a_backup_that_stands_still_can_be_broken_off() {
    let directory = TempDir::new().expect("a directory");
    let server = served_bank(directory.path(), &[]).await;
    let place = TempDir::new().expect("a directory");
    let mut backup = coffer(directory.path(), &["backup", "-"])
        .env("TMPDIR", place.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut output = backup.stdout.take().expect("its output");
    output.read_exact(&mut [0]).expect("the first byte of more than a pipe holds");
    let pid = i32::try_from(backup.id()).ok().and_then(Pid::from_raw).expect("a process");
    kill_process(pid, Signal::TERM).expect("a signal");
    eventually("it ends", async || backup.try_wait().expect("its state").is_some_and(|ended| !ended.success())).await;
    assert!(names_in(place.path()).is_empty());
    stop(server);
}

/// More than any disk has.
const NO_ROOM: &str = "9000000GB";

#[tokio::test]
async fn a_backup_leaves_the_bank_its_room() {
    let directory = TempDir::new().expect("a directory");
    let server = served_bank(directory.path(), &[]).await;
    refuse(run(directory.path(), &["backup", "b.db", "--disk-reserve", NO_ROOM]), "of which the bank keeps");
    assert!(!names_in(directory.path()).iter().any(|name| name.contains("b.db")), "{:?}", names_in(directory.path()));
    // On another disk the bank needs none.
    let elsewhere = TempDir::new_in("/dev/shm").expect("a file system in memory");
    let file = elsewhere.path().join("b.db");
    let made = run(directory.path(), &["backup", file.to_str().expect("UTF-8"), "--disk-reserve", NO_ROOM]);
    let disk_of = |place: &Path| fs::metadata(place).expect("a place").dev();
    if disk_of(elsewhere.path()) == disk_of(directory.path()) {
        refuse(made, "of which the bank keeps");
    } else {
        succeed(made);
    }
    stop(server);
}

async fn books_that_are_wrong_make_no_backup(kind: Kind) {
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    ada.deposit("1").await.expect_status(201);
    disarm(&bank).await;
    bank.tamper(&format!("update accounts set balance = balance + 1 where account_number = {}", ada.account)).await;
    let place = TempDir::new().expect("a directory");
    let file = place.path().join("bank.db");
    refuse(on(&bank, &["backup", file.to_str().expect("UTF-8")]), "accounts agree with their last entry");
    assert!(names_in(place.path()).is_empty(), "{:?}", names_in(place.path()));
    refuse(on(&bank, &["backup", "/nowhere/bank.db"]), "cannot write /nowhere/bank.db");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_are_wrong_make_no_backup_on_sqlite() {
    books_that_are_wrong_make_no_backup(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_that_are_wrong_make_no_backup_on_postgres() {
    books_that_are_wrong_make_no_backup(Kind::Postgres).await;
}

/// A bank of a process of its own, with a customer who has paid in.
async fn served_bank(directory: &Path, arguments: &[&str]) -> Server {
    let mut command = coffer(directory, arguments);
    command.stderr(File::options().create(true).append(true).open(directory.join("log")).expect("a file"));
    let server = Server::start_as(command);
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    reqwest::Client::new().post(server.url("/create_account")).json(&body).send().await.expect("an answer");
    server
}

async fn token(server: &Server) -> String {
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let answer = reqwest::Client::new().post(server.url("/login")).json(&body).send().await.expect("an answer");
    let tokens: Value = answer.json().await.expect("tokens");
    tokens["access_token"].as_str().expect("a token").to_owned()
}

/// Deposits 1.00, and returns the balance after it.
async fn deposit(server: &Server) -> String {
    let (client, token) = (reqwest::Client::new(), token(server).await);
    let accounts = client.get(server.url("/accounts")).bearer_auth(&token).send().await.expect("an answer");
    let accounts: Value = accounts.json().await.expect("accounts");
    let body = json!({"account_number": accounts["data"][0]["account_number"], "amount": "1"});
    let answer = client.post(server.url("/deposit")).bearer_auth(&token).json(&body).send().await.expect("an answer");
    let booked: Value = answer.json().await.expect("a transaction");
    booked["balance"].as_str().unwrap_or_else(|| panic!("{booked}")).to_owned()
}

/// Ends it as a service manager does.
fn stop(mut server: Server) {
    server.signal(Signal::TERM);
    assert!(server.process.wait().expect("its end").success());
}

#[tokio::test]
async fn a_backup_comes_back_where_nothing_is_in_its_way() {
    let (here, there) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let server = served_bank(here.path(), &[]).await;
    assert_eq!(deposit(&server).await, "1.00");
    let file = here.path().join("backup.db");
    let name = file.to_str().expect("UTF-8");
    let earlier = head(&server, "entry", "").await;
    succeed(run(here.path(), &["backup", name]));
    assert_eq!(deposit(&server).await, "2.00");
    let newest = head(&server, "entry", &earlier).await;
    stop(server);

    // A log that nobody knows would be played into the books.
    let data = there.path().join("data");
    fs::create_dir(&data).expect("a directory");
    fs::write(data.join("coffer.db-wal"), "what was booked last").expect("a file");
    refuse(run(there.path(), &["restore", name]), "coffer.db-wal lies where");
    assert_eq!(names_in(&data), ["coffer.db-wal"]);
    fs::remove_file(data.join("coffer.db-wal")).expect("a file");
    refuse(run(there.path(), &["restore", name, "--since", &newest]), "is not in them");
    fs::write(there.path().join("other"), "no books").expect("a file");
    refuse(run(there.path(), &["restore", "other"]), "is no SQLite file");
    refuse(run(there.path(), &["restore", "nowhere"]), "cannot read nowhere");
    assert!(Command::new("mkfifo").arg(there.path().join("pipe")).status().expect("mkfifo runs").success());
    refuse(run(there.path(), &["restore", "pipe"]), "pipe is no file");
    refuse(run(there.path(), &["restore", name, "--database-url", "postgres://localhost/bank"]), "coffer copy --from");
    assert!(names_in(&data).is_empty());

    let before = fs::read(&file).expect("a file");
    let said = succeed(run(there.path(), &["restore", name, "--since", &earlier]));
    for missing in ["Missing: ./data/second_factor_key", "Missing: ./data/jwt_secret"] {
        assert!(said.contains(missing), "{missing}: {said}");
    }
    assert_eq!(names_in(&data), ["coffer.db"]);
    assert_eq!(fs::metadata(data.join("coffer.db")).expect("a file").permissions().mode() & 0o777, 0o600);
    assert!(fs::read(&file).expect("a file") == before, "the backup stays as it is");
    refuse(run(there.path(), &["restore", name]), "there are books at ./data/coffer.db already");
    refuse(doctor(&data.join("coffer.db"), &["--since", &newest, "--since", &earlier]), "is not in them");

    fs::copy(here.path().join("data/second_factor_key"), data.join("second_factor_key")).expect("a copy");
    let server = served_bank(there.path(), &[]).await;
    assert_eq!(deposit(&server).await, "2.00");
}

#[tokio::test]
async fn a_file_with_a_log_beside_it_is_no_backup() {
    let (here, there) = (TempDir::new().expect("a directory"), TempDir::new().expect("a directory"));
    let server = served_bank(here.path(), &[]).await;
    let books = here.path().join("data/coffer.db");
    refuse(run(there.path(), &["restore", books.to_str().expect("UTF-8")]), "coffer.db-wal lies beside it");
    drop(server);
}

const WITHOUT_LOG: &str = "BAD  the database file has the log that was written beside it";

/// What Python's SQLite does with a file.
fn python(script: &str, files: &[&Path]) {
    let ended = Command::new("python3").args(["-c", script]).args(files).status();
    assert!(ended.expect("Python runs").success());
}

/// Every command knows the copy for what it is, and however often it is looked at, the next one does, too.
fn is_known_to_lack_its_log(copy: &Path, newest: &str) {
    let directory = copy.parent().expect("a directory");
    let url = format!("sqlite://{}", copy.display());
    let because = "was copied or left without the log";
    for _ in 0..2 {
        refuse(doctor(copy, &[]), WITHOUT_LOG);
        refuse(doctor(copy, &["--since", newest]), WITHOUT_LOG);
        refuse(run(directory, &["restore", copy.to_str().expect("UTF-8"), "--data-dir", "other"]), because);
        refuse(run(directory, &["backup", "--database-url", &url, "of-copy.db"]), because);
        refuse(run(directory, &["copy", "--from", &url, "--to", "sqlite://to.db"]), because);
        assert!(!directory.join("to.db").exists());
        refuse(run(directory, &["serve", "--database-url", &url, "--listen", "127.0.0.1:0"]), because);
        refuse(run(directory, &["migrate", "--database-url", &url]), because);
        refuse(run(directory, &["admin", "create", "shop@example.com", "--service", "--database-url", &url]), because);
    }
}

#[tokio::test]
async fn a_copy_without_its_log_is_noticed_and_a_crashed_bank_is_none() {
    for who in ["coffer", "external"] {
        let directory = TempDir::new().expect("a directory");
        let server = served_bank(directory.path(), &["--checkpoints", who]).await;
        deposit(&server).await;
        let books = directory.path().join("data/coffer.db");
        let copy = directory.path().join("copy.db");
        fs::copy(&books, &copy).expect("a copy");
        assert!(!succeed(doctor(&books, &[])).contains("BAD"));
        let newest = head(&server, "entry", "").await;
        is_known_to_lack_its_log(&copy, &newest);
        // Another program has the copy open, and so made an empty log.
        fs::write(directory.path().join("copy.db-wal"), "").expect("a file");
        is_known_to_lack_its_log(&copy, &newest);

        // After kill -9 the log is there, until somebody else opens the books and closes them.
        drop(server);
        let left = directory.path().join("left.db");
        fs::copy(&books, &left).expect("a copy");
        assert!(fs::metadata(directory.path().join("data/coffer.db-wal")).is_ok_and(|log| log.len() > 0));
        python(
            "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('select * from users').fetchall()",
            &[&books],
        );
        assert!(!directory.path().join("data/coffer.db-wal").exists());
        for _ in 0..2 {
            succeed(doctor(&books, &["--since", &newest]));
            assert!(!succeed(doctor(&books, &[])).contains("BAD"));
        }
        stop(served_bank(directory.path(), &["--checkpoints", who]).await);
        assert!(!succeed(doctor(&books, &[])).contains("NOTE"));
        is_known_to_lack_its_log(&left, &newest);
    }
}

#[tokio::test]
async fn a_copy_that_sqlite_has_made_of_a_served_bank_is_whole() {
    let directory = TempDir::new().expect("a directory");
    let books = directory.path().join("data/coffer.db");
    let whole = directory.path().join("whole.db");
    let script = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).backup(sqlite3.connect(sys.argv[2]))";
    let server = served_bank(directory.path(), &[]).await;
    deposit(&server).await;
    python(script, &[&books, &whole]);
    assert!(!succeed(doctor(&whole, &[])).contains("NOTE"));
    stop(server);

    // Of a bank whose checkpoints another program makes nobody can tell: a head shows it.
    fs::remove_file(&whole).expect("a file");
    let server = served_bank(directory.path(), &["--checkpoints", "external"]).await;
    deposit(&server).await;
    python(script, &[&books, &whole]);
    let newest = head(&server, "entry", "").await;
    assert!(succeed(doctor(&whole, &[])).contains("NOTE the database file has the log"));
    assert!(!succeed(doctor(&whole, &["--since", &newest])).contains("NOTE"));
    let of_copy = run(directory.path(), &["backup", "again.db", "--database-url", "sqlite://whole.db"]);
    assert!(text(&of_copy.stderr).contains("whether the log is missing"));
    succeed(of_copy);
    for name in ["whole.db", "again.db"] {
        refuse(run(directory.path(), &["restore", name, "--data-dir", "other"]), "whether the log is missing");
        succeed(run(
            directory.path(),
            &["restore", name, "--data-dir", name.trim_end_matches(".db"), "--since", &newest],
        ));
    }
}

/// A reader keeps checkpoints from the file, and a checkpoint by somebody else takes the mark away: for as long as it lasts.
#[tokio::test]
async fn the_mark_comes_into_the_file_as_soon_as_it_can() {
    let directory = TempDir::new().expect("a directory");
    stop(served_bank(directory.path(), &[]).await);
    let books = directory.path().join("data/coffer.db");
    let script = "
import sqlite3, sys
books = sqlite3.connect(sys.argv[1], isolation_level=None)
books.execute('begin')
books.execute('select count(*) from users').fetchone()
print('reading', flush=True)
sys.stdin.readline()
books.execute('rollback')
print(books.execute('pragma wal_checkpoint(truncate)').fetchone(), flush=True)
";
    let mut reader = Command::new("python3");
    let mut reader = reader
        .args(["-c", script])
        .arg(&books)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Python runs");
    let mut said = BufReader::new(reader.stdout.take().expect("its output"));
    said.read_line(&mut String::new()).expect("its output");
    let server = served_bank(directory.path(), &[]).await;
    deposit(&server).await;
    drop(reader.stdin.take());
    assert!(reader.wait().expect("its end").success());
    let newest = head(&server, "entry", "").await;
    let copy = directory.path().join("copy.db");
    eventually("the copy is known", async || {
        fs::copy(&books, &copy).expect("a copy");
        text(&doctor(&copy, &[]).stdout).contains(WITHOUT_LOG)
    })
    .await;
    is_known_to_lack_its_log(&copy, &"0".repeat(newest.len()));
    drop(server);
}

/// As after an erasure, which leaves nothing in the log either.
#[tokio::test]
async fn a_crashed_bank_whose_log_was_copied_over_is_whole() {
    let directory = TempDir::new().expect("a directory");
    let server = served_bank(directory.path(), &[]).await;
    deposit(&server).await;
    drop(server);
    let books = directory.path().join("data/coffer.db");
    let script = "import os, sqlite3, sys
bank = sqlite3.connect(sys.argv[1])
bank.execute('pragma wal_checkpoint(truncate)').fetchall()
os._exit(0)";
    let python = Command::new("python3").args(["-c", script]).arg(&books).status();
    assert!(python.expect("Python runs").success());
    assert_eq!(fs::metadata(directory.path().join("data/coffer.db-wal")).expect("a log").len(), 0);
    for _ in 0..2 {
        assert!(!succeed(doctor(&books, &[])).contains("BAD"));
    }
}

/// A link onto another disk, say: SQLite has its log beside the file that it leads to.
#[tokio::test]
async fn a_bank_behind_a_link_is_one_bank() {
    let directory = TempDir::new().expect("a directory");
    let at = |name: &str| directory.path().join(name);
    fs::create_dir(at("disk")).and_then(|()| fs::create_dir(at("data"))).expect("directories");
    symlink("../disk/coffer.db", at("data/coffer.db")).expect("a link");
    let server = served_bank(directory.path(), &[]).await;
    deposit(&server).await;
    assert_eq!(fs::metadata(at("disk/coffer.db")).expect("a file").permissions().mode() & 0o777, 0o600);
    for place in ["disk", "data"] {
        let url = format!("sqlite://{place}/coffer.db");
        let other = run(directory.path(), &["serve", "--database-url", &url, "--listen", "127.0.0.1:0"]);
        refuse(other, "another server");
    }
    drop(server);
    refuse(
        run(directory.path(), &["restore", "data/coffer.db", "--data-dir", "other"]),
        "coffer.db-wal lies beside it",
    );
    let server = Server::start(directory.path(), &[]);
    assert_eq!(deposit(&server).await, "2.00");
    drop(server);
    assert!(!succeed(doctor(&at("data/coffer.db"), &[])).contains("NOTE"));
}

#[tokio::test]
async fn who_looks_at_books_of_another_version_leaves_nothing_beside_them() {
    let directory = TempDir::new().expect("a directory");
    let server = served_bank(directory.path(), &[]).await;
    succeed(run(directory.path(), &["backup", "backup.db"]));
    stop(server);
    let elsewhere = TempDir::new().expect("a directory");
    for (statement, because) in [
        (
            "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)",
            "of an older version",
        ),
        (
            "update _sqlx_migrations set version = 9999 where version = (select max(version) from _sqlx_migrations)",
            "9999",
        ),
    ] {
        let books = elsewhere.path().join("books.db");
        fs::copy(directory.path().join("backup.db"), &books).expect("a copy");
        python(
            "import sqlite3, sys\nbooks = sqlite3.connect(sys.argv[1])\nbooks.execute(sys.argv[2])\nbooks.commit()\nbooks.close()",
            &[&books, Path::new(statement)],
        );
        refuse(doctor(&books, &[]), because);
        assert_eq!(names_in(elsewhere.path()), ["books.db"]);
    }
}

/// Whoever closes the file last takes the log away.
#[tokio::test]
async fn a_bank_that_crashes_while_somebody_looks_at_it_is_whole() {
    let directory = TempDir::new().expect("a directory");
    let server = served_bank(directory.path(), &[]).await;
    deposit(&server).await;
    let books = directory.path().join("data/coffer.db");
    let elsewhere = TestDatabase::create(Kind::Sqlite).await;
    let settings = settings(&elsewhere, &["--database-url", &format!("sqlite://{}", books.display())]);
    let looking = Db::connect(&settings.database(false).expect("an address")).await.expect("the books");
    drop(server);
    looking.close().await;
    assert!(!directory.path().join("data/coffer.db-wal").exists());
    assert!(!succeed(doctor(&books, &[])).contains("BAD"));
}

#[tokio::test]
async fn heads_tell_older_books_from_newer_ones() {
    let directory = TempDir::new().expect("a directory");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let admin = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let server = served_bank(directory.path(), &["--admin-listen", &admin]).await;
    assert!(server.banner.contains("  Heads       no entries, audit log "), "{}", server.banner);
    deposit(&server).await;
    let public: Value = reqwest::get(server.url("/readyz")).await.expect("an answer").json().await.expect("JSON");
    assert!(public["heads"] == json!({"entry": null, "audit": null}), "{public}");
    let ready = async || -> Value {
        reqwest::get(format!("http://{admin}/readyz")).await.expect("an answer").json().await.expect("JSON")
    };
    eventually("the head of the deposit shows", async || ready().await["heads"]["entry"].is_string()).await;
    let heads = ready().await["heads"].clone();
    let books = directory.path().join("data/coffer.db");
    for name in ["entry", "audit"] {
        let said = succeed(doctor(&books, &["--since", heads[name].as_str().expect("a hash")]));
        assert!(said.contains("ok   the books are no older than the heads that were named: 1 heads"), "{said}");
    }
    let hash = heads["entry"].as_str().expect("a hash").replace(|sign: char| sign.is_ascii_digit(), "a");
    refuse(doctor(&books, &["--since", &hash]), "is not in them");
    let malformed = doctor(&books, &["--since", "abc"]);
    assert!(text(&malformed.stderr).contains("send a hash of 64 hexadecimal digits"), "{}", text(&malformed.stderr));
}

fn backups_in(directory: &Path) -> Vec<PathBuf> {
    let names = if directory.exists() { names_in(directory) } else { Vec::new() };
    names
        .iter()
        .filter(|name| name.ends_with(".db") && !name.starts_with('.'))
        .map(|name| directory.join(name))
        .collect()
}

#[tokio::test]
async fn the_running_bank_makes_backups_when_it_is_asked_to_and_keeps_the_newest() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let url = &database.url;
        let directory = TempDir::new().expect("a directory");
        let backups = directory.path().join("backups");
        let arguments = ["--database-url", url, "--backup-dir", "backups", "--backup-every", "0", "--backup-keep", "2"];
        let server = served_bank(directory.path(), &arguments).await;
        assert!(server.banner.contains("  Backups     on SIGUSR1 to backups"), "{}", server.banner);
        deposit(&server).await;
        assert_eq!(fs::metadata(&backups).expect("a directory").permissions().mode() & 0o777, 0o700);
        fs::write(backups.join("mine.db"), "").expect("a file");
        let mut seen: Vec<PathBuf> = Vec::new();
        for _ in 0..3 {
            server.signal(Signal::USR1);
            let is_new = |file: &PathBuf| !seen.contains(file) && !file.ends_with("mine.db");
            eventually("a backup", async || backups_in(&backups).iter().any(is_new)).await;
            seen.extend(backups_in(&backups).into_iter().filter(is_new).collect::<Vec<_>>());
        }
        eventually("the oldest is deleted", async || backups_in(&backups).len() == 3).await;
        assert!(backups.join("mine.db").exists() && !seen[0].exists() && seen[1].exists() && seen[2].exists());
        succeed(doctor(&seen[2], &["--since", &head(&server, "entry", "").await]));
        let metrics =
            async || reqwest::get(server.url("/metrics")).await.expect("an answer").text().await.expect("metrics");
        eventually("the metrics say so", async || {
            let metrics = metrics().await;
            metrics.contains("coffer_backups_total{outcome=\"done\"} 3")
                && metrics.contains("coffer_backup_age_seconds ")
        })
        .await;
        let log = || fs::read_to_string(directory.path().join("log")).expect("a log");
        assert!(log().contains("newest entry "), "{}", log());
        fs::remove_dir_all(&backups).expect("a directory");
        server.signal(Signal::USR1);
        eventually("the failure is logged", async || log().contains("ERROR") && log().contains("no new backup")).await;
        assert!(metrics().await.contains("coffer_backups_total{outcome=\"failed\"} 1"));
        stop(server);
    }
}

#[tokio::test]
async fn backups_are_made_on_time_and_sigusr1_ends_no_bank() {
    let directory = TempDir::new().expect("a directory");
    let backups = directory.path().join("backups");
    let server = served_bank(directory.path(), &["--backup-dir", "backups", "--backup-every", "1s"]).await;
    assert!(server.banner.contains("  Backups     every 1s to backups"), "{}", server.banner);
    eventually("one after the other", async || backups_in(&backups).len() > 2).await;
    stop(server);
    // One that is recent enough is not made again.
    let count = backups_in(&backups).len();
    let server = served_bank(directory.path(), &["--backup-dir", "backups", "--backup-every", "1h"]).await;
    deposit(&server).await;
    assert_eq!(backups_in(&backups).len(), count);
    stop(server);

    let server = served_bank(directory.path(), &[]).await;
    server.signal(Signal::USR1);
    let log = || fs::read_to_string(directory.path().join("log")).expect("a log");
    eventually("it says what is missing", async || log().contains("set COFFER_BACKUP_DIR")).await;
    assert_eq!(deposit(&server).await, "2.00");
    stop(server);
    let refused = run(directory.path(), &["--backup-dir", "log/backups", "--listen", "127.0.0.1:0"]);
    assert!(
        text(&refused.stderr).contains("COFFER_BACKUP_DIR (--backup-dir): cannot use"),
        "{}",
        text(&refused.stderr)
    );
}

/// Holds a read transaction for as long as its standard input is open, as Litestream does; says how much of the log is held;
/// then checkpoints if it is told to.
const READER: &str = "
import sqlite3, sys
books, other = [sqlite3.connect(sys.argv[1], isolation_level=None) for _ in range(2)]
books.execute('begin')
books.execute('select count(*) from entries').fetchone()
print('reading', flush=True)
sys.stdin.readline()
_, in_log, copied = other.execute('pragma wal_checkpoint(passive)').fetchone()
print('held' if in_log > copied else 'free', flush=True)
books.execute('rollback')
if sys.argv[2] == 'external':
    print(books.execute('pragma wal_checkpoint(truncate)').fetchone(), flush=True)
";

#[tokio::test]
async fn a_reader_holds_the_log_and_nothing_is_lost_whoever_checkpoints() {
    for who in ["coffer", "external"] {
        let directory = TempDir::new().expect("a directory");
        let server = served_bank(directory.path(), &["--checkpoints", who]).await;
        let books = directory.path().join("data/coffer.db");
        deposit(&server).await;
        let mut reader = Command::new("python3");
        reader.args(["-c", READER]).arg(&books).arg(who).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut reader = reader.spawn().expect("Python runs");
        let mut said = BufReader::new(reader.stdout.take().expect("its output"));
        let mut line = String::new();
        said.read_line(&mut line).expect("its output");
        let mut balance = String::new();
        for _ in 0..10 {
            balance = deposit(&server).await;
        }
        drop(reader.stdin.take());
        let mut line = String::new();
        said.read_to_string(&mut line).expect("its output");
        assert!(reader.wait().expect("its end").success());
        // Not busy, and no page of the log is left.
        assert_eq!(line.trim(), if who == "external" { "held\n(0, 0, 0)" } else { "held" });
        let newest = deposit(&server).await;
        assert_eq!((balance.as_str(), newest.as_str()), ("11.00", "12.00"), "{who}");
        let entry = head(&server, "entry", "").await;
        drop(server);
        succeed(doctor(&books, &["--since", &entry]));
    }
}
