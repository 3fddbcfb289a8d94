//! The web app: the files of `web/`, which the binary carries.
//!
//! They are modules and style sheets that a browser could load one by one, some fifty of them. Instead it gets two files,
//! which are put together here ([`bundle`]): no tool is needed to build the bank, and no generated file can be stale.

mod bundle;

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, Uri};
use axum::response::Response;
use rust_embed::Embed;

use crate::api::docs::static_file::{IMMUTABLE, REVALIDATE, StaticFile};
use crate::api::http::error::{Error, Result};
use coffer_core::problem_code::ProblemCode;

/// Of a debug build, as they are on the disk; of a release build, as they were when it was built.
#[derive(Embed)]
#[folder = "web/"]
struct Files;

/// The page, the only file whose address does not change with its content.
const INDEX: &str = "index.html";
/// What the modules and the style sheets are put together into.
const SCRIPT: &str = "app.js";
const STYLE: &str = "ui/style/app.css";

/// `GET /`: the page that loads the rest.
pub async fn index(headers: HeaderMap) -> Result<Response> {
    answer(INDEX, None, &headers)
}

/// `GET /web/{path}`
pub async fn file(Path(path): Path<String>, uri: Uri, headers: HeaderMap) -> Result<Response> {
    answer(&path, uri.query(), &headers)
}

/// With the version of the content in its query, an address is good for ever. One with another version, which an instance
/// of another release has given out, is answered with what there is, and asked for again.
fn answer(path: &str, query: Option<&str>, headers: &HeaderMap) -> Result<Response> {
    let nothing = || Error::not_found(ProblemCode::PathNotFound, "There is nothing at this path.");
    // A backslash would name the same file a second time.
    let file = if path.contains('\\') { None } else { find(path)? }.ok_or_else(nothing)?;
    let is_versioned = query.and_then(|query| query.strip_prefix("v=")) == Some(file.version());
    Ok(file.answer(headers, if is_versioned { IMMUTABLE } else { REVALIDATE }))
}

/// Made once, except in a debug build, where the file may have been edited meanwhile.
fn find(path: &str) -> Result<Option<StaticFile>> {
    static MADE: LazyLock<Mutex<HashMap<String, StaticFile>>> = LazyLock::new(Mutex::default);
    if cfg!(debug_assertions) {
        return make(path);
    }
    if let Some(file) = MADE.lock().unwrap_or_else(PoisonError::into_inner).get(path) {
        return Ok(Some(file.clone()));
    }
    let file = make(path)?;
    if let Some(file) = &file {
        MADE.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), file.clone());
    }
    Ok(file)
}

fn make(path: &str) -> Result<Option<StaticFile>> {
    let content = match path {
        INDEX => bundle::with_versions(&text(INDEX)?, address)?.into_bytes(),
        SCRIPT => bundle::script(SCRIPT, &text, &address)?.into_bytes(),
        STYLE => bundle::style(STYLE, &text)?.into_bytes(),
        _ => match Files::get(path) {
            Some(file) => file.data.into_owned(),
            None => return Ok(None),
        },
    };
    Ok(Some(StaticFile::new(content_type(path), content)))
}

/// The address of a file, which changes with its content.
fn address(path: &str) -> Result<String> {
    let file = find(path)?.ok_or_else(|| missing(path))?;
    Ok(format!("/web/{path}?v={}", file.version()))
}

fn text(path: &str) -> Result<String> {
    let file = Files::get(path).ok_or_else(|| missing(path))?;
    String::from_utf8(file.data.into_owned()).map_err(|_| Error::Internal(format!("web/{path} is not UTF-8")))
}

fn missing(path: &str) -> Error {
    Error::Internal(format!("web/{path} is missing"))
}

/// Browsers do not guess: they are told not to.
fn content_type(path: &str) -> HeaderValue {
    HeaderValue::from_static(match path.rsplit('.').next() {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("ts") => "application/typescript; charset=utf-8",
        Some("json") => "application/json",
        Some("webmanifest") => "application/manifest+json",
        _ => "text/plain; charset=utf-8",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that cannot be bundled would answer 500: this fails before it is released.
    #[test]
    fn every_file_can_be_served() {
        for path in Files::iter() {
            make(&path).expect(&path).expect(&path);
        }
    }
}
