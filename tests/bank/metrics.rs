//! What `/metrics` says, and that the table, the page, the dashboard and the alerts agree on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;

use coffer::telemetry::{Kind as MetricKind, METRICS};
use regex::Regex;
use reqwest::{Client, Method};
use rustix::process::Signal;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;

use crate::command_line::{Server, coffer};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{PASSWORD, eventually};
use crate::layers::sources;

const PAGE: &str = include_str!("../../docs/METRICS.md");
const DASHBOARD: &str = include_str!("../../packaging/grafana/coffer.json");
const ALERTS: &str = include_str!("../../packaging/prometheus/alerts.yml");
const TESTS_OF_ALERTS: &str = include_str!("../../packaging/prometheus/alerts_test.yml");
/// Not on PostgreSQL, which has its files elsewhere.
const OF_SQLITE: [&str; 3] = ["coffer_disk_free_bytes", "coffer_disk_reserve_reached", "coffer_sqlite_wal_bytes"];
/// What a scraper stores of a bank that somebody has looked at: each of these is an entry in its memory.
const MOST_SERIES: usize = 900;

/// The samples of an answer of `/metrics`, by the name of their metric.
struct Scrape {
    text: String,
    /// Name, labels and value of each sample, by the metric.
    samples: BTreeMap<String, Vec<Sample>>,
    types: BTreeMap<String, String>,
}

struct Sample {
    name: String,
    labels: BTreeMap<String, String>,
    value: f64,
}

impl Scrape {
    async fn of(server: &Server) -> Self {
        let answer = reqwest::get(server.url("/metrics")).await.expect("an answer");
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        Self::parse(answer.text().await.expect("a text"))
    }

    /// As the text format has it. Fails on a line that is none, and on a metric without HELP and TYPE before it.
    fn parse(text: String) -> Self {
        let sample = Regex::new(r#"^([a-z_][a-z0-9_]*)(?:\{(.*)\})? (\S+)$"#).expect("an expression");
        let label = Regex::new(r#"^([a-z_]+)="((?:[^"\\]|\\.)*)"$"#).expect("an expression");
        let (mut helps, mut types, mut samples) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::<_, Vec<_>>::new());
        for line in text.lines().filter(|line| !line.is_empty()) {
            if let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|rest| rest.split_once(' ')) {
                assert!(help.len() > 5 && helps.insert(name.to_owned()), "{line}");
            } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
                assert!(helps.contains(name), "no HELP before {line}");
                assert_eq!(types.insert(name.to_owned(), kind.to_owned()), None, "{line}");
            } else {
                let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
                let labels = parts.get(2).map_or("", |labels| labels.as_str());
                let labels = labels.split_inclusive("\",").map(|text| {
                    let found =
                        label.captures(text.trim_end_matches(',')).unwrap_or_else(|| panic!("no label: {line}"));
                    (found[1].to_owned(), found[2].to_owned())
                });
                let labels = if parts.get(2).is_some() { labels.collect() } else { BTreeMap::new() };
                let metric = metric_of(&parts[1], |name| types.get(name).is_some_and(|kind| kind == "histogram"));
                assert!(types.contains_key(metric), "no TYPE before {line}");
                let value = parts[3].parse().unwrap_or_else(|_| panic!("no number: {line}"));
                let sample = Sample { name: parts[1].to_owned(), labels, value };
                samples.entry(metric.to_owned()).or_default().push(sample);
            }
        }
        Self { text, samples, types }
    }

    /// The sum of all samples of a metric whose labels have these values.
    fn sum(&self, metric: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |sample: &&Sample| {
            labels.iter().all(|(name, value)| sample.labels.get(*name).is_some_and(|found| found == value))
        };
        let samples = self.samples.get(metric).map(Vec::as_slice).unwrap_or_default();
        samples.iter().filter(has).map(|sample| sample.value).sum()
    }
}

/// A histogram is named by three kinds of samples.
fn metric_of(name: &str, is_histogram: impl Fn(&str) -> bool) -> &str {
    let base = ["_bucket", "_count", "_sum"].into_iter().find_map(|suffix| name.strip_suffix(suffix));
    base.filter(|base| is_histogram(base)).unwrap_or(name)
}

fn is_histogram(name: &str) -> bool {
    METRICS.iter().any(|metric| metric.name == name && matches!(metric.kind, MetricKind::Histogram(_)))
}

/// A customer with some money, who does a bit of everything, and is refused some.
async fn do_a_bit_of_everything(server: &Server) {
    let client = Client::new();
    let send = async |method: Method, path: &str, token: &str, body: Value| {
        let request = client.request(method, server.url(path)).bearer_auth(token).json(&body);
        request.send().await.expect("an answer").json::<Value>().await.unwrap_or_default()
    };
    let person = json!({"name": "Ada", "email": "ada@example.com", "password": PASSWORD});
    let account = send(Method::POST, "/create_account", "", person).await["account"]["account_number"].clone();
    for password in ["wrong", PASSWORD] {
        send(Method::POST, "/login", "", json!({"email": "ada@example.com", "password": password})).await;
    }
    let tokens = json!({"email": "ada@example.com", "password": PASSWORD});
    let token = send(Method::POST, "/login", "", tokens).await["access_token"].as_str().expect("a token").to_owned();
    for amount in ["100", "1e9"] {
        send(Method::POST, "/deposit", &token, json!({"account_number": account, "amount": amount})).await;
    }
    for amount in ["1", "1000"] {
        send(Method::POST, "/withdraw", &token, json!({"account_number": account, "amount": amount})).await;
    }
    send(Method::POST, "/holds", &token, json!({"account_number": account, "amount": "5"})).await;
    let items = ["1", "1000"].map(|amount| json!({"type": "withdrawal", "account_number": account, "amount": amount}));
    for atomic in [false, true] {
        send(Method::POST, "/transactions/batch", &token, json!({"transactions": items, "atomic": atomic})).await;
    }
    let balance = format!("/balance?account_number={}", account.as_str().expect("a number"));
    for path in
        [&*balance, "/me", "/nothing/here", "/", "/web/app.js", "/web/icon.svg", "/swagger-ui/", "/openapi.json"]
    {
        client.get(server.url(path)).bearer_auth(&token).send().await.expect("an answer");
    }
}

#[tokio::test]
async fn every_metric_is_there_with_its_help_its_type_and_its_labels() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let arguments = ["--database-url", &database.url, "--backup-dir", "backups", "--backup-every", "0"];
        let server = Server::start(database.directory.path(), &arguments);
        do_a_bit_of_everything(&server).await;
        server.signal(Signal::USR1);
        // What the first one has counted is in the second.
        let is_backed_up = async || Scrape::of(&server).await.samples.contains_key("coffer_backup_age_seconds");
        eventually("a backup", is_backed_up).await;
        let scrape = Scrape::of(&server).await;

        for metric in METRICS.iter().filter(|metric| kind == Kind::Sqlite || !OF_SQLITE.contains(&metric.name)) {
            let samples = scrape.samples.get(metric.name).unwrap_or_else(|| panic!("{kind:?}: no {}", metric.name));
            assert_eq!(scrape.types[metric.name], metric.kind.name(), "{}", metric.name);
            assert!(scrape.text.contains(&format!("# HELP {} {}\n", metric.name, metric.help)), "{}", metric.name);
            let expected: BTreeSet<_> = metric.labels.split(',').filter(|label| !label.is_empty()).collect();
            for sample in samples {
                let named = sample.labels.keys().map(String::as_str).filter(|label| *label != "le");
                assert_eq!(named.collect::<BTreeSet<_>>(), expected, "{}", sample.name);
            }
        }
        let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        let found: BTreeSet<_> = scrape.samples.keys().map(String::as_str).collect();
        assert_eq!(found.difference(&known).collect::<Vec<_>>(), Vec::<&&str>::new(), "{kind:?}");

        let sum = |metric: &str, labels: &[(&str, &str)]| scrape.sum(metric, labels);
        for (metric, labels, value) in [
            ("coffer_sign_ins_total", &[("outcome", "succeeded")][..], 2.0),
            ("coffer_sign_ins_total", &[("outcome", "wrong_password")], 1.0),
            ("coffer_movements_total", &[("type", "deposit"), ("outcome", "posted")], 1.0),
            ("coffer_movements_total", &[("type", "withdrawal"), ("outcome", "posted")], 2.0),
            // Of an atomic batch all are.
            ("coffer_movements_total", &[("type", "withdrawal"), ("outcome", "refused")], 4.0),
            ("coffer_movements_total", &[("type", "withdrawal"), ("outcome", "held")], 1.0),
            // One by itself, and one in each batch.
            ("coffer_refusals_total", &[("code", "insufficient_funds")], 3.0),
            ("coffer_refusals_total", &[("code", "batch_refused")], 1.0),
            ("coffer_refusals_total", &[("code", "path_not_found")], 1.0),
            ("coffer_http_requests_total", &[("route", "/deposit"), ("status", "201")], 1.0),
            // The web app and Swagger UI.
            ("coffer_http_requests_total", &[("route", "assets"), ("status", "200")], 4.0),
            ("coffer_ledger_ready", &[], 1.0),
            ("coffer_ledger_in_doubt", &[], 0.0),
            ("coffer_approvals_waiting", &[], 0.0),
            ("coffer_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0),
        ] {
            assert_eq!(sum(metric, labels), value, "{kind:?}: {metric} {labels:?}\n{}", scrape.text);
        }
        assert!(sum("process_resident_memory_bytes", &[]) > 1e6 && sum("process_open_fds", &[]) > 5.0);
        assert!(sum("coffer_ledger_last_write_age_seconds", &[]) < 5.0);
        assert!(sum("coffer_database_connections", &[]) >= 1.0);
        let series: usize = scrape.samples.values().map(Vec::len).sum();
        println!("{kind:?}: {series} series");
        assert!(series < MOST_SERIES, "{kind:?}: {series} series\n{}", scrape.text);
    }
}

/// What is waiting is counted at most once in some seconds, so this looks at a bank that nobody has asked before.
#[tokio::test]
async fn what_waits_in_the_tables_is_counted() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let server = Server::start(database.directory.path(), &["--database-url", &database.url]);
        do_a_bit_of_everything(&server).await;
        let scrape = Scrape::of(&server).await;
        assert_eq!(scrape.sum("coffer_holds_open", &[]), 1.0, "{kind:?}");
    }
}

/// Anybody may try each method on each path, and what is counted once stays.
#[tokio::test]
async fn methods_that_a_path_does_not_take_make_no_series() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &[]);
    let mut lengths = Vec::new();
    for path in ["/livez", "/deposit", "/withdraw", "/transfer", "/balance"] {
        for method in ["PUT", "DELETE", "TRACE", "NONSENSE"] {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let answer = Client::new().request(method, server.url(path)).send().await.expect("an answer");
            assert_eq!(answer.status(), 405, "{path}");
        }
        // Refused before anybody looks at the method.
        let mut connection = TcpStream::connect(server.address).expect("a connection");
        write!(connection, "DELETE {path} HTTP/1.1\r\nHost: one\r\nHost: two\r\n\r\n").expect("sent");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        lengths.push(Scrape::of(&server).await.samples["coffer_http_request_duration_seconds"].len());
    }
    // The first scrape does not have itself.
    assert_eq!(lengths[1..], [lengths[1]; 4], "{lengths:?}");
}

/// To look at a bank makes its ledger write: that is none of the movements that the figures are of.
#[tokio::test]
async fn probes_are_not_among_the_figures_of_movements() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let server = Server::start(database.directory.path(), &["--database-url", &database.url]);
    let mut other = SqliteConnection::connect(&database.url).await.expect("a connection");
    for is_locked in [false, true] {
        if is_locked {
            sqlx::raw_sql("begin immediate").execute(&mut other).await.expect("the lock");
        }
        let status = if is_locked { 503 } else { 200 };
        eventually("a probe", async || {
            reqwest::get(server.url("/readyz")).await.expect("an answer").status() == status
        })
        .await;
        let scrape = Scrape::of(&server).await;
        for metric in ["coffer_ledger_stage_duration_seconds", "coffer_ledger_batch_retries_total"] {
            assert_eq!(scrape.sum(metric, &[]), 0.0, "{metric}\n{}", scrape.text);
        }
    }
}

/// Browsers ask so before the requests of another site, and are answered before anything else looks at it.
#[tokio::test]
async fn preflights_are_counted_and_logged_once() {
    for flags in [&["--cors-origins", "https://app.example"][..], &[]] {
        let directory = TempDir::new().expect("a directory");
        let log = directory.path().join("log");
        let mut command = coffer(directory.path(), &[flags, &["--access-log", "true"]].concat());
        command.stderr(File::create(&log).expect("a file"));
        let server = Server::start_as(command);
        let preflight = Client::new().request(Method::OPTIONS, server.url("/deposit"));
        let preflight =
            preflight.header("origin", "https://app.example").header("access-control-request-method", "POST");
        let status = preflight.send().await.expect("an answer").status();
        // Refused for its form before that.
        let mut connection = TcpStream::connect(server.address).expect("a connection");
        write!(connection, "OPTIONS /deposit HTTP/1.1\r\nConnection: close\r\n\r\n").expect("sent");
        connection.read_to_string(&mut String::new()).expect("an answer");
        let scrape = Scrape::of(&server).await;
        for status in [status.as_str(), "400"] {
            let labels = [("route", "unknown"), ("status", status)];
            assert_eq!(scrape.sum("coffer_http_requests_total", &labels), 1.0, "{}", scrape.text);
        }
        eventually("two lines", async || {
            let lines = fs::read_to_string(&log).expect("a log");
            lines.lines().filter(|line| line.contains("\"OPTIONS\"") && line.contains("coffer::access")).count() == 2
        })
        .await;
    }
}

#[tokio::test]
async fn connections_are_those_of_clients() {
    let directory = TempDir::new().expect("a directory");
    let flags = ["--admin-listen", "127.0.0.1:0", "--max-connections", "4", "--log", "coffer::refusal=debug"];
    let mut command = coffer(directory.path(), &flags);
    let log = directory.path().join("log");
    command.stderr(File::create(&log).expect("a file"));
    let server = Server::start_as(command);
    let admin = Regex::new(r"Operations  http://([0-9.:]+)").expect("an expression");
    let admin = admin.captures(&server.banner).unwrap_or_else(|| panic!("no address: {}", server.banner))[1].to_owned();
    let scrape = async || {
        let answer = reqwest::get(format!("http://{admin}/metrics")).await.expect("an answer");
        Scrape::parse(answer.text().await.expect("a text"))
    };
    let probes: Vec<_> = (0..8).map(|_| TcpStream::connect(&admin).expect("a connection")).collect();
    assert_eq!(scrape().await.sum("coffer_connections", &[]), 0.0);
    let clients: Vec<_> = (0..4).map(|_| TcpStream::connect(server.address).expect("a connection")).collect();
    eventually("their slots", async || scrape().await.sum("coffer_connections", &[]) == 4.0).await;
    let mut refused = TcpStream::connect(server.address).expect("a connection");
    let mut answer = String::new();
    refused.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    let id = answer.split_once("\"request_id\":\"").and_then(|(_, rest)| rest.split('"').next()).expect("an id");
    assert_eq!(scrape().await.sum("coffer_refusals_total", &[("code", "too_many_connections")]), 1.0);
    eventually("its line", async || fs::read_to_string(&log).expect("a log").contains(id)).await;
    drop((probes, clients));
}

#[tokio::test]
async fn there_are_no_metrics_where_they_are_off() {
    let directory = TempDir::new().expect("a directory");
    let server = Server::start(directory.path(), &["--metrics", "false"]);
    assert_eq!(reqwest::get(server.url("/metrics")).await.expect("an answer").status(), 404);
}

/// <https://prometheus.io/docs/practices/naming/>
#[test]
fn names_are_as_prometheus_wants_them() {
    let plain = Regex::new("^(coffer|process)(_[a-z0-9]+)+$").expect("an expression");
    assert!(METRICS.is_sorted_by(|one, next| one.name < next.name), "in the order of the alphabet");
    for metric in METRICS {
        let name = metric.name;
        assert!(plain.is_match(name), "{name}");
        assert_eq!(metric.kind == MetricKind::Counter, name.ends_with("_total"), "{name}");
        let has_wrong_unit = ["_ms", "_millis", "_milliseconds", "_minutes", "_mb", "_kb", "_percent"];
        assert!(!has_wrong_unit.iter().any(|unit| name.trim_end_matches("_total").ends_with(unit)), "{name}");
        assert!(!["_count", "_sum", "_bucket", "_info_total"].iter().any(|suffix| name.ends_with(suffix)), "{name}");
        assert!(metric.help.ends_with('.') && !metric.help.contains('\n'), "{name}");
    }
}

#[test]
fn whatever_the_code_measures_is_in_the_table_and_nothing_else() {
    let literal = Regex::new(r#""((?:coffer|process)_[a-z_]+)""#).expect("an expression");
    let mut measured = BTreeSet::new();
    for (_, code) in sources() {
        // The table itself stands before the code that fills it.
        let code = code
            .split_once("pub const METRICS")
            .map_or(&*code, |(_, rest)| rest.rsplit_once("\npub fn ").map_or(rest, |(_, code)| code));
        measured.extend(literal.captures_iter(code).map(|name| name[1].to_owned()));
    }
    let table: BTreeSet<_> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(measured, table);
}

#[test]
fn the_page_explains_every_metric_and_no_other() {
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| {
            let labels = metric.labels.split(',').filter(|label| !label.is_empty());
            let labels: Vec<_> = labels.map(|label| format!("`{label}`")).collect();
            format!("| `{}` | {} | {} | {} |", metric.name, metric.kind.name(), labels.join(", "), metric.help)
        })
        .collect();
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows, expected, "docs/METRICS.md is to have these rows:\n{}", expected.join("\n"));
}

#[test]
fn every_metric_of_the_dashboard_and_the_alerts_exists() {
    let name = Regex::new(r"\b((?:coffer|process)_[a-z0-9_]+)").expect("an expression");
    let known: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    for (file, text, least) in
        [("coffer.json", DASHBOARD, 30), ("alerts.yml", ALERTS, 20), ("alerts_test.yml", TESTS_OF_ALERTS, 20)]
    {
        let named: BTreeSet<_> = name.find_iter(text).map(|found| metric_of(found.as_str(), is_histogram)).collect();
        assert!(named.len() >= least, "{file} names only {named:?}");
        let unknown: Vec<_> = named.iter().filter(|name| !known.contains(*name)).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}");
    }
}

#[test]
fn every_alert_says_what_to_do_and_has_a_test() {
    let alerts: Vec<_> = ALERTS.split("- alert: ").skip(1).collect();
    assert!(alerts.len() > 10);
    for alert in alerts {
        let name = alert.lines().next().expect("a name");
        for part in ["expr: ", "labels: {severity: ", "summary: \"", "description: >-"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
        assert!(TESTS_OF_ALERTS.contains(&format!("alertname=\"{name}\"")), "alerts_test.yml does not have {name}");
    }
}

/// Grafana shows a panel that is broken as one that is empty.
#[test]
fn every_panel_of_the_dashboard_has_a_query_and_a_place_of_its_own() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        let place = &panel["gridPos"];
        assert!(ids.insert(panel["id"].as_u64()), "{title}: the id is another's");
        assert!(places.insert((place["x"].as_u64(), place["y"].as_u64())), "{title}: the place is another's");
        if panel["type"] != "row" {
            let targets = panel["targets"].as_array().expect("queries");
            let is_whole = |target: &Value| target["expr"].as_str().is_some_and(|expr| expr.contains("$instance"));
            assert!(!targets.is_empty() && targets.iter().all(is_whole), "{title}");
            assert!(panel["description"].as_str().is_some_and(|text| !text.is_empty()), "{title}");
        }
    }
}
