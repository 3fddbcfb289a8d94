//! The binary itself: settings, subcommands, and what survives `kill -9`.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::databases::{Kind, TestDatabase};
use crate::harness::{JWT_SECRET, PASSWORD, TestBank, UNLIMITED, eventually};

/// The command in an empty directory, with no settings but those given.
pub fn coffer(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    command.args(arguments).current_dir(directory).env_clear();
    command
}

pub fn run(directory: &Path, arguments: &[&str]) -> Output {
    coffer(directory, arguments).output().expect("the binary runs")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A served bank as a process of its own; killed when dropped.
pub struct Server {
    pub process: Child,
    pub address: SocketAddr,
    pub banner: String,
}

impl Server {
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        Self::start_as(coffer(directory, arguments))
    }

    pub fn start_as(mut command: Command) -> Self {
        command.env("COFFER_LISTEN", "127.0.0.1:0");
        for flag in UNLIMITED {
            command.env(format!("COFFER_{}", flag[2..].replace('-', "_").to_uppercase()), "0");
        }
        let mut process = command.stdout(Stdio::piped()).spawn().expect("the binary runs");
        let mut banner = String::new();
        let mut lines = BufReader::new(process.stdout.take().expect("its output"));
        while !banner.contains("Press Ctrl-C") {
            assert!(lines.read_line(&mut banner).expect("its output") > 0, "it ended early: {banner}");
        }
        let url = banner.split("API         http").nth(1).and_then(|rest| rest.lines().next()).expect("an address");
        let address = url.trim_start_matches(['s', ':', '/']).parse().expect("an address");
        Self { process, address, banner }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("a signal");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn without_any_setting_it_makes_its_own_bank() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    for part in ["Swagger UI", "SQLite", "./data/coffer.db", "./data/jwt_secret", "./data/second_factor_key"] {
        assert!(server.banner.contains(part), "{part}: {}", server.banner);
    }
    for file in ["data/jwt_secret", "data/second_factor_key"] {
        let secret = directory.path().join(file);
        assert_eq!(std::fs::metadata(&secret).expect("a secret").permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&secret).expect("a secret").len(), 64);
    }
    assert_eq!(std::fs::metadata(directory.path().join("data")).expect("data").permissions().mode() & 0o777, 0o700);
    let books = directory.path().join("data/coffer.db");
    assert_eq!(std::fs::metadata(books).expect("books").permissions().mode() & 0o777, 0o600);
    reqwest::get(server.url("/readyz")).await.expect("an answer").error_for_status().expect("ready");

    let listen = server.address.to_string();
    let healthy = run(directory.path(), &["healthcheck", "--listen", &listen]);
    assert!(healthy.status.success(), "{}", text(&healthy.stderr));
    drop(server);
    let down = run(directory.path(), &["healthcheck", "--listen", &listen]);
    assert_eq!(down.status.code(), Some(1));
    assert!(text(&down.stderr).contains("no answer"), "{}", text(&down.stderr));
}

#[tokio::test]
async fn the_generated_secret_outlives_a_restart() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let client = reqwest::Client::new();
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    client.post(server.url("/create_account")).json(&body).send().await.expect("an answer");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let login = client.post(server.url("/login")).json(&body).send().await.expect("an answer");
    let tokens: Value = login.json().await.expect("tokens");
    drop(server);
    let server = Server::start(directory.path(), &[]);
    let me = client.get(server.url("/me")).bearer_auth(tokens["access_token"].as_str().expect("a token"));
    assert_eq!(me.send().await.expect("an answer").status(), 200);
}

#[test]
fn wrong_settings_are_named() {
    let directory = TempDir::new().expect("a directory");
    for (variable, value, says) in [
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL"),
        ("DATABASE_URL", "postgres://user:hunter2@[::bad/x", "DATABASE_URL"),
        ("COFFER_LISTEN", "everywhere", "COFFER_LISTEN"),
        ("COFFER_LISTEN", "192.0.2.1:1", "COFFER_LISTEN"),
        ("COFFER_JWT_SECRET", "hunter2", "COFFER_JWT_SECRET (--jwt-secret) has 7 bytes"),
        ("COFFER_JWT_SECRET_PREVIOUS", "hunter2", "(--jwt-secret-previous) has 7 bytes; it needs at least 32"),
        ("COFFER_SECOND_FACTOR_KEY", "hunter2", "(--second-factor-key) has 7 bytes; it needs at least 32"),
        ("COFFER_SECOND_FACTOR_KEY_PREVIOUS", "hunter2", "(--second-factor-key-previous) has 7 bytes"),
        ("COFFER_CURRENCY", "GOLD", "COFFER_CURRENCY"),
        ("COFFER_UNITS", "PTS:0", "write CODE:DECIMALS:NAME"),
        ("COFFER_UNITS", "USD:2:Dollars", "ISO 4217 has this code"),
        ("COFFER_MAX_AMOUNT", "-1", "COFFER_MAX_AMOUNT"),
        ("COFFER_APPROVAL_ABOVE", "a lot", "--approval-above"),
        ("COFFER_DATA_DIR", "/proc/nowhere", "COFFER_DATA_DIR"),
        ("COFFER_LOG", "=loud=", "COFFER_LOG"),
        ("COFFER_METRICS", "perhaps", "COFFER_METRICS"),
        ("COFFER_CORS_ORIGINS", "https://app.example.com/path", "leave out the path"),
        ("COFFER_CORS_ORIGINS", "https://app.example.com,,http://localhost:3000", "an origin is missing"),
    ] {
        // Whatever else is on the usual port.
        let output = coffer(directory.path(), &[]).env("COFFER_LISTEN", "127.0.0.1:0").env(variable, value).output();
        let output = output.expect("the binary runs");
        let message = text(&output.stderr);
        assert!(!output.status.success() && message.contains(says), "{variable}={value}: {message}");
        assert!(!message.contains("hunter2"), "a secret was printed: {message}");
    }
}

#[test]
fn a_bad_line_in_the_file_is_named_but_not_quoted() {
    let directory = TempDir::new().expect("a directory");
    let file = "COFFER_CURRENCY=EUR\nCOFFER_JWT_SECRET=hunter2 with spaces and more than enough bytes\n";
    std::fs::write(directory.path().join(".env"), file).expect("a file");
    let message = text(&run(directory.path(), &["migrate"]).stderr);
    assert!(message.contains("line 2 (COFFER_JWT_SECRET)") && !message.contains("hunter2"), "{message}");
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let directory = TempDir::new().expect("a directory");
    std::fs::write(directory.path().join(".env"), "COFFER_DATA_DIR=from-file\n").expect("a file");
    let has_books = |name: &str| directory.path().join(name).join("coffer.db").exists();
    assert!(run(directory.path(), &["migrate"]).status.success());
    assert!(has_books("from-file") && !has_books("data"));
    let migrate = |arguments: &[&str]| {
        let output = coffer(directory.path(), arguments).env("COFFER_DATA_DIR", "from-environment").output();
        assert!(output.expect("the binary runs").status.success());
    };
    migrate(&["migrate", "--data-dir", "from-flag"]);
    assert!(has_books("from-flag") && !has_books("from-environment"));
    migrate(&["--data-dir", "from-flag-before", "migrate"]);
    assert!(has_books("from-flag-before") && !has_books("from-environment"));
    migrate(&["migrate"]);
    assert!(has_books("from-environment"));
}

#[test]
fn every_setting_is_in_the_example_file_and_in_the_docs() {
    let directory = TempDir::new().expect("a directory");
    let help = text(&run(directory.path(), &["--help"]).stdout);
    let read = |file: &str| std::fs::read_to_string(file).expect(file);
    let (example, docs) = (read(".env.example"), read("docs/SETTINGS.md"));
    let named =
        |line: &str| line.split("[env: ").nth(1).and_then(|rest| rest.split(['=', ']']).next()).map(str::to_owned);
    let settings: Vec<String> = help.lines().filter_map(named).collect();
    assert!(settings.len() > 10, "{help}");
    for setting in settings {
        assert!(example.contains(&format!("{setting}=")), "{setting} is not in .env.example");
        let flag = format!("`--{}`", setting.trim_start_matches("COFFER_").to_lowercase().replace('_', "-"));
        let row = docs.lines().find(|line| line.starts_with('|') && line.contains(&format!("`{setting}`")));
        assert!(row.is_some_and(|row| row.contains(&flag)), "docs/SETTINGS.md has no row with {setting} and {flag}");
    }
    for command in [
        "serve",
        "migrate",
        "openapi",
        "doctor",
        "backup",
        "restore",
        "copy",
        "demo",
        "healthcheck",
        "completions",
        "man",
    ] {
        assert!(run(directory.path(), &[command, "--help"]).status.success(), "{command} --help");
    }
}

#[test]
fn the_version_names_commit_and_sqlite() {
    let directory = TempDir::new().expect("a directory");
    let short = text(&run(directory.path(), &["-V"]).stdout);
    assert_eq!(short, format!("coffer {}\n", env!("CARGO_PKG_VERSION")));
    let long = text(&run(directory.path(), &["--version"]).stdout);
    // A debug build names no commit, nor does one without git, as of an archive.
    let pattern =
        r"^coffer (?<version>\S+) \((debug build, |[0-9a-f]{10,40} \d{4}-\d{2}-\d{2}, )?SQLite 3\.\d+\.\d+\)\n$";
    let read =
        regex::Regex::new(pattern).expect("a regular expression").captures(&long).map(|it| it["version"].to_owned());
    assert_eq!(read.as_deref(), Some(env!("CARGO_PKG_VERSION")), "{long}");
}

#[test]
fn shells_complete_commands_and_settings() {
    let directory = TempDir::new().expect("a directory");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(directory.path(), &["completions", shell]);
        let script = text(&script.stdout);
        for word in ["healthcheck", "reset-second-factor", "database-url"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    // What bash itself makes of it.
    let offers = |before: &str, begun: &str| {
        let ask = "source <(\"$0\" completions bash) && COMP_WORDS=(coffer $2 \"$1\") COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) &&
                   _coffer coffer \"$1\" ${2:-coffer} && echo \"${COMPREPLY[*]}\"";
        let mut bash = Command::new("bash");
        bash.args(["-euc", ask, env!("CARGO_BIN_EXE_coffer"), begun, before]).current_dir(directory.path());
        let asked = bash.output().expect("bash runs");
        assert!(asked.status.success(), "{}", text(&asked.stderr));
        text(&asked.stdout).split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(offers("", "he"), ["healthcheck", "help"]);
    for (flag, words) in [
        ("--log-format", &["auto", "text", "json"][..]),
        ("--metrics", &["true", "false"]),
        ("--sign-up", &["open", "staff"]),
        ("--checkpoints", &["coffer", "external"]),
        ("--events", &["wanted", "always"]),
    ] {
        assert_eq!(offers(flag, ""), words, "{flag}");
    }
}

#[test]
fn manual_pages_describe_every_command_and_every_setting_once() {
    let directory = TempDir::new().expect("a directory");
    let page = text(&run(directory.path(), &["man"]).stdout);
    let title = page.lines().find(|line| line.starts_with(".TH coffer 1 ")).expect("a title");
    assert!(title.ends_with(" \"Coffer manual\"") && title.matches('"').count() >= 4, "{title}");
    let help = text(&run(directory.path(), &["--help"]).stdout);
    let named = help.lines().filter_map(|line| line.split("[env: ").nth(1)?.split(['=', ']']).next());
    for setting in named {
        assert!(page.contains(setting), "coffer(1) does not name {setting}");
    }
    let written = run(directory.path(), &["man", "--dir", "pages/man1"]);
    assert!(written.status.success(), "{}", text(&written.stderr));
    let read = |name: &str| std::fs::read_to_string(directory.path().join("pages/man1").join(name)).expect(name);
    assert_eq!(read("coffer.1").trim_end(), page.trim_end());
    for (name, option) in [("serve", ""), ("man", "dir"), ("admin-create", "promote"), ("admin-key-create", "scopes")] {
        let page = read(&format!("coffer-{name}.1"));
        assert!(page.contains(&format!(".TH coffer-{name} 1")) && page.contains(option), "{page}");
        assert!(!page.contains("COFFER_"), "{name} describes settings, too: {page}");
    }
    let full = run(directory.path(), &["man", "--dir", "/proc/nowhere"]);
    assert_eq!(full.status.code(), Some(1));
    assert!(text(&full.stderr).contains("/proc/nowhere"), "{}", text(&full.stderr));
}

/// Ends when it is told to, even while a client dawdles and with nobody reading its output.
#[tokio::test]
async fn it_ends_within_its_deadline() {
    let directory = TempDir::new().expect("a directory");
    let mut server = Server::start(directory.path(), &["--shutdown-seconds", "1"]);
    let mut dawdler = std::net::TcpStream::connect(server.address).expect("a connection");
    let head = "POST /login HTTP/1.1\r\nHost: bank\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{";
    dawdler.write_all(head.as_bytes()).expect("sent");
    reqwest::get(server.url("/livez")).await.expect("an answer");
    server.signal(Signal::TERM);
    let started = std::time::Instant::now();
    let status = server.process.wait().expect("its end");
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
}

/// A request whose body is on its way when the bank begins to close.
struct HalfSent(std::net::TcpStream);

impl HalfSent {
    fn to(server: &Server) -> Self {
        let mut stream = std::net::TcpStream::connect(server.address).expect("a connection");
        let head = "POST /refresh HTTP/1.1\r\nHost: bank\r\nConnection: close\r\nContent-Type: application/json\r\n\
                    Content-Length: 2\r\n\r\n{";
        stream.write_all(head.as_bytes()).expect("sent");
        Self(stream)
    }

    fn rest(mut self) -> String {
        self.0.write_all(b"}").expect("sent");
        let mut answer = String::new();
        let _ = self.0.read_to_string(&mut answer);
        answer
    }
}

/// Returns once nobody can connect any more.
fn wait_until_closing(server: &Server) {
    let started = std::time::Instant::now();
    while std::net::TcpStream::connect(server.address).is_ok() {
        assert!(started.elapsed() < Duration::from_secs(20), "it goes on serving");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn every_signal_lets_it_finish_what_it_was_asked() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR2] {
        let directory = TempDir::new().expect("a directory");
        // Whoever runs the tests may ignore SIGHUP, as `nohup` does, and so would what they start.
        let mut command = Command::new("env");
        command.args(["--default-signal=HUP", env!("CARGO_BIN_EXE_coffer")]).current_dir(directory.path()).env_clear();
        let mut server = Server::start_as(command);
        let asked = HalfSent::to(&server);
        // The same wish, twice: of a terminal, and of what runs in it.
        server.signal(signal);
        server.signal(Signal::HUP);
        wait_until_closing(&server);
        let answer = asked.rest();
        assert!(answer.starts_with("HTTP/1.1 422 "), "{signal:?}: {answer}");
        assert!(server.process.wait().expect("its end").success(), "{signal:?}");
    }
}

#[test]
fn who_insists_ends_it_at_once() {
    let directory = TempDir::new().expect("a directory");
    let mut server = Server::start(directory.path(), &["--shutdown-seconds", "60"]);
    let asked = HalfSent::to(&server);
    let started = std::time::Instant::now();
    let status = loop {
        server.signal(Signal::INT);
        if let Some(status) = server.process.try_wait().expect("its state") {
            break status;
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(status.code(), Some(1));
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    drop(asked);
}

#[tokio::test]
async fn a_refused_origin_is_logged_once() {
    for flags in [&[][..], &["--cors-origins", "https://app.example.com"]] {
        let directory = TempDir::new().expect("a directory");
        let log = directory.path().join("log");
        let mut command = coffer(directory.path(), flags);
        command.stderr(std::fs::File::create(&log).expect("a file"));
        let server = Server::start_as(command);
        let client = reqwest::Client::new();
        let own = server.url("");
        for origin in [&*own, "https://app.example.com", "https://other.example", "https://other.example", "null"] {
            for method in [reqwest::Method::GET, reqwest::Method::OPTIONS] {
                let request = client.request(method, server.url("/livez")).header("origin", origin);
                request.header("access-control-request-method", "GET").send().await.expect("an answer");
            }
        }
        // The log is written behind the answers: what is killed may not have come to it.
        let read = || std::fs::read_to_string(&log).expect("a log");
        eventually("the last origin is named", async || read().lines().any(|line| line.contains("null"))).await;
        drop(server);
        let log = read();
        let named = |origin: &str| {
            log.lines().filter(|line| line.contains("COFFER_CORS_ORIGINS") && line.contains(origin)).count()
        };
        let of_the_app = if flags.is_empty() { 1 } else { 0 };
        assert_eq!(
            (named("https://other.example"), named("null"), named("https://app.example.com")),
            (1, 1, of_the_app),
            "{log}"
        );
        assert_eq!(named(&own), 0, "{log}");
    }
}

#[test]
fn nohup_keeps_it_when_its_terminal_goes() {
    let directory = TempDir::new().expect("a directory");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP; exec \"$0\"", env!("CARGO_BIN_EXE_coffer")]);
    command.current_dir(directory.path()).env_clear();
    let mut server = Server::start_as(command);
    server.signal(Signal::HUP);
    for _ in 0..3 {
        assert!(HalfSent::to(&server).rest().starts_with("HTTP/1.1 422 "));
    }
    assert!(server.process.try_wait().expect("its state").is_none());
}

#[test]
fn the_doctor_makes_no_bank_of_its_own() {
    let directory = TempDir::new().expect("a directory");
    let output = run(directory.path(), &["doctor"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot open the database"), "{}", text(&output.stderr));
    assert!(!directory.path().join("data").exists());
}

/// Deposits from many clients until the server dies; returns how many were acknowledged, in whole units.
async fn deposit_until_killed(server: &mut Server, token: &str, account: &str) -> u64 {
    let acknowledged = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let (acknowledged, url) = (acknowledged.clone(), server.url("/deposit"));
            let (token, body) = (token.to_owned(), json!({"account_number": account, "amount": "1"}));
            tokio::spawn(async move {
                let client = reqwest::Client::new();
                while let Ok(answer) = client.post(&url).bearer_auth(&token).json(&body).send().await {
                    assert_eq!(answer.status(), 201);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    while acknowledged.load(Ordering::Relaxed) < 500 {
        tokio::task::yield_now().await;
    }
    server.process.kill().expect("SIGKILL");
    for client in clients {
        client.await.expect("no wrong answer");
    }
    acknowledged.load(Ordering::Relaxed)
}

async fn nothing_acknowledged_is_lost(kind: Kind) {
    let database = TestDatabase::create(kind).await;
    let directory = database.directory.path();
    let arguments = ["--database-url", &database.url];
    let mut server = Server::start(directory, &arguments);
    let client = reqwest::Client::new();
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    let created = client.post(server.url("/create_account")).json(&body).send().await.expect("an answer");
    let created: Value = created.json().await.expect("a user");
    let account = created["account"]["account_number"].as_str().expect("a number");
    let body = json!({"email": "ada@example.com", "password": PASSWORD});
    let tokens: Value =
        client.post(server.url("/login")).json(&body).send().await.expect("an answer").json().await.expect("tokens");
    let token = tokens["access_token"].as_str().expect("a token");

    let acknowledged = deposit_until_killed(&mut server, token, account).await;
    let report = run(directory, &[&["doctor"], &arguments[..]].concat());
    assert!(report.status.success(), "{}{}", text(&report.stdout), text(&report.stderr));
    let server = Server::start(directory, &arguments);
    let url = server.url(&format!("/balance?account_number={account}"));
    let balance: Value =
        client.get(url).bearer_auth(token).send().await.expect("an answer").json().await.expect("a balance");
    let booked: f64 = balance["balance"].as_str().expect("a balance").parse().expect("a number");
    assert!(booked >= acknowledged as f64, "{acknowledged} were acknowledged, {booked} are booked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9_on_sqlite() {
    nothing_acknowledged_is_lost(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_by_kill_9_on_postgres() {
    nothing_acknowledged_is_lost(Kind::Postgres).await;
}

/// Has a server of its own asked for each quarter of `items`, a few at a time, and killed with SIGKILL once it has
/// answered half of them, all with `status`: the books are right each time. `request` gives path, token and body.
async fn kill_while_answering<'t, T>(
    bank: &TestBank,
    items: &[T],
    status: u16,
    request: impl Fn(&T) -> (String, &'t String, Value),
) {
    let directory = TempDir::new().expect("a directory");
    let arguments = ["--database-url", &bank.database.url, "--jwt-secret", JWT_SECRET];
    let client = reqwest::Client::new();
    for a_few in items.chunks(items.len() / 4) {
        let mut server = Server::start(directory.path(), &arguments);
        let send = |(path, token, body): (String, &String, Value)| {
            client.post(server.url(&path)).bearer_auth(token).json(&body).send()
        };
        let sent = a_few.iter().map(|item| send(request(item))).collect::<Vec<_>>();
        let mut answers = stream::iter(sent).buffer_unordered(4);
        for _ in 0..a_few.len() / 2 {
            assert_eq!(answers.next().await.expect("one of them").expect("an answer").status(), status);
        }
        server.process.kill().expect("SIGKILL");
        drop(answers);
        assert_eq!(bank.books_wrong().await, []);
    }
}

/// Approvals that are being given when the server dies are booked and approved, or neither, and what is left can be
/// approved afterwards: each is booked once.
async fn approvals_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open_with(kind, &["--approval-above", "1000"]).await;
    let (clerk, other, ada) = (bank.employee("staff").await, bank.employee("staff").await, bank.customer().await);
    let mut waiting = Vec::new();
    for _ in 0..COUNT {
        let body = json!({"account_number": ada.account, "amount": "5000"});
        waiting.push(clerk.post("/deposit", body).send().await.expect_status(202).text_at("/id"));
    }
    let approve = |id: &String| (format!("/approvals/{id}/approve"), &other.token, json!({}));
    kill_while_answering(&bank, &waiting, 200, approve).await;
    let mut left = 0;
    for id in &waiting {
        let again = bank.post(&format!("/approvals/{id}/approve"), json!({})).bearer(&other.token).send().await;
        match again.status.as_u16() {
            200 => left += 1,
            _ => drop(again.expect_problem(409, "approval_not_pending")),
        }
    }
    assert!((1..=COUNT / 2).contains(&left), "{left} of {COUNT} were left");
    assert_eq!(ada.balance().await, format!("{}.00", 5_000 * COUNT));
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_outlive_kill_9_on_sqlite() {
    approvals_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approvals_outlive_kill_9_on_postgres() {
    approvals_outlive_a_killed_server(Kind::Postgres).await;
}

/// Movements that are being reversed when the server dies are, or are not, and the rest can be afterwards: each is once.
async fn reversals_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open(kind).await;
    let (clerk, ada, bob) = (bank.employee("staff").await, bank.customer().await, bank.customer().await);
    // So much that a second reversal would not fail for want of money.
    ada.deposit("1000").await.expect_status(201);
    bob.deposit("1000").await.expect_status(201);
    let mut sent = Vec::new();
    for _ in 0..COUNT {
        sent.push(ada.transfer(&bob.account, "5").await.expect_status(201).text_at("/id"));
    }
    let reverse = |id: &String| (format!("/transactions/{id}/reverse"), &clerk.token, json!({}));
    kill_while_answering(&bank, &sent, 201, reverse).await;
    let mut left = 0;
    for id in &sent {
        let again = clerk.post(&format!("/transactions/{id}/reverse"), json!({})).send().await;
        match again.status.as_u16() {
            201 => left += 1,
            _ => drop(again.expect_problem(409, "already_reversed")),
        }
    }
    assert!((1..=COUNT / 2).contains(&left), "{left} of {COUNT} were left");
    assert_eq!((ada.balance().await, bob.balance().await), ("1000.00".to_owned(), "1000.00".to_owned()));
    let auditor = bank.employee("auditor").await;
    let records = auditor.get("/audit?action=movement_reversed&limit=200").send().await.expect_status(200);
    assert_eq!(records.body["data"].as_array().map(Vec::len), Some(COUNT));
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reversals_outlive_kill_9_on_sqlite() {
    reversals_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reversals_outlive_kill_9_on_postgres() {
    reversals_outlive_a_killed_server(Kind::Postgres).await;
}

/// Groups that are being reversed when the server dies are reversed whole or not at all, and what is left can be afterwards.
async fn groups_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open(kind).await;
    let (admin, clerk, ada) = (bank.employee("admin").await, bank.employee("staff").await, bank.customer().await);
    let fees = json!({"code": "fees", "name": "Fees earned", "kind": "income"});
    admin.post("/bank_accounts", fees).send().await.expect_status(201);
    ada.deposit("1000").await.expect_status(201);
    let fee = json!({"type": "withdrawal", "account_number": ada.account, "amount": "2", "against": "fees"});
    let mut groups = Vec::new();
    for number in 0..COUNT {
        let batch = json!({"group": format!("G{number}"), "atomic": true, "transactions": vec![&fee; 3]});
        let booked = clerk.post("/transactions/batch", batch).send().await.expect_status(200);
        groups.push(booked.text_at("/data/0/transaction/id"));
    }
    let reverse = |id: &String| (format!("/transactions/{id}/reverse_group"), &clerk.token, json!({}));
    kill_while_answering(&bank, &groups, 200, reverse).await;
    let reversed = bank.number("select count(*) from reversals").await as usize;
    assert_eq!(reversed % 3, 0, "a group was reversed in part");
    let mut left = 0;
    for id in &groups {
        let again = clerk.post(&format!("/transactions/{id}/reverse_group"), json!({})).send().await;
        match again.status.as_u16() {
            200 => left += 1,
            _ => drop(again.expect_problem(409, "batch_refused")),
        }
    }
    assert_eq!(left, COUNT - reversed / 3);
    assert!((1..=COUNT / 2).contains(&left), "{left} of {COUNT} were left");
    assert_eq!(ada.balance().await, "1000.00");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_outlive_kill_9_on_sqlite() {
    groups_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_outlive_kill_9_on_postgres() {
    groups_outlive_a_killed_server(Kind::Postgres).await;
}

#[tokio::test]
async fn the_demo_has_a_past_and_is_only_for_new_banks() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let directory = TempDir::new().expect("a directory");
        let demo =
            |flags: &[&str]| run(directory.path(), &[&["demo", "--database-url", &database.url], flags].concat());
        let too_small = demo(&["--max-amount", "100"]);
        assert!(text(&too_small.stderr).contains("COFFER_MAX_AMOUNT"), "{}", text(&too_small.stderr));
        let filled = demo(&[]);
        assert!(filled.status.success(), "{}", text(&filled.stderr));
        assert_eq!(text(&filled.stderr), "", "a pipe is told the result and no more");
        let output = text(&filled.stdout);
        let email = output.split_whitespace().find(|word| word.contains('@')).expect("an address").trim_matches('.');
        let password = output.lines().last().expect("a password");
        let again = demo(&[]);
        assert!(!again.status.success(), "{}", text(&again.stdout));
        assert!(text(&again.stderr).contains("this bank has customers already"), "{}", text(&again.stderr));

        let bank = TestBank::open_on(database, &[]).await;
        let token = bank.sign_in(email, password).await.expect_status(200).text_at("/access_token");
        let accounts = bank.get("/accounts").bearer(&token).send().await.expect_status(200);
        let accounts = accounts.body["data"].as_array().expect("a list").clone();
        let mut currencies: Vec<_> = accounts.iter().filter_map(|account| account["currency"].as_str()).collect();
        currencies.sort_unstable();
        assert_eq!(currencies, ["EUR", "USD", "USD"]);
        for account in &accounts {
            let path = format!("/accounts/{}/statement", account["account_number"].as_str().expect("a number"));
            let whole = bank.get(&path).bearer(&token).send().await.expect_status(200);
            assert_eq!(whole.body["closing_balance"], account["balance"]);
            let movements = whole.body["movements"].as_array().expect("a list");
            let (first, last) = (&movements[0]["created_at"], &movements[movements.len() - 1]["created_at"]);
            // Whole days: each movement is in the statement of its own day and in no other.
            let day = &first.as_str().expect("a moment")[..10];
            assert!(
                whole.text_at("/from").as_str() <= first.as_str().unwrap_or_default() && first.as_str() < last.as_str()
            );
            let of_day = |movement: &&Value| movement["created_at"].as_str().is_some_and(|at| at.starts_with(day));
            let expected: Vec<_> = movements.iter().filter(of_day).cloned().collect();
            let path = format!("{path}?from={day}&to={day}");
            let answer = bank.get(&path).bearer(&token).send().await.expect_status(200);
            assert_eq!(answer.body["movements"], Value::Array(expected));
        }
        bank.close_with_books_right().await;
    }
}

#[tokio::test]
async fn the_first_admin_is_made_at_the_command_line() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let directory = TempDir::new().expect("a directory");
        let create = |email: &str, password: &str| {
            let mut command = coffer(directory.path(), &["admin", "create", email, "--database-url", &database.url]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut process = command.spawn().expect("the binary runs");
            process.stdin.take().expect("a pipe").write_all(password.as_bytes()).expect("a password is read");
            process.wait_with_output().expect("an end")
        };
        let generated = create("root@example.com", "");
        assert!(generated.status.success(), "{}", text(&generated.stderr));
        let password = text(&generated.stdout).lines().last().expect("a password").to_owned();
        let chosen = create("Second@example.com", "a phrase that is chosen\n");
        assert!(chosen.status.success() && !text(&chosen.stdout).contains("phrase"), "{}", text(&chosen.stdout));
        let longest = "é".repeat(128);
        assert!(create("longest@example.com", &longest).status.success());
        for (email, password, message) in [
            ("not an address", "", "is not an e-mail address"),
            ("third@example.com", &*"a".repeat(129), "a password has at most 128 characters"),
            ("third@example.com", "password", "among the first that a guesser tries"),
        ] {
            let refused = create(email, password);
            assert!(!refused.status.success() && text(&refused.stderr).contains(message), "{}", text(&refused.stderr));
        }

        let bank = TestBank::open_on(database, &[]).await;
        for (email, password) in [
            ("root@example.com", &*password),
            ("second@example.com", "a phrase that is chosen"),
            ("longest@example.com", &*longest),
        ] {
            let token = bank.sign_in(email, password).await.expect_status(200).text_at("/access_token");
            assert_eq!(bank.get("/me").bearer(&token).send().await.text_at("/role"), "admin");
        }
        let ada = bank.customer().await;
        let promote = |flags: &[&str]| {
            Command::new(env!("CARGO_BIN_EXE_coffer"))
                .args(["admin", "create", &ada.email, "--database-url", &bank.database.url])
                .args(flags)
                .current_dir(directory.path())
                .stdin(Stdio::null())
                .output()
                .expect("the binary runs")
        };
        let refused = promote(&[]);
        assert!(text(&refused.stderr).contains("has signed up already"), "{}", text(&refused.stderr));
        let promoted = promote(&["--promote"]);
        assert!(text(&promoted.stdout).contains("is an admin now"), "{}", text(&promoted.stderr));
        bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        bank.close_with_books_right().await;
    }
}

/// Holds that are being captured when the server dies are captured whole or not at all, and what is left can be afterwards:
/// each once, and the rest of each is free.
async fn captures_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open(kind).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    ada.deposit("1000").await.expect_status(201);
    let mut held = Vec::new();
    for _ in 0..COUNT {
        let body = json!({"from_account": ada.account, "to_account": bob.account, "amount": "10"});
        held.push(ada.post("/holds", body).send().await.expect_status(201).text_at("/id"));
    }
    let capture = |id: &String| (format!("/holds/{id}/capture"), &ada.token, json!({"amount": "4"}));
    kill_while_answering(&bank, &held, 201, capture).await;
    let mut left = 0;
    for id in &held {
        let again = ada.post(&format!("/holds/{id}/capture"), json!({"amount": "4"})).send().await;
        match again.status.as_u16() {
            201 => left += 1,
            _ => drop(again.expect_problem(409, "hold_captured")),
        }
    }
    assert!((1..=COUNT / 2).contains(&left), "{left} of {COUNT} were left");
    assert_eq!((ada.balance().await, bob.balance().await), ("744.00".to_owned(), "256.00".to_owned()));
    ada.withdraw("744").await.expect_status(201);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_outlive_kill_9_on_sqlite() {
    captures_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captures_outlive_kill_9_on_postgres() {
    captures_outlive_a_killed_server(Kind::Postgres).await;
}

/// Movements with a reference that are on their way when the server dies are booked once or not at all, and the
/// reference tells which: whoever sends all of them again has each of them once.
async fn references_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open(kind).await;
    let ada = bank.customer().await;
    let body = |index: usize| {
        let tags = json!({"run": "1"});
        json!({"account_number": ada.account, "amount": "1", "reference": format!("R{index}"), "metadata": tags})
    };
    let deposit = |index: &usize| ("/deposit".to_owned(), &ada.token, body(*index));
    kill_while_answering(&bank, &Vec::from_iter(0..COUNT), 201, deposit).await;
    let mut left = 0;
    for index in 0..COUNT {
        let again = ada.post("/deposit", body(index)).send().await;
        match again.status.as_u16() {
            201 => left += 1,
            _ => {
                let refused = again.expect_problem(409, "reference_taken");
                let booked = ada.get(refused.header("location").expect("an address")).send().await.expect_status(200);
                assert_eq!(booked.text_at("/reference"), format!("R{index}"));
            }
        }
    }
    assert!((1..=COUNT / 2).contains(&left), "{left} of {COUNT} were left");
    assert_eq!(ada.balance().await, format!("{COUNT}.00"));
    let path = format!("/transactions?account_number={}&limit=200&metadata[run]=1", ada.account);
    let found = ada.get(&path).send().await.expect_status(200);
    assert_eq!(found.body["data"].as_array().map(Vec::len), Some(COUNT));
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_outlive_kill_9_on_sqlite() {
    references_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn references_outlive_kill_9_on_postgres() {
    references_outlive_a_killed_server(Kind::Postgres).await;
}

/// Withdrawals that are under way when the server dies are counted against the limits whole or not at all, as they are booked.
async fn limits_outlive_a_killed_server(kind: Kind) {
    const COUNT: usize = 64;
    let bank = TestBank::open(kind).await;
    let (ada, clerk) = (bank.customer().await, bank.employee("staff").await);
    ada.deposit("1000").await.expect_status(201);
    clerk.set_limits_of(&ada.account, json!({"per_day": "500", "per_month": "900"})).await.expect_status(200);
    let withdraw =
        |_: &usize| ("/withdraw".to_owned(), &ada.token, json!({"account_number": ada.account, "amount": "5"}));
    kill_while_answering(&bank, &Vec::from_iter(0..COUNT), 201, withdraw).await;
    let balance: f64 = ada.balance().await.parse().expect("a balance");
    let limits = ada.limits().await;
    for period in ["per_day", "per_month"] {
        assert_eq!(limits[period]["used"], format!("{:.2}", 1_000.0 - balance));
    }
    let left = limits["per_day"]["remaining"].as_str().expect("an amount");
    ada.withdraw(left).await.expect_status(201);
    ada.withdraw("0.01").await.expect_problem(409, "limit_exceeded");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_outlive_kill_9_on_sqlite() {
    limits_outlive_a_killed_server(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_outlive_kill_9_on_postgres() {
    limits_outlive_a_killed_server(Kind::Postgres).await;
}

#[test]
fn whoever_is_no_address_makes_no_bank() {
    let directory = TempDir::new().expect("a directory");
    for kind in [&[][..], &["--service"]] {
        let refused = run(directory.path(), &[&["admin", "create", "nobody"], kind].concat());
        assert_eq!(refused.status.code(), Some(1));
        assert!(text(&refused.stderr).contains("is not an e-mail address"), "{}", text(&refused.stderr));
        assert!(!directory.path().join("data").exists());
    }
}

/// SQLite would take such a name for a URI, and open another file.
#[test]
fn a_file_may_be_called_as_a_uri_begins() {
    let directory = TempDir::new().expect("a directory");
    for (arguments, file) in [
        (["--database-url", "sqlite:file:bank.db"], "file:bank.db"),
        (["--data-dir", "file:data"], "file:data/coffer.db"),
    ] {
        let migrated = run(directory.path(), &[&["migrate"], &arguments[..]].concat());
        assert!(migrated.status.success(), "{}", text(&migrated.stderr));
        let file = std::fs::metadata(directory.path().join(file)).expect("a file");
        assert!(file.len() > 0 && file.permissions().mode() & 0o777 == 0o600, "{file:?}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 2);
}

/// The file was deleted while a bank had it open, say. A new one beside the log would hide that there was another.
#[test]
fn a_log_without_its_file_is_no_empty_bank() {
    let directory = TempDir::new().expect("a directory");
    drop(Server::start(directory.path(), &[]));
    std::fs::remove_file(directory.path().join("data/coffer.db")).expect("a file");
    let refused = run(directory.path(), &["--listen", "127.0.0.1:0"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("the file that this belongs to was deleted"), "{}", text(&refused.stderr));
}

/// As in a snapshot that was made of links: a server on each would book on the same file.
#[test]
fn a_file_with_two_names_is_not_served() {
    let directory = TempDir::new().expect("a directory");
    drop(Server::start(directory.path(), &[]));
    assert!(run(directory.path(), &["doctor"]).status.success());
    std::fs::hard_link(directory.path().join("data/coffer.db"), directory.path().join("other")).expect("a link");
    let refused = run(directory.path(), &["--listen", "127.0.0.1:0"]);
    assert!(text(&refused.stderr).contains("has 2 names"), "{}", text(&refused.stderr));
    std::fs::remove_file(directory.path().join("other")).expect("a file");
    drop(Server::start(directory.path(), &[]));
}

/// In a directory with somebody else's `.env`, and an environment for another program.
#[test]
fn what_asks_about_the_program_reads_no_settings() {
    let directory = TempDir::new().expect("a directory");
    for of_another_program in ["NAME with spaces = and \"quotes", "COFFER_LISTEN=nowhere:99999999\n"] {
        std::fs::write(directory.path().join(".env"), of_another_program).expect("a file");
        for arguments in [
            &["--version"][..],
            &["-V"],
            &["--help"],
            &["serve", "--help"],
            &["help"],
            &["man"],
            &["completions", "bash"],
        ] {
            let mut command = coffer(directory.path(), arguments);
            let output = command.env("COFFER_MAX_AMOUNT", "x").env("COFFER_TLS_KEY", "/key").output();
            let output = output.expect("the binary runs");
            assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        }
        assert!(!run(directory.path(), &["doctor"]).status.success());
    }
    std::fs::write(directory.path().join(".env"), "COFFER_JWT_SECRET=\"abc$\n").expect("a file");
    assert!(text(&run(directory.path(), &["doctor"]).stderr).contains("in single ones if it has a $"));
}

/// Where the mistake is, and never what stands there: it may be a secret, or the rest of one.
#[test]
fn a_line_of_dot_env_that_cannot_be_read_is_named_and_not_quoted() {
    for (file, place) in [
        ("COFFER_JWT_SECRET=\nSECRETVALUE 0123456789\n", ".env, line 2: "),
        ("COFFER_CURRENCY=EUR\nCOFFER_JWT_SECRET=abc\nSECRETVALUE/0123==\n", ".env, line 3: "),
        ("#COFFER_JWT_SECRET=SECRETVALUE 1\nCOFFER_JWT_SECRET=SECRETVALUE 1\n", ".env, line 2 (COFFER_JWT_SECRET): "),
        ("COFFER_CURRENCY=EUR\n\nCOFFER_JWT_SECRET=SECRETVALUE 1\n", ".env, line 3 (COFFER_JWT_SECRET): "),
        (
            "COFFER_CURRENCY=EUR\nCOFFER_MAIL_FROM=\"SECRETVALUE <bank@example.org>\nCOFFER_LOG=info\n",
            ".env, line 2 (COFFER_MAIL_FROM): ",
        ),
    ] {
        let directory = TempDir::new().expect("a directory");
        std::fs::write(directory.path().join(".env"), file).expect("a file");
        let said = text(&run(directory.path(), &["doctor"]).stderr);
        assert!(said.contains(place) && !said.contains("SECRETVALUE"), "{file:?}: {said}");
    }
}
