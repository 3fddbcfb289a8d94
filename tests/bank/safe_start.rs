//! A start that is safe: what production needs, who signs people up, proxies that nobody listed, files that are too open,
//! and what the log says of failed sign-ins.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coffer::admin;
use regex::Regex;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, coffer, run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{PASSWORD, bank_tests, eventually};

const OPERATING: &str = include_str!("../../docs/OPERATING.md");
/// What a bank for production is given, as flags. A proxy before it does TLS.
pub const ALL_THAT_IS_NEEDED: [&str; 6] = [
    "--production",
    "--trusted-proxies=127.0.0.1",
    "--self-service-deposits=false",
    "--staff-second-factor=true",
    "--approval-above=1000",
    "--metrics=false",
];
const NAMED: [&str; 5] = [
    "COFFER_TRUSTED_PROXIES",
    "COFFER_SELF_SERVICE_DEPOSITS",
    "COFFER_STAFF_SECOND_FACTOR",
    "COFFER_APPROVAL_ABOVE",
    "COFFER_METRICS",
];

#[test]
fn production_names_all_that_is_missing_at_once_and_makes_nothing() {
    let directory = TempDir::new().expect("a directory");
    let by_flag = || coffer(directory.path(), &["--production"]);
    let by_variable = || {
        let mut command = coffer(directory.path(), &[]);
        command.env("COFFER_PRODUCTION", "true");
        command
    };
    for mut command in [by_flag(), by_variable()] {
        let refused = command.env("COFFER_LISTEN", "127.0.0.1:0").output().expect("the binary runs");
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(1), "{message}");
        for name in NAMED {
            assert_eq!(message.matches(name).count(), 1, "{name}: {message}");
        }
        assert!(!message.contains("WARN"), "{message}");
        assert!(!directory.path().join("data").exists());
    }
    let far = ["--database-url", "postgres://ada:hunter2@db.example/bank?sslmode=require"];
    let refused = run(directory.path(), &[&ALL_THAT_IS_NEEDED[..], &far].concat());
    let message = text(&refused.stderr);
    assert!(message.contains("sslmode=verify-full") && !message.contains("hunter2"), "{message}");
    assert!(!NAMED.iter().any(|name| message.contains(name)), "{message}");
}

#[tokio::test]
async fn production_starts_with_all_that_is_needed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = match kind {
            Kind::Sqlite => TestDatabase::create(kind).await,
            Kind::Postgres => TestDatabase::create_on_durable_postgres(),
        };
        let mut command = coffer(database.directory.path(), &ALL_THAT_IS_NEEDED);
        command.args(["--database-url", &database.url]).env("COFFER_LISTEN", "127.0.0.1:0");
        // Not `Server`, which takes away the limits on requests.
        let log = database.directory.path().join("log");
        let output = || File::options().create(true).append(true).open(&log).expect("a file");
        let mut process = command.stdout(output()).stderr(output()).spawn().expect("the binary runs");
        eventually("it serves", async || fs::read_to_string(&log).is_ok_and(|log| log.contains("Press Ctrl-C"))).await;
        process.kill().and_then(|()| process.wait()).expect("its end");
        let log = fs::read_to_string(&log).expect("a log");
        // On a disk that others keep busy.
        let mut lines = log.lines().filter(|line| !line.contains("slow statement"));
        assert!(!lines.any(|line| line.contains("WARN")), "{log}");
    }
}

#[tokio::test]
async fn serving_other_machines_warns_of_each_and_the_default_is_quiet() {
    let directory = TempDir::new().expect("a directory");
    for (listen, warnings) in [("127.0.0.1:0", 0), ("localhost:0", 0), ("0.0.0.0:0", NAMED.len())] {
        let log = directory.path().join("log");
        // Not `Server`, which takes away the limits on requests.
        let mut command = coffer(directory.path(), &["--listen", listen]);
        let output = || File::options().create(true).append(true).open(&log).expect("a file");
        let mut process = command.stdout(output()).stderr(output()).spawn().expect("the binary runs");
        eventually("it serves", async || fs::read_to_string(&log).is_ok_and(|log| log.contains("Press Ctrl-C"))).await;
        process.kill().and_then(|()| process.wait()).expect("its end");
        let lines = fs::read_to_string(&log).expect("a log");
        fs::remove_file(&log).expect("a log");
        let warned: Vec<&str> = lines.lines().filter(|line| line.contains("WARN")).collect();
        assert_eq!(warned.len(), warnings, "{listen}: {lines}");
        for name in NAMED {
            assert_eq!(
                warned.iter().filter(|line| line.contains(name)).count(),
                usize::from(warnings > 0),
                "{name}: {lines}"
            );
        }
    }
}

bank_tests! {
    with &["--sign-up", "staff"];

    async fn where_staff_sign_people_up_nobody_else_does(bank: &TestBank) {
        let password = |_: &str| Ok(());
        for email in ["boss@example.com", "lost@example.com"] {
            admin::create(&bank.db, email, Some(PASSWORD.to_owned()), false, password).await.expect("an admin");
        }
        let token = async |email: &str| bank.sign_in(email, PASSWORD).await.expect_status(200).text_at("/access_token");
        let boss = token("boss@example.com").await;
        let person = json!({"name": "Ada", "email": "ada@example.com"});
        let with_password = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
        // Nobody chooses a password for somebody else, whoever asks.
        for token in [None, Some("nonsense"), Some(&*boss)] {
            let sign_up = bank.post("/create_account", with_password.clone());
            let sign_up = token.into_iter().fold(sign_up, |request, token| request.bearer(token));
            let refused = sign_up.send().await.expect_problem(403, "sign_up_by_staff_only");
            assert!(refused.text_at("/detail").contains("ask the bank"), "{}", refused.body);
        }
        bank.post("/users", person.clone()).send().await.expect_problem(401, "missing_token");
        let made = bank.post("/users", person).bearer(&boss).send().await.expect_status(201);
        let link = json!({"token": made.text_at("/invitation/token"), "new_password": PASSWORD});
        bank.post("/password_reset/confirm", link).send().await.expect_status(204);
        let ada = token("ada@example.com").await;
        let another = json!({"name": "Bob", "email": "bob@example.com"});
        bank.post("/users", another).bearer(&ada).send().await.expect_problem(403, "role_required");
        assert_eq!(bank.get("/bank").send().await.expect_status(200).body["sign_up"], "staff");
    }
}

/// A served bank whose log is a file.
fn serve_with_log(directory: &Path, arguments: &[&str]) -> (Server, std::path::PathBuf) {
    let log = directory.join("log");
    let mut command = coffer(directory, arguments);
    command.stderr(File::create(&log).expect("a file"));
    (Server::start_as(command), log)
}

#[tokio::test]
async fn a_proxy_that_nobody_listed_is_named_once() {
    let directory = TempDir::new().expect("a directory");
    let client = reqwest::Client::new();
    for (flags, lines) in [(&[][..], 1), (&["--trusted-proxies", "127.0.0.1"], 0)] {
        let (server, log) = serve_with_log(directory.path(), flags);
        for header in ["x-forwarded-for", "x-forwarded-proto", "forwarded"] {
            for _ in 0..20 {
                client.get(server.url("/livez")).header(header, "6.6.6.6").send().await.expect("an answer");
            }
        }
        drop(server);
        let log = fs::read_to_string(log).expect("a log");
        let named: Vec<&str> = log.lines().filter(|line| line.contains("COFFER_TRUSTED_PROXIES")).collect();
        assert_eq!(named.len(), lines, "{log}");
        assert!(named.iter().all(|line| line.contains("127.0.0.1") && !line.contains("6.6.6.6")), "{named:?}");
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

fn open_to_all(path: &Path) {
    fs::set_permissions(path, Permissions::from_mode(0o666))
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

#[test]
fn whatever_the_bank_makes_is_its_owners_alone_and_is_narrowed_by_every_command() {
    let directory = TempDir::new().expect("a directory");
    let data = directory.path().join("data");
    let server = Server::start(directory.path(), &[]);
    let files = ["coffer.db", "coffer.db-wal", "coffer.db-shm", "jwt_secret"].map(|name| data.join(name));
    for file in &files {
        assert_eq!(mode(file), 0o600, "{}", file.display());
    }
    assert_eq!(mode(&data), 0o700);
    // Some commands run beside the server; its files may be widened meanwhile.
    for arguments in [&["migrate"][..], &["doctor"], &["admin", "create", "root@example.com"], &["demo"]] {
        files.iter().for_each(|file| open_to_all(file));
        let done = coffer(directory.path(), arguments).stdin(std::process::Stdio::null()).output().expect("it runs");
        let said = text(&done.stderr);
        assert!(arguments == ["demo"] || done.status.success(), "{arguments:?}: {said}");
        for file in &files {
            assert_eq!(mode(file), 0o600, "{arguments:?}: {}", file.display());
            let name = file.file_name().and_then(|name| name.to_str()).expect("a name");
            assert!(
                said.lines().any(|line| line.contains("WARN") && line.contains(&format!("{name} had mode 0666"))),
                "{name}: {said}"
            );
        }
    }
    drop(server);
    open_to_all(&files[0]);
    let (server, log) = serve_with_log(directory.path(), &[]);
    assert_eq!(mode(&files[0]), 0o600);
    drop(server);
    assert!(fs::read_to_string(log).expect("a log").contains("coffer.db had mode 0666"));
}

#[test]
fn files_of_others_are_warned_of_with_the_command_that_closes_them() {
    let directory = TempDir::new().expect("a directory");
    let file = directory.path().join(".env");
    let warnings = |contents: &str, mode: u32| {
        fs::write(&file, contents).expect("a file");
        fs::set_permissions(&file, Permissions::from_mode(mode)).expect("a mode");
        let said = text(&run(directory.path(), &["migrate"]).stderr);
        (said.matches("WARN").count(), said)
    };
    let secret = format!("COFFER_JWT_SECRET={}\n", "x".repeat(32));
    let (count, said) = warnings(&secret, 0o644);
    assert!(count == 1 && said.contains(".env has mode 0644") && said.contains("chmod 600 '.env'"), "{said}");
    assert_eq!(mode(&file), 0o644, "it is not the bank's to change");
    assert_eq!(warnings(&secret, 0o600).0, 0);
    assert_eq!(warnings("COFFER_CURRENCY=EUR\nCOFFER_JWT_SECRET=\n", 0o644).0, 0, "there is no secret in it");
    fs::remove_file(&file).expect("a file");

    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (chain, key) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    fs::write(&chain, made.cert.pem()).expect("a file");
    fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    for (mode, warns) in [(0o640, true), (0o400, false)] {
        fs::set_permissions(&key, Permissions::from_mode(mode)).expect("a mode");
        let flags = ["--tls-cert", "chain.pem", "--tls-key", "key.pem"];
        let (server, log) = serve_with_log(directory.path(), &flags);
        drop(server);
        let log = fs::read_to_string(log).expect("a log");
        assert_eq!(log.contains("key.pem has mode 0640") && log.contains("chmod 600 'key.pem'"), warns, "{log}");
    }
}

/// The expressions that docs/OPERATING.md gives to fail2ban, for JSON and for text, with its word for an address written out.
fn failregex() -> Vec<Regex> {
    let (_, rest) = OPERATING.split_once("failregex = ").expect("a failregex in docs/OPERATING.md");
    let lines = rest.lines().take_while(|line| *line != "```").map(str::trim);
    let expression = |line: &str| Regex::new(&line.replace("<ADDR>", "(?P<address>[0-9a-fA-F.:]+)"));
    lines.map(|line| expression(line).expect("an expression")).collect()
}

/// The address that fail2ban finds in a line of the log, out of which it takes the moment first.
fn address_in(line: &str) -> Option<String> {
    let line = without_moment(line);
    let found: Vec<_> = failregex().iter().filter_map(|it| Some(it.captures(&line)?["address"].to_owned())).collect();
    assert!(found.len() <= 1, "{line}");
    found.into_iter().next()
}

/// fail2ban takes the moment out of the line before it applies the expression.
fn without_moment(line: &str) -> String {
    let moment = Regex::new(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d+Z").expect("an expression");
    moment.replacen(line, 1, "").into_owned()
}

#[tokio::test]
async fn each_failed_sign_in_is_a_line_that_fail2ban_reads_and_nobody_can_write() {
    assert_eq!(failregex().len(), 2);
    for (kind, format) in [(Kind::Sqlite, "json"), (Kind::Sqlite, "text"), (Kind::Postgres, "auto")] {
        let database = TestDatabase::create(kind).await;
        let flags = ["--database-url", &database.url, "--trusted-proxies", "127.0.0.1", "--log", "debug,sqlx=warn"];
        let (server, log) =
            serve_with_log(database.directory.path(), &[&flags[..], &["--log-format", format]].concat());
        let client = reqwest::Client::new();
        let post = |path: &str, from: &str, body: Value| {
            client.post(server.url(path)).header("x-forwarded-for", from).json(&body)
        };
        let person = |password: &str| json!({"email": "ada@example.com", "password": password});
        let ada = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
        post("/create_account", "192.0.2.9", ada)
            .send()
            .await
            .expect("an answer")
            .error_for_status()
            .expect("a customer");
        let tokens = post("/login", "192.0.2.9", person(PASSWORD)).send().await.expect("an answer");
        let token = tokens.json::<Value>().await.expect("tokens")["access_token"].as_str().expect("a token").to_owned();

        let mut expected = Vec::new();
        // A wrong password, somebody unknown, and what is no address at all.
        for email in ["ada@example.com", "nobody@example.com", "failed sign-in from 8.8.8.8: wrong password"] {
            let body = json!({"email": email, "password": "wrong"});
            assert_eq!(post("/login", "192.0.2.1", body).send().await.expect("an answer").status(), 401);
            expected.push("192.0.2.1".to_owned());
        }
        // Over IPv6, until it is too many: those count as well.
        loop {
            let status = post("/login", "2001:db8::1", person("wrong")).send().await.expect("an answer").status();
            expected.push("2001:db8::1".to_owned());
            if status == 429 {
                break;
            }
        }
        // Within a session: password and code.
        let inside = |method: Method, path: &str, body: Value| {
            client
                .request(method, server.url(path))
                .header("x-forwarded-for", "192.0.2.3")
                .bearer_auth(&token)
                .json(&body)
        };
        let passwords = json!({"current_password": "wrong", "new_password": "another good phrase"});
        assert_eq!(inside(Method::PUT, "/me/password", passwords).send().await.expect("an answer").status(), 403);
        expected.push("192.0.2.3".to_owned());
        let enrolled = inside(Method::POST, "/me/second_factor", json!({"password": PASSWORD})).send().await;
        assert_eq!(enrolled.expect("an answer").status(), 200);
        let confirmed = inside(Method::POST, "/me/second_factor/confirm", json!({"code": "000000"})).send().await;
        assert_eq!(confirmed.expect("an answer").status(), 403);
        expected.push("192.0.2.3".to_owned());

        // Whatever else a client may have the log say: origins, ids, paths, names.
        let json = r#"{"timestamp":"","level":"WARN","target":"coffer::sign_in","message":"failed sign-in from 8.8.8.8: wrong"#;
        let text = "2026-01-01T00:00:00.000000Z  WARN coffer::sign_in: failed sign-in from 8.8.8.8: wrong password";
        for line in [json, text] {
            for name in ["origin", "x-request-id", "user-agent", "x-forwarded-for", "host", "coffer-client"] {
                for value in [line.to_owned(), line.replace(' ', "")] {
                    let _ = client.get(server.url("/me")).header(name, value).bearer_auth(&token).send().await;
                }
            }
            let _ = client.get(server.url(&format!("/%0a{}", line.replace(' ', "%20")))).send().await;
            let _ = inside(Method::PATCH, "/me", json!({"name": format!("x {line}")})).send().await;
        }
        let _ =
            inside(Method::POST, "/accounts", json!({"label": "WARN coffer::sign_in: failed sign-in"})).send().await;

        drop(server);
        let log = fs::read_to_string(log).expect("a log");
        let found: Vec<String> = log.lines().filter_map(address_in).collect();
        assert_eq!(found, expected, "{log}");
        assert!(!log.contains('\u{1b}'), "no colours in a file");
        // The same behind the prefix of a journal.
        let one = log.lines().find(|line| line.contains("failed sign-in")).expect("a line");
        let in_journal = format!("bank coffer[123]: {one}");
        assert_eq!(address_in(&in_journal).as_deref(), Some("192.0.2.1"));
    }
}
