//! Swagger UI, which the binary carries.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{Redirect, Response};
use axum::routing::get;

use crate::api::App;
use crate::api::docs::static_file::{REVALIDATE, StaticFile};
use crate::api::http::error::{Error, Result};
use coffer_core::problem_code::ProblemCode;

/// The page colours its logo by an inline style, which its Content-Security-Policy forbids: black on black.
const LOGO_COLOURS: &str = ".logo_small_svg__cls-2 { fill: #fff } .logo_small_svg__cls-3 { fill: #85ea2d }\n";

/// Swagger UI at `/swagger-ui/`.
pub fn routes() -> Router<App> {
    let files = SwaggerFiles::default();
    let index = files.clone();
    Router::new()
        .route("/swagger-ui", get(async || Redirect::to("/swagger-ui/")))
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
    fn answer(&self, path: &str, headers: &HeaderMap) -> Result<Response> {
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

/// With settings of our own, which authorize whoever signs in and fill in their accounts.
fn swagger_file(path: &str) -> Result<StaticFile> {
    if path == "swagger-initializer.js" {
        let script = include_str!("swagger-initializer.js");
        return Ok(StaticFile::new(HeaderValue::from_static("text/javascript; charset=utf-8"), script));
    }
    let nothing = || Error::not_found(ProblemCode::PathNotFound, "There is nothing at this path.");
    let file = utoipa_swagger_ui::serve(path, Arc::default()).ok().flatten().ok_or_else(nothing)?;
    let content_type = HeaderValue::from_str(&file.content_type).map_err(|error| Error::Internal(error.to_string()))?;
    let mut content = file.bytes.into_owned();
    if path == "index.css" {
        content.extend_from_slice(LOGO_COLOURS.as_bytes());
    }
    Ok(StaticFile::new(content_type, content))
}
