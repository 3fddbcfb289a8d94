//! What RFC 9112 forbids is refused before anything is booked, and with it the connection.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Customer, TestBank, bank_tests};

/// All that a connection answers to these bytes until it ends, which it must do by itself.
async fn exchange(bank: &TestBank, sent: &str) -> String {
    let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
    stream.write_all(sent.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    let reading = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer));
    let _ = reading.await.unwrap_or_else(|_| panic!("the connection stays open after {sent}"));
    String::from_utf8_lossy(&answer).into_owned()
}

#[track_caller]
fn assert_refused(answer: &str, status: u16, code: &str) {
    let problem: Value =
        answer.split_once("\r\n\r\n").and_then(|(_, body)| serde_json::from_str(body).ok()).unwrap_or_default();
    assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{status} {code}: {answer}");
    assert_eq!(problem["code"], code, "{answer}");
    assert!(answer.contains("application/problem+json") && answer.contains("x-request-id"), "{answer}");
}

/// A deposit whose head begins with these lines, and ends with the usual ones.
fn deposit(caller: &Customer<'_>, lines: &str) -> String {
    let body = json!({"account_number": caller.account, "amount": "1"}).to_string();
    deposit_of(caller, &format!("{lines}Content-Length: {}\r\n", body.len()), &body)
}

fn deposit_of(caller: &Customer<'_>, lines: &str, body: &str) -> String {
    let token = &caller.token;
    format!(
        "POST /deposit HTTP/1.1\r\n{lines}Authorization: Bearer {token}\r\nContent-Type: application/json\r\n\r\n{body}"
    )
}

fn in_chunks(caller: &Customer<'_>) -> String {
    let body = json!({"account_number": caller.account, "amount": "1"}).to_string();
    format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

/// Neither the layer of cross-origin calls nor a limit on requests answers before the form is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_answered_before_the_form_is_looked_at() {
    let flags = ["--cors-origins", "https://app.example", "--address-rate", "1"];
    let bank = TestBank::open_with(crate::databases::Kind::Sqlite, &flags).await;
    let chunked = "Host: bank\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let preflight = "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n";
    // More than the address may ask.
    for _ in 0..8 {
        let answer = exchange(&bank, &format!("OPTIONS /deposit HTTP/1.1\r\n{preflight}{chunked}")).await;
        assert_refused(&answer, 400, "length_ambiguous");
        assert_refused(
            &exchange(&bank, &format!("OPTIONS /deposit HTTP/1.1\r\n{preflight}\r\n")).await,
            400,
            "host_invalid",
        );
        assert_refused(
            &exchange(&bank, &format!("POST /deposit HTTP/1.1\r\n{chunked}")).await,
            400,
            "length_ambiguous",
        );
    }
    bank.close_with_books_right().await;
}

bank_tests! {
    async fn a_request_has_one_host_and_it_is_one(bank: &TestBank) {
        let ada = bank.customer().await;
        for lines in [
            "",
            "Host: bank\r\nHost: bank\r\n",
            "Host: bank\r\nhost: other\r\n",
            "Host:\r\n",
            "Host: a b\r\n",
            "Host: a/b\r\n",
            "Host: a@b\r\n",
            "Host: a:b:c\r\n",
            "Host: [::1\r\n",
            "Host: a,b\r\n",
            "Host: a:99999\r\n",
            "Host: b\u{fc}cher\r\n",
        ] {
            assert_refused(&exchange(bank, &deposit(&ada, lines)).await, 400, "host_invalid");
        }
        // A body that does not come is not waited for.
        let head = deposit_of(&ada, "Content-Length: 5\r\n", "");
        assert_refused(&exchange(bank, &head).await, 400, "host_invalid");
        for lines in ["Host: bank\r\n", "Host: [::1]:8080\r\n", "Host: my_bank:80\r\n"] {
            let answer = exchange(bank, &deposit(&ada, &format!("{lines}Connection: close\r\n"))).await;
            assert!(answer.starts_with("HTTP/1.1 201 "), "{lines}: {answer}");
        }
        // HTTP/1.0 knows no Host, but not two of them either.
        let old = deposit(&ada, "").replace("HTTP/1.1", "HTTP/1.0");
        assert!(exchange(bank, &old).await.starts_with("HTTP/1.0 201 "));
        let old = deposit(&ada, "Host: a\r\nHost: a\r\n").replace("HTTP/1.1", "HTTP/1.0");
        assert!(exchange(bank, &old).await.contains("host_invalid"));
        assert_eq!(ada.balance().await, "4.00");
    }

    async fn no_route_answers_without_a_host(bank: &TestBank) {
        let document = bank.get("/openapi.json").send().await.expect_status(200).body;
        let operations = document["paths"].as_object().expect("paths").iter().flat_map(|(path, item)| {
            item.as_object().expect("operations").keys().map(move |method| (method.to_uppercase(), path.as_str()))
        });
        let pages = ["/", "/web/api/coffer.js", "/swagger-ui/", "/openapi.json", "/nowhere"]
            .map(|path| ("GET".to_owned(), path));
        for (method, path) in operations.chain(pages) {
            let answer = exchange(bank, &format!("{method} {path} HTTP/1.1\r\nContent-Length: 0\r\n\r\n")).await;
            assert_refused(&answer, 400, "host_invalid");
        }
    }

    async fn a_target_may_name_the_host_too(bank: &TestBank) {
        let ada = bank.customer().await;
        let targeted = |target: &str, host: &str| {
            let request = deposit(&ada, &format!("{host}Connection: close\r\n"));
            request.replace("POST /deposit", &format!("POST {target}/deposit"))
        };
        let answer = exchange(bank, &targeted("http://bank.example:8080", "Host: bank.example:8080\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
        for (target, host) in [("http://bank.example", ""), ("http://user@bank.example", "Host: bank.example\r\n")] {
            assert_refused(&exchange(bank, &targeted(target, host)).await, 400, "host_invalid");
        }
        for line in ["OPTIONS *", "CONNECT bank.example:443"] {
            let answer = exchange(bank, &format!("{line} HTTP/1.1\r\nHost: bank\r\nConnection: close\r\n\r\n")).await;
            assert!(answer.starts_with("HTTP/1.1 40"), "{line}: {answer}");
        }
        assert_eq!(ada.balance().await, "1.00");
    }

    async fn the_length_of_a_body_is_said_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let chunks = in_chunks(&ada);
        let next = deposit(&ada, "Host: bank\r\n");
        for lines in [
            "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
            &format!("content-length: {}\r\nX-Other: 1\r\ntransfer-encoding: Chunked\r\n", chunks.len()),
            "Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n",
        ] {
            // The request behind it is none: the connection has ended.
            let sent = deposit_of(&ada, &format!("Host: bank\r\n{lines}"), &format!("{chunks}{next}"));
            let answer = exchange(bank, &sent).await;
            assert_refused(&answer, 400, "length_ambiguous");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
        for (coding, status) in [
            ("gzip, chunked", 501),
            ("gzip,chunked", 501),
            ("identity, chunked", 501),
            ("chunked, chunked", 400),
            ("gzip\r\nTransfer-Encoding: chunked", 501),
            ("chunked\r\nTransfer-Encoding: chunked", 400),
        ] {
            let lines = format!("Host: bank\r\nTransfer-Encoding: {coding}\r\n");
            let answer = exchange(bank, &deposit_of(&ada, &lines, &format!("{chunks}{next}"))).await;
            assert_refused(&answer, status, "transfer_encoding_unsupported");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
        // hyper itself refuses these, with a bare 400.
        for lines in [
            "Transfer-Encoding: gzip\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding: chunked, identity\r\n",
            "Transfer-Encoding : chunked\r\n",
            "Content-Length: 5\r\nContent-Length: 6\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: -1\r\n",
            "Content-Length : 5\r\n",
            "X-Folded: a\r\n b\r\n",
            "X-Bare: a\rb\r\n",
            "X-Nul: a\0b\r\n",
        ] {
            let answer =
                exchange(bank, &deposit_of(&ada, &format!("Host: bank\r\n{lines}"), &format!("{chunks}{next}"))).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{lines}: {answer}");
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        }
        let old =
            deposit_of(&ada, "Host: bank\r\nTransfer-Encoding: chunked\r\n", &chunks).replace("HTTP/1.1", "HTTP/1.0");
        assert!(exchange(bank, &old).await.contains(" 400 "));
        assert_eq!(ada.balance().await, "0.00");

        let lines = "Host: bank\r\nConnection: close\r\nTransfer-Encoding: Chunked\r\n";
        assert!(exchange(bank, &deposit_of(&ada, lines, &chunks)).await.starts_with("HTTP/1.1 201 "));
        // Requests with either, one after the other on one connection, are what they were.
        let either = deposit_of(&ada, "Host: bank\r\nTransfer-Encoding: chunked\r\n", &chunks);
        let last = deposit(&ada, "Host: bank\r\nConnection: close\r\n");
        let answers = exchange(bank, &format!("{next}{either}{next}{either}{last}")).await;
        assert_eq!(answers.matches("HTTP/1.1 201 ").count(), 5, "{answers}");
        assert_eq!(ada.balance().await, "6.00");
    }

    async fn nothing_but_100_continue_is_expected(bank: &TestBank) {
        let ada = bank.customer().await;
        for expected in ["200-ok", "100-continue, other", "100-continue\r\nExpect: other"] {
            let answer = exchange(bank, &deposit(&ada, &format!("Host: bank\r\nExpect: {expected}\r\n"))).await;
            assert_refused(&answer, 417, "expectation_failed");
        }
        let answer =
            exchange(bank, &deposit(&ada, "Host: bank\r\nConnection: close\r\nExpect: 100-Continue\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 "), "{answer}");
        assert_eq!(ada.balance().await, "1.00");
    }

    async fn compressed_bodies_are_refused_with_the_way_out(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "1"}).to_string();
        let post = |coding: &str| {
            let request = ada.request(Method::POST, "/deposit").header("content-encoding", coding);
            request.raw(body.as_bytes()).send()
        };
        for coding in ["gzip", "br", "deflate", "zstd", "identity, gzip", "x-unknown"] {
            let answer = post(coding).await.expect_problem(415, "content_encoding_unsupported");
            assert_eq!(answer.header("accept-encoding"), Some("identity"));
        }
        for coding in ["identity", "Identity"] {
            post(coding).await.expect_status(201);
        }
        let login = json!({"email": ada.email, "password": "correct horse battery staple"}).to_string();
        let login = bank.request(Method::POST, "/login").header("content-encoding", "gzip").raw(login);
        login.send().await.expect_problem(415, "content_encoding_unsupported");
        assert_eq!(ada.balance().await, "2.00");
    }

    async fn a_header_that_counts_is_sent_once(bank: &TestBank) {
        let ada = bank.customer().await;
        let body = json!({"account_number": ada.account, "amount": "1"});
        let post = || ada.request(Method::POST, "/deposit").raw(body.to_string());
        post().header("content-type", "text/plain").send().await.expect_problem(415, "unsupported_media_type");
        post().header("content-type", "application/json").send().await.expect_problem(415, "unsupported_media_type");
        post().header("authorization", "Bearer other").send().await.expect_problem(401, "missing_token");
        let keys = post().header("idempotency-key", "one").header("idempotency-key", "one");
        keys.send().await.expect_problem(422, "idempotency_key_malformed");
        assert_eq!(ada.balance().await, "0.00");
    }
}
