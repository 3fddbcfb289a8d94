//! The OpenAPI document: current, unambiguous, and true of what the server answers.

use std::collections::BTreeSet;

use coffer::api::docs::openapi;
use coffer_core::money::DEFAULT_MAXIMUM;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, bank_tests};

const STORED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");

fn document() -> Value {
    openapi::document(DEFAULT_MAXIMUM)
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

/// Whether there is no other way in.
fn takes_token(operation: &Value) -> bool {
    let ways = operation["security"].as_array().expect("it is said of every operation");
    !ways.is_empty() && ways.iter().all(|way| way.get("bearer").is_some())
}

#[test]
fn the_stored_document_is_current() {
    let current = serde_json::to_string_pretty(&openapi::document(DEFAULT_MAXIMUM)).expect("JSON") + "\n";
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
                    found.insert(reference.trim_start_matches("#/components/").to_owned());
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
    let names = |kind: &str| {
        let names: Vec<_> = document["components"][kind].as_object().expect("components").keys().cloned().collect();
        names.into_iter().map(|name| format!("{kind}/{name}")).collect::<BTreeSet<_>>()
    };
    assert_eq!(used, &names("schemas") | &names("responses"));
}

#[test]
fn movements_are_shown_as_their_status_has_them() {
    let document = document();
    for (path, movement_type) in [("/deposit", "deposit"), ("/withdraw", "withdrawal"), ("/transfer", "transfer")] {
        for (status, shown, has_balance) in [("201", "posted", true), ("202", "pending_approval", false)] {
            let example =
                &document["paths"][path]["post"]["responses"][status]["content"]["application/json"]["example"];
            assert_eq!(
                (&example["type"], &example["status"]),
                (&json!(movement_type), &json!(shown)),
                "{path} {status}"
            );
            assert_eq!(example["balance"].is_string(), has_balance, "{path} {status}");
        }
    }
}

#[test]
fn every_operation_says_what_can_go_wrong() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        let name = format!("{method} {path}");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        let responses = operation["responses"].as_object().expect("responses");
        if takes_token(operation) {
            assert!(responses.contains_key("401"), "{name} needs a token and names no 401");
        }
        assert!(responses.contains_key("default"), "{name} has no default");
        for (status, response) in responses.iter().filter(|(status, _)| !status.starts_with(['1', '2', '3'])) {
            // Shared ones are components.
            let shared = response["$ref"].as_str().map(|pointer| document.pointer(pointer.trim_start_matches('#')));
            let response = shared.unwrap_or(Some(response)).unwrap_or_else(|| panic!("{name} {status}: {response}"));
            let problem = &response["content"]["application/problem+json"];
            assert_eq!(problem["schema"]["$ref"], "#/components/schemas/Problem", "{name} {status}");
            if status != "default" {
                assert_eq!(problem["example"]["status"].to_string(), *status, "{name}: an example of another status");
            }
        }
    }
}

/// What version 3.0 does not know: anything beside a reference, types that are lists, the type null, lists of examples in a schema.
fn newer_words(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let has_more_than_a_reference = members.get("$ref").is_some_and(Value::is_string) && members.len() > 1;
            if has_more_than_a_reference
                || members.get("type").is_some_and(|kind| kind.is_array() || kind == "null")
                || members.get("examples").is_some_and(Value::is_array)
            {
                found.push(path.to_owned());
            }
            members.iter().for_each(|(name, member)| newer_words(member, &format!("{path}/{name}"), found));
        }
        Value::Array(items) => items.iter().for_each(|item| newer_words(item, path, found)),
        _ => {}
    }
}

bank_tests! {
    async fn generators_of_version_3_0_have_the_same_document_in_their_words(bank: &TestBank) {
        let older = bank.get("/openapi-3.0.json").send().await.expect_status(200).body;
        assert_eq!(older["openapi"], "3.0.3");
        // Of which some of them make code that does not compile.
        assert!(!older.to_string().contains("deepObject") && !older.to_string().contains("propertyNames"));
        let mut found = Vec::new();
        newer_words(&older, "", &mut found);
        assert!(found.is_empty(), "{found:?}");
        let ids = |document: &Value| {
            operations(document).iter().map(|(_, _, operation)| operation["operationId"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(ids(&older), ids(&document()));
        let entry = &older["components"]["schemas"]["Transaction"];
        assert_eq!(
            (&entry["properties"]["counterparty"]["type"], &entry["properties"]["counterparty"]["nullable"]),
            (&json!("string"), &json!(true))
        );
        assert!(entry["required"].as_array().is_some_and(|names| names.contains(&json!("counterparty"))), "{entry}");
    }

    async fn the_server_serves_the_document_and_swagger_ui(bank: &TestBank) {
        let mut expected = document();
        // Generators want to know where the bank is.
        expected["servers"] = json!([{"url": format!("http://{}", bank.address)}]);
        assert_eq!(bank.get("/openapi.json").send().await.expect_status(200).body, expected);
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
        let stored =
            std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/postman/coffer.postman_collection.json"));
        let mut stored: Value = serde_json::from_str(&stored.expect("the collection")).expect("JSON");
        stored["variable"][0]["value"] = base_url(&answer);
        assert_eq!(answer.body, stored);
        for (host, expected) in
            [("bank.example:8443", "http://bank.example:8443"), ("evil;example", "http://127.0.0.1:8080")]
        {
            // Whoever is no trusted proxy cannot say how the client came.
            let request = bank.get("/postman.json").header("host", host).header("x-forwarded-proto", "https");
            assert_eq!(base_url(&request.send().await.expect_status(200)), expected, "{host}");
        }
    }

    async fn every_documented_route_exists_and_protected_ones_are_closed(bank: &TestBank) {
        let document = document();
        for (path, method, operation) in operations(&document) {
            let path = path
                .replace("{account_number}", "10000000000180")
                .replace("{id}", "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88");
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).expect("a method");
            let answer = bank.request(method.clone(), &path).send().await;
            let status = answer.status.as_u16();
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path} answers {status}");
            // An empty one says that the call may do without.
            let takes_token = takes_token(operation);
            if takes_token {
                answer.expect_problem(401, "missing_token");
            }
        }
    }

    async fn probes_and_metrics_answer(bank: &TestBank) {
        assert_eq!(bank.get("/livez").send().await.expect_status(200).body["status"], "ok");
        assert_eq!(bank.get("/readyz").send().await.expect_status(200).body["status"], "ok");
        let metrics = bank.get("/metrics").send().await.expect_status(200);
        assert!(
            metrics.body.as_str().is_some_and(|text| text.contains("coffer_http_requests_total")),
            "{}",
            metrics.body
        );
    }
}

/// What generated clients decode badly, and what people copy.
#[test]
fn answers_leave_no_doubt_and_examples_are_none_of_null() {
    fn look(value: &Value, path: &str, is_of_answer: bool, wrong: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                let required = members.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
                for (name, schema) in members.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    let choices = schema["oneOf"].as_array().cloned().unwrap_or_default();
                    let is_nullable = schema["type"].as_array().is_some_and(|types| types.contains(&"null".into()))
                        || choices.iter().any(|choice| choice["type"] == "null");
                    if is_of_answer && is_nullable && !required.contains(&name.as_str().into()) {
                        wrong.push(format!("{path}: {name} may be absent and null"));
                    }
                }
                if members.get("example").is_some_and(Value::is_null) {
                    wrong.push(format!("{path} has null for an example"));
                }
                members.iter().for_each(|(key, value)| look(value, &format!("{path}/{key}"), is_of_answer, wrong));
            }
            Value::Array(items) => items.iter().for_each(|item| look(item, path, is_of_answer, wrong)),
            _ => {}
        }
    }
    let document = document();
    let mut wrong = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        let is_asked = ["Request", "Item"].iter().any(|end| name.ends_with(end));
        look(schema, name, !is_asked, &mut wrong);
    }
    look(&document["paths"], "paths", false, &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_operation_describes_itself_and_says_whether_it_takes_a_token() {
    let document = document();
    for (path, method, operation) in operations(&document) {
        assert!(operation["description"].as_str().is_some_and(|text| !text.is_empty()), "{method} {path}");
        assert!(operation["security"].is_array(), "{method} {path}");
    }
}

#[test]
fn everything_that_clients_send_and_read_has_a_description() {
    fn look(document: &Value, value: &Value, path: &str, missing: &mut Vec<String>) {
        let says = |value: &Value| value["description"].as_str().is_some_and(|text| !text.is_empty());
        let target = |value: &Value| value["$ref"].as_str().and_then(|it| document.pointer(it.trim_start_matches('#')));
        match value {
            // What links and examples hold is sent, not described.
            Value::Object(members) => {
                for (key, member) in members.iter().filter(|(key, _)| !matches!(key.as_str(), "links" | "example")) {
                    let path = format!("{path}/{key}");
                    let parts: Vec<(&str, &Value)> = match (key.as_str(), member) {
                        ("requestBody", body) => vec![("", body)],
                        ("parameters", Value::Array(all)) => {
                            all.iter().map(|it| (it["name"].as_str().unwrap_or_default(), it)).collect()
                        }
                        ("responses" | "headers" | "schemas" | "properties", Value::Object(all)) => {
                            all.iter().map(|(name, it)| (name.as_str(), it)).collect()
                        }
                        _ => vec![],
                    };
                    let without = |(_, part): &(&str, &Value)| !says(part) && !target(part).is_some_and(says);
                    missing.extend(parts.into_iter().filter(without).map(|(name, _)| format!("{path}/{name}")));
                    look(document, member, &path, missing);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| look(document, item, path, missing)),
            _ => {}
        }
    }
    let document = document();
    let mut missing = Vec::new();
    look(&document, &document, "", &mut missing);
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

bank_tests! {
    with &["--max-amount", "1000000000000"];

    async fn the_pattern_of_amounts_is_that_of_the_limit_in_force(bank: &TestBank) {
        let served = bank.get("/openapi.json").send().await.expect_status(200).body;
        assert_eq!(served, {
            let mut expected = openapi::document(1_000_000_000_000);
            expected["servers"] = served["servers"].clone();
            expected
        });
        let pattern = served["components"]["schemas"]["MovementRequest"]["properties"]["amount"]["pattern"].as_str();
        let pattern = regex::Regex::new(pattern.expect("a pattern")).expect("a regular expression");
        assert!(pattern.is_match("1000000000000") && !pattern.is_match("10000000000000"), "{pattern}");
    }
}
