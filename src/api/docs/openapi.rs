//! The OpenAPI document, made from the handlers, and Swagger UI.

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{Path, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::{Redirect, Response as HttpResponse};
use axum::routing::get;
use axum::{Extension, Router};
use serde_json::Value;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::info::{ContactBuilder, InfoBuilder, LicenseBuilder};
use utoipa::openapi::path::Operation;
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{OpenApi, Ref, RefOr, Response, ServerBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::api::docs::static_file::{REVALIDATE, StaticFile};
use crate::api::docs::{links, refine, scalars};
use crate::api::http::problem::{Error, FieldError, Problem, Result};
use crate::api::{App, router};
use crate::connection::Peer;
use crate::problem_code::ProblemCode;

const DESCRIPTION: &str = "\
A bank in one binary: accounts, deposits, withdrawals, transfers, balances and history over a double-entry ledger.

**Try it**: `POST /create_account`, `POST /login`, copy the `access_token` into *Authorize*, then `POST /deposit`. \
The examples work as they stand: in Swagger UI their account number is replaced by your own.

Amounts are decimal strings (`\"100.50\"`), never JSON numbers. Every error is a problem document (RFC 9457) with a \
stable `code` and a sentence that says what to send instead. Send an `Idempotency-Key` with each movement of money and \
a request that is sent twice moves money once.";

/// The Postman collection, and its variable that says where the bank is.
const POSTMAN: &str = include_str!("../../../postman/coffer.postman_collection.json");
const POSTMAN_BASE_URL: &str = "\"key\": \"base_url\",\n      \"value\": \"http://127.0.0.1:8080\"";
/// Collections that are kept, each for another address of the bank. It has one or two; a client may make up any number.
const MAX_COLLECTIONS: usize = 8;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// In the order a newcomer needs them.
const TAGS: [(&str, &str); 8] = [
    ("Sign in", "Become a customer, sign in, stay signed in, sign out"),
    ("Money", "Pay in, take out, send, and see what is there"),
    ("History", "Every movement, with the balance after it"),
    ("Accounts", "Open, name and close accounts"),
    ("Profile", "The caller's own data, password and sessions"),
    ("Staff", "For those who work at the bank: look people up, freeze, approve, give roles, read the audit log"),
    ("Problems", "What each error code means, and what to do"),
    ("Operations", "For those who run the bank"),
];

/// The document that `coffer openapi` prints and `/openapi.json` serves.
pub fn document() -> Value {
    complete(router::documented_routes().into_openapi())
}

/// Adds what belongs to every operation: descriptions, the bearer scheme, the problems that any of its kind can answer,
/// and links.
pub fn complete(mut document: OpenApi) -> Value {
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
        .description(Some("Paste the access_token alone, without the word Bearer: it is added for you."))
        .build();
    components.add_security_scheme("bearer", SecurityScheme::Http(bearer));

    for item in document.paths.paths.values_mut() {
        item.get.iter_mut().for_each(|operation| add_problems(operation, false));
        let changing = [&mut item.post, &mut item.put, &mut item.patch, &mut item.delete];
        changing.into_iter().flatten().for_each(|operation| add_problems(operation, true));
    }
    links::add(&mut document);
    let mut document = scalars::inline(document);
    refine::complete(&mut document);
    document
}

/// The document at `/openapi.json` and, if `with_swagger_ui`, Swagger UI at `/swagger-ui/`.
pub fn pages(document: &Value, with_swagger_ui: bool) -> Router<App> {
    let document = StaticFile::new(JSON, document.to_string());
    let page = Router::new()
        .route("/openapi.json", get(async move |headers: HeaderMap| document.answer(&headers, REVALIDATE)));
    if !with_swagger_ui {
        return page;
    }
    let files = SwaggerFiles::default();
    let index = files.clone();
    page.route("/swagger-ui", get(async || Redirect::to("/swagger-ui/")))
        .route("/swagger-ui/", get(async move |headers: HeaderMap| index.answer("index.html", &headers)))
        .route(
            "/swagger-ui/{*path}",
            get(async move |Path(path): Path<String>, headers: HeaderMap| files.answer(&path, &headers)),
        )
}

/// The files of Swagger UI, each compressed when it is first asked for: most banks are never asked.
#[derive(Clone, Default)]
struct SwaggerFiles(Arc<Mutex<HashMap<String, StaticFile>>>);

impl SwaggerFiles {
    fn answer(&self, path: &str, headers: &HeaderMap) -> Result<HttpResponse> {
        // Held while a file is compressed, so that it is done once.
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = made.get(path) {
            return Ok(file.answer(headers, REVALIDATE));
        }
        let file = swagger_file(path)?;
        made.insert(path.to_owned(), file.clone());
        Ok(file.answer(headers, REVALIDATE))
    }
}

/// With settings of our own: the token survives a reload of the page.
fn swagger_file(path: &str) -> Result<StaticFile> {
    if path == "swagger-initializer.js" {
        let script = include_str!("swagger-initializer.js");
        return Ok(StaticFile::new(HeaderValue::from_static("text/javascript; charset=utf-8"), script));
    }
    let nothing = || Error::not_found(ProblemCode::PathNotFound, "There is nothing at this path.");
    let file = utoipa_swagger_ui::serve(path, Arc::default()).ok().flatten().ok_or_else(nothing)?;
    let content_type = HeaderValue::from_str(&file.content_type).map_err(|error| Error::Internal(error.to_string()))?;
    Ok(StaticFile::new(content_type, file.bytes.into_owned()))
}

/// The Postman collection
///
/// Import its address into Postman. Its variable `base_url` is the address that you asked at.
#[utoipa::path(
    get,
    path = "/postman.json",
    operation_id = "postman",
    tag = "Operations",
    responses((status = OK, description = "A collection, version 2.1", body = serde_json::Value))
)]
pub async fn postman(
    State(app): State<App>,
    peer: Option<Extension<Peer>>,
    uri: Uri,
    headers: HeaderMap,
) -> HttpResponse {
    let scheme = app.edge.scheme(peer.map(|peer| peer.0.address), &headers);
    let address = asked_at(&uri, &headers).map(|host| format!("{scheme}://{host}"));
    collection(address).answer(&headers, REVALIDATE)
}

/// The collection for a bank at this address, made once while few addresses are asked at.
fn collection(address: Option<String>) -> StaticFile {
    static MADE: Mutex<Vec<(Option<String>, StaticFile)>> = Mutex::new(Vec::new());
    let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, file)) = made.iter().find(|(known, _)| *known == address) {
        return file.clone();
    }
    let text = match &address {
        Some(address) => {
            let value = format!("\"key\": \"base_url\",\n      \"value\": \"{address}\"");
            POSTMAN.replacen(POSTMAN_BASE_URL, &value, 1)
        }
        None => POSTMAN.to_owned(),
    };
    let file = StaticFile::new(JSON, text);
    if made.len() == MAX_COLLECTIONS {
        made.remove(0);
    }
    made.push((address, file.clone()));
    file
}

/// The host, with its port, that the client believes to be talking to: nothing but a name or an address, because whoever
/// gets the collection sends passwords there.
fn asked_at(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (Some(authority), _, _) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        _ => return None,
    };
    let authority = Authority::from_str(host).ok().filter(|authority| authority.as_str() == host)?;
    let (name, port) = (authority.host(), authority.port_u16());
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_good = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
    };
    let whole = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    (is_good && whole == host).then_some(whole)
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
            "The body is larger than this call takes: 4 KiB for passwords and tokens, 2 MB for batches, else 16 KiB",
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

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_collection_says_once_where_the_bank_is() {
        assert_eq!(POSTMAN.matches(POSTMAN_BASE_URL).count(), 1);
    }

    #[test]
    fn only_a_plain_host_is_repeated() {
        let asked = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header"));
            asked_at(&Uri::from_static("/postman.json"), &headers)
        };
        for good in ["bank.example", "bank.example:8443", "127.0.0.1:8080", "[::1]:8080", "[2001:db8::1]", "localhost"]
        {
            assert_eq!(asked(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "user@bank.example",
            "user:word@bank.example",
            "bank.example/path",
            "bank.example\"",
            "bank.example:99999",
            "bank.example:",
            "bank example",
            "[::1",
            "[evil]:80",
            "bank_example",
            "bank.example?x",
            "a,b",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
        assert_eq!(asked_at(&Uri::from_static("/postman.json"), &HeaderMap::new()), None);
    }
}
