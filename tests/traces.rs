//! Traces, of a program built with the feature `otel`: what a collector gets of a deposit.
//!
//!   cargo test --features otel --test traces

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Of somebody who calls the bank: version, trace, span, and that it is sampled.
const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const PATIENCE: Duration = Duration::from_secs(60);

/// Takes what is posted to it, and hands over the bodies.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (bodies, received) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let bodies = bodies.clone();
            std::thread::spawn(move || take_posts(stream, &bodies));
        }
    });
    (format!("http://{address}"), received)
}

fn take_posts(stream: TcpStream, bodies: &mpsc::Sender<Vec<u8>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut head, mut length) = (String::new(), 0);
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head).unwrap_or(0) == 0 {
                return;
            }
        }
        assert!(head.starts_with("POST /v1/traces "), "{head}");
        for line in head.lines() {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        let _ = bodies.send(body);
        let _ = reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    }
}

struct Bank {
    process: Child,
    url: String,
}

impl Bank {
    fn start(directory: &std::path::Path, variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
        command.env_clear().current_dir(directory).env("COFFER_LISTEN", "127.0.0.1:0").envs(variables.iter().copied());
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs");
        let lines = BufReader::new(process.stdout.take().expect("its output")).lines();
        let url = lines.map_while(Result::ok).find_map(|line| Some(line.split_once("API ")?.1.trim().to_owned()));
        Self { process, url: url.expect("an address") }
    }

    /// Tells it to end, and returns what it has logged.
    fn end(mut self) -> String {
        let asked = Command::new("kill").args(["-TERM", &self.process.id().to_string()]).status();
        assert!(asked.expect("kill").success());
        let mut log = String::new();
        self.process.stderr.take().expect("its log").read_to_string(&mut log).expect("text");
        assert!(self.process.wait().expect("its end").success(), "{log}");
        log
    }
}

async fn post(url: &str, token: &str, body: &Value) -> Value {
    let request = reqwest::Client::new().post(url).json(body).header("traceparent", TRACEPARENT);
    let answer = request.bearer_auth(token).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{url}: {}", answer.status());
    answer.json().await.expect("JSON")
}

/// Signs up, signs in and deposits.
async fn deposit(bank: &Bank) {
    let password = "correct horse battery staple";
    let ada = json!({"name": "Ada", "email": "ada@example.com", "password": password});
    let signed_up = post(&format!("{}/create_account", bank.url), "", &ada).await;
    let sign_in = json!({"email": "ada@example.com", "password": password});
    let signed_in = post(&format!("{}/login", bank.url), "", &sign_in).await;
    let (token, account) = (signed_in["access_token"].as_str(), &signed_up["account"]["account_number"]);
    let body = json!({"account_number": account, "amount": "12.34"});
    post(&format!("{}/deposit", bank.url), token.expect("a token"), &body).await;
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_gets_the_request_its_booking_and_the_batch_and_nothing_about_people() {
    let directory = tempfile::tempdir().expect("a directory");
    let (endpoint, received) = collector();
    let bank = Bank::start(
        directory.path(),
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint), ("COFFER_ACCESS_LOG", "true"), ("COFFER_LOG_FORMAT", "json")],
    );
    deposit(&bank).await;
    reqwest::get(format!("{}/livez", bank.url)).await.expect("an answer");
    let log = bank.end();
    // The last spans are sent before it ends.
    let (mut spans, started) = (Vec::new(), Instant::now());
    while !contains(&spans, b"commit") {
        assert!(started.elapsed() < PATIENCE, "no batch was sent");
        spans.extend(received.recv_timeout(PATIENCE).expect("spans"));
    }
    spans.extend(received.try_iter().flatten());
    for name in ["coffer", "POST /deposit", "http.route", "book", "batch", "load", "decide", "write", "commit"] {
        assert!(contains(&spans, name.as_bytes()), "{name} is missing");
    }
    assert!(contains(&spans, &hex::decode(TRACE_ID).expect("hex")), "the caller's trace does not go on");
    for secret in ["Ada", "ada@example.com", "12.34", "/livez"] {
        assert!(!contains(&spans, secret.as_bytes()), "{secret} was sent");
    }
    let deposit = log.lines().find(|line| line.contains("\"route\":\"/deposit\"")).expect("its line");
    assert!(deposit.contains(&format!("\"trace_id\":\"{TRACE_ID}\"")), "{deposit}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_harms_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    let nobody = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let bank = Bank::start(directory.path(), &[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{nobody}"))]);
    deposit(&bank).await;
    bank.end();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_endpoint_nothing_is_traced() {
    let directory = tempfile::tempdir().expect("a directory");
    let bank = Bank::start(directory.path(), &[("COFFER_ACCESS_LOG", "true"), ("COFFER_LOG_FORMAT", "json")]);
    deposit(&bank).await;
    let log = bank.end();
    assert!(log.contains("\"route\":\"/deposit\"") && !log.contains("trace_id"), "{log}");
}
