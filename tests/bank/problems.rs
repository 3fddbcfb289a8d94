//! Every code that can be sent is explained, and the explanation is where a problem's `type` says.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use coffer::api::http::problem_codes::{self, KINDS};
use serde_json::{Value, json};

use crate::harness::bank_tests;

/// What looks like a code in the source and is none, nor the name of a field or operation of the API.
const NO_CODES: [&str; 2] = ["snake_case", "transaction_id"];

/// Every source file that may name a code: those that know the database, the settings and the operations
/// by name say other things.
fn sources() -> Vec<PathBuf> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            match path.extension() {
                None => walk(&path, found),
                Some(extension) if extension == "rs" => found.push(path),
                _ => {}
            }
        }
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    walk(&source, &mut found);
    let elsewhere =
        ["db", "cli", "config", "config.rs", "main.rs", "problems.rs", "api/links.rs"].map(|name| source.join(name));
    found.retain(|path| !elsewhere.iter().any(|other| path.starts_with(other)));
    found
}

/// Strings that look like a code, or that begin with one and a colon, as the parsers write their errors.
fn code_like(source: &str) -> BTreeSet<String> {
    let is_word = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_code = |text: &str| text.contains('_') && text.split('_').all(is_word);
    let mut found = BTreeSet::new();
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        let mut pieces = line.split('"');
        let mut before = pieces.next().unwrap_or_default();
        while let (Some(text), rest) = (pieces.next(), pieces.next()) {
            let text = text.split(": ").next().unwrap_or_default();
            if is_code(text) && !before.trim_end().ends_with("operation_id =") && !text.starts_with("coffer_") {
                found.insert(text.to_owned());
            }
            before = rest.unwrap_or_default();
        }
    }
    found
}

/// The names of fields and parameters in the OpenAPI document.
fn field_names(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::Object(properties)) = members.get("properties") {
                found.extend(properties.keys().cloned());
            }
            if let (Some(Value::String(name)), true) = (members.get("name"), members.contains_key("in")) {
                found.insert(name.clone());
            }
            members.values().for_each(|member| field_names(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| field_names(item, found)),
        _ => {}
    }
}

#[test]
fn every_code_in_the_source_is_explained_and_none_that_is_not_there() {
    let mut fields = BTreeSet::new();
    field_names(&serde_json::to_value(coffer::api::docs::openapi::document()).expect("a document"), &mut fields);
    let mut named = BTreeSet::new();
    for path in sources() {
        named.extend(code_like(&std::fs::read_to_string(path).expect("a source file")));
    }
    let is_code = |text: &&String| !fields.contains(*text) && !NO_CODES.contains(&text.as_str());
    let unexplained: Vec<_> = named.iter().filter(is_code).filter(|code| problem_codes::kind(code).is_none()).collect();
    assert!(
        unexplained.is_empty(),
        "src/api/http/problem_codes.rs does not explain {unexplained:?}; what is no code goes to NO_CODES"
    );
    let gone: Vec<_> = KINDS.iter().map(|kind| kind.code).filter(|code| !named.contains(*code)).collect();
    assert!(gone.is_empty(), "nothing sends {gone:?} any more");
}

bank_tests! {
    async fn every_problems_type_leads_to_its_page(bank: &TestBank) {
        let list = bank.get("/problems").send().await.expect_status(200);
        assert_eq!(list.header("content-type"), Some("application/json"));
        let data = list.body["data"].as_array().expect("a list");
        assert_eq!(data.len(), KINDS.len());
        for (kind, listed) in KINDS.iter().zip(data) {
            let shown = bank.get(&format!("/problems/{}", kind.code)).send().await.expect_status(200);
            assert_eq!(&shown.body, listed);
            assert_eq!(shown.body["code"], kind.code);
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
