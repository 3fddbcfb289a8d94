//! What a browser is told, so that it does no harm on behalf of others.

use std::io::Read;

use flate2::read::GzDecoder;
use reqwest::Method;
use serde_json::json;

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, PASSWORD, TestBank, bank_tests};

fn assert_protected(answer: &Answer) {
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(answer.header("cross-origin-opener-policy"), Some("same-origin"));
    assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(answer.header("x-request-id").map(str::len), Some(36));
}

bank_tests! {
    async fn every_answer_is_protected_and_nobody_keeps_personal_data(bank: &TestBank) {
        let ada = bank.customer().await;
        for answer in [
            ada.get("/me").send().await.expect_status(200),
            ada.get("/nowhere").send().await.expect_status(404),
            bank.get("/me").send().await.expect_status(401),
        ] {
            assert_protected(&answer);
            assert_eq!(answer.header("cache-control"), Some("no-store"));
        }
        for path in [
            "/",
            "/web/api/coffer.js",
            "/swagger-ui/",
            "/swagger-ui/swagger-ui.css",
            "/openapi.json",
            "/postman.json",
            "/livez",
            "/readyz",
            "/metrics",
            "/bank",
        ] {
            assert_protected(&bank.get(path).send().await.expect_status(200));
        }
        assert_protected(&bank.request(Method::OPTIONS, "/me").send().await.expect_status(405));
        assert_protected(&bank.get("/swagger-ui").send().await);
    }

    async fn no_other_origin_may_call_unless_it_is_listed(bank: &TestBank) {
        let answer = bank.get("/livez").header("origin", "https://evil.example").send().await.expect_status(200);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_may_call_and_no_other() {
    let flags = ["--cors-origins", "HTTPS://App.example.com:443/,http://localhost:3000,capacitor://localhost"];
    let bank = TestBank::open_on(TestDatabase::create(Kind::Sqlite).await, &flags).await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
        ("capacitor://localhost", true),
        ("https://evil.example", false),
        ("https://app.example.com.evil.example", false),
        ("http://app.example.com", false),
        ("null", false),
    ] {
        let preflight = bank
            .request(Method::OPTIONS, "/deposit")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,idempotency-key");
        let call = bank.get("/me").header("origin", origin);
        for answer in [preflight.send().await, call.send().await] {
            assert_protected(&answer);
            assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin), "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    bank.close_with_books_right().await;
}

/// What is no request is refused by whoever answers preflights, too, and protected like everything else.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_preflight_is_refused_under_the_same_headers() {
    let flags = ["--cors-origins", "https://app.example.com"];
    let bank = TestBank::open_on(TestDatabase::create(Kind::Sqlite).await, &flags).await;
    let preflight = bank.request(Method::OPTIONS, "/deposit").header("origin", "https://app.example.com");
    let preflight = preflight.header("access-control-request-method", "POST").header("expect", "something");
    let refused = preflight.header("x-request-id", "mine").send().await.expect_problem(417, "expectation_failed");
    assert_protected(&refused);
    assert_eq!(refused.header("x-client-request-id"), Some("mine"));
    let call = bank.get("/me").header("origin", "https://app.example.com").send().await.expect_status(401);
    let exposed = call.header("access-control-expose-headers").expect("some");
    assert!(exposed.contains("x-request-id") && exposed.contains("x-client-request-id"), "{exposed}");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn swagger_ui_can_be_switched_off() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let bank = TestBank::open_on(TestDatabase::create(kind).await, &["--swagger-ui", "false"]).await;
        for path in ["/swagger-ui", "/swagger-ui/", "/swagger-ui/index.html", "/swagger-ui/swagger-initializer.js"] {
            bank.get(path).send().await.expect_problem(404, "path_not_found");
        }
        let document = bank.get("/openapi.json").send().await.expect_status(200);
        assert_eq!(document.text_at("/info/title"), "Coffer");
        assert_eq!(bank.get("/bank").send().await.expect_status(200).body["swagger_ui"], false);
        bank.close_with_books_right().await;
    }
}

/// The `name=value` of the cookie that an answer sets, and its attributes.
fn cookie_of(answer: &Answer) -> (String, String) {
    let header = answer.header("set-cookie").expect("a cookie");
    let (pair, attributes) = header.split_once("; ").expect("attributes");
    (pair.to_owned(), attributes.to_owned())
}

bank_tests! {
    async fn the_web_app_keeps_its_refresh_token_in_a_cookie(bank: &TestBank) {
        let ada = bank.customer().await;
        let credentials = json!({"email": ada.email, "password": PASSWORD});
        let login = bank.post("/login", credentials).header("coffer-client", "web").send().await.expect_status(200);
        assert_eq!(login.body["refresh_token"], json!(null));
        let (first, attributes) = cookie_of(&login);
        assert!(first.starts_with("__Host-coffer_refresh="), "{first}");
        for attribute in ["HttpOnly", "Secure", "SameSite=Strict", "Path=/", "Max-Age=2592000"] {
            assert!(attributes.split("; ").any(|found| found == attribute), "{attribute} in {attributes}");
        }
        assert!(!attributes.contains("Domain"));

        let refresh = |cookie: &str| bank.post("/refresh", json!({})).header("cookie", cookie);
        let next = refresh(&format!("other=1; {first}")).header("coffer-client", "web").send().await.expect_status(200);
        let (second, _) = cookie_of(&next);
        assert_ne!(first, second);
        let token = next.text_at("/access_token");
        bank.get("/me").bearer(&token).send().await.expect_status(200);

        // A page of another origin cannot send the header, so without it the cookie is nothing.
        refresh(&second).send().await.expect_problem(422, "missing_field");
        refresh(&second).header("coffer-client", "app").send().await.expect_problem(422, "unknown_client");
        for cookie in ["", "__Host-coffer_refresh=", "__Host-coffer_refresh=nonsense", &format!("{second}; {second}")] {
            refresh(cookie).header("coffer-client", "web").send().await.expect_problem(401, "invalid_refresh_token");
        }
        let in_body = json!({"refresh_token": second.split_once('=').expect("a value").1});
        let both = bank.post("/refresh", in_body).header("cookie", &second).header("coffer-client", "web");
        both.send().await.expect_problem(422, "unknown_field");

        let logout = bank.request(Method::POST, "/logout").bearer(&token).header("coffer-client", "web");
        let (forgotten, attributes) = cookie_of(&logout.send().await.expect_status(204));
        assert_eq!(forgotten, "__Host-coffer_refresh=");
        assert!(attributes.contains("Max-Age=0"));
        refresh(&second).header("coffer-client", "web").send().await.expect_problem(401, "invalid_refresh_token");
    }

    async fn without_the_header_no_cookie_is_set(bank: &TestBank) {
        let ada = bank.customer().await;
        let login = bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        assert_eq!(login.header("set-cookie"), None);
        let again = json!({"refresh_token": login.text_at("/refresh_token")});
        assert_eq!(bank.post("/refresh", again).send().await.expect_status(200).header("set-cookie"), None);
    }

    async fn the_web_app_is_served_under_a_strict_policy(bank: &TestBank) {
        let page = bank.get("/").send().await.expect_status(200);
        assert_protected(&page);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        assert!(
            page.header("content-security-policy").expect("a policy").contains("require-trusted-types-for 'script'")
        );
        bank.get("/web/index.html").send().await.expect_status(200);
        for path in ["/web/", "/web/nothing.js", "/web/../Cargo.toml", "/web/%2e%2e/Cargo.toml", "/web/%2Fetc%2Fpasswd"]
        {
            bank.get(path).send().await.expect_problem(404, "path_not_found");
        }
    }

    async fn made_up_hosts_cost_no_compression_and_get_their_document(bank: &TestBank) {
        for path in ["/openapi.json", "/postman.json"] {
            let mut compressed = 0;
            for number in 0..20 {
                let host = format!("bank{number}.example");
                let asked = bank.get(path).header("host", &host).header("accept-encoding", "gzip");
                compressed += u32::from(asked.send().await.expect_status(200).header("content-encoding").is_some());
                let plain = bank.get(path).header("host", &host).send().await.expect_status(200);
                assert!(String::from_utf8_lossy(&plain.bytes).contains(&format!("http://{host}\"")), "{path} {host}");
            }
            assert_eq!(compressed, 8, "{path}");
        }
    }

    async fn what_is_the_same_for_everybody_is_compressed_and_sent_once(bank: &TestBank) {
        for path in [
            "/",
            "/web/app.js",
            "/web/ui/style/app.css",
            "/web/vendor/uplot.js",
            "/web/api/coffer.js",
            "/web/api/coffer.d.ts",
            "/swagger-ui/",
            "/swagger-ui/swagger-ui-bundle.js",
            "/swagger-ui/swagger-initializer.js",
            "/openapi.json",
            "/postman.json",
        ] {
            let plain = bank.get(path).send().await.expect_status(200);
            let compressed = bank.get(path).header("accept-encoding", "br, gzip").send().await.expect_status(200);
            assert_eq!(plain.header("content-encoding"), None, "{path}");
            assert_eq!(compressed.header("content-encoding"), Some("gzip"), "{path}");
            assert_eq!(compressed.header("content-type"), plain.header("content-type"), "{path}");
            assert!(compressed.bytes.len() < plain.bytes.len() * 2 / 3, "{path}: {} bytes", compressed.bytes.len());
            let mut text = Vec::new();
            GzDecoder::new(&compressed.bytes[..]).read_to_end(&mut text).expect("gzip");
            assert_eq!(text, plain.bytes, "{path}");

            let tags = [&plain, &compressed].map(|answer| answer.header("etag").expect("a tag").to_owned());
            assert_ne!(tags[0], tags[1], "{path}");
            for (tag, encoding, status) in [
                (&tags[0], "identity", 304),
                (&tags[1], "gzip", 304),
                (&tags[0], "gzip", 200),
                (&tags[1], "identity", 200),
            ] {
                let asked = bank.get(path).header("if-none-match", tag).header("accept-encoding", encoding);
                let answer = asked.send().await.expect_status(status);
                assert_protected(&answer);
                assert_eq!(answer.header("vary"), Some("Accept-Encoding"), "{path}");
                assert_eq!(answer.header("etag") == Some(tag), status == 304, "{path}");
                assert_eq!(answer.bytes.is_empty(), status == 304, "{path}");
            }
            let head =
                bank.request(Method::HEAD, path).header("accept-encoding", "gzip").send().await.expect_status(200);
            assert_eq!(head.header("content-length"), Some(&*compressed.bytes.len().to_string()), "{path}");
        }
    }

    /// How long a compressed answer is would tell those who listen what is in it.
    async fn what_is_about_somebody_is_never_compressed(bank: &TestBank) {
        let ada = bank.customer().await;
        for path in ["/me".to_owned(), format!("/transactions?account_number={}", ada.account), "/accounts".to_owned()]
        {
            let answer = ada.get(&path).header("accept-encoding", "gzip").send().await.expect_status(200);
            assert_eq!(answer.header("content-encoding"), None, "{path}");
        }
    }

    async fn the_page_names_its_files_by_their_content(bank: &TestBank) {
        let page = bank.get("/").send().await.expect_status(200);
        assert_eq!(page.header("cache-control"), Some("no-cache"));
        let text = page.body.as_str().expect("a page").to_owned();
        let addresses: Vec<&str> = text.split('"').filter(|part| part.starts_with("/web/")).collect();
        assert!(addresses.len() >= 4, "{addresses:?}");
        for address in addresses {
            let (path, version) = address.split_once("?v=").expect("a version");
            let named = bank.get(address).send().await.expect_status(200);
            assert_eq!(named.header("cache-control"), Some("public, max-age=31536000, immutable"), "{address}");
            for other in [path, &format!("{path}?v=0{version}"), &format!("{path}?v=")] {
                let answer = bank.get(other).send().await.expect_status(200);
                assert_eq!(answer.header("cache-control"), Some("no-cache"), "{other}");
            }
        }
    }

    async fn a_collection_for_each_of_many_addresses_is_right(bank: &TestBank) {
        for host in (0..20).map(|n| format!("bank{n}.example")).chain(["bank0.example".to_owned()]) {
            let answer = bank.get("/postman.json").header("host", &host).send().await.expect_status(200);
            assert!(answer.bytes.windows(host.len()).any(|part| part == host.as_bytes()), "{host}");
        }
    }
}
