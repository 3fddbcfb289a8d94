//! Problems in the OpenAPI document. A response that many operations share is written once, with an example. Every operation
//! has a `default`, for clients that only need to know that a problem came.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use super::examples;
use coffer_core::problem_code::ProblemCode;

pub const MEDIA_TYPE: &str = "application/problem+json";
/// A response that at least this many operations have becomes a component.
const MANY: usize = 3;
const DEFAULT: &str = "AnyProblem";

/// The headers of a status, with what each says.
const HEADERS: &[(StatusCode, &str, &str)] = &[
    (
        StatusCode::UNAUTHORIZED,
        "WWW-Authenticate",
        "How to show who calls (RFC 6750), or that it must be shown again (RFC 9470)",
    ),
    (StatusCode::PRECONDITION_FAILED, "ETag", "The version that there is"),
    (StatusCode::TOO_MANY_REQUESTS, "Retry-After", "In so many seconds there is room again"),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "RateLimit",
        "What is left of the limit: its name, `r` remaining, `t` seconds to the next",
    ),
    (StatusCode::TOO_MANY_REQUESTS, "RateLimit-Policy", "The limit: its name, `q` requests in `w` seconds"),
    (StatusCode::SERVICE_UNAVAILABLE, "Retry-After", "In so many seconds it may be tried again"),
];

/// Completes the problems of every operation.
pub fn complete(document: &mut Value) {
    for_each_problem(document, &mut add_headers);
    let shared = shared(document);
    for_each_problem(document, &mut |_, status, response| {
        if shared.get(&status) == Some(response) {
            *response = json!({"$ref": format!("#/components/responses/{}", name(status))});
        }
    });
    let mut components: Map<String, Value> =
        shared.into_iter().map(|(status, response)| (name(status), response)).collect();
    components.insert(DEFAULT.to_owned(), any_problem());
    components.sort_keys();
    document["components"]["responses"] = Value::Object(components);
    for_each_responses(document, &mut |_, responses| {
        responses.insert("default".to_owned(), json!({"$ref": format!("#/components/responses/{DEFAULT}")}));
    });
}

fn add_headers(_operation: &str, status: StatusCode, response: &mut Value) {
    for &(_, name, description) in HEADERS.iter().filter(|header| header.0 == status) {
        response["headers"][name] = json!({"description": description, "schema": {"type": "string"}});
    }
}

/// The most common response of each status, if at least [`MANY`] operations have it.
fn shared(document: &mut Value) -> HashMap<StatusCode, Value> {
    let mut counts: HashMap<StatusCode, Vec<(Value, usize)>> = HashMap::new();
    for_each_problem(document, &mut |_, status, response| {
        let of_status = counts.entry(status).or_default();
        match of_status.iter_mut().find(|(known, _)| known == response) {
            Some((_, count)) => *count += 1,
            None => of_status.push((response.clone(), 1)),
        }
    });
    let most = |of_status: Vec<(Value, usize)>| of_status.into_iter().max_by_key(|(_, count)| *count);
    let many = |(status, of_status)| most(of_status).filter(|(_, count)| *count >= MANY).map(|(it, _)| (status, it));
    counts.into_iter().filter_map(many).collect()
}

/// `TooManyRequests`
fn name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Problem").replace(' ', "")
}

fn any_problem() -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    let example = examples::problem(StatusCode::METHOD_NOT_ALLOWED, ProblemCode::MethodNotAllowed);
    json!({"description": "Any other problem", "content": {MEDIA_TYPE: {"schema": schema, "example": example}}})
}

/// With the id of the operation.
pub fn for_each_responses(document: &mut Value, change: &mut impl FnMut(&str, &mut Map<String, Value>)) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for operation in paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
        if let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) {
            change(&id, responses);
        }
    }
}

/// With the id of the operation and the status of the problem. A response that is a reference is passed over.
pub fn for_each_problem(document: &mut Value, change: &mut impl FnMut(&str, StatusCode, &mut Value)) {
    let is_problem = |status: &StatusCode| status.is_client_error() || status.is_server_error();
    for_each_responses(document, &mut |operation, responses| {
        for (status, response) in responses.iter_mut().filter(|(_, response)| response.get("$ref").is_none()) {
            if let Some(status) = status.parse().ok().filter(is_problem) {
                change(operation, status, response);
            }
        }
    });
}
