//! How often anything may be asked, and how guessers are slowed.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, PASSWORD, TestBank, bank_tests};

/// A bank that believes the client's `X-Forwarded-For`, so that a test can come from many addresses.
async fn open_behind_a_proxy(kind: Kind, flags: &[&str]) -> TestBank {
    let flags = [&["--trusted-proxies", "127.0.0.1"], flags].concat();
    TestBank::open_on(TestDatabase::create(kind).await, &flags).await
}

async fn sign_in_from(bank: &TestBank, address: &str, email: &str, password: &str) -> Answer {
    let request = bank.post("/login", json!({"email": email, "password": password}));
    request.header("x-forwarded-for", address).send().await
}

fn assert_says_when(refused: &Answer, policy: &str) {
    let seconds: u64 = refused.header("retry-after").and_then(|text| text.parse().ok()).expect("Retry-After");
    assert!(seconds >= 1, "{seconds}");
    let limit = refused.header("ratelimit").expect("RateLimit");
    assert!(limit.starts_with(&format!("\"{policy}\";r=0;t=")), "{limit}");
    let stated = refused.header("ratelimit-policy").expect("RateLimit-Policy");
    assert!(stated.starts_with(&format!("\"{policy}\";q=")), "{stated}");
}

bank_tests! {
    async fn a_guesser_is_slowed_and_told_the_same_about_everybody(bank: &TestBank) {
        let ada = bank.customer().await;
        let mut answers = Vec::new();
        for email in [&*ada.email, "nobody@example.com"] {
            for guess in 0..12 {
                let answer = bank.sign_in(email, &format!("guess number {guess}")).await;
                answers.push((answer.status.as_u16(), answer.body["code"].clone()));
            }
        }
        let (of_ada, of_nobody) = answers.split_at(12);
        assert_eq!(of_ada, of_nobody);
        assert_eq!(of_ada[9].0, 401);
        assert_eq!(of_ada[10].0, 429);
        // The right password waits as well: otherwise it would tell itself apart.
        let refused = bank.sign_in(&ada.email, PASSWORD).await.expect_problem(429, "too_many_sign_ins");
        assert_says_when(&refused, "sign-in");
    }

    async fn a_flood_of_denials_does_not_flood_the_audit_log(bank: &TestBank) {
        let (ada, auditor) = (bank.customer().await, bank.employee("auditor").await);
        for _ in 0..200 {
            ada.get("/users").send().await.expect_status(403);
        }
        let page = auditor.get("/audit?action=access_denied&limit=200").send().await.expect_status(200);
        let recorded = page.body["data"].as_array().expect("a list").len();
        assert!(recorded <= 60, "{recorded}");
    }

    async fn signing_in_well_is_never_limited(bank: &TestBank) {
        let ada = bank.customer().await;
        for _ in 0..15 {
            bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
        }
    }

    async fn no_refusal_of_a_sign_in_is_quicker_than_the_others(bank: &TestBank) {
        let ada = bank.customer().await;
        for email in [&*ada.email, "nobody@example.com", "no address"] {
            let mut statuses = Vec::new();
            for guess in 0..12 {
                let started = std::time::Instant::now();
                statuses.push(bank.sign_in(email, &format!("guess number {guess}")).await.status.as_u16());
                let elapsed = started.elapsed();
                assert!(elapsed >= Duration::from_millis(100), "{email}: {elapsed:?} for {statuses:?}");
            }
            assert_eq!(statuses[9..], [401, 429, 429], "{email}");
        }
    }
}

async fn a_weaker_hash_is_replaced_at_the_next_sign_in(kind: Kind) {
    let bank = TestBank::open_with(kind, &["--real-hashes"]).await;
    let ada = bank.customer().await;
    // Of PASSWORD, with 8 KiB and one pass.
    let weak = "$argon2id$v=19$m=8,t=1,p=1$c29tZSBzYWx0IDEyMw$";
    let hash = weak_hash_of_password();
    assert!(hash.starts_with(weak), "{hash}");
    bank.tamper(&format!("update users set password_hash = '{hash}' where email = '{}'", ada.email)).await;
    bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    let user = bank.db.user_by_email(&ada.email).await.expect("an answer").expect("ada");
    assert!(user.password_hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", user.password_hash);
    bank.sign_in(&ada.email, PASSWORD).await.expect_status(200);
    bank.sign_in(&ada.email, "another").await.expect_problem(401, "invalid_credentials");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_hash_is_replaced_at_the_next_sign_in_on_sqlite() {
    a_weaker_hash_is_replaced_at_the_next_sign_in(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weaker_hash_is_replaced_at_the_next_sign_in_on_postgres() {
    a_weaker_hash_is_replaced_at_the_next_sign_in(Kind::Postgres).await;
}

fn weak_hash_of_password() -> String {
    use argon2::password_hash::PasswordHasher;
    let params = argon2::Params::new(8, 1, 1, None).expect("parameters");
    let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
    argon2.hash_password_with_salt(PASSWORD.as_bytes(), b"some salt 123").expect("a hash").to_string()
}

async fn many_networks_lock_nobody_out(kind: Kind) {
    let bank = open_behind_a_proxy(kind, &[]).await;
    let ada = bank.customer().await;
    sign_in_from(&bank, "192.0.2.1", &ada.email, PASSWORD).await.expect_status(200);
    let mut throttled = false;
    for guess in 0..60 {
        let answer = sign_in_from(&bank, &format!("198.51.100.{guess}"), &ada.email, "a guess").await;
        throttled |= answer.status == 429;
    }
    assert!(throttled, "a guess from each of many networks is never slowed");
    sign_in_from(&bank, "203.0.113.9", &ada.email, PASSWORD).await.expect_problem(429, "too_many_sign_ins");
    // Whoever signed in from there before does not notice.
    sign_in_from(&bank, "192.0.2.1", &ada.email, PASSWORD).await.expect_status(200);
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_many_networks_lock_nobody_out_on_sqlite() {
    many_networks_lock_nobody_out(Kind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn guesses_from_many_networks_lock_nobody_out_on_postgres() {
    many_networks_lock_nobody_out(Kind::Postgres).await;
}

/// Two requests a second, eight at once.
#[tokio::test(flavor = "multi_thread")]
async fn one_caller_too_often_is_told_when_and_others_are_not_held_up() {
    let bank = TestBank::open_on(TestDatabase::create(Kind::Sqlite).await, &["--caller-rate", "2"]).await;
    let (ada, bob) = (bank.customer().await, bank.customer().await);
    let first = ada.get("/me").send().await.expect_status(200);
    assert_eq!(first.header("ratelimit-policy"), Some("\"caller\";q=8;w=4"));
    assert_eq!(first.header("ratelimit"), Some("\"caller\";r=7;t=1"));
    let mut last = first;
    while last.status == 200 {
        last = ada.get("/me").send().await;
    }
    assert_says_when(&last.expect_problem(429, "too_many_requests"), "caller");
    bob.get("/me").send().await.expect_status(200);
    tokio::time::timeout(Duration::from_secs(10), async {
        while ada.get("/me").send().await.status == 429 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
    .expect("the quota comes back");
    bank.close_with_books_right().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_address_too_often_is_limited_but_probes_and_preflights_are_not() {
    let flags = ["--address-rate", "2", "--cors-origins", "https://app.example.com"];
    let bank = open_behind_a_proxy(Kind::Sqlite, &flags).await;
    let from = |address: &'static str, method: Method, path: &str| {
        bank.request(method, path)
            .header("x-forwarded-for", address)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "POST")
    };
    let mut limited = None;
    for _ in 0..20 {
        let answer = from("192.0.2.1", Method::GET, "/openapi.json").send().await;
        if answer.status == 429 {
            limited = Some(answer);
        }
        from("192.0.2.1", Method::GET, "/livez").send().await.expect_status(200);
        from("192.0.2.1", Method::OPTIONS, "/deposit").send().await.expect_status(200);
    }
    let limited = limited.expect("a limit").expect_problem(429, "too_many_requests");
    assert_says_when(&limited, "address");
    assert_eq!(limited.header("access-control-allow-origin"), Some("https://app.example.com"));
    from("192.0.2.2", Method::GET, "/openapi.json").send().await.expect_status(200);
    bank.close_with_books_right().await;
}
