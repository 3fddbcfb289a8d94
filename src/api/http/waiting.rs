//! Waiting for another answer: `Prefer: wait=25` (RFC 7240) with `If-None-Match`.
//!
//! A handler knows nothing of it. It answers 304, and says of which account; this then waits until that account has
//! changed, and has the whole answer made anew, rights and all. While it waits, a request has no connection to the
//! database, no permit and no place in a queue: it is one entry among the [watches](coffer_core::watches).

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::IF_NONE_MATCH;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::{MissedTickBehavior, interval};

use crate::api::App;
use crate::api::http::HANDLER_TIMEOUT;
use crate::api::http::context::RequestContext;
use crate::api::http::error::Error;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::Account;
use coffer_core::presence::{Client, Presence};
use coffer_core::problem_code::ProblemCode;
use coffer_core::watches::{self, NoRoom};

/// The longest that a request waits; who asks for more waits so long. Less than the 30 seconds after which many proxies
/// take a silent server for dead.
const MAX_WAIT: Duration = Duration::from_secs(25);
/// How often a request that waits looks whether its client is still there.
const LOOK_EVERY: Duration = Duration::from_secs(2);

pub const PREFER: HeaderName = HeaderName::from_static("prefer");
pub const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// In the extensions of an answer that has a version: the account that it depends on, and what that was like.
#[derive(Clone, Copy, Debug)]
pub struct AboutAccount {
    account_number: AccountNumber,
    state: u64,
}

/// In the extensions of a request whose answer is made anew: it has been counted.
#[derive(Clone, Copy, Debug)]
pub struct AskedAgain;

/// In the extensions of an answer: the part of its time in which nothing was done.
#[derive(Clone, Copy, Debug)]
pub struct Waited(pub Duration);

impl AboutAccount {
    pub fn new(account: &Account) -> Self {
        Self { account_number: account.account_number, state: watches::state_of(account) }
    }
}

/// Why a request waits no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Woken {
    ByChange,
    ByTime,
    /// Its client may have gone, or the bank closes: what is known has to do.
    ToLeave,
}

/// Around every route. Answers at once unless the request asks to wait and the answer is one to wait for.
pub async fn wait_for_change(State(app): State<App>, request: Request, next: Next) -> Response {
    let asks = request.method().is_safe() && request.headers().contains_key(IF_NONE_MATCH);
    let Some(wait) = asks.then(|| wait_in(request.headers())).flatten() else { return next.run(request).await };
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let first = next.clone().run(Request::from_parts(parts.clone(), body)).await;
    let Some(about) = first.extensions().get::<AboutAccount>().copied() else { return first };
    // Handlers that have found an account have a caller.
    let context = parts.extensions.get::<RequestContext>().cloned();
    let mut response = match context.filter(|_| first.status() == StatusCode::NOT_MODIFIED) {
        Some(context) => {
            drop(first);
            wait_for_another(&app, &context, about, parts, next, started + wait).await
        }
        None => first,
    };
    if !response.status().is_client_error() && !response.status().is_server_error() {
        let applied = format!("wait={}", wait.as_secs());
        let applied = HeaderValue::from_str(&applied).unwrap_or(HeaderValue::from_static("wait"));
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// The first answer that is another one; or the last that was made by the end.
async fn wait_for_another(
    app: &App,
    context: &RequestContext,
    about: AboutAccount,
    parts: Parts,
    next: Next,
    until: Instant,
) -> Response {
    let caller = context.caller().map(|caller| caller.user_id).unwrap_or_default();
    let watch = match app.watches.begin(about.account_number, caller) {
        Ok(watch) => watch,
        Err(refused) => return Error::from(refused).into_response(),
    };
    let mut waited = Duration::ZERO;
    let mut woken = Woken::ByChange;
    let mut response;
    loop {
        // Before the answer is made: a change that the answer does not show yet is one to wake up for.
        let change = watch.change();
        response = make_anew(app, &parts, &next).await;
        let is_same = response.status() == StatusCode::NOT_MODIFIED;
        let Some(about) = response.extensions().get::<AboutAccount>().copied().filter(|_| is_same) else { break };
        watch.see(about.state);
        if woken != Woken::ByChange || Instant::now() >= until {
            break;
        }
        let began = Instant::now();
        woken = sleep(app, change, context.presence(), until).await;
        waited += began.elapsed();
        if woken == Woken::ToLeave {
            break;
        }
    }
    response.extensions_mut().insert(Waited(waited));
    response
}

/// By the usual way, but not counted as another request. When the database is so slow that it does not come to that, the
/// answer is the one of a handler that takes too long.
async fn make_anew(app: &App, parts: &Parts, next: &Next) -> Response {
    let Ok(_permit) = tokio::time::timeout(HANDLER_TIMEOUT, app.watches.answer_permit()).await else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let mut request = Request::from_parts(parts.clone(), Body::empty());
    request.extensions_mut().insert(AskedAgain);
    next.clone().run(request).await
}

async fn sleep(app: &App, change: impl Future<Output = ()>, presence: &Presence, until: Instant) -> Woken {
    let client_leaves = async {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // One that has ended its side may be waiting all the same. It gets the answer that it would get in the end.
        while presence.look() == Client::Here {
            looks.tick().await;
        }
    };
    tokio::select! {
        biased;
        () = change => Woken::ByChange,
        () = app.watches.closing() => Woken::ToLeave,
        () = client_leaves => Woken::ToLeave,
        () = tokio::time::sleep_until(until.into()) => Woken::ByTime,
    }
}

/// How long the request prefers to wait, [`MAX_WAIT`] at most; None if it does not, or not in a number of seconds. Of the
/// same preference the first counts (RFC 7240 section 2). Parameters of preferences change nothing.
fn wait_in(headers: &HeaderMap) -> Option<Duration> {
    let lines = headers.get_all(PREFER).into_iter().filter_map(|line| line.to_str().ok());
    let mut preferences = lines
        .flat_map(|line| line.split(','))
        .map(|it| it.split(';').next().unwrap_or_default())
        .map(|it| it.split_once('=').unwrap_or((it, "")));
    let (_, value) = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let value = value.trim();
    let seconds = value.strip_prefix('"').and_then(|quoted| quoted.strip_suffix('"')).unwrap_or(value);
    let is_number = !seconds.is_empty() && seconds.bytes().all(|byte| byte.is_ascii_digit());
    // A number that is too large for its type is larger than the most, too.
    is_number.then(|| Duration::from_secs(seconds.parse().unwrap_or(u64::MAX)).min(MAX_WAIT))
}

impl From<NoRoom> for Error {
    fn from(no_room: NoRoom) -> Self {
        let code = ProblemCode::TooManyWaiting;
        match no_room {
            NoRoom::OfAll => {
                let detail = "As many requests wait as the bank lets wait. Try again, or leave the header Prefer out.";
                Self::Busy { code, detail: detail.into() }
            }
            NoRoom::OfCaller => {
                let detail = format!(
                    "{} requests of yours wait already, which is the most. Let some end, or leave the header Prefer out.",
                    watches::MAX_OF_A_CALLER
                );
                Self::client(StatusCode::TOO_MANY_REQUESTS, code, detail)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_a_number_of_seconds_and_not_too_many() {
        let wait = |lines: &[&str]| {
            let value = |line: &&str| (PREFER, HeaderValue::from_str(line).expect("a header"));
            let headers: HeaderMap = HeaderMap::from_iter(lines.iter().map(value));
            wait_in(&headers).map(|wait| wait.as_secs())
        };
        for (lines, seconds) in [
            (&["wait=25"][..], Some(25)),
            (&["Wait = 3"], Some(3)),
            (&["wait=\"7\""], Some(7)),
            (&["wait=0"], Some(0)),
            (&["wait=26"], Some(25)),
            (&["wait=99999999999999999999999"], Some(25)),
            (&["respond-async, wait=10"], Some(10)),
            (&["wait=10, wait=20"], Some(10)),
            (&["return=minimal; foo=\"bar\", wait=10"], Some(10)),
            (&["wait=10; foo=bar"], Some(10)),
            (&["foo; wait=10"], None),
            (&["wait=-1"], None),
            (&["wait=soon, wait=5"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["handling=lenient"], None),
            (&[], None),
        ] {
            assert_eq!(wait(lines), seconds, "{lines:?}");
        }
        let mut headers = HeaderMap::new();
        for line in ["respond-async", "wait=4"] {
            headers.append(PREFER, HeaderValue::from_static(line));
        }
        assert_eq!(wait_in(&headers), Some(Duration::from_secs(4)));
    }
}
