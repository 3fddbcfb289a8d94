//! Middleware around every handler: request ids, problem bodies, the access log, metrics, panics, clients that hang up.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, CONNECTION, EXPECT, IF_MATCH};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::api::App;
use crate::api::http::context::RequestContext;
use crate::api::http::entity_tags::if_match_unsupported;
use crate::api::http::error::Error;
use crate::api::http::problem::{Problem, count_refusal};
use crate::api::http::rate_limits::{RATE_LIMIT, tell_allowance};
use crate::api::http::waiting::Waited;
use crate::api::http::{edge, extract, protocol, request_figures, views};
use crate::connection::Peer;
use crate::log_lines::REFUSALS;
use coffer_core::books::audit_event::Action;
use coffer_core::limits::network_of;
use coffer_core::problem_code::ProblemCode;
use coffer_core::request_ids::{self, RequestIds};
use coffer_core::traces::Outcome;

/// How long a refusal of a client that asks too often is held back: to refuse at once would cost as much as to answer.
/// A connection takes no other request meanwhile, and connections are few.
const REFUSAL_PAUSE: Duration = Duration::from_millis(200);

/// In the extensions of a request that came by the listener of those who run the bank: it has no limits but that on its
/// connections.
#[derive(Clone, Copy, Debug)]
pub struct OnAdminListener;

/// Outermost: whatever leaves has the ids of its request and the headers that protect it, whoever made it. And a
/// preflight has the form of a request before the layer of cross-origin calls answers it, as it does with every
/// OPTIONS.
pub async fn seal(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let ids = RequestIds::of(&request);
    request.extensions_mut().insert(ids.clone());
    let policy = edge::content_policy(request.uri().path());
    let preflight = (request.method() == Method::OPTIONS).then(|| (Instant::now(), context_of(&app, &request)));
    let mut response = ids.clone().scope(answer_or_refuse_preflight(request, next, &ids)).await;
    // The layer of cross-origin calls answers most of them, and `finish` sees none of those.
    if let Some((started, context)) = preflight
        && response.extensions().get::<Noted>().is_none()
    {
        ids.sync_scope(|| note_answer(&app, &context, Route::of_preflight(), &response, started.elapsed()));
    }
    let headers = response.headers_mut();
    ids.tell(headers);
    app.edge.protect(policy, headers);
    // No proxy and no browser may cache balances and names. The documentation sets its own header.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

async fn answer_or_refuse_preflight(request: Request, next: Next, ids: &RequestIds) -> Response {
    let Some(error) = preflight_error(&request) else { return next.run(request).await };
    Problem::write_body(refuse_form(request, error).await, ids)
}

/// Outermost on the listener of those who run the bank: gives a request its ids.
pub async fn identify(mut request: Request, next: Next) -> Response {
    let ids = RequestIds::of(&request);
    request.extensions_mut().insert(ids.clone());
    let mut response = ids.clone().scope(next.run(request)).await;
    ids.tell(response.headers_mut());
    response
}

fn preflight_error(request: &Request) -> Option<Error> {
    let is_preflight = request.method() == Method::OPTIONS;
    is_preflight.then(|| protocol::check(request)).and_then(Result::err)
}

/// Around every handler: takes the request from its address's quota, gives the answer a body if it is a problem, sees
/// that what staff are shown is on record, and counts it.
pub async fn finish(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let context = context_of(&app, &request);
    request.extensions_mut().insert(context.clone());
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let path = request.extensions().get::<MatchedPath>().cloned();

    app.origins.notice(request.headers());
    app.edge.notice_forwarded(peer_of(&request), request.headers());
    let is_limited = request.extensions().get::<OnAdminListener>().is_none();
    let limit = app.edge.limit_of(uri.path());
    let from_address = if is_limited { limit.take(network_of(context.address())) } else { Ok(None) };
    let (response, from_address, is_routed) = match (protocol::check(&request), from_address) {
        (Err(error), allowance) => (refuse_form(request, error).await, allowance.ok().flatten(), false),
        (Ok(()), Ok(allowance)) => (next.run(request).await, allowance, true),
        (Ok(()), Err(error)) => (Error::from(error).into_response(), None, false),
    };
    let response = views::record_unless_recorded(&app, &context, &method, uri.path(), response);
    let response = views::record_refusal(&app, &context, response).await;
    let route = path.as_ref().map_or("unknown", MatchedPath::as_str);
    let user_id = context.caller().map(|caller| caller.user_id);
    if response.status() == StatusCode::FORBIDDEN && app.auth.denials.take(user_id.unwrap_or_default(), started).is_ok()
    {
        let code = response.extensions().get::<Problem>().map_or("", |problem| problem.code.name());
        app.audit.note(context.event(Action::AccessDenied).on(format_args!("{method} {route}")).detail(code));
    }
    let mut response = Problem::write_body(response, context.ids());
    let headers = response.headers_mut();
    let of_caller = context.allowance().map(|allowance| (app.auth.requests.policy, allowance));
    if let Some((policy, allowance)) = of_caller.or(from_address.map(|left| (limit.policy, left)))
        && !headers.contains_key(RATE_LIMIT)
    {
        tell_allowance(headers, policy, allowance);
    }

    // A request that waits for an account to change costs nothing meanwhile: it must not look like a slow one.
    let waited = response.extensions().get::<Waited>().map_or(Duration::ZERO, |waited| waited.0);
    let (status, elapsed) = (response.status(), started.elapsed().saturating_sub(waited));
    let method = method_label(&method);
    let is_routed = is_routed && status != StatusCode::METHOD_NOT_ALLOWED;
    note_answer(&app, &context, Route { method, template: route, is_routed }, &response, elapsed);
    response.extensions_mut().insert(Noted);
    context.ids().trace().end(Outcome { method, route, status, request_id: context.request_id(), user_id });
    if is_limited && status == StatusCode::TOO_MANY_REQUESTS {
        tokio::time::sleep(REFUSAL_PAUSE).await;
    }
    response
}

fn context_of(app: &App, request: &Request) -> RequestContext {
    let ids = request.extensions().get::<RequestIds>().cloned();
    let ids = ids.unwrap_or_else(|| RequestIds::of(request));
    let presence = request.extensions().get::<Peer>().map(|peer| peer.presence.clone()).unwrap_or_default();
    RequestContext::new(ids, app.edge.client_address(peer_of(request), request.headers()), presence)
}

/// The address of the other end of the connection.
fn peer_of(request: &Request) -> IpAddr {
    request.extensions().get::<Peer>().map_or(Ipv4Addr::UNSPECIFIED.into(), |peer| peer.address)
}

/// In the extensions of an answer that [`note_answer`] has seen.
#[derive(Clone, Copy, Debug)]
struct Noted;

/// The method and the route of a request, as the log and the metrics name them.
#[derive(Clone, Copy)]
struct Route<'a> {
    method: &'static str,
    template: &'a str,
    /// Whether anybody has seen if the route takes the method, and it does.
    is_routed: bool,
}

impl Route<'static> {
    fn of_preflight() -> Self {
        Self { method: method_label(&Method::OPTIONS), template: "unknown", is_routed: false }
    }
}

/// Tells the log and the metrics of an answer.
fn note_answer(app: &App, context: &RequestContext, route: Route<'_>, response: &Response, elapsed: Duration) {
    let Route { method, template, is_routed } = route;
    note_refusal(method, template, response);
    if app.access_log {
        note_access(context, method, template, response, elapsed);
    }
    let (method, route) = if is_routed { (method, route_label(template)) } else { NOT_ROUTED };
    request_figures::count(method, route, response.status(), elapsed.as_secs_f64());
}

/// Refuses a request that HTTP does not allow, and closes the connection: nobody can tell where the next request
/// begins.
async fn refuse_form(request: Request, error: Error) -> Response {
    if !request.headers().contains_key(EXPECT) {
        extract::discard(request.into_body()).await;
    }
    let mut response = error.into_response();
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A client may invent methods, of any length; each label value stays for ever.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

/// Method and route in the metrics of a request that was refused before anybody saw whether its route takes its method, or because it
/// does not. Each pair is a dozen series, which stay, and anybody may try them all.
const NOT_ROUTED: (&str, &str) = ("other", "unknown");

/// The web app and Swagger UI are many files that are served alike.
fn route_label(route: &str) -> &str {
    if route == "/" || route.starts_with("/web/") || route.starts_with("/swagger-ui") { "assets" } else { route }
}

/// Counts a refusal by its code, and has the log tell of it at level debug.
fn note_refusal(method: &'static str, route: &str, response: &Response) {
    let Some(code) = response.extensions().get::<ProblemCode>().copied() else { return };
    count_refusal(code);
    let (status, code) = (response.status().as_u16(), code.name());
    tracing::debug!(target: REFUSALS, method, route, status, code, "refused");
}

/// One line for each request. It names the caller by id and the route by its template: no e-mail address, no account
/// number, no query.
fn note_access(context: &RequestContext, method: &'static str, route: &str, response: &Response, elapsed: Duration) {
    let caller = context.caller();
    tracing::info!(
        target: "coffer::access",
        method,
        route,
        status = response.status().as_u16(),
        code = response.extensions().get::<ProblemCode>().map(|code| code.name()),
        duration_ms = elapsed.as_micros() as f64 / 1_000.0,
        address = %context.address(),
        user_id = caller.map(|caller| display(caller.user_id)),
        api_key_id = caller.and_then(|caller| caller.key).map(|key| display(key.bounds.key_id)),
        "request"
    );
}

/// Runs the rest of the request in a task of its own. A client that hangs up drops its request's future wherever it is; a task is
/// not dropped, and ends what it has begun.
pub async fn run_to_completion(request: Request, next: Next) -> Response {
    match request_ids::spawn(next.run(request)).await {
        Ok(response) => response,
        Err(error) => Error::Internal(error.to_string()).into_response(),
    }
}

/// Refuses `If-Match` with a change that looks at no version: to ignore it would be to do what the client has asked not to be
/// done (RFC 9110 section 13.1.1).
pub async fn refuse_if_match(request: Request, next: Next) -> Response {
    if request.method().is_safe() || !request.headers().contains_key(IF_MATCH) {
        return next.run(request).await;
    }
    if_match_unsupported("leave it out: no version is looked at here").into_response()
}

/// A panic is a bug: it is logged, and its request answered with a plain 500.
pub fn answer_panic(panic: Box<dyn Any + Send>) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("unknown");
    Error::Internal(format!("panic: {message}")).into_response()
}
