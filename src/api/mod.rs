//! The HTTP API: every route, and what surrounds all of them, on one screen.
//!
//! One file per resource: wire types, then handlers, then private helpers.

pub mod access_changes;
pub mod accounts;
pub mod approvals;
pub mod audit;
pub mod audit_csv;
pub mod bank;
pub mod batch;
pub mod cors;
pub mod csv;
pub mod cursor;
pub mod docs;
pub mod edge;
pub mod extract;
pub mod failed_sign_ins;
pub mod fields;
pub mod links;
pub mod movements;
pub mod negotiation;
pub mod operations;
pub mod pieces;
pub mod problems;
pub mod proof;
pub mod protocol;
pub mod reversals;
pub mod second_factor;
pub mod sessions;
pub mod sign_up;
pub mod staff;
pub mod statement_csv;
pub mod statement_places;
pub mod statements;
pub mod surround;
pub mod transactions;
pub mod users;
pub mod views;
pub mod web_app;
pub mod web_client;

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::FromRef;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use axum::{Extension, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tower::util::option_layer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::timeout::TimeoutLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::cors::Origins;
use self::edge::Edge;
use crate::audit::AuditLog;
use crate::auth::{Auth, Caller, ChangesSomething};
use crate::books::command;
use crate::clock::Clock;
use crate::committer::Committer;
use crate::db::Db;
use crate::disk::DiskReserve;
use crate::limits::movements::MovementLimits;
use crate::money::Currency;

/// A read, or a write beside the ledger, that takes longer than this has met a database in trouble.
const HANDLER_TIMEOUT: Duration = Duration::from_secs(9);

/// What handlers need. Clones share it.
#[derive(Clone)]
pub struct App(Arc<Parts>);

pub struct Parts {
    pub db: Db,
    pub committer: Committer,
    pub auth: Auth,
    /// The currency of an account that is opened without naming one.
    pub default_currency: Currency,
    pub edge: Edge,
    /// Web pages of other origins that may call.
    pub origins: Origins,
    pub audit: AuditLog,
    pub views: views::Views,
    pub sign_up: sign_up::SignUp,
    /// Whether `/swagger-ui/` is served.
    pub swagger_ui: bool,
    /// Whether customers may book deposits to their own accounts, or only staff.
    pub self_service_deposits: bool,
    /// What staff move alone, in whole units of the currency; above it a second person must agree. None for any amount.
    pub approval_above: Option<i64>,
    pub statements: statements::Statements,
    pub clock: Arc<Clock>,
    /// None when `/metrics` is switched off.
    pub metrics: Option<PrometheusHandle>,
    /// Whether metrics are served on a listener of their own, and only there.
    pub has_admin_listener: bool,
    /// How many accounts one owner may open in 24 hours; 0 for any number.
    pub accounts_per_day: u32,
    pub movement_limits: MovementLimits,
    pub disk: DiskReserve,
}

impl App {
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// The caller as the ledger's rules see one.
    pub fn at_the_ledger(&self, caller: Caller) -> command::Caller {
        command::Caller {
            user_id: caller.user_id,
            acts_on_any_account: caller.role.acts_on_any_account(),
            deposits_to_own: self.self_service_deposits,
            alone_up_to: self.approval_above.filter(|_| caller.role.acts_on_any_account()),
        }
    }
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl FromRef<App> for Auth {
    fn from_ref(app: &App) -> Self {
        app.auth.clone()
    }
}

/// The whole service. Innermost first: routes, timeouts, panics, what every handler's answer gets, cross-origin calls, what
/// every answer gets.
pub fn router(app: App) -> Router {
    let cors = app.origins.layer();
    let (routes, document) = documented_routes().split_for_parts();
    routes
        .merge(docs::pages(docs::complete(document), app.swagger_ui))
        .route("/", get(web_app::index))
        .route("/web/{*path}", get(web_app::file))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(CatchPanicLayer::custom(surround::answer_panic))
        .layer(from_fn_with_state(app.clone(), surround::finish))
        .layer(option_layer(cors))
        .layer(from_fn_with_state(app.clone(), surround::seal))
        .with_state(app)
}

/// What is served on the listener of those who run the bank.
pub fn admin_router(app: App) -> Router {
    Router::new()
        .route("/livez", get(operations::livez))
        .route("/readyz", get(operations::readyz))
        .route("/metrics", get(operations::metrics))
        .fallback(|| async { StatusCode::NOT_FOUND })
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, HANDLER_TIMEOUT))
        .layer(CatchPanicLayer::custom(surround::answer_panic))
        .layer(from_fn_with_state(app.clone(), surround::finish))
        .layer(Extension(surround::OnAdminListener))
        .with_state(app)
}

/// Every route of the OpenAPI document. The path and method of each stand at its handler.
pub fn documented_routes() -> OpenApiRouter<App> {
    // The committer keeps its own time, and a request that waits for it must not be told "timed out" about money that
    // moves in the next moment. It finishes what it has accepted, whether the client stays or not.
    let money = OpenApiRouter::new()
        .routes(routes!(movements::deposit))
        .routes(routes!(movements::withdraw))
        .routes(routes!(movements::transfer))
        .routes(routes!(batch::batch))
        .routes(routes!(reversals::reverse))
        .merge(OpenApiRouter::new().routes(routes!(approvals::approve)).layer(from_fn(surround::run_to_completion)));

    let reads = OpenApiRouter::new()
        .routes(routes!(accounts::balance))
        .routes(routes!(transactions::list))
        .routes(routes!(transactions::show))
        .routes(routes!(statements::show))
        .routes(routes!(staff::list))
        .routes(routes!(staff::show))
        .routes(routes!(audit::list))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::show))
        .routes(routes!(bank::show))
        .routes(routes!(problems::list))
        .routes(routes!(problems::show))
        .routes(routes!(operations::livez))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(docs::postman))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, HANDLER_TIMEOUT));

    // Not counted with other changes. Signing out takes a session that a sign-in has made, and guesses have a limit of their
    // own: whoever has stolen a token must not be able to keep its owner from any of these.
    let ends = OpenApiRouter::new()
        .routes(routes!(sessions::logout))
        .routes(routes!(sessions::end))
        .routes(routes!(proof::prove))
        .routes(routes!(users::change_password));

    // Each runs to its end in a task of its own, even when the client hangs up.
    let writes = OpenApiRouter::new()
        .routes(routes!(users::create_account))
        .routes(routes!(sessions::login))
        .routes(routes!(sessions::refresh))
        .routes(routes!(accounts::list, accounts::open))
        .routes(routes!(accounts::show, accounts::relabel, accounts::close))
        .routes(routes!(users::me, users::update_me, users::close_me))
        .routes(routes!(sessions::list))
        .routes(routes!(second_factor::show, second_factor::enrol))
        .routes(routes!(second_factor::confirm))
        .routes(routes!(second_factor::remove))
        .routes(routes!(second_factor::reset))
        .routes(routes!(staff::set_role))
        .routes(routes!(staff::set_user_status))
        .routes(routes!(staff::set_account_status))
        .routes(routes!(staff::end_sessions))
        .routes(routes!(approvals::reject))
        .layer(Extension(ChangesSomething))
        .merge(ends)
        .layer(from_fn(surround::run_to_completion))
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, HANDLER_TIMEOUT));

    money.merge(reads).merge(writes)
}
