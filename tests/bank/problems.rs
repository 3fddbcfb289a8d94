//! Every code is explained where a problem's `type` says.

use coffer_core::problem_code::ProblemCode;
use serde_json::json;

use crate::harness::bank_tests;

bank_tests! {
    async fn every_problems_type_leads_to_its_page(bank: &TestBank) {
        let list = bank.get("/problems").send().await.expect_status(200);
        assert_eq!(list.header("content-type"), Some("application/json"));
        let data = list.body["data"].as_array().expect("a list");
        assert_eq!(data.len(), ProblemCode::ALL.len());
        for (code, listed) in ProblemCode::ALL.iter().zip(data) {
            let shown = bank.get(&format!("/problems/{code}")).send().await.expect_status(200);
            assert_eq!(&shown.body, listed);
            assert_eq!(shown.body["code"], code.name());
        }
        // As a client would: from an error to its explanation.
        let refused = bank.get("/me").send().await.expect_problem(401, "missing_token");
        let page = bank.get(&refused.text_at("/type")).send().await.expect_status(200);
        assert_eq!((&page.body["code"], &page.body["title"]), (&json!("missing_token"), &refused.body["title"]));
    }

    async fn browsers_get_a_page_and_others_the_form_they_ask_for(bank: &TestBank) {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        for path in ["/problems", "/problems/amount_must_be_a_string"] {
            let page = bank.get(path).header("accept", browser).send().await.expect_status(200);
            assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
            assert_eq!(page.header("vary"), Some("Accept"));
            let policy = page.header("content-security-policy").expect("a policy");
            assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
            let page = page.body.as_str().expect("a page");
            assert!(page.starts_with("<!doctype html>") && page.contains("mount must be a string"), "{page}");
            assert!(["<style", "style=", "<script"].iter().all(|inline| !page.contains(inline)), "{page}");
            for (accept, kind) in [
                ("*/*", "application/json"),
                ("application/json", "application/json"),
                ("application/problem+json", "application/json"),
                ("text/html", "text/html; charset=utf-8"),
            ] {
                let answer = bank.get(path).header("accept", accept).send().await.expect_status(200);
                assert_eq!(answer.header("content-type"), Some(kind), "{accept}");
            }
            bank.get(path).header("accept", "image/png").send().await.expect_problem(406, "not_acceptable");
        }
        let quoted = bank.get("/problems/amount_must_be_a_string").header("accept", "text/html").send().await;
        assert!(quoted.body.as_str().is_some_and(|page| page.contains("&quot;100.50&quot;")), "{}", quoted.body);
    }

    async fn a_code_that_nobody_sends_is_not_found(bank: &TestBank) {
        for code in ["no_such_code", "%F0%9F%A6%80", "insufficient_funds%22", &"x".repeat(2_000)] {
            bank.get(&format!("/problems/{code}")).send().await.expect_problem(404, "problem_not_found");
        }
        bank.get("/problems/%FF").send().await.expect_problem(404, "path_not_found");
    }
}
