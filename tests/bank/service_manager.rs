//! What systemd hears of a bank: these tests play the service manager, with a socket in `NOTIFY_SOCKET`.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::command_line::{Server, coffer};
use crate::databases::{Kind, TestDatabase};
use crate::failing_disk;

/// Much more than anything takes here.
const PATIENCE: Duration = Duration::from_secs(60);
/// The watchdog's limit in these tests. A bank that is well is heard of after half of it.
const WATCHDOG: Duration = Duration::from_millis(800);

struct ServiceManager {
    socket: UnixDatagram,
    _directory: TempDir,
}

impl ServiceManager {
    /// Has the command report to it.
    fn of(command: &mut Command) -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        command.env("NOTIFY_SOCKET", path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        Self { socket, _directory: directory }
    }

    /// The next message that comes within this time.
    fn hear(&self, within: Duration) -> Option<String> {
        let mut message = [0; 4096];
        self.socket.set_read_timeout(Some(within)).expect("a time");
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8_lossy(&message[..length]).into_owned())
    }

    /// Waits for a message that has this line, and returns it whole. None of those before it may have `never`.
    fn wait_for(&self, line: &str, never: &str) -> String {
        loop {
            let message = self.hear(PATIENCE).unwrap_or_else(|| panic!("{line} never came"));
            if message.lines().any(|it| it == line) {
                return message;
            }
            assert!(never.is_empty() || !message.contains(never), "{never} before {line}");
        }
    }

    fn hears_of_the_watchdog(&self, times: usize) {
        for _ in 0..times {
            self.wait_for("WATCHDOG=1", "");
        }
    }

    /// Whether the watchdog hears nothing for longer than its limit, once the last message has come.
    fn misses_the_watchdog(&self) -> bool {
        (0..3).any(|_| self.hear(WATCHDOG * 2).is_none())
    }
}

async fn it_is_told_from_the_start_to_the_end(kind: Kind) {
    let database = TestDatabase::create(kind).await;
    let flags = ["--database-url", &database.url, "--shutdown-seconds", "7"];
    let mut command = coffer(database.directory.path(), &flags);
    let manager = ServiceManager::of(&mut command);
    let mut server = Server::start_as(command);
    manager.wait_for("READY=1", "WATCHDOG=1");
    let ready = reqwest::get(server.url("/readyz")).await.expect("an answer");
    assert_eq!(ready.status(), 200);
    manager.hears_of_the_watchdog(4);
    server.signal(Signal::TERM);
    let stopping = manager.wait_for("STOPPING=1", "READY=1");
    assert!(stopping.contains("EXTEND_TIMEOUT_USEC=12000000\n"), "{stopping}");
    assert!(server.process.wait().expect("its end").success());
}

#[tokio::test]
async fn it_is_told_from_the_start_to_the_end_on_sqlite() {
    it_is_told_from_the_start_to_the_end(Kind::Sqlite).await;
}

#[tokio::test]
async fn it_is_told_from_the_start_to_the_end_on_postgres() {
    it_is_told_from_the_start_to_the_end(Kind::Postgres).await;
}

#[test]
fn a_bank_that_takes_long_to_open_asks_for_time() {
    let directory = TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    // As another process that migrates has it.
    let another = File::open(&data).expect("a directory");
    another.lock().expect("a lock");
    let mut command = coffer(directory.path(), &["--listen", "127.0.0.1:0"]);
    let manager = ServiceManager::of(&mut command);
    let mut process = command.stdout(Stdio::null()).spawn().expect("the binary runs");
    manager.wait_for("EXTEND_TIMEOUT_USEC=60000000", "READY=1");
    drop(another);
    manager.wait_for("READY=1", "WATCHDOG=1");
    process.kill().and_then(|()| process.wait()).expect("its end");
}

/// A restart would not mend a disk that is full, and end what can still be read. One that hangs may hold the bank up alone.
#[tokio::test]
async fn the_watchdog_hears_of_a_bank_with_a_full_disk_and_not_of_one_that_hangs() {
    let directory = TempDir::new().expect("a directory");
    let disk = directory.path().join("disk");
    let set_disk = |state: &str| {
        let draft = disk.with_extension("new");
        std::fs::write(&draft, state).and_then(|()| std::fs::rename(&draft, &disk)).expect("a file");
    };
    let hangs = Path::new(&format!("{}.hangs", disk.display())).to_owned();
    let mut command = coffer(directory.path(), &[]);
    failing_disk::put_between(&mut command, &disk);
    let manager = ServiceManager::of(&mut command);
    let _server = Server::start_as(command);
    manager.hears_of_the_watchdog(1);
    set_disk("full");
    manager.hears_of_the_watchdog(3);
    set_disk("sync hangs");
    crate::harness::eventually("the disk hangs", async || hangs.exists()).await;
    assert!(manager.misses_the_watchdog(), "it heard of a bank whose disk hangs");
    set_disk("works");
    manager.hears_of_the_watchdog(2);
}

/// Without a service manager, and with one that has gone, a bank serves all the same.
#[tokio::test]
async fn nobody_needs_to_listen() {
    let directory = TempDir::new().expect("a directory");
    let mut command = coffer(directory.path(), &[]);
    command.env("NOTIFY_SOCKET", directory.path().join("gone")).env("WATCHDOG_USEC", "1000000").stderr(Stdio::null());
    let mut server = Server::start_as(command);
    assert_eq!(reqwest::get(server.url("/readyz")).await.expect("an answer").status(), 200);
    server.signal(Signal::TERM);
    assert!(server.process.wait().expect("its end").success());
}
