//! A fresh database for each test: a SQLite file, or a database in a PostgreSQL cluster that lasts as long as the tests.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};

use coffer_core::db::Db;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::harness::settings;

const INSTALL_HINT: &str = "the tests need PostgreSQL: `apt-get install postgresql`, or set TEST_DATABASE_URL to a \
                            server where they may create databases";
/// Debian keeps the server's programs here, off the PATH.
const DEBIAN_POSTGRES: &str = "/usr/lib/postgresql";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Sqlite,
    Postgres,
}

/// A database of its own for one test.
pub struct TestDatabase {
    pub url: String,
    /// Holds the SQLite file, and the signing secret of either.
    pub directory: TempDir,
}

impl TestDatabase {
    /// Without a table.
    pub async fn create(kind: Kind) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        let url = match kind {
            Kind::Sqlite => format!("sqlite://{}", sqlite_file(&directory).display()),
            Kind::Postgres => create_postgres_database("").await,
        };
        Self { url, directory }
    }

    /// With today's tables. They are a copy: to migrate takes as long as the rest of a test.
    pub async fn create_migrated(kind: Kind) -> Self {
        static SQLITE: OnceCell<Vec<u8>> = OnceCell::const_new();
        static POSTGRES: OnceCell<String> = OnceCell::const_new();
        match kind {
            Kind::Postgres if command_for_databases().is_some() => Self::create(kind).await,
            Kind::Postgres => {
                let template = POSTGRES.get_or_init(async || Self::create(kind).await.migrate().await.name()).await;
                Self::create_on_postgres(&format!("template {template}")).await
            }
            Kind::Sqlite => {
                let make = async || {
                    let template = Self::create(kind).await.migrate().await;
                    fs::read(sqlite_file(&template.directory)).expect("the file of a database")
                };
                let content = SQLITE.get_or_init(make).await;
                let database = Self::create(kind).await;
                fs::write(sqlite_file(&database.directory), content).expect("room for a file");
                database
            }
        }
    }

    pub async fn connect(&self) -> Db {
        Db::connect(&settings(self, &[]).database(true).expect("settings")).await.expect("a database")
    }

    async fn migrate(self) -> Self {
        let db = self.connect().await;
        db.migrate().await.expect("today's tables");
        db.close().await;
        self
    }

    /// What PostgreSQL calls it.
    fn name(&self) -> String {
        let (before, _) = self.url.split_once('?').unwrap_or((&self.url, ""));
        before.rsplit('/').next().unwrap_or_default().to_owned()
    }

    /// In PostgreSQL, with options of `create database`.
    pub async fn create_on_postgres(options: &str) -> Self {
        let directory = TempDir::new().expect("a temporary directory");
        Self { url: create_postgres_database(options).await, directory }
    }

    /// In a PostgreSQL of its own that waits for its disk, as the one of the other tests does not.
    pub fn create_on_durable_postgres() -> Self {
        let server = cluster("listen_addresses= -c fsync=on", |_| {});
        let directory = TempDir::new().expect("a temporary directory");
        Self { url: format!("postgres:///postgres?host={}&user=postgres", server.display()), directory }
    }
}

fn sqlite_file(directory: &TempDir) -> PathBuf {
    directory.path().join("coffer.db")
}

async fn create_postgres_database(options: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    static SERVER: OnceLock<String> = OnceLock::new();
    let server = SERVER.get_or_init(|| match std::env::var("TEST_DATABASE_URL") {
        Ok(url) => url,
        Err(_) => start_cluster(),
    });
    let name = format!("coffer_test_{}_{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    if let (Some(command), "") = (command_for_databases(), options) {
        return made_by(&command, &name);
    }
    let mut admin = PgConnection::connect(server).await.expect("a connection to PostgreSQL");
    sqlx::query(AssertSqlSafe(format!("create database {name} {options}")))
        .execute(&mut admin)
        .await
        .expect("a new database");
    let (before, after) = server.split_once('?').unwrap_or((server, ""));
    let (address, _) = before.rsplit_once('/').expect("a URL with a database name");
    format!("{address}/{name}?{after}")
}

fn command_for_databases() -> Option<String> {
    std::env::var("TEST_DATABASE_COMMAND").ok()
}

/// The URL that a command prints which makes databases, such as spread ones: tests/scaling/run has one.
fn made_by(command: &str, name: &str) -> String {
    let made = Command::new("sh").args(["-c", &format!("{command} {name}")]).output().expect("a shell");
    assert!(made.status.success(), "{command}: {}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).expect("a URL").trim().to_owned()
}

/// Starts a throw-away cluster on a socket and returns its URL.
fn start_cluster() -> String {
    let directory = cluster("listen_addresses=", |_| {});
    format!("postgres:///postgres?host={}&user=postgres", directory.display())
}

/// A throw-away cluster with TLS, on an address of the loopback network that nothing else listens on. Its certificate is of X.509 version 1, as appliances
/// and older tools make them.
pub fn start_cluster_with_old_certificate() -> SocketAddr {
    // Of this process, by its id: other runs of the tests have others.
    let [.., high, middle, low] = std::process::id().to_be_bytes();
    let address = SocketAddr::from(([127, high | 0x80, middle, low], 5432));
    let options = format!("listen_addresses={} -c ssl=on", address.ip());
    cluster(&options, |data| {
        let openssl = |arguments: &str| {
            let made = Command::new("openssl").args(arguments.split(' ')).current_dir(data).output();
            let made = made.expect("the tests need OpenSSL: `apt-get install openssl`");
            assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        };
        openssl("req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr");
        openssl("x509 -req -in server.csr -signkey server.key -days 30 -out server.crt");
    });
    address
}

/// Makes a cluster, lets `prepare` add files to its data directory, and starts it; returns the directory of its socket. A
/// shell that waits for our end of a pipe to close stops and removes it when this process is gone, however it goes.
fn cluster(options: &str, prepare: impl FnOnce(&Path)) -> PathBuf {
    let programs = find_programs();
    let directory = TempDir::with_prefix("coffer-postgres-").expect("a temporary directory").keep();
    let owner = Owner::of(&directory);
    let data = directory.join("data");
    let quoted = |path: &Path| path.display().to_string();
    owner.run(&programs.join("initdb"), &["-D", &quoted(&data), "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]);
    prepare(&data);
    owner.own_files_of(&data);
    let options = format!("-k {} -c max_connections=300 -c fsync=off -c {options}", quoted(&directory));
    let log = quoted(&directory.join("log"));
    owner.run(&programs.join("pg_ctl"), &["-D", &quoted(&data), "-o", &options, "-l", &log, "-w", "start"]);

    let stop = format!(
        "read -r _; {} -D {} -m immediate stop; rm -rf {}",
        quoted(&programs.join("pg_ctl")),
        quoted(&data),
        quoted(&directory)
    );
    static WATCHERS: Mutex<Vec<Child>> = Mutex::new(Vec::new());
    let mut watcher = owner.command(Path::new("/bin/sh"));
    watcher.args(["-c", &stop]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    WATCHERS.lock().expect("no panic").push(watcher.spawn().expect("a shell"));
    directory
}

/// The directory of `initdb` and `pg_ctl`: on the PATH, or the newest that Debian has.
fn find_programs() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<PathBuf> = fs::read_dir(DEBIAN_POSTGRES)
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    debian.sort();
    std::env::split_paths(&path)
        .chain(debian.into_iter().rev())
        .find(|directory| directory.join("initdb").exists() && directory.join("pg_ctl").exists())
        .expect(INSTALL_HINT)
}

/// Who runs the server: PostgreSQL refuses to run as root, so root hands it to another user.
enum Owner {
    Us,
    User(&'static str),
}

impl Owner {
    fn of(directory: &Path) -> Self {
        let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n");
        if !is_root {
            return Self::Us;
        }
        let has_user = |name: &&&str| Command::new("id").arg(name).output().is_ok_and(|output| output.status.success());
        let user = ["postgres", "nobody"].iter().find(has_user).expect("a user that may run PostgreSQL");
        let chown = Command::new("chown").arg(user).arg(directory).status().expect("chown");
        assert!(chown.success(), "cannot give {} to {user}", directory.display());
        Self::User(user)
    }

    /// Hands over what was added to a directory.
    fn own_files_of(&self, directory: &Path) {
        if let Self::User(user) = self {
            let chown = Command::new("chown").arg("-R").arg(user).arg(directory).status().expect("chown");
            assert!(chown.success(), "cannot give {} to {user}", directory.display());
        }
    }

    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Us => Command::new(program),
            Self::User(user) => {
                let mut command = Command::new("runuser");
                command.args(["-u", user, "--"]).arg(program);
                command
            }
        }
    }

    fn run(&self, program: &Path, arguments: &[&str]) {
        let output = self.command(program).args(arguments).stdout(Stdio::null()).output().expect(INSTALL_HINT);
        assert!(output.status.success(), "{}: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
}
