//! The web app: the files of `web/`, which the binary carries.

use axum::body::Body;
use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rust_embed::Embed;

use crate::api::http::problem::Error;
use crate::problem_code::ProblemCode;

/// Of a debug build, as they are on the disk; of a release build, as they were when it was built.
#[derive(Embed)]
#[folder = "web/"]
struct Files;

/// `GET /`: the page that loads the rest.
pub async fn index(headers: HeaderMap) -> Response {
    answer("index.html", &headers)
}

/// `GET /web/{path}`
pub async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response {
    answer(&path, &headers)
}

fn answer(path: &str, headers: &HeaderMap) -> Response {
    let Some(file) = Files::get(path) else {
        return Error::not_found(ProblemCode::PathNotFound, "There is nothing at this path.").into_response();
    };
    let tag = format!("\"{}\"", hex::encode(file.metadata.sha256_hash()));
    // The next release may change any of them, so a browser asks each time, and mostly hears "not modified".
    let caching = [(ETAG, tag.clone()), (CACHE_CONTROL, "no-cache".to_owned())];
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag) {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    (caching, [(CONTENT_TYPE, content_type(path))], Body::from(file.data)).into_response()
}

/// Browsers do not guess: they are told not to.
fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    }
}
