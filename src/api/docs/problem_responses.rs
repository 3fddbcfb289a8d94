//! Problems in the OpenAPI document. A response that many operations share is written once, with an example. Every operation
//! has a `default`, for clients that only need to know that a problem came.

use std::collections::HashMap;

use axum::http::StatusCode;
use serde_json::{Map, Value, json};

use crate::api::http::problem::FieldError;
use crate::problem_code::ProblemCode;

const MEDIA_TYPE: &str = "application/problem+json";
/// A response that at least this many operations have becomes a component.
const MANY: usize = 3;
const DEFAULT: &str = "AnyProblem";

/// The example of each shared response, by its status.
const EXAMPLES: &[(StatusCode, ProblemCode)] = &[
    (StatusCode::BAD_REQUEST, ProblemCode::MalformedJson),
    (StatusCode::UNAUTHORIZED, ProblemCode::InvalidToken),
    (StatusCode::FORBIDDEN, ProblemCode::RoleRequired),
    (StatusCode::NOT_FOUND, ProblemCode::AccountNotFound),
    (StatusCode::REQUEST_TIMEOUT, ProblemCode::RequestTimeout),
    (StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge),
    (StatusCode::UNSUPPORTED_MEDIA_TYPE, ProblemCode::UnsupportedMediaType),
    (StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::MissingField),
    (StatusCode::TOO_MANY_REQUESTS, ProblemCode::TooManyRequests),
    (StatusCode::INTERNAL_SERVER_ERROR, ProblemCode::InternalError),
    (StatusCode::SERVICE_UNAVAILABLE, ProblemCode::DatabaseUnavailable),
    (StatusCode::GATEWAY_TIMEOUT, ProblemCode::OutcomeUnknown),
    (StatusCode::INSUFFICIENT_STORAGE, ProblemCode::DiskFull),
];

/// Completes the problems of every operation.
pub fn complete(document: &mut Value) {
    let shared = shared(document);
    for_each_problem(document, &mut |status, response| {
        if shared.get(&status) == Some(response) {
            *response = json!({"$ref": format!("#/components/responses/{}", name(status))});
        }
    });
    let mut components: Map<String, Value> =
        shared.into_iter().map(|(status, response)| (name(status), with_example(status, response))).collect();
    components.insert(DEFAULT.to_owned(), any_problem());
    components.sort_keys();
    document["components"]["responses"] = Value::Object(components);
    for_each_responses(document, &mut |responses| {
        responses.insert("default".to_owned(), json!({"$ref": format!("#/components/responses/{DEFAULT}")}));
    });
}

/// The most common response of each status, if at least [`MANY`] operations have it.
fn shared(document: &mut Value) -> HashMap<StatusCode, Value> {
    let mut counts: HashMap<StatusCode, Vec<(Value, usize)>> = HashMap::new();
    for_each_problem(document, &mut |status, response| {
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

/// Adds the example of the status. Only shared responses get one: a response that one operation describes for itself means
/// another problem of that status.
fn with_example(status: StatusCode, mut response: Value) -> Value {
    let example = EXAMPLES.iter().find(|(example, _)| *example == status).map(|&(_, code)| example(status, code));
    let content = response.pointer_mut(&format!("/content/{}", MEDIA_TYPE.replace('/', "~1")));
    if let (Some(content), Some(example)) = (content, example) {
        content["example"] = example;
    }
    response
}

/// `TooManyRequests`
fn name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Problem").replace(' ', "")
}

fn any_problem() -> Value {
    let schema = json!({"$ref": "#/components/schemas/Problem"});
    json!({"description": "Any other problem", "content": {MEDIA_TYPE: {"schema": schema}}})
}

fn example(status: StatusCode, code: ProblemCode) -> Value {
    let mut problem = json!({
        "type": format!("/problems/{code}"),
        "title": code.title(),
        "status": status.as_u16(),
        "detail": format!("{} {}", code.what_happened(), code.what_to_do()),
        "code": code,
        "request_id": "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88",
    });
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        problem["errors"] = json!([FieldError::new("/amount", code, code.what_to_do())]);
    }
    problem
}

fn for_each_responses(document: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    let Some(paths) = document.get_mut("paths").and_then(Value::as_object_mut) else { return };
    let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
    operations.filter_map(|operation| operation.get_mut("responses")?.as_object_mut()).for_each(change);
}

fn for_each_problem(document: &mut Value, change: &mut impl FnMut(StatusCode, &mut Value)) {
    for_each_responses(document, &mut |responses| {
        for (status, response) in responses.iter_mut() {
            if let Some(status) =
                status.parse().ok().filter(|it: &StatusCode| it.is_client_error() || it.is_server_error())
            {
                change(status, response);
            }
        }
    });
}
