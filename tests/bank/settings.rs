//! Settings: what is understood, what is refused with what to send, and what is warned of.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use tempfile::TempDir;

use crate::command_line::{Server, coffer, run, text};

/// `coffer migrate` with these variables.
fn migrate(directory: &Path, variables: &[(&str, &str)]) -> Output {
    coffer(directory, &["migrate"]).envs(variables.iter().copied()).output().expect("the binary runs")
}

/// Every variable that the help names.
fn every_variable(directory: &Path) -> Vec<String> {
    let help = text(&run(directory, &["--help"]).stdout);
    let named = help.lines().filter_map(|line| line.split("[env: ").nth(1)?.split(['=', ']']).next());
    let variables: Vec<String> = named.map(str::to_owned).collect();
    assert!(variables.len() > 20, "{help}");
    variables
}

#[test]
fn a_wrong_value_is_answered_with_its_name_and_what_to_send() {
    let directory = TempDir::new().expect("a directory");
    let number = "send a whole number from";
    for (variable, value, says) in [
        ("COFFER_METRICS", "perhaps", "send true or false"),
        ("COFFER_MIGRATION_LOCK", "2", "send true or false"),
        ("COFFER_SHARDED", "citus", "send true or false"),
        ("COFFER_SELF_SERVICE_DEPOSITS", "\"false\"", "quotes"),
        ("COFFER_STAFF_SECOND_FACTOR", "nein", "send true or false"),
        ("COFFER_SIGN_UP", "closed", "send open or staff"),
        ("COFFER_SWAGGER_UI", "never", "send true or false"),
        ("COFFER_PRODUCTION", "soon", "send true or false"),
        ("COFFER_MAX_AMOUNT", "1e9", "from 1 to 1000000000000"),
        ("COFFER_APPROVAL_ABOVE", "-1", "from 0 to 1000000000000"),
        ("COFFER_IDEMPOTENCY_DAYS", "0", "from 1 to 3650"),
        ("COFFER_MAX_CONNECTIONS", "many", number),
        ("COFFER_CALLER_RATE", "1_000", number),
        ("COFFER_ADDRESS_RATE", "10/s", number),
        ("COFFER_MOVEMENT_RATE", "fast", number),
        ("COFFER_MOVEMENTS_PER_DAY", "1e5", number),
        ("COFFER_ACCOUNTS_PER_DAY", "-1", number),
        ("COFFER_CHANGES_PER_DAY", "2000000000", "from 0 to 1000000000"),
        ("COFFER_SIGN_UPS_PER_HOUR", "100/h", number),
        ("COFFER_CONNECTIONS_PER_NETWORK", "ten", number),
        ("COFFER_DISK_RESERVE", "512", "send a size such as 512MB"),
        ("COFFER_DISK_RESERVE", "5%", "send a size such as 512MB"),
        ("COFFER_ADMIN_LISTEN", "http://localhost:9464", "send an address and a port such as 127.0.0.1:8080"),
        ("COFFER_DATABASE_CONNECTIONS", "0", "from 1 to 1000"),
        ("COFFER_LEDGER_WRITERS", "65", "from 1 to 64"),
        ("COFFER_STATEMENT_CACHE", "-1", number),
        ("COFFER_SHUTDOWN_SECONDS", "10s", number),
        ("COFFER_LOG", "verbose", "send error, warn, info, debug, trace or off"),
        ("COFFER_LOG", "coffer=loud", "send error, warn, info, debug, trace or off"),
        ("COFFER_LOG_FORMAT", "xml", "send auto, text or json"),
        ("COFFER_ACCESS_LOG", "some", "send true or false"),
        ("COFFER_LISTEN", "http://localhost:8080", "send an address and a port such as 127.0.0.1:8080"),
        ("COFFER_LISTEN", "127.0.0.1:99999", "a number up to 65535"),
        ("COFFER_TRUSTED_PROXIES", "proxy", "send addresses such as 10.0.0.1"),
        ("COFFER_TLS_CERT", "cert.pem", "COFFER_TLS_KEY"),
        ("COFFER_TLS_KEY", "key.pem", "COFFER_TLS_CERT"),
        ("DATABASE_URL", "sqlite::memory:", "need a file"),
        ("DATABASE_URL", "sqlite://x?mode=ro", "reads and writes"),
        ("DATABASE_URL", "'postgres://ada:hunter2@localhost/bank'", "without quotes"),
        ("DATABASE_URL", "postgres://ada:hunter2/@localhost/bank", "%2F"),
    ] {
        let refused = migrate(directory.path(), &[(variable, value)]);
        let message = text(&refused.stderr);
        assert!(!refused.status.success(), "{variable}={value}");
        assert!(message.contains(says), "{variable}={value}: {message}");
        assert!(message.contains(variable) || says.starts_with("COFFER_"), "{variable}={value}: {message}");
        assert!(!message.contains("hunter2"), "{message}");
        std::fs::write(directory.path().join(".env"), format!("{variable}={}\n", value.replace('"', "\\\"")))
            .expect("a file");
        let message = text(&migrate(directory.path(), &[]).stderr);
        let is_named = message.contains(variable) || message.contains(says);
        assert!(is_named, "{variable}={value} in .env: {message}");
        std::fs::remove_file(directory.path().join(".env")).expect("a file");
    }
    assert!(!directory.path().join("data").exists());
}

#[test]
fn yes_and_no_are_understood_in_any_usual_spelling() {
    let directory = TempDir::new().expect("a directory");
    for value in ["true", "FALSE", "1", "0", "yes", "No", "ON", "off"] {
        let done = migrate(directory.path(), &[("COFFER_METRICS", value), ("COFFER_STAFF_SECOND_FACTOR", value)]);
        assert!(done.status.success(), "{value}: {}", text(&done.stderr));
    }
}

#[test]
fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    let directory = TempDir::new().expect("a directory");
    let variables = every_variable(directory.path());
    for nothing in ["", "  ", "\t\n"] {
        let all: Vec<_> = variables.iter().map(|name| (name.as_str(), nothing)).collect();
        let done = migrate(directory.path(), &all);
        assert!(done.status.success() && done.stderr.is_empty(), "{nothing:?}: {}", text(&done.stderr));
        assert!(directory.path().join("data/coffer.db").exists());
        std::fs::remove_dir_all(directory.path().join("data")).expect("the books");
    }
    for nothing in ["", " ", "''", "\"  \""] {
        let file: String = variables.iter().map(|name| format!("{name}={nothing}\n")).collect();
        std::fs::write(directory.path().join(".env"), file).expect("a file");
        let done = migrate(directory.path(), &[]);
        assert!(done.status.success() && done.stderr.is_empty(), "{nothing:?}: {}", text(&done.stderr));
        assert!(directory.path().join("data/coffer.db").exists());
        std::fs::remove_dir_all(directory.path().join("data")).expect("the books");
    }
    // So the file decides.
    std::fs::write(directory.path().join(".env"), "COFFER_DATA_DIR='from \"the\" $file'\n").expect("a file");
    assert!(migrate(directory.path(), &[("COFFER_DATA_DIR", "")]).status.success());
    assert!(directory.path().join("from \"the\" $file/coffer.db").exists());
}

#[test]
fn a_file_of_settings_from_another_editor_is_read() {
    let directory = TempDir::new().expect("a directory");
    let file = "\u{feff}COFFER_DATA_DIR=first\r\n# a remark\r\nCOFFER_DATA_DIR=second\r\nexport COFFER_METRICS=off\r\n";
    std::fs::write(directory.path().join(".env"), file).expect("a file");
    let done = migrate(directory.path(), &[]);
    assert!(done.status.success(), "{}", text(&done.stderr));
    assert!(directory.path().join("first/coffer.db").exists());
}

#[test]
fn an_unknown_variable_is_named_in_a_warning() {
    let directory = TempDir::new().expect("a directory");
    std::fs::write(directory.path().join(".env"), "COFFER_CURENCY=hunter2\n").expect("a file");
    let unknown = [
        ("COFFER_LISTNE", "hunter2"),
        ("coffer_metrics", "hunter2"),
        ("COFFER_DATABASE_URL", "hunter2"),
        ("COFFER_ZZZ", ""),
    ];
    let done = migrate(directory.path(), &unknown);
    let message = text(&done.stderr);
    assert!(done.status.success(), "{message}");
    for (name, meant) in [
        ("COFFER_CURENCY", "COFFER_CURRENCY"),
        ("COFFER_LISTNE", "COFFER_LISTEN"),
        ("coffer_metrics", "COFFER_METRICS"),
        ("COFFER_DATABASE_URL", "DATABASE_URL"),
        ("COFFER_ZZZ", "--help"),
    ] {
        let line = message.lines().find(|line| line.contains(name)).unwrap_or_else(|| panic!("{name}: {message}"));
        assert!(line.contains("WARN") && line.contains(meant), "{line}");
    }
    assert!(!message.contains("hunter2"), "{message}");

    std::fs::remove_file(directory.path().join(".env")).expect("a file");
    let of_kubernetes = [
        ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
        ("COFFER_SERVICE_HOST", "10.0.0.2"),
        ("COFFER_PORT_8080_TCP", "tcp://10.0.0.2:8080"),
        ("COFFER_LOG", "info"),
    ];
    let done = migrate(directory.path(), &of_kubernetes);
    assert!(done.status.success() && done.stderr.is_empty(), "{}", text(&done.stderr));
}

#[test]
fn a_parameter_of_the_database_that_changes_nothing_is_named_without_its_value() {
    let directory = TempDir::new().expect("a directory");
    let url = "postgres://ada:hunter2@127.0.0.1:1/bank?passwrod=hunter2&sslmode=disable&schema=public";
    let message = text(&migrate(directory.path(), &[("DATABASE_URL", url)]).stderr);
    for word in ["passwrod", "schema", "connection refused"] {
        assert!(message.contains(word), "{word}: {message}");
    }
    assert!(!message.contains("hunter2") && !message.contains("sslmode"), "{message}");
    assert_eq!(message.matches("passwrod").count(), 1, "{message}");
}

/// A free port that no system gives to a client, nor to a server that asks for any: so no other test takes it meanwhile.
fn quiet_port() -> u16 {
    const QUIET: std::ops::Range<u16> = 10_240..32_768;
    let start = std::process::id() as u16 % QUIET.len() as u16;
    let mut ports = (start..).map(|offset| QUIET.start + offset % QUIET.len() as u16);
    ports.find(|port| TcpListener::bind(("0.0.0.0", *port)).is_ok()).expect("a free port")
}

#[tokio::test]
async fn it_serves_where_it_is_told_to_however_that_is_written() {
    let directory = TempDir::new().expect("a directory");
    let mut spellings = vec!["PORT", ":PORT", "localhost:PORT", "0.0.0.0:PORT", "*:PORT", "127.0.0.1:PORT"];
    if TcpListener::bind("[::1]:0").is_ok() {
        spellings.extend(["[::1]:PORT", "[::]:PORT"]);
    }
    for spelling in spellings {
        let port = quiet_port();
        let listen = spelling.replace("PORT", &port.to_string());
        let server = Server::start(directory.path(), &["--listen", &listen]);
        assert_eq!(server.address.port(), port, "{listen}");
        let host = if listen.contains("[::1]") { "[::1]" } else { "127.0.0.1" };
        let answer = reqwest::get(format!("http://{host}:{port}/readyz")).await;
        assert_eq!(answer.expect("an answer").status(), 200, "{listen}");
        let healthy = run(directory.path(), &["healthcheck", "--listen", &listen]);
        assert!(healthy.status.success(), "{listen}: {}", text(&healthy.stderr));
    }
}

/// As containers have them, with a line feed at the end or without.
#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let directory = TempDir::new().expect("a directory");
    let write = |file: &str, text: &str| std::fs::write(directory.path().join(file), text).expect("a file");
    write("url", "sqlite://from $file \\\".db\n");
    write("empty", " \n");
    write("jwt", "a secret that is long enough for any bank\r\n");
    let books = directory.path().join("from $file \\\".db");
    let done = migrate(directory.path(), &[("DATABASE_URL_FILE", "url"), ("COFFER_JWT_SECRET_FILE", "jwt")]);
    assert!(done.status.success() && done.stderr.is_empty(), "{}", text(&done.stderr));
    assert!(books.exists());
    std::fs::remove_file(&books).expect("the books");
    let url = ("DATABASE_URL", "sqlite://by-variable.db");
    for (variables, says) in [
        (&[("DATABASE_URL_FILE", "url"), url][..], "DATABASE_URL and DATABASE_URL_FILE are both set"),
        (&[("DATABASE_URL_FILE", "missing")], "DATABASE_URL_FILE: missing cannot be read"),
        (&[("COFFER_SMTP_URL_FILE", "empty")], "COFFER_SMTP_URL_FILE: empty is empty"),
        (&[("DATABASE_URL_FILE", "jwt")], "DATABASE_URL"),
    ] {
        let refused = migrate(directory.path(), variables);
        let message = text(&refused.stderr);
        assert!(!refused.status.success() && message.contains(says), "{variables:?}: {message}");
        assert!(!message.contains("long enough"), "a secret was printed: {message}");
    }
    // What is no secret has no file.
    let message = text(&migrate(directory.path(), &[("COFFER_CURRENCY_FILE", "url")]).stderr);
    assert!(message.contains("COFFER_CURRENCY_FILE is no setting"), "{message}");
    // In .env it counts as well, and the environment wins.
    write(".env", "DATABASE_URL_FILE=url\n");
    assert!(migrate(directory.path(), &[]).status.success() && books.exists());
    std::fs::remove_file(&books).expect("the books");
    assert!(migrate(directory.path(), &[url, ("DATABASE_URL_FILE", "")]).status.success());
    assert!(directory.path().join("by-variable.db").exists() && !books.exists());
}

/// `cargo run` gives the program what the build script has set, and the first line of a new bank would be a warning.
#[test]
fn nothing_that_the_build_sets_is_named_as_a_setting() {
    let script = std::fs::read_to_string("build.rs").expect("the build script");
    let set: Vec<&str> = script.split("cargo:rustc-env=").skip(1).collect();
    assert!(!set.is_empty(), "where does it say what it sets?");
    for name in set {
        assert!(!name.starts_with("COFFER_"), "{name}");
    }
}
