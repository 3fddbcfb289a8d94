//! What the log says of requests, in which form, and what it never says.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::command_line::{Server, coffer, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{PASSWORD, eventually};
use crate::post_office::PostOffice;
use crate::tls::certificate_in;

const EMAIL: &str = "ada.lovelace@example.com";
const AMOUNT: &str = "73.19";
const TEXT: &str = "rent-of-may";

/// A served bank whose log is a file.
fn serve(directory: &Path, flags: &[&str]) -> (Server, PathBuf) {
    let log = directory.join("log");
    let mut command = coffer(directory, flags);
    command.stderr(File::create(&log).expect("a file"));
    (Server::start_as(command), log)
}

/// The lines that are written until there is one that contains all of this.
async fn lines_until(log: &Path, last: &[&str]) -> Vec<String> {
    let read = || fs::read_to_string(log).expect("a log");
    eventually("the last line", async || {
        read().lines().any(|line| last.iter().all(|part| line.contains(part))) && read().ends_with('\n')
    })
    .await;
    read().lines().map(str::to_owned).collect()
}

fn id_of(answer: &Response) -> String {
    answer.headers()["x-request-id"].to_str().expect("text").to_owned()
}

/// What somebody does, and the id of each request.
struct Visit {
    ids: BTreeMap<&'static str, String>,
    /// What must not be in any log.
    secrets: Vec<String>,
    user_id: String,
}

async fn visit(server: &Server) -> Visit {
    let client = Client::new();
    let send = async |method: Method, path: &str, token: &str, body: Value| {
        let request = client.request(method, server.url(path)).bearer_auth(token).json(&body);
        request.header("x-request-id", "mine-7").send().await.expect("an answer")
    };
    let mut ids = BTreeMap::new();
    let person = json!({"name": "Ada Lovelace", "email": EMAIL, "password": PASSWORD});
    let created = send(Method::POST, "/create_account", "", person).await;
    let account: Value = created.json().await.expect("JSON");
    let account = account["account"]["account_number"].as_str().expect("a number").to_owned();
    let wrong = send(Method::POST, "/login", "", json!({"email": EMAIL, "password": "wrong-password"})).await;
    ids.insert("wrong", id_of(&wrong));
    let signed_in = send(Method::POST, "/login", "", json!({"email": EMAIL, "password": PASSWORD})).await;
    let tokens: Value = signed_in.json().await.expect("JSON");
    let token = tokens["access_token"].as_str().expect("a token").to_owned();
    let me: Value = send(Method::GET, "/me", &token, Value::Null).await.json().await.expect("JSON");
    let deposit = json!({"account_number": account, "amount": AMOUNT, "description": TEXT});
    ids.insert("deposit", id_of(&send(Method::POST, "/deposit", &token, deposit).await));
    let refused = json!({"account_number": account, "amount": "9999.01", "description": TEXT});
    ids.insert("refused", id_of(&send(Method::POST, "/withdraw", &token, refused.clone()).await));
    let mut item = refused;
    item["type"] = json!("withdrawal");
    let batch = json!({"transactions": [item.clone(), item]});
    ids.insert("batch", id_of(&send(Method::POST, "/transactions/batch", &token, batch).await));
    let balance = client.get(server.url(&format!("/balance?account_number={account}&secret={TEXT}")));
    ids.insert("balance", id_of(&balance.bearer_auth(&token).send().await.expect("an answer")));
    let lost = client.get(server.url(&format!("/nothing/{TEXT}?token={TEXT}"))).send().await.expect("an answer");
    ids.insert("lost", id_of(&lost));
    let preflight = client.request(Method::OPTIONS, server.url("/livez")).header("expect", "nonsense").send().await;
    ids.insert("preflight", id_of(&preflight.expect("an answer")));
    let strange = Method::from_bytes(b"FAILED").expect("a method");
    ids.insert("last", id_of(&client.request(strange, server.url("/me")).send().await.expect("an answer")));
    let refresh = tokens["refresh_token"].as_str().unwrap_or("none").to_owned();
    let secrets =
        [EMAIL, PASSWORD, "wrong-password", AMOUNT, "9999.01", TEXT, "Ada Lovelace", "FAILED"].map(str::to_owned);
    let secrets = secrets.into_iter().chain([account, token, refresh]).collect();
    Visit { ids, secrets, user_id: me["id"].as_str().expect("an id").to_owned() }
}

fn assert_nothing_secret(visit: &Visit, lines: &[String]) {
    for secret in &visit.secrets {
        let found: Vec<_> = lines.iter().filter(|line| line.contains(secret)).collect();
        assert!(found.is_empty(), "{secret}: {found:?}");
    }
}

#[tokio::test]
async fn off_a_terminal_each_line_is_an_object_with_the_id_of_its_request() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let database = TestDatabase::create(kind).await;
        let flags = ["--database-url", &database.url, "--log", "debug,sqlx=warn,hyper=warn", "--access-log", "true"];
        let (server, log) = serve(database.directory.path(), &flags);
        let visit = visit(&server).await;
        let lines = lines_until(&log, &[&visit.ids["last"], "coffer::access"]).await;
        drop(server);
        assert_nothing_secret(&visit, &lines);
        let objects: Vec<Value> =
            lines.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))).collect();
        for object in &objects {
            for name in ["timestamp", "level", "target", "message"] {
                assert!(object[name].is_string(), "no {name}: {object}");
            }
        }
        let of = |what: &str, target: &str| {
            let is_it = |object: &&Value| object["request_id"] == visit.ids[what] && object["target"] == target;
            objects.iter().filter(is_it).collect::<Vec<_>>()
        };
        assert!(objects.iter().any(|object| object["message"] == "the bank is open"), "{lines:?}");

        for (what, method, route, status, code) in [
            ("deposit", "POST", "/deposit", 201, None),
            ("wrong", "POST", "/login", 401, Some("invalid_credentials")),
            ("refused", "POST", "/withdraw", 409, Some("insufficient_funds")),
            ("balance", "GET", "/balance", 422, Some("unknown_field")),
            ("lost", "GET", "unknown", 404, Some("path_not_found")),
            ("last", "other", "/me", 405, Some("method_not_allowed")),
        ] {
            let [access] = of(what, "coffer::access")[..] else { panic!("{what}: not one line in {lines:?}") };
            assert_eq!((&access["method"], &access["route"]), (&method.into(), &route.into()), "{access}");
            assert_eq!((&access["status"], access["code"].as_str()), (&status.into(), code), "{access}");
            assert_eq!((&access["address"], &access["level"]), (&"127.0.0.1".into(), &"INFO".into()), "{access}");
            assert!(access["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0 && ms < 60_000.0), "{access}");
            let user_id = ["deposit", "refused", "balance"].contains(&what).then_some(&*visit.user_id);
            assert_eq!(access["user_id"].as_str(), user_id, "{access}");
            let refusals = of(what, "coffer::refusal");
            assert_eq!(refusals.len(), usize::from(code.is_some()), "{what}: {refusals:?}");
            for refusal in refusals {
                assert_eq!((&refusal["level"], refusal["code"].as_str()), (&"DEBUG".into(), code), "{refusal}");
                assert_eq!(refusal["status"], status, "{refusal}");
            }
        }
        assert_eq!(of("preflight", "coffer::refusal").len(), 1, "{lines:?}");
        let of_items = of("batch", "coffer::refusal");
        let codes: Vec<_> = of_items.iter().filter_map(|line| line["code"].as_str()).collect();
        assert_eq!(codes, ["insufficient_funds"; 2], "{lines:?}");
        // Written by a task of its own, beside the connection's.
        let [sign_in] = of("wrong", "coffer::sign_in")[..] else { panic!("not one line in {lines:?}") };
        assert_eq!(sign_in["client_request_id"], "mine-7");
        assert!(of("last", "coffer::access")[0].get("client_request_id").is_none());
    }
}

#[tokio::test]
async fn text_has_the_same_ids_and_requests_are_not_logged_unless_asked_for() {
    let directory = TempDir::new().expect("a directory");
    let (server, log) = serve(directory.path(), &["--log-format", "text"]);
    let visit = visit(&server).await;
    let lines = lines_until(&log, &["failed sign-in", &visit.ids["wrong"]]).await;
    drop(server);
    assert_nothing_secret(&visit, &lines);
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].ends_with(&format!("request_id={} client_request_id=mine-7", visit.ids["wrong"])), "{lines:?}");
    assert!(!lines[0].contains('\u{1b}') && !lines[0].starts_with('{'), "{lines:?}");
}

/// Whatever the level: so a secret cannot be in what nobody looks at.
#[tokio::test]
async fn no_secret_is_logged_at_any_level() {
    let directory = TempDir::new().expect("a directory");
    let (server, log) = serve(directory.path(), &["--log", "coffer=trace,sqlx=warn", "--access-log", "true"]);
    let visit = visit(&server).await;
    let lines = lines_until(&log, &[&visit.ids["last"], "coffer::access"]).await;
    drop(server);
    assert_nothing_secret(&visit, &lines);
}

#[tokio::test]
async fn the_filter_takes_out_the_lines_of_requests() {
    let directory = TempDir::new().expect("a directory");
    let (server, log) = serve(directory.path(), &["--log", "info,coffer::access=off", "--access-log", "true"]);
    let visit = visit(&server).await;
    let lines = lines_until(&log, &[&visit.ids["wrong"]]).await;
    drop(server);
    assert!(!lines.iter().any(|line| line.contains("coffer::access")), "{lines:?}");
}

/// It never becomes a request: nothing else would tell of it.
#[tokio::test]
async fn what_is_no_request_has_a_line_of_its_own() {
    let directory = TempDir::new().expect("a directory");
    let (server, log) = serve(directory.path(), &["--log", "coffer::refusal=debug"]);
    let mut client = TcpStream::connect(server.address).expect("a connection");
    client.write_all(b"GET /me BANK/1.1\r\nAuthorization: Bearer no-secret\r\n\r\n").expect("sent");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    let lines = lines_until(&log, &["no request of HTTP/1.1", "127.0.0.1", "coffer::refusal"]).await;
    assert!(lines.len() == 1 && !lines[0].contains("no-secret"), "{lines:?}");
}

#[tokio::test]
async fn a_handshake_that_fails_has_a_line() {
    let directory = TempDir::new().expect("a directory");
    let (_, flags) = certificate_in(directory.path());
    let flags: Vec<&str> = flags.iter().map(String::as_str).chain(["--log", "coffer::refusal=debug"]).collect();
    let (server, log) = serve(directory.path(), &flags);
    let mut client = TcpStream::connect(server.address).expect("a connection");
    client.write_all(b"GET / HTTP/1.1\r\nHost: bank\r\n\r\n").expect("sent");
    lines_until(&log, &["a TLS handshake has failed", "127.0.0.1"]).await;
}

#[test]
fn the_reason_not_to_serve_is_a_line_of_the_log() {
    let directory = TempDir::new().expect("a directory");
    let end = |flags: &[&str]| {
        let flags = [&["--listen", "192.0.2.1:1"], flags].concat();
        let ended = coffer(directory.path(), &flags).output().expect("the binary runs");
        assert_eq!(ended.status.code(), Some(1));
        text(&ended.stderr)
    };
    let said = end(&[]);
    let object: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("not one object: {said}"));
    assert_eq!(object["level"], "ERROR");
    assert!(object["message"].as_str().is_some_and(|text| text.contains("cannot serve on 192.0.2.1:1")), "{said}");
    let said = end(&["--log-format", "text"]);
    assert!(said.starts_with("coffer: ") && said.contains("cannot serve on 192.0.2.1:1"), "{said}");
}

#[tokio::test]
async fn a_mail_that_is_refused_is_logged_without_its_recipient() {
    let directory = TempDir::new().expect("a directory");
    let post = PostOffice::open();
    let flags = post.flags();
    let (server, log) = serve(directory.path(), &flags.each_ref().map(String::as_str));
    let nobody = json!({"name": "Ada Lovelace", "email": "gone.away@example.com", "password": PASSWORD});
    let signed_up = Client::new().post(server.url("/create_account")).json(&nobody).send().await.expect("an answer");
    assert_eq!(signed_up.status(), 201);
    let lines = lines_until(&log, &["could not be sent", "no such mailbox"]).await;
    drop(server);
    assert!(!lines.iter().any(|line| line.contains("gone.away@")), "{lines:?}");
}
