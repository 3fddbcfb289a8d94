//! `coffer healthcheck`: the exit code is the server's readiness.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::time::{Duration, Instant};

use coffer_core::tls::Certificate;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::command_line::{run, text};
use crate::databases::{Kind, TestDatabase};
use crate::harness::{TestBank, bank_tests};
use crate::tls::write_certificate;

/// Runs it beside the server, which may be in this process.
async fn check(directory: &TempDir, flags: &[&str]) -> Output {
    let (directory, flags) =
        (directory.path().to_owned(), flags.iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>());
    let flags = move || {
        let flags: Vec<&str> = ["healthcheck"].into_iter().chain(flags.iter().map(String::as_str)).collect();
        run(&directory, &flags)
    };
    tokio::task::spawn_blocking(flags).await.expect("no panic")
}

bank_tests! {
    async fn a_bank_that_is_ready_is_healthy(bank: &TestBank) {
        let directory = TempDir::new().expect("a directory");
        let healthy = check(&directory, &["--listen", &bank.address.to_string()]).await;
        assert!(healthy.status.success() && text(&healthy.stdout).contains("200"), "{}", text(&healthy.stdout));
    }
}

/// A server that is never ready, with TLS or without.
async fn start_unready(tls: Option<TlsAcceptor>) -> String {
    const ANSWER: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\r\n\
                            {\"status\": 503, \"detail\": \"The disk is full.\"}";
    async fn answer(mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut request = [0; 1024];
        let length = stream.read(&mut request).await.expect("a request");
        assert!(request[..length].starts_with(b"GET /readyz HTTP/1.1\r\n"));
        stream.write_all(ANSWER).await.expect("an answer");
        let _ = stream.shutdown().await;
    }
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            match &tls {
                Some(tls) => answer(tls.accept(stream).await.expect("a handshake")).await,
                None => answer(stream).await,
            }
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_that_is_not_ready_is_not_healthy() {
    let directory = TempDir::new().expect("a directory");
    write_certificate(directory.path());
    let [cert, key] = ["cert.pem", "key.pem"].map(|file| directory.path().join(file));
    let acceptor = Certificate::read(cert, key).and_then(|certificate| certificate.acceptor()).expect("a certificate");
    for (tls, flags) in [(None, &[][..]), (Some(acceptor), &["--tls-cert", "cert.pem", "--tls-key", "key.pem"])] {
        let listen = start_unready(tls).await;
        let ill = check(&directory, &[&["--listen", &listen], flags].concat()).await;
        assert_eq!(ill.status.code(), Some(1));
        assert!(text(&ill.stdout).contains("503 Service Unavailable: The disk is full."), "{}", text(&ill.stdout));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_it_asks_as_well() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let directory = TempDir::new().expect("a directory");
    write_certificate(directory.path());
    let (cert, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let tls = ["--tls-cert", cert.to_str().expect("UTF-8"), "--tls-key", key.to_str().expect("UTF-8")];
    let bank = TestBank::open_on(database, &tls).await;
    let listen = bank.address.to_string();
    let flags = [&["--listen", &listen], &tls[..]].concat();
    let healthy = check(&directory, &flags).await;
    assert!(healthy.status.success(), "{}{}", text(&healthy.stdout), text(&healthy.stderr));

    // The file is renewed before the server has seen it.
    write_certificate(directory.path());
    assert!(check(&directory, &flags).await.status.success());
    bank.close_with_books_right().await;

    let down = check(&directory, &flags).await;
    assert_eq!(down.status.code(), Some(1));
    assert!(text(&down.stderr).contains("no answer"), "{}", text(&down.stderr));
}

/// Servers that accept and say nothing, or a byte at a time, with TLS and without.
#[tokio::test]
async fn a_server_that_dawdles_is_not_waited_for() {
    let directory = TempDir::new().expect("a directory");
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\n"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let listen = listener.local_addr().expect("an address").to_string();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                std::thread::spawn(move || {
                    let _ = stream.read(&mut [0; 1024]);
                    for byte in answer.iter().copied().chain(std::iter::repeat(b'x')) {
                        std::thread::sleep(Duration::from_millis(200));
                        if !answer.is_empty() && stream.write_all(&[byte]).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        for tls in [&[][..], &["--tls-cert", "cert.pem", "--tls-key", "key.pem"]] {
            let started = Instant::now();
            let output = check(&directory, &[&["--listen", &listen], tls].concat()).await;
            assert_eq!(output.status.code(), Some(1));
            assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        }
    }
}
