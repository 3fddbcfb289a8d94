//! Every route, and the middleware around all of them.

use std::time::Duration;

use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use tower::ServiceBuilder;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::App;
use super::docs::{openapi, postman, probes, problem_pages, swagger_ui, web_app};
use super::http::caller::{ChangesSomething, OpenToKeys};
use super::http::{HANDLER_TIMEOUT, middleware, waiting};
use super::money::{
    account_limits, accounts, approvals, bank, bank_accounts, batch, events, holds, movements, reversals, statements,
    totals, transactions, transactions_csv, trial_balance,
};
use super::people::{
    api_keys, audit, customers, customers_csv, email_verification, erasure, export, passwords, payees, proof,
    second_factor, sessions, staff, users, webhook_deliveries, webhooks,
};
use crate::webhooks::sender;
use coffer_core::api_key::Scope;

/// The whole service. Outermost first: what every answer gets, cross-origin calls, what every handler's answer gets, panics,
/// waiting for another answer, timeouts, routes.
pub fn router(app: App) -> Router {
    // One layer of several: the router boxes each that it is given, for every request.
    let around = ServiceBuilder::new()
        .layer(from_fn_with_state(app.clone(), middleware::seal))
        .layer(option_layer(app.origins.layer()))
        .layer(from_fn_with_state(app.clone(), middleware::finish))
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        .layer(from_fn_with_state(app.clone(), waiting::wait_for_change));
    Router::from(documented_routes())
        .merge(openapi::routes(app.maximum_major_units))
        .merge(if app.swagger_ui { swagger_ui::routes() } else { Router::new() })
        .route("/", get(web_app::index))
        .route("/web/{*path}", get(web_app::file))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(around)
        .with_state(app)
}

/// What is served on the listener of those who run the bank.
pub fn admin_router(app: App) -> Router {
    Router::new()
        .route("/livez", get(probes::livez))
        .route("/readyz", get(probes::readyz))
        .route("/metrics", get(probes::metrics))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(deadline(HANDLER_TIMEOUT))
        .layer(CatchPanicLayer::custom(middleware::answer_panic))
        .layer(from_fn_with_state(app.clone(), middleware::finish))
        .layer(Extension(middleware::OnAdminListener))
        .layer(from_fn(middleware::identify))
        .with_state(app)
}

/// Every route of the OpenAPI document. The path and method of each stand at its handler. What API keys reach says so with
/// [`OpenToKeys`]; the rest is for people alone.
pub fn documented_routes() -> OpenApiRouter<App> {
    money().merge(events()).merge(test_of_webhook()).merge(reads()).merge(own_files()).merge(writes())
}

/// Refuses a request that is under way for longer.
fn deadline(after: Duration) -> TimeoutLayer {
    TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, after)
}

/// The committer keeps its own time, and a request that waits for it must not be told "timed out" about money that moves in the
/// next moment. It finishes what it has accepted, whether the client stays or not.
fn money() -> OpenApiRouter<App> {
    let approve =
        OpenApiRouter::new().routes(routes!(approvals::approve)).layer(from_fn(middleware::run_to_completion));
    OpenApiRouter::new()
        .routes(routes!(movements::deposit))
        .routes(routes!(movements::withdraw))
        .routes(routes!(movements::transfer))
        .routes(routes!(batch::batch))
        .routes(routes!(reversals::reverse))
        .routes(routes!(reversals::reverse_group))
        .routes(routes!(holds::create))
        .routes(routes!(holds::capture))
        .layer(Extension(OpenToKeys::Changing(Scope::Move)))
        .merge(approve)
}

/// A stream has its own time.
fn events() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(events::list)).layer(Extension(OpenToKeys::Reading))
}

/// It lasts as long as the receiver takes.
fn test_of_webhook() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(webhook_deliveries::test)).layer(deadline(HANDLER_TIMEOUT + sender::TIMEOUT))
}

fn reads() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(accounts::balance))
        .routes(routes!(transactions::list))
        .routes(routes!(transactions::show))
        .routes(routes!(transactions_csv::download))
        .routes(routes!(statements::show))
        .routes(routes!(statements::download))
        .routes(routes!(customers_csv::download))
        .routes(routes!(staff::show))
        .routes(routes!(audit::list))
        .routes(routes!(audit::download))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::count))
        .routes(routes!(approvals::show))
        .routes(routes!(holds::list))
        .routes(routes!(holds::show))
        .routes(routes!(bank::show))
        .routes(routes!(bank_accounts::show))
        .routes(routes!(totals::show))
        .routes(routes!(trial_balance::show))
        .routes(routes!(problem_pages::list))
        .routes(routes!(problem_pages::show))
        .routes(routes!(probes::livez))
        .routes(routes!(probes::readyz))
        .routes(routes!(probes::metrics))
        .routes(routes!(postman::postman))
        .layer(Extension(OpenToKeys::Reading))
        .layer(deadline(HANDLER_TIMEOUT))
}

/// A stream, like the files among the reads, and for its owner alone.
fn own_files() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(export::download)).layer(deadline(HANDLER_TIMEOUT))
}

/// Each runs to its end in a task of its own, even when the client hangs up.
fn writes() -> OpenApiRouter<App> {
    writes_of_people()
        .merge(own_profile())
        .merge(writes_by_move())
        .merge(writes_by_staff())
        .layer(Extension(ChangesSomething))
        .merge(ends())
        .layer(from_fn(middleware::run_to_completion))
        .layer(from_fn(middleware::refuse_if_match))
        .layer(deadline(HANDLER_TIMEOUT))
}

/// Not counted with other changes. Signing out takes a session that a sign-in has made, and guesses have a limit of their own:
/// whoever has stolen a token must not be able to keep its owner from any of these.
fn ends() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::end))
        .routes(routes!(proof::prove))
        .routes(routes!(users::change_password))
        .routes(routes!(api_keys::show, api_keys::revoke))
}

fn writes_of_people() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sessions::login))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::list))
        .routes(routes!(api_keys::list, api_keys::create))
        .routes(routes!(api_keys::rotate))
        .routes(routes!(second_factor::show, second_factor::enrol))
        .routes(routes!(second_factor::confirm))
        .routes(routes!(second_factor::remove))
        .routes(routes!(second_factor::reset))
        .routes(routes!(passwords::create_link))
        .routes(routes!(passwords::request_reset))
        .routes(routes!(passwords::confirm_reset))
        .routes(routes!(email_verification::verify))
        .routes(routes!(email_verification::send))
        .routes(routes!(staff::set_role))
        .routes(routes!(erasure::erase_user))
        .routes(routes!(sessions::list_of_user, staff::end_sessions))
        .routes(routes!(sessions::end_of_user))
        .routes(routes!(api_keys::list_of_user, api_keys::revoke_of_user))
        .routes(routes!(approvals::reject))
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::show, webhooks::update, webhooks::delete))
        .routes(routes!(webhooks::rotate_secret))
        .routes(routes!(webhook_deliveries::list))
        .routes(routes!(webhook_deliveries::retry))
        .routes(routes!(webhook_deliveries::replay))
}

fn own_profile() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(users::me, users::update_me, users::close_me))
        .layer(Extension(OpenToKeys::Reading))
}

fn writes_by_move() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(accounts::list, accounts::open))
        .routes(routes!(accounts::show, accounts::update, accounts::close))
        .routes(routes!(holds::release))
        .routes(routes!(payees::list, payees::create))
        .routes(routes!(payees::delete))
        .routes(routes!(payees::check_name))
        .layer(Extension(OpenToKeys::Changing(Scope::Move)))
}

fn writes_by_staff() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(users::create_account))
        .routes(routes!(staff::list, customers::create))
        .routes(routes!(customers::notes, customers::note))
        .routes(routes!(account_limits::show, account_limits::set))
        .routes(routes!(staff::set_user_status))
        .routes(routes!(staff::set_account_status))
        .routes(routes!(bank_accounts::list, bank_accounts::open))
        .layer(Extension(OpenToKeys::Changing(Scope::Staff)))
}
