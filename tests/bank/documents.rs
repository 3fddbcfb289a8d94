//! The OpenAPI document: current, unambiguous, and true of what the server answers.

use std::collections::BTreeSet;

use coffer::api::docs::openapi;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, bank_tests};

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

fn document() -> Value {
    openapi::document()
}

/// Every operation with its path and method.
fn operations(document: &Value) -> Vec<(String, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let of_path = |(path, item): (&String, &'_ Value)| -> Vec<(String, String)> {
        item.as_object().expect("an item").keys().map(|method| (path.clone(), method.clone())).collect()
    };
    let named = paths.iter().flat_map(of_path);
    named.map(|(path, method)| (path.clone(), method.clone(), &document["paths"][&path][&method])).collect()
}

#[test]
fn the_stored_document_is_current() {
    let current = serde_json::to_string_pretty(&openapi::document()).expect("JSON") + "\n";
    let stored = std::fs::read_to_string(STORED).unwrap_or_default();
    assert!(
        stored == current,
        "openapi/openapi.json is stale; `cargo run -- openapi > openapi/openapi.json` renews it"
    );
}

#[test]
fn operation_ids_are_unique() {
    let document = document();
    let ids: Vec<_> = operations(&document).iter().map(|(_, _, operation)| operation["operationId"].clone()).collect();
    let unique: BTreeSet<_> = ids.iter().map(Value::to_string).collect();
    assert_eq!(ids.len(), unique.len(), "{ids:?}");
    assert!(ids.iter().all(Value::is_string));
}

#[test]
fn every_reference_has_its_schema_and_every_schema_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.trim_start_matches("#/components/schemas/").to_owned());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = document();
    let mut used = BTreeSet::new();
    references(&document, &mut used);
    let defined: BTreeSet<_> =
        document["components"]["schemas"].as_object().expect("schemas").keys().cloned().collect();
    assert_eq!(used, defined);
}

#[test]
fn every_operation_says_what_can_go_wrong() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        let responses = operation["responses"].as_object().expect("responses");
        if operation["security"].is_array() {
            assert!(responses.contains_key("401"), "{name} needs a token and names no 401");
        }
        for (status, response) in responses.iter().filter(|(status, _)| status.starts_with(['4', '5'])) {
            let schema = &response["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(schema, "#/components/schemas/Problem", "{name} {status}");
        }
    }
}

bank_tests! {
    async fn the_server_serves_the_document_and_swagger_ui(bank: &TestBank) {
        assert_eq!(bank.get("/openapi.json").send().await.expect_status(200).body, document());
        let page = bank.get("/swagger-ui/").send().await.expect_status(200);
        assert!(page.body.as_str().is_some_and(|page| page.contains("swagger-ui")), "{}", page.body);
        let script = bank.get("/swagger-ui/swagger-initializer.js").send().await.expect_status(200);
        assert!(script.body.as_str().is_some_and(|script| script.contains("persistAuthorization: true")));
    }

    async fn the_postman_collection_comes_with_the_address_it_was_asked_at(bank: &TestBank) {
        let base_url = |answer: &Answer| {
            let variables = answer.body["variable"].as_array().expect("variables").clone();
            variables.iter().find(|variable| variable["key"] == "base_url").expect("the address")["value"].clone()
        };
        let answer = bank.get("/postman.json").send().await.expect_status(200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(base_url(&answer), format!("http://{}", bank.address));
        // Nothing else differs from the file.
        let stored = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/postman/coffer.postman_collection.json"));
        let mut stored: Value = serde_json::from_str(&stored.expect("the collection")).expect("JSON");
        stored["variable"][0]["value"] = base_url(&answer);
        assert_eq!(answer.body, stored);
        for (host, expected) in [
            ("bank.example:8443", "http://bank.example:8443"),
            ("evil;example", "http://127.0.0.1:8080"),
        ] {
            // Whoever is no trusted proxy cannot say how the client came.
            let request = bank.get("/postman.json").header("host", host).header("x-forwarded-proto", "https");
            assert_eq!(base_url(&request.send().await.expect_status(200)), expected, "{host}");
        }
    }

    async fn every_documented_route_exists_and_protected_ones_are_closed(bank: &TestBank) {
        let document = document();
        for (path, method, operation) in operations(&document) {
            let path = path.replace("{account_number}", "10000000000180").replace("{id}", "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let answer = bank.request(method.clone(), &path).send().await;
            let status = answer.status.as_u16();
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path} answers {status}");
            // An empty one says that the call may do without.
            let takes_token = operation["security"].as_array().is_some_and(|ways| ways.iter().all(|way| way.get("bearer").is_some()));
            if takes_token {
                answer.expect_problem(401, "missing_token");
            }
        }
    }

    async fn probes_and_metrics_answer(bank: &TestBank) {
        assert_eq!(bank.get("/livez").send().await.expect_status(200).body["status"], "ok");
        assert_eq!(bank.get("/readyz").send().await.expect_status(200).body["status"], "ok");
        let metrics = bank.get("/metrics").send().await.expect_status(200);
        assert!(metrics.body.as_str().is_some_and(|text| text.contains("coffer_http_requests_total")), "{}", metrics.body);
    }
}
