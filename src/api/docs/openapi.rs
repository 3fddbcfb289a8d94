//! The OpenAPI document, made from the handlers.

use std::sync::Arc;

use axum::Router;
use axum::http::HeaderMap;
use axum::routing::{MethodRouter, get};
use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::info::{ContactBuilder, InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, Ref, RefOr, Response, ServerBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::api::docs::addressed::{ADDRESS, AddressedDocument};
use crate::api::docs::static_file::REVALIDATE;
use crate::api::docs::{examples, links, problem_responses, refine, scalars, version_3_0};
use crate::api::http::bank_address::BankAddress;
use crate::api::http::problem::{FieldError, Problem};
use crate::api::{App, router};

const DESCRIPTION: &str = "\
A bank in one binary: accounts, deposits, withdrawals, transfers, balances and history over a double-entry ledger.

**Try it**: `POST /create_account`, `POST /login`, then `POST /deposit`. In Swagger UI the examples work as they stand: \
whoever signs in there is authorized, your own accounts take the place of the account numbers, and what you have been \
shown last that of the ids. Only tokens and codes have to be filled in.

Amounts are decimal strings (`\"100.50\"`), never JSON numbers. Every error is a problem document (RFC 9457) with a \
stable `code` and a sentence that says what to send instead. Send an `Idempotency-Key` with each movement of money and \
a request that is sent twice moves money once.";

/// In the order a newcomer needs them.
const TAGS: [(&str, &str); 10] = [
    ("Sign in", "Become a customer, sign in, stay signed in, sign out"),
    ("Money", "Pay in, take out, send, and see what is there"),
    ("History", "Every movement, with the balance after it"),
    ("Accounts", "Open, name and close accounts"),
    ("Profile", "The caller's own data, password and sessions"),
    ("API keys", "Let programs call in your name"),
    ("Staff", "For those who work at the bank: look people up, freeze, approve, give roles, read the audit log"),
    ("Webhooks", "Have events sent to your programs"),
    ("Problems", "What each error code means, and what to do"),
    ("Operations", "For those who run the bank"),
];

/// The document that `coffer openapi` prints and `/openapi.json` serves, of a bank where one movement may be
/// `maximum_major_units` at most.
pub fn document(maximum_major_units: i64) -> Value {
    complete(router::documented_routes().into_openapi(), maximum_major_units)
}

/// Adds what belongs to every operation: descriptions, the bearer scheme, the problems that any of its kind can answer,
/// and links.
fn complete(mut document: OpenApi, maximum_major_units: i64) -> Value {
    document.info = InfoBuilder::new()
        .title("Coffer")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .contact(Some(ContactBuilder::new().name(Some("Coffer")).build()))
        .license(Some(LicenseBuilder::new().name("MIT").identifier(Some("MIT")).build()))
        .build();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    document.tags =
        Some(TAGS.map(|(name, text)| TagBuilder::new().name(name).description(Some(text)).build()).to_vec());

    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.schemas.insert(FieldError::name().into_owned(), FieldError::schema());
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "The access_token of POST /login, or an API key. Paste it alone, without the word Bearer: it is added for you.",
        ))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));

    for item in document.paths.paths.values_mut() {
        item.get.iter_mut().for_each(|operation| add_problems(operation, false));
        let changing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        changing.into_iter().flatten().for_each(|operation| add_problems(operation, true));
    }
    links::add(&mut document);
    let mut document = scalars::inline(document, maximum_major_units);
    refine::complete(&mut document);
    examples::add(&mut document);
    problem_responses::complete(&mut document);
    document["webhooks"] = webhooks();
    document
}

/// The requests that the bank makes to the URLs of webhooks.
fn webhooks() -> Value {
    let header = |name: &str, description: &str, example: &str| {
        json!({"name": name, "in": "header", "required": true, "description": description,
               "schema": {"type": "string", "examples": [example]}})
    };
    // Not behind a reference: some generators leave out what no path refers to, and then miss it here.
    let message = json!({
        "type": "object",
        "required": ["type", "timestamp", "data"],
        "properties": {
            "type": {"$ref": "#/components/schemas/EventKind"},
            "timestamp": {"type": "string", "format": "date-time", "description": "When it happened."},
            "data": {"$ref": "#/components/schemas/Event"},
        },
    });
    json!({"event": {"post": {
        "operationId": "receive_event",
        "tags": ["Webhooks"],
        "summary": "Receive an event",
        "description": "Sent to the URL of each webhook that wants this type, by the Standard Webhooks specification: check the \
                        signature with one of its libraries, note the id, answer with any 2xx within 15 seconds.",
        "parameters": [
            header("webhook-id", "The id of the event, the same whenever it is sent", "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88"),
            header("webhook-timestamp", "When it is sent, in seconds since 1970", "1795939200"),
            header("webhook-signature", "Signatures of `id.timestamp.body` with a space between them: `v1` by HMAC-SHA256, \
                    `v1a` by Ed25519; by the former secret, too, while it changes",
                   "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg=="),
        ],
        "requestBody": {"required": true, "description": "The event", "content": {"application/json": {
            "schema": message,
        }}},
        "responses": {"2XX": {"description": "Taken: it does not come again"}},
        "security": [],
    }}})
}

/// The document at `/openapi.json`, and in the words of version 3.0 at `/openapi-3.0.json`, for generators that know no
/// later one.
pub fn routes(maximum_major_units: i64) -> Router<App> {
    let newest = served(move || document(maximum_major_units));
    let older = served(move || version_3_0::of(document(maximum_major_units)));
    Router::new().route("/openapi.json", newest).route("/openapi-3.0.json", older)
}

/// The document with the address that was asked as its server.
fn served(make: impl FnOnce() -> Value + Send + 'static) -> MethodRouter<App> {
    let make = || {
        let mut document = make();
        document["servers"] = json!([{"url": ADDRESS}]);
        document.to_string()
    };
    let document = Arc::new(AddressedDocument::new(make, "/"));
    get(async move |address: BankAddress, headers: HeaderMap| document.at(address).answer(&headers, REVALIDATE))
}

/// The problems that follow from what the operation takes, and the body of those that its handler names.
fn add_problems(operation: &mut Operation, changes_something: bool) {
    let takes_body = operation.request_body.is_some();
    let takes_parameters = operation.parameters.as_ref().is_some_and(|parameters| !parameters.is_empty());
    let takes_token = operation.security.as_ref().is_some_and(|security| !security.is_empty());
    // Said of every operation: of those that take no token, that they take none.
    operation.security.get_or_insert_default();
    let is_probe = operation.tags.as_ref().is_some_and(|tags| tags.iter().any(|tag| tag == "Operations"));
    let mut add = |status: &str, description: &str| {
        let responses = &mut operation.responses.responses;
        responses.entry(status.to_owned()).or_insert_with(|| Response::new(description).into());
    };
    if takes_body {
        add("400", "The body is not JSON, or did not arrive whole; or this is no request as HTTP/1.1 has it");
        add("408", "The body took too long to arrive");
        add(
            "413",
            "The body is larger than this call takes: 4 KiB for passwords and tokens, 2 MB for batches, else 24 KiB",
        );
        add("415", "The body is not declared as application/json, or is compressed");
    }
    add("400", "Not a request as HTTP/1.1 has it: no Host header, several, or none that is a host");
    if takes_token {
        add("401", "No access token, or one that does not count (any more)");
    }
    if takes_token && changes_something {
        add("403", "Not for the caller's role, or the bank has frozen the caller");
    }
    if takes_body || takes_parameters {
        add("422", "A field, parameter or header is not what it should be; `errors` says which and why");
    }
    add("429", "Too often; try again after `Retry-After` seconds");
    if !is_probe {
        add("500", "A failure of the bank, which its log explains under the same `request_id`");
        add("503", "The bank is busy or its database does not answer; try again after `Retry-After` seconds");
    }
    if changes_something {
        add("507", "The disk that holds the books has too little room: nothing was written");
        add(
            "504",
            "The database did not say whether it was done. With an `Idempotency-Key` send it again, otherwise look",
        );
    }
    for (status, response) in &mut operation.responses.responses {
        if let RefOr::T(response) = response
            && (status.starts_with('4') || status.starts_with('5'))
        {
            let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem"))).build();
            *response = ResponseBuilder::new()
                .description(response.description.clone())
                .content("application/problem+json", body)
                .build();
        }
    }
}
