//! Whatever a client sends wrong is a problem document in the 400s, and leaves no trace.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::harness::bank_tests;

bank_tests! {
    async fn bodies_that_are_no_json_object_are_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        let depth_bomb = format!("{{\"account_number\":{}", "[".repeat(5000));
        for (body, status, code) in [
            (&b""[..], 400, "malformed_json"),
            (b"   ", 400, "malformed_json"),
            (b"{", 400, "malformed_json"),
            (b"hello", 400, "malformed_json"),
            (b"{\"amount\":\"1\",}", 400, "malformed_json"),
            (b"{} {}", 400, "malformed_json"),
            (b"{'amount':'1'}", 400, "malformed_json"),
            (b"{\"amount\":NaN}", 400, "malformed_json"),
            (b"{\"amount\":\"\xff\"}", 400, "malformed_json"),
            (b"\xef\xbb\xbf{}", 400, "malformed_json"),
            (b"{\"description\":\"\\ud800\"}", 400, "malformed_json"),
            (depth_bomb.as_bytes(), 400, "malformed_json"),
            (b"[]", 422, "body_must_be_an_object"),
            (b"null", 422, "body_must_be_an_object"),
            (b"\"text\"", 422, "body_must_be_an_object"),
            (b"[\"10000000000180\", \"1\", null, null]", 422, "body_must_be_an_object"),
            (b"{}", 422, "missing_field"),
        ] {
            let answer = ada.request(Method::POST, "/deposit").raw(body).send().await;
            let text = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert_eq!(
                (answer.status.as_u16(), answer.body["code"].as_str()),
                (status, Some(code)),
                "{text}: {}",
                answer.body
            );
            answer.expect_problem(status, code);
        }
        assert_eq!(ada.history().await.len(), 0);
    }

    async fn fields_of_the_wrong_kind_are_named(bank: &TestBank) {
        let ada = bank.customer().await;
        let account = &ada.account;
        for (body, code, pointer) in [
            (json!({"account_number": account, "amount": 100.5}), "amount_must_be_a_string", "/amount"),
            (json!({"account_number": account, "amount": 1}), "amount_must_be_a_string", "/amount"),
            (json!({"account_number": account, "amount": -1}), "amount_must_be_a_string", "/amount"),
            (json!({"account_number": account, "amount": null}), "wrong_type", "/amount"),
            (json!({"account_number": account, "amount": ["1"]}), "wrong_type", "/amount"),
            (json!({"account_number": account, "amount": {"value": "1"}}), "wrong_type", "/amount"),
            (json!({"account_number": account, "amount": true}), "wrong_type", "/amount"),
            (json!({"account_number": account}), "missing_field", "/amount"),
            (json!({"amount": "1"}), "missing_field", "/account_number"),
            (json!({"account_number": account, "amount": "1", "ammount": "1"}), "unknown_field", "/ammount"),
            (json!({"account_number": account, "amount": "1", "__proto__": {}}), "unknown_field", "/__proto__"),
            (
                json!({"account_number": 10000000000180u64, "amount": "1"}),
                "account_number_malformed",
                "/account_number",
            ),
            (json!({"account_number": "1000000000012", "amount": "1"}), "account_number_malformed", "/account_number"),
            (json!({"account_number": "1000000000012x", "amount": "1"}), "account_number_malformed", "/account_number"),
            (json!({"account_number": "00000000084003", "amount": "1"}), "account_number_malformed", "/account_number"),
            (
                json!({"account_number": "10000000000121", "amount": "1"}),
                "account_number_check_digits",
                "/account_number",
            ),
            (json!({"account_number": account, "amount": "1", "currency": "usd"}), "unknown_currency", "/currency"),
            (
                json!({"account_number": account, "amount": "1", "description": "x".repeat(141)}),
                "description_too_long",
                "/description",
            ),
            (
                json!({"account_number": account, "amount": "1", "description": "a\u{0}b"}),
                "description_control_characters",
                "/description",
            ),
            (json!({"account_number": account, "amount": "1", "description": ""}), "description_blank", "/description"),
            (json!({"account_number": account, "amount": "1", "description": 7}), "wrong_type", "/description"),
        ] {
            let answer = ada.post("/deposit", body.clone()).send().await;
            assert_eq!(
                (answer.body["code"].as_str(), answer.pointers()),
                (Some(code), vec![pointer]),
                "{body}: {}",
                answer.body
            );
            answer.expect_problem(422, code);
        }
        let twice = format!("{{\"account_number\":\"{account}\",\"amount\":\"1\",\"amount\":\"2\"}}");
        let answer =
            ada.request(Method::POST, "/deposit").raw(twice).send().await.expect_problem(422, "duplicate_field");
        assert_eq!(answer.pointers(), ["/amount"]);
        assert_eq!(ada.history().await.len(), 0);
    }

    /// Whichever field is read first.
    async fn what_is_to_be_one_of_some_names_is_of_the_wrong_type_or_unknown(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        for (kind, code) in [
            (json!(7), "wrong_type"),
            (json!(true), "wrong_type"),
            (json!(null), "wrong_type"),
            (json!([]), "wrong_type"),
            (json!({}), "wrong_type"),
            (json!({"income": null}), "wrong_type"),
            (json!("wealth"), "unknown_value"),
        ] {
            for body in [
                json!({"code": "fees", "name": "Fees", "kind": kind}),
                json!({"code": 7, "name": "Fees", "kind": kind}),
                json!({"kind": kind, "code": 7, "name": "Fees"}),
            ] {
                let answer = admin.post("/bank_accounts", body.clone()).send().await.expect_status(422);
                let errors = answer.body["errors"].as_array().expect("errors");
                let of_kind = errors.iter().find(|error| error["pointer"] == "/kind").expect("an error of it");
                assert_eq!(of_kind["code"], code, "{body}: {}", answer.body);
                assert!(!of_kind["detail"].as_str().expect("words").contains("expected"), "{body}: {}", answer.body);
            }
        }
    }

    /// Which is how serde writes an enum that holds something.
    async fn an_object_with_a_name_in_it_is_no_name(bank: &TestBank) {
        let admin = bank.employee("admin").await;
        let ada = bank.customer().await;
        let (account, user, webhook) = (&ada.account, Uuid::now_v7(), Uuid::now_v7());
        for (method, path, body, pointer) in [
            (Method::PUT, format!("/users/{user}/role"), json!({"role": {"staff": null}}), "/role"),
            (Method::PUT, format!("/users/{user}/status"), json!({"status": {"frozen": null}}), "/status"),
            (Method::PUT, format!("/accounts/{account}/status"), json!({"status": {"frozen": null}}), "/status"),
            (Method::PATCH, format!("/webhooks/{webhook}"), json!({"status": {"disabled": null}}), "/status"),
            (
                Method::POST,
                "/webhooks".to_owned(),
                json!({"url": "https://shop.example.com/", "types": [{"transaction.posted": null}]}),
                "/types/0",
            ),
            (Method::POST, "/me/api_keys".to_owned(), json!({"name": "Shop", "scopes": [{"read": null}]}), "/scopes/0"),
            (
                Method::POST,
                "/transactions/batch".to_owned(),
                json!({"transactions": [{"type": {"deposit": null}, "account_number": account, "amount": "1"}]}),
                "/transactions/0/type",
            ),
        ] {
            let answer = admin.request(method, &path).json(body).send().await;
            assert_eq!(answer.pointers(), [pointer], "{path}: {}", answer.body);
            answer.expect_problem(422, "wrong_type");
        }
    }

    async fn amounts_that_are_no_plain_positive_decimal_are_refused(bank: &TestBank) {
        let ada = bank.customer().await;
        for (amount, code) in [
            ("", "amount_empty"),
            ("0", "amount_zero"),
            ("0.00", "amount_zero"),
            ("-5", "amount_negative"),
            ("+1", "amount_plus_sign"),
            ("1e2", "amount_exponent"),
            (".5", "amount_missing_integer_part"),
            ("5.", "amount_missing_decimals"),
            ("01", "amount_leading_zero"),
            ("NaN", "amount_not_a_number"),
            ("Infinity", "amount_not_a_number"),
            ("1,000", "amount_not_a_number"),
            (" 1", "amount_spaces"),
            ("١٢", "amount_non_ascii_digit"),
            ("1.001", "amount_too_many_decimals"),
            ("1000000000.01", "amount_above_maximum"),
            ("99999999999999999999", "amount_overflow"),
        ] {
            let answer = ada.deposit(amount).await.expect_problem(422, code);
            assert_eq!(answer.pointers(), ["/amount"], "{amount}");
        }
        let body = json!({"account_number": ada.account, "amount": 100.5});
        let answer = ada.post("/deposit", body).send().await.expect_problem(422, "amount_must_be_a_string");
        assert!(answer.text_at("/detail").contains("\"100.5\""), "{}", answer.body);
        assert_eq!(ada.history().await.len(), 0);
    }

    async fn bodies_must_be_small_and_declared_as_json(bank: &TestBank) {
        let ada = bank.customer().await;
        let padded = |length: usize| {
            let body = json!({"account_number": ada.account, "amount": "1"}).to_string();
            format!("{body}{}", " ".repeat(length - body.len()))
        };
        let post = || ada.request(Method::POST, "/deposit");
        post().raw(padded(24 * 1024)).send().await.expect_status(201);
        post().raw(padded(24 * 1024 + 1)).send().await.expect_problem(413, "body_too_large");
        post().raw(padded(4 << 20)).send().await.expect_problem(413, "body_too_large");
        for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", ""] {
            let request = ada.request(Method::POST, "/deposit").header("content-type", content_type);
            request.send().await.expect_problem(415, "unsupported_media_type");
        }
        ada.request(Method::POST, "/deposit").send().await.expect_problem(415, "unsupported_media_type");
        let body = padded(200).into_bytes();
        let charset = ada.request(Method::POST, "/deposit").header("content-type", "Application/JSON; charset=utf-8");
        charset.body(body).send().await.expect_status(201);
    }

    async fn unknown_paths_and_methods_are_problems_too(bank: &TestBank) {
        for path in ["/nothing", "/deposit/", "//deposit", "/accounts/1/2", "/%ff", "/../etc/passwd"] {
            let answer = bank.get(path).send().await;
            assert!(matches!(answer.status.as_u16(), 404 | 405), "{path}: {}", answer.status);
            assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        }
        let answer = bank.request(Method::GET, "/deposit").send().await.expect_problem(405, "method_not_allowed");
        assert_eq!(answer.header("allow"), Some("POST"));
        let answer = bank.request(Method::PUT, "/accounts").send().await.expect_problem(405, "method_not_allowed");
        let mut allowed: Vec<_> = answer.header("allow").expect("methods").split(',').map(str::trim).collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
        let brew = Method::from_bytes(b"BREW").expect("a method");
        bank.request(brew, "/balance").send().await.expect_problem(405, "method_not_allowed");
    }

    async fn query_parameters_are_checked_like_fields(bank: &TestBank) {
        let ada = bank.customer().await;
        let account = &ada.account;
        for (query, code, pointer) in [
            ("", "missing_field", "?account_number"),
            ("account_number=1", "account_number_malformed", "?account_number"),
            ("account_number=10000000000121", "account_number_check_digits", "?account_number"),
            (&*format!("account_number={account}&account_number={account}"), "duplicate_field", "?account_number"),
            (&*format!("account_number={account}&when=now"), "unknown_field", "?when"),
            (&*format!("account_number={account}&at=now"), "timestamp_malformed", "?at"),
            (&*format!("account_number={account}&at="), "timestamp_malformed", "?at"),
        ] {
            let answer = ada.get(&format!("/balance?{query}")).send().await;
            assert_eq!(
                (answer.body["code"].as_str(), answer.pointers()),
                (Some(code), vec![pointer]),
                "{query}: {}",
                answer.body
            );
            answer.expect_problem(422, code);
        }
        ada.get("/accounts/10000000000121").send().await.expect_problem(422, "account_number_check_digits");
    }

    async fn what_only_one_database_would_choke_on_is_refused_by_both(bank: &TestBank) {
        let ada = bank.customer().await;
        ada.deposit("1").await.expect_status(201);
        ada.deposit("1").await.expect_status(201);
        bank.sign_in("a\u{0}b", "some password").await.expect_problem(401, "invalid_credentials");
        let account = &ada.account;
        for path in [
            format!("/transactions?account_number={account}&limit=1&to=9999-12-31T23:59:59-01:00"),
            format!("/transactions?account_number={account}&from=0000-01-01T00:00:00%2B01:00"),
            format!("/balance?account_number={account}&at=0000-01-01T00:00:00%2B01:00"),
        ] {
            ada.get(&path).send().await.expect_problem(422, "timestamp_malformed");
        }
        for edge in ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"] {
            let path = format!("/transactions?account_number={account}&limit=1&from={edge}&to={edge}");
            ada.get(&path).send().await.expect_status(200);
        }
    }

    async fn a_request_id_is_made_here_and_a_plain_one_of_the_clients_is_repeated_beside_it(bank: &TestBank) {
        for (sent, repeated) in
            [("my-id-1", true), ("two words", false), (&*"x".repeat(128), true), (&*"x".repeat(129), false)]
        {
            let answer = bank.get("/livez").header("x-request-id", sent).send().await.expect_status(200);
            let own = answer.header("x-request-id").expect("an id").parse::<uuid::Uuid>().expect("a UUID");
            assert_eq!(own.get_version_num(), 7);
            assert_eq!(answer.header("x-client-request-id"), repeated.then_some(sent));
        }
        assert_eq!(bank.get("/livez").send().await.header("x-client-request-id"), None);
    }

    async fn a_body_that_never_comes_is_a_timeout(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut stream = TcpStream::connect(bank.address).await.expect("a connection");
        let head = format!(
            "POST /deposit HTTP/1.1\r\nHost: bank\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Content-Length: 100\r\n\r\n{{",
            ada.token
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        let reading = tokio::time::timeout(Duration::from_secs(20), stream.read_to_string(&mut answer));
        reading.await.expect("an answer in time").expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
}
