//! Records of looking: whoever works at the bank sees somebody else's account, movements or person only on record.
//!
//! A handler that shows such a thing says so by [`App::viewed`], whose event names what and whose. For a route that
//! forgets it, [`record_unless_recorded`] makes a record of its own: what staff were shown without a record is on
//! record, however it came about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::Result;
use crate::api::http::problem::Problem;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::Account;
use coffer_core::books::audit_event::{Action, Concern, Event};
use coffer_core::problem_code::ProblemCode;

/// The same user who looks at the same thing in the same way again within this time makes no other record: a screen
/// that asks every few seconds would fill the log, and would tell nothing that one record does not.
const SAME_LOOK: Duration = Duration::from_secs(60);
/// How many looks are remembered for that. When there are more, all are forgotten: some are then recorded twice, and
/// none is lost.
const MAX_REMEMBERED: usize = 100_000;

/// How long an account may take to be looked up for the record of a refusal.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(2);

/// Looks that are on record already, each by its hash.
#[derive(Default)]
pub struct Views(Mutex<HashMap<[u8; 32], Instant>>);

impl Views {
    /// Whether the log has no record of the same look within [`SAME_LOOK`]. Remembers the look as recorded from now on.
    fn is_new(&self, look: &Event, now: Instant) -> bool {
        let key = key_of(look);
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recorded.get(&key).is_some_and(|at| now.duration_since(*at) < SAME_LOOK) {
            return false;
        }
        if recorded.len() >= MAX_REMEMBERED {
            recorded.clear();
        }
        recorded.insert(key, now);
        true
    }

    fn take_back(&self, look: &Event) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&key_of(look));
    }

    /// Drops looks that are older than [`SAME_LOOK`]: the next one makes a record again.
    pub fn drop_old(&self, now: Instant) {
        let mut recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recorded.retain(|_, at| now.duration_since(*at) < SAME_LOOK);
    }
}

/// Identifies a look by the hash of who looked, how, from where, at what, and what there was to see.
fn key_of(look: &Event) -> [u8; 32] {
    let parts = (look.actor_id, look.action, &look.address, &look.subject, &look.detail, &look.concerns);
    Sha256::digest(format!("{parts:?}")).into()
}

impl App {
    /// Has it recorded that the caller looks at somebody else's data. Call it before the answer is made: when it cannot
    /// be recorded, the caller gets an error instead.
    pub fn viewed(&self, look: Event) -> Result<()> {
        if !self.views.is_new(&look, Instant::now()) {
            return Ok(());
        }
        if let Some(viewer) = look.actor_id {
            let count = 1 + look.concerns.len() as u32;
            self.auth.looks.take_many(viewer, count).inspect_err(|_| self.views.take_back(&look))?;
        }
        Ok(self.audit.promise(look.clone()).inspect_err(|_| self.views.take_back(&look))?)
    }

    /// The same when the answer is made already, and must not be taken back.
    fn note_view(&self, look: Event) {
        if self.views.is_new(&look, Instant::now()) {
            self.audit.note(look);
        }
    }

    /// The same for an account, of which the caller may be the owner: then there is nothing to record.
    pub fn viewed_account(
        &self,
        context: &RequestContext,
        caller: Caller,
        account: &Account,
        look: AccountLook,
    ) -> Result<()> {
        if account.owner_id == Some(caller.user_id) {
            context.set_on_record();
            return Ok(());
        }
        let AccountLook { action, detail } = look;
        let event = Event { detail, ..context.event(action) }.on(account.account_number);
        self.viewed(account.owner_id.into_iter().fold(event, Event::about))
    }
}

/// How somebody looks at an account, and at which part of it.
pub struct AccountLook {
    action: Action,
    detail: Option<String>,
}

impl AccountLook {
    pub fn new(action: Action) -> Self {
        Self { action, detail: None }
    }

    pub fn at(action: Action, detail: impl ToString) -> Self {
        Self { action, detail: Some(detail.to_string()) }
    }
}

/// Records what somebody who works here was shown, when no handler has recorded it. Their own data is under `/me`. The
/// routes that move money are left out: they record what they do, and [`record_refusal`] what they refuse.
pub fn record_unless_recorded(
    app: &App,
    context: &RequestContext,
    method: &Method,
    path: &str,
    response: Response,
) -> Response {
    let works_here = context.caller().is_some_and(|caller| caller.role.reads_any_account());
    let shows =
        [Method::GET, Method::HEAD, Method::PUT, Method::PATCH].contains(method) && response.status().is_success();
    if !works_here || !shows || context.is_on_record() || is_ones_own(path) {
        return response;
    }
    let look = context.event(Action::RecordViewed).on(format_args!("{method} {path}"));
    let look = path.split('/').filter_map(concern).fold(look, Event::about);
    if !method.is_safe() {
        app.note_view(look);
        return response;
    }
    match app.viewed(look) {
        Ok(()) => response,
        Err(error) => error.into_response(),
    }
}

fn is_ones_own(path: &str) -> bool {
    path == "/me" || path.starts_with("/me/")
}

/// Whom or what a part of a path names.
fn concern(segment: &str) -> Option<Concern> {
    let number = segment.parse::<AccountNumber>().ok().map(Concern::Account);
    number.or_else(|| Uuid::try_parse(segment).ok().map(Concern::User))
}

/// Records a refusal of what somebody who works here requested on other people's accounts: it tells how those stand.
pub async fn record_refusal(app: &App, context: &RequestContext, response: Response) -> Response {
    let Some(caller) = context.caller() else { return response };
    if context.is_partly_refused() {
        // The rest is booked, so nothing may take the place of this answer.
        if let Some(look) = refusal_of(app, context, caller, ProblemCode::BatchRefused).await {
            app.note_view(look);
        }
        return response;
    }
    let code = response.extensions().get::<Problem>().map(|problem| problem.code);
    let telling = [StatusCode::CONFLICT, StatusCode::PRECONDITION_FAILED, StatusCode::UNPROCESSABLE_ENTITY];
    let tells = telling.contains(&response.status());
    let Some(code) = code.filter(|_| tells) else { return response };
    match refusal_of(app, context, caller, code).await.map(|look| app.viewed(look)) {
        None | Some(Ok(())) => response,
        Some(Err(error)) => error.into_response(),
    }
}

/// None when the request named no account of somebody else. An account that cannot be looked up now counts as one.
async fn refusal_of(app: &App, context: &RequestContext, caller: Caller, code: ProblemCode) -> Option<Event> {
    let numbers = context.noted_accounts();
    let owners = join_all(numbers.iter().map(|&number| async move {
        let found = tokio::time::timeout(LOOK_UP_WITHIN, app.db.account(number)).await;
        (
            number,
            matches!(found, Ok(Ok(_))),
            found.ok().and_then(|found| found.ok().flatten()).and_then(|it| it.owner_id),
        )
    }))
    .await;
    let mut refused = context.event(Action::MovementRefused).detail(code.name());
    for (number, is_known, owner) in owners {
        if owner.is_some_and(|owner| owner != caller.user_id) || !is_known {
            refused = owner.into_iter().fold(refused.about(number), Event::about);
        }
    }
    (!refused.concerns.is_empty()).then_some(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffer_core::timestamp::Timestamp;

    #[test]
    fn the_same_look_is_recorded_once_a_minute_and_another_at_once() {
        let views = Views::default();
        let start = Instant::now();
        let look = |subject: &str, detail: Option<&str>| {
            let event = Event::at(Action::UserViewed, Timestamp::now()).on(subject);
            Event { detail: detail.map(str::to_owned), ..event }
        };
        assert!(views.is_new(&look("a", None), start));
        assert!(!views.is_new(&look("a", None), start + SAME_LOOK - Duration::from_millis(1)));
        assert!(views.is_new(&look("b", None), start));
        assert!(views.is_new(&look("a", Some("another part")), start));
        assert!(views.is_new(&look("a", None), start + SAME_LOOK));
        assert!(!views.is_new(&look("a", None), start + SAME_LOOK + SAME_LOOK / 2));
        views.drop_old(start + SAME_LOOK);
        assert_eq!(views.0.lock().expect("no panic").len(), 1);
    }

    #[test]
    fn no_crowd_of_looks_keeps_one_off_the_record() {
        let views = Views::default();
        let start = Instant::now();
        for number in 0..MAX_REMEMBERED + 10 {
            assert!(views.is_new(&Event::at(Action::UserViewed, Timestamp::now()).on(number), start));
        }
        assert!(views.0.lock().expect("no panic").len() <= MAX_REMEMBERED);
    }
}
