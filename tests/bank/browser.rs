//! What a browser is told, so that it does no harm on behalf of others.

use reqwest::Method;

use crate::databases::{Kind, TestDatabase};
use crate::harness::{Answer, TestBank, bank_tests};

fn assert_protected(answer: &Answer) {
    let policy = answer.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
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
        assert_protected(&bank.get("/swagger-ui/").send().await.expect_status(200));
    }

    async fn no_other_origin_may_call_unless_it_is_listed(bank: &TestBank) {
        let answer = bank.get("/livez").header("origin", "https://evil.example").send().await.expect_status(200);
        assert_eq!(answer.header("access-control-allow-origin"), None);
        assert_eq!(answer.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_origin_may_call_and_no_other() {
    let flags = ["--cors-origins", "https://app.example.com,http://localhost:3000"];
    let bank = TestBank::open_on(TestDatabase::create(Kind::Sqlite).await, &flags).await;
    for (origin, allowed) in [
        ("https://app.example.com", true),
        ("http://localhost:3000", true),
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
            assert_eq!(answer.header("access-control-allow-origin"), allowed.then_some(origin), "{origin}");
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    bank.close_with_books_right().await;
}
