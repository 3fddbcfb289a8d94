//! Output that cannot be written: full disks, closed pipes, readers that have stopped reading.

use std::fs::{File, OpenOptions};
use std::io::{PipeReader, pipe};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::command_line::{Server, coffer, run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::PASSWORD;

fn full_disk() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").expect("/dev/full").into()
}

/// A pipe whose reader has gone.
fn closed_pipe() -> Stdio {
    pipe().expect("a pipe").1.into()
}

/// A pipe whose reader never reads: once it is full, whoever writes to it waits.
fn stuck_pipe() -> (PipeReader, Stdio) {
    let (reader, writer) = pipe().expect("a pipe");
    (reader, writer.into())
}

/// Every command, with an end that is the same whether or not anybody reads what it says. The ones that print a password
/// or a document are not among them: without it they have failed.
#[tokio::test]
async fn no_command_depends_on_being_read() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let directory = TempDir::new().expect("a directory");
        let broken = TempDir::new().expect("a directory");
        std::fs::write(broken.path().join(".env"), "COFFER_CURRENCY=two words\n").expect("a file");
        let url = ["--database-url", &database.url, "--log", "trace"];
        let with = |arguments: &[&'static str]| [arguments, &url].concat();
        let commands = [
            (directory.path(), with(&["migrate"]), 0),
            (directory.path(), with(&["doctor"]), 0),
            (directory.path(), with(&["admin", "reset-second-factor", "nobody@example.com"]), 1),
            (directory.path(), with(&["demo", "--max-amount", "1"]), 1),
            (directory.path(), with(&["serve", "--listen", "192.0.2.1:1"]), 1),
            (directory.path(), vec!["healthcheck", "--listen", "127.0.0.1:1"], 1),
            (directory.path(), vec!["doctor", "--data-dir", "missing"], 1),
            (directory.path(), vec!["--version"], 0),
            (directory.path(), vec!["--help"], 0),
            (directory.path(), vec!["--metrics", "perhaps"], 2),
            (directory.path(), vec!["--log", "=loud="], 2),
            (directory.path(), vec!["nonsense"], 2),
            (broken.path(), vec!["migrate"], 1),
        ];
        for (directory, arguments, code) in commands {
            for sink in [full_disk, closed_pipe] {
                let ended =
                    coffer(directory, &arguments).stdout(sink()).stderr(sink()).status().expect("the binary runs");
                assert_eq!(ended.code(), Some(code), "{arguments:?}: {ended}");
            }
        }
    }
}

#[test]
fn a_document_that_cannot_be_written_is_an_error_and_one_that_nobody_reads_to_its_end_is_none() {
    let directory = TempDir::new().expect("a directory");
    for document in [&["openapi"][..], &["man"], &["completions", "zsh"]] {
        let lost = coffer(directory.path(), document).stdout(full_disk()).output().expect("the binary runs");
        assert_eq!(lost.status.code(), Some(1));
        assert!(text(&lost.stderr).contains("No space left"), "{}", text(&lost.stderr));
        let unread = coffer(directory.path(), document).stdout(closed_pipe()).stderr(Stdio::piped()).output();
        let unread = unread.expect("the binary runs");
        assert!(unread.status.success() && unread.stderr.is_empty(), "{}: {}", unread.status, text(&unread.stderr));
    }
}

/// A password is shown once: who cannot be shown it would have an admin that nobody can be.
#[tokio::test]
async fn a_password_that_cannot_be_shown_does_not_count() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let directory = TempDir::new().expect("a directory");
        for arguments in [&["admin", "create", "root@example.com"][..], &["demo"]] {
            let arguments = [arguments, &["--database-url", &database.url]].concat();
            for sink in [full_disk, closed_pipe] {
                let mut command = coffer(directory.path(), &arguments);
                let failed = command.stdin(Stdio::null()).stdout(sink()).output().expect("the binary runs");
                assert_eq!(failed.status.code(), Some(1), "{arguments:?}");
                let message = text(&failed.stderr);
                assert!(
                    message.contains("cannot be written to standard output, so it does not count"),
                    "{arguments:?}: {message}"
                );
            }
            let mut command = coffer(directory.path(), &arguments);
            let shown = command.stdin(Stdio::null()).output().expect("the binary runs");
            assert!(shown.status.success(), "{arguments:?}: {}", text(&shown.stderr));
        }
    }
}

/// Serves, signs people in and ends in time with all of its log and its output going to `sink`.
async fn a_bank_outlives(kind: Kind, sink: impl Fn() -> Stdio) {
    let database = TestDatabase::create(kind).await;
    let directory = database.directory.path();
    // A port that is free now: nobody can read on which one it serves.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    drop(listener);
    let flags = ["--database-url", &database.url, "--listen", &address, "--log", "trace", "--address-rate", "0"];
    let mut command = coffer(directory, &flags);
    command.stdout(sink()).stderr(sink());
    let mut server = Guarded(command.spawn().expect("the binary runs"));
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().expect("a client");
    let url = |path: &str| format!("http://{address}{path}");
    while client.get(url("/livez")).send().await.is_err() {
        assert!(server.0.try_wait().expect("its state").is_none(), "{kind:?}: it ended");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    let created = client.post(url("/create_account")).json(&body).send().await.expect("an answer");
    assert_eq!(created.status(), 201);
    // At this level each of them is several lines: together more than a pipe takes.
    for _ in 0..500 {
        let answer = client.get(url("/readyz")).send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
    }
    let pid = server.0.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    let started = Instant::now();
    while server.0.try_wait().expect("its state").is_none() {
        assert!(started.elapsed() < Duration::from_secs(15), "{kind:?}: it does not end");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(server.0.wait().expect("its end").code(), Some(0));
    assert!(run(directory, &["doctor", "--database-url", &database.url]).status.success());
}

struct Guarded(std::process::Child);

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_bank_outlives_a_full_disk_under_its_log() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        a_bank_outlives(kind, full_disk).await;
    }
}

#[tokio::test]
async fn a_bank_outlives_the_readers_of_its_log() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        a_bank_outlives(kind, closed_pipe).await;
    }
}

#[tokio::test]
async fn a_bank_outlives_readers_that_have_stopped_reading() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let (_reader, sink) = stuck_pipe();
        let sink = std::sync::Mutex::new(Some(sink));
        // Both on one pipe, as `2>&1 |` has it.
        let (_other, other) = stuck_pipe();
        let other = std::sync::Mutex::new(Some(other));
        let next = || sink.lock().expect("unpoisoned").take().or_else(|| other.lock().expect("unpoisoned").take());
        a_bank_outlives(kind, || next().expect("two sinks")).await;
    }
}

/// What is logged just before the end is not lost with the process.
#[tokio::test]
async fn the_last_lines_of_the_log_are_written() {
    let directory = TempDir::new().expect("a directory");
    let log = directory.path().join("log");
    let mut command = coffer(directory.path(), &["--log", "trace"]);
    command.stderr(File::create(&log).expect("a file"));
    let mut server = Server::start_as(command);
    reqwest::get(server.url("/readyz")).await.expect("an answer");
    let pid = server.process.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
    assert!(server.process.wait().expect("its end").success());
    let lines = std::fs::read_to_string(&log).expect("a log");
    assert!(lines.lines().count() > 20 && lines.ends_with('\n'), "{lines}");
    assert!(!lines.contains("are missing here"), "{lines}");
}
