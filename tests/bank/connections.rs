//! How connections end: by clients that finish their side first, that vanish, or that stop in the middle of a request.

use std::io::Write;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::CertificateDer;

use crate::command_line::Server;
use crate::databases::{Kind, TestDatabase};
use crate::harness::{Customer, TestBank, bank_tests, eventually};
use crate::tls;

/// No answer of this suite takes so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// A whole request, with the caller's token and a JSON body.
fn request(caller: &Customer<'_>, method: &str, path: &str, body: &Value) -> String {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    format!(
        "{method} {path} HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        caller.token,
        body.len()
    )
}

fn deposit(caller: &Customer<'_>, amount: &str) -> String {
    request(caller, "POST", "/deposit", &json!({"account_number": caller.account, "amount": amount}))
}

async fn read_to_the_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A peer that closes TLS without a farewell is no error here.
    let _ = reading.expect("the connection ends");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends this, ends the client's side, and only then reads all that comes.
async fn half_close(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    finish(&mut stream, sent).await
}

async fn finish(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), sent: &str) -> String {
    stream.write_all(sent.as_bytes()).await.expect("sent");
    stream.shutdown().await.expect("a closed side");
    read_to_the_end(stream).await
}

/// The status of each answer of a connection, in order.
fn statuses(answers: &str) -> Vec<u16> {
    let status = |rest: &str| rest.get(..3).and_then(|status| status.parse().ok());
    answers.split("HTTP/1.1 ").skip(1).filter_map(status).collect()
}

bank_tests! {
    async fn a_client_that_has_ended_its_side_is_answered(bank: &TestBank) {
        let ada = bank.customer().await;
        let sent = deposit(&ada, "1");
        for answer in futures_util::future::join_all((0..60).map(|_| half_close(bank.address, &sent))).await {
            assert_eq!(statuses(&answer), [201], "{answer}");
        }
        assert_eq!(ada.balance().await, "60.00");
    }

    async fn every_route_answers_a_client_that_has_ended_its_side(bank: &TestBank) {
        let ada = bank.customer().await;
        let document = bank.get("/openapi.json").send().await.expect_status(200).body;
        for (path, item) in document["paths"].as_object().expect("paths") {
            for method in item.as_object().expect("operations").keys() {
                let path = path.replace(['{', '}'], "");
                let sent = request(&ada, &method.to_uppercase(), &path, &json!({}));
                let answer = half_close(bank.address, &sent).await;
                assert!(matches!(statuses(&answer)[..], [100..=499]), "{method} {path}: {answer}");
            }
        }
        for path in ["/", "/web/api/coffer.js", "/swagger-ui/", "/openapi.json", "/nowhere"] {
            let answer = half_close(bank.address, &format!("GET {path} HTTP/1.1\r\nHost: bank\r\n\r\n")).await;
            assert!(matches!(statuses(&answer)[..], [200..=499]), "{path}: {answer}");
        }
    }

    async fn requests_in_a_row_before_the_end_are_answered_in_order(bank: &TestBank) {
        let ada = bank.customer().await;
        let sent: String = (1..=40).map(|amount| deposit(&ada, &amount.to_string())).collect();
        let answers = half_close(bank.address, &sent).await;
        assert_eq!(statuses(&answers), [201; 40]);
        let sequences: Vec<u32> = answers
            .split("\"sequence\":")
            .skip(1)
            .filter_map(|rest| rest.split([',', '}']).next().and_then(|number| number.parse().ok()))
            .collect();
        assert_eq!(sequences, (1..=40).collect::<Vec<_>>());
        assert_eq!(ada.balance().await, "820.00");
    }

    async fn half_a_request_moves_nothing_and_keeps_nobody_waiting(bank: &TestBank) {
        let ada = bank.customer().await;
        let whole = deposit(&ada, "1");
        let head = whole.find("\r\n\r\n").expect("a head") + 4;
        for sent in [0, 1, 20, head - 3, head - 1] {
            assert_eq!(half_close(bank.address, &whole[..sent]).await, "", "after {sent} bytes of the head");
        }
        for sent in [head, head + 1, whole.len() - 1] {
            let answer = half_close(bank.address, &whole[..sent]).await;
            assert_eq!(statuses(&answer), [400], "{answer}");
            assert!(answer.contains("body_incomplete"), "{answer}");
        }
        let chunked = whole.replace("Content-Length: ", "Transfer-Encoding: chunked\r\nX-Was: ");
        let (head, body) = chunked.split_once("\r\n\r\n").expect("a head");
        for body in
            ["".to_owned(), format!("{:x}\r\n{body}\r\n", body.len()), format!("{:x}\r\n{body}", body.len() + 1)]
        {
            let answer = half_close(bank.address, &format!("{head}\r\n\r\n{body}")).await;
            assert_eq!(statuses(&answer), [400], "{answer}");
        }
        // One whole request before the half one is answered all the same.
        let answer = half_close(bank.address, &format!("{whole}{}", &whole[..30])).await;
        assert_eq!(statuses(&answer), [201], "{answer}");
        assert_eq!(ada.balance().await, "1.00");
    }

    async fn a_long_answer_reaches_a_slow_client_that_has_ended_its_side(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..10 {
            ada.deposit_many(1_000).await.expect_status(200);
        }
        let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
        let path = format!("/accounts/{}/statement.csv", ada.account);
        let sent = request(&ada, "GET", &path, &Value::Null);
        stream.write_all(sent.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("a closed side");
        let (mut answer, mut buffer) = (Vec::new(), vec![0; 16 * 1024]);
        loop {
            let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time");
            let read = read.expect("an answer");
            if read == 0 {
                break;
            }
            answer.extend_from_slice(&buffer[..read]);
            tokio::task::yield_now().await;
        }
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(statuses(&answer), [200], "{}", &answer[..300.min(answer.len())]);
        assert!(answer.ends_with("0\r\n\r\n"), "the last chunk is missing");
    }

    async fn what_a_client_that_vanished_has_sent_is_booked_or_not_but_never_by_halves(bank: &TestBank) {
        let (ada, bob) = (bank.customer().await, bank.customer().await);
        ada.deposit("1000").await.expect_status(201);
        let body = json!({"from_account": ada.account, "to_account": bob.account, "amount": "1"});
        let sent = request(&ada, "POST", "/transfer", &body);
        for round in 0..60 {
            let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            if round % 2 == 0 {
                // The next answer meets a reset, not a closed side.
                stream.set_zero_linger().expect("a setting");
            }
        }
        ada.transfer(&bob.account, "1").await.expect_status(201);
        let cents = |balance: String| balance.replace('.', "").parse::<i64>().expect("a balance");
        // Between the two look-ups another one may be booked.
        let sum = async || cents(ada.balance().await) + cents(bob.balance().await);
        eventually("no cent is missing, and none is too many", async || sum().await == 100_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_has_ended_its_side_of_tls_is_answered() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let (certificate, flags) = tls::certificate_in(database.directory.path());
    let bank = TestBank::open_on(database, &flags.each_ref().map(String::as_str)).await;
    let request = "GET /livez HTTP/1.1\r\nHost: bank\r\n\r\n";
    for version in tls::VERSIONS {
        for in_a_row in [1, 20] {
            let sent = request.repeat(in_a_row);
            let mut stream = tls::connect(bank.address, &certificate, version).await.expect("a connection");
            let answer = finish(&mut stream, &sent).await;
            assert_eq!(statuses(&answer), vec![200; in_a_row], "a farewell, then the end: {answer}");

            let mut stream = tls::connect(bank.address, &certificate, version).await.expect("a connection");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            stream.get_mut().0.shutdown().await.expect("a closed side");
            let answer = read_to_the_end(&mut stream).await;
            assert_eq!(statuses(&answer), vec![200; in_a_row], "the end without a farewell: {answer}");
        }
    }
    bank.close_with_books_right().await;
}

const PROBE: &str = "GET /livez HTTP/1.1\r\nHost: bank\r\n\r\n";

/// One answer of a connection that stays open, or all there is if it ends before.
async fn read_one(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let (mut answer, mut buffer) = (Vec::new(), vec![0; 4096]);
    while !answer.ends_with(b"}\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut buffer)).await.expect("in time");
        match read {
            Ok(length @ 1..) => answer.extend_from_slice(&buffer[..length]),
            _ => break,
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// A connection, over TLS or not.
trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

async fn connect(server: &Server, certificate: Option<&CertificateDer<'static>>) -> Box<dyn Stream> {
    match certificate {
        None => Box::new(TcpStream::connect(server.address).await.expect("a connection")),
        Some(trusted) => {
            let version = tls::VERSIONS[usize::from(server.address.port()) % 2];
            Box::new(tls::connect(server.address, trusted, version).await.expect("a connection"))
        }
    }
}

/// Clients that have been answered before, clients that are new, and clients whose connection nobody has accepted yet:
/// whoever has sent all of a request before the signal is answered.
async fn requests_sent_before_the_signal_are_answered(is_tls: bool, rounds: usize, clients: usize, in_a_row: usize) {
    for round in 0..rounds {
        let directory = TempDir::new().expect("a directory");
        let (certificate, flags) = tls::certificate_in(directory.path());
        let certificate = is_tls.then_some(&certificate);
        let flags = flags.each_ref().map(String::as_str);
        let mut server = Server::start(directory.path(), if is_tls { &flags } else { &[] });
        let mut streams = Vec::new();
        for client in 0..clients {
            let mut stream = connect(&server, certificate).await;
            if client % 2 == 0 {
                stream.write_all(PROBE.as_bytes()).await.expect("sent");
                assert_eq!(statuses(&read_one(&mut stream).await), [200]);
            }
            streams.push(stream);
        }
        let sent = PROBE.repeat(in_a_row);
        for stream in &mut streams {
            stream.write_all(sent.as_bytes()).await.expect("sent");
            stream.flush().await.expect("sent");
        }
        for _ in 0..if is_tls { 0 } else { clients / 4 } {
            let mut stream = std::net::TcpStream::connect(server.address).expect("a connection");
            stream.write_all(sent.as_bytes()).expect("sent");
            stream.set_nonblocking(true).expect("a setting");
            streams.push(Box::new(TcpStream::from_std(stream).expect("a stream")));
        }
        server.signal(Signal::TERM);
        for (client, stream) in streams.iter_mut().enumerate() {
            let answer = read_to_the_end(stream).await;
            assert_eq!(statuses(&answer), vec![200; in_a_row], "client {client} in round {round}: {answer}");
        }
        assert!(server.process.wait().expect("its end").success());
    }
}

#[tokio::test]
async fn whoever_has_asked_before_the_end_is_answered() {
    requests_sent_before_the_signal_are_answered(false, 8, 240, 1).await;
}

#[tokio::test]
async fn whoever_has_asked_over_tls_before_the_end_is_answered() {
    requests_sent_before_the_signal_are_answered(true, 3, 60, 1).await;
}

#[tokio::test]
async fn whoever_has_asked_several_things_before_the_end_is_answered() {
    requests_sent_before_the_signal_are_answered(false, 2, 60, 12).await;
    requests_sent_before_the_signal_are_answered(true, 1, 30, 12).await;
}

/// Clients that ask all the time are told to go elsewhere, so that they lose no request to the end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_keeps_on_asking_is_told_of_the_end() {
    const CLIENTS: usize = 32;
    let directory = TempDir::new().expect("a directory");
    let mut server = Server::start(directory.path(), &[]);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let address = server.address;
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.expect("a connection");
                loop {
                    stream.write_all(PROBE.as_bytes()).await.ok()?;
                    let answer = read_one(&mut stream).await;
                    if statuses(&answer) != [200] {
                        return None;
                    }
                    if answer.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
                        return Some(());
                    }
                }
            })
        })
        .collect();
    reqwest::get(format!("http://{}/livez", server.address)).await.expect("an answer");
    server.signal(Signal::TERM);
    let told = futures_util::future::join_all(clients).await;
    let told = told.into_iter().filter(|told| matches!(told, Ok(Some(())))).count();
    assert!(server.process.wait().expect("its end").success());
    // One that did nothing for a quarter of a second has not heard of it.
    assert!(told > CLIENTS / 2, "{told} of {CLIENTS} were told");
}

/// Neither silent clients nor those stuck in their handshake or their headers are waited for.
#[tokio::test]
async fn nobody_who_has_asked_nothing_delays_the_end() {
    for is_tls in [false, true] {
        let directory = TempDir::new().expect("a directory");
        let (certificate, flags) = tls::certificate_in(directory.path());
        let flags = flags.each_ref().map(String::as_str);
        let mut server = Server::start(directory.path(), if is_tls { &flags } else { &[] });
        let mut idle = connect(&server, is_tls.then_some(&certificate)).await;
        idle.write_all(PROBE.as_bytes()).await.expect("sent");
        assert_eq!(statuses(&read_one(&mut idle).await), [200]);
        let mut stuck = connect(&server, is_tls.then_some(&certificate)).await;
        stuck.write_all(&PROBE.as_bytes()[..PROBE.len() - 2]).await.expect("sent");
        let silent = TcpStream::connect(server.address).await.expect("a connection");
        let started = Instant::now();
        server.signal(Signal::TERM);
        assert!(server.process.wait().expect("its end").success());
        assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
        drop((idle, stuck, silent));
    }
}
