//! Where the `type` of a problem leads: `GET /problems` and `GET /problems/{code}`.

use axum::http::header::VARY;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::negotiation::preferred;
use coffer_core::problem_code::ProblemCode;

/// A kind of problem: what its code means, and what to do.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemKind {
    /// The address of this page, as problems have it.
    #[serde(rename = "type")]
    #[schema(example = "/problems/insufficient_funds")]
    problem_type: String,
    /// A short name.
    #[schema(example = "Insufficient funds")]
    title: String,
    /// The name for a program, as problems have it in `code`.
    #[schema(value_type = String, example = "insufficient_funds")]
    code: ProblemCode,
    /// The cause, in a sentence.
    #[schema(value_type = String, example = "There is less on the account than was asked for.")]
    what_happened: &'static str,
    /// The next step, in a sentence.
    #[schema(value_type = String, example = "Send a smaller amount or pay in first; the detail says how much is available.")]
    what_to_do: &'static str,
}

/// Every kind of problem, by code.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemKinds {
    /// All of them: this list has no pages.
    data: Vec<ProblemKind>,
}

#[derive(Clone, Copy)]
enum Form {
    Json,
    Html,
}

/// List every kind of problem
///
/// As JSON, or as a page for people with `Accept: text/html`, as browsers send it.
#[utoipa::path(
    get,
    path = "/problems",
    operation_id = "list_problems",
    tag = "Problems",
    responses(
        (status = OK, description = "Every code with what it means", content((ProblemKinds = "application/json"), (String = "text/html"))),
        (status = NOT_ACCEPTABLE, description = "`Accept` names neither JSON nor HTML"),
    )
)]
pub async fn list(headers: HeaderMap) -> Result<Response> {
    let json = || Json(ProblemKinds { data: ProblemCode::ALL.iter().copied().map(ProblemKind::from).collect() });
    let html = || {
        let item = |code: &ProblemCode| {
            let (title, what_happened) = (code.title(), escaped(code.what_happened()));
            format!("<dt><a href=\"/problems/{code}\">{title}</a></dt>\n<dd>{what_happened}</dd>\n")
        };
        page("Problems", &format!("<dl>\n{}</dl>\n", ProblemCode::ALL.iter().map(item).collect::<String>()))
    };
    answer(&headers, json, html)
}

/// What a code means
///
/// Where the `type` of a problem leads. As JSON, or as a page for people with `Accept: text/html`.
#[utoipa::path(
    get,
    path = "/problems/{code}",
    operation_id = "show_problem",
    tag = "Problems",
    params(("code" = String, Path, description = "The code, as a problem has it in `code`", pattern = "^[a-z_]+$", example = "insufficient_funds")),
    responses(
        (status = OK, description = "What happened and what to do", content((ProblemKind = "application/json"), (String = "text/html"))),
        (status = NOT_FOUND, description = "There is no such code"),
        (status = NOT_ACCEPTABLE, description = "`Accept` names neither JSON nor HTML"),
    )
)]
pub async fn show(PathParam(code): PathParam<String>, headers: HeaderMap) -> Result<Response> {
    let not_found = || {
        Error::not_found(ProblemCode::ProblemNotFound, "There is no problem with this code; GET /problems lists all.")
    };
    let code = ProblemCode::from_name(&code).ok_or_else(not_found)?;
    let html = || {
        let body = format!(
            "<p><code>{}</code></p>\n<h2>What happened</h2>\n<p>{}</p>\n<h2>What to do</h2>\n<p>{}</p>\n\
             <p><a href=\"/problems\">All problems</a></p>\n",
            code,
            escaped(code.what_happened()),
            escaped(code.what_to_do()),
        );
        page(&code.title(), &body)
    };
    answer(&headers, || Json(ProblemKind::from(code)), html)
}

fn answer<T: Serialize>(
    headers: &HeaderMap,
    json: impl FnOnce() -> Json<T>,
    html: impl FnOnce() -> Html<String>,
) -> Result<Response> {
    let offered =
        [("application/json", Form::Json), ("text/html", Form::Html), ("application/problem+json", Form::Json)];
    let response = match preferred(headers, &offered) {
        Some(Form::Json) => json().into_response(),
        Some(Form::Html) => html().into_response(),
        None => {
            let detail = "This comes as application/json or as text/html. Accept one of them.";
            return Err(Error::client(StatusCode::NOT_ACCEPTABLE, ProblemCode::NotAcceptable, detail));
        }
    };
    Ok(([(VARY, "Accept")], response).into_response())
}

/// A page without styles, scripts or pictures: the policy that every answer has lets it load nothing.
fn page(title: &str, body: &str) -> Html<String> {
    Html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} · Coffer</title>\n</head>\n\
         <body>\n<main>\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n"
    ))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

impl From<ProblemCode> for ProblemKind {
    fn from(code: ProblemCode) -> Self {
        Self {
            problem_type: format!("/problems/{code}"),
            title: code.title(),
            code,
            what_happened: code.what_happened(),
            what_to_do: code.what_to_do(),
        }
    }
}
