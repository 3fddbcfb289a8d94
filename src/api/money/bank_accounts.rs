//! The bank's own accounts: `GET, POST /bank_accounts` and `GET /bank_accounts/{code}`. Staff name them in deposits and
//! withdrawals, as `against`.

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Admin, Caller, Reader};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::problem::FieldError;
use coffer_core::bank_account::{BankAccount, BankAccountCode, BankAccountKind, MAX_BANK_ACCOUNTS, OpenedBankAccount};
use coffer_core::books::audit_event::Action;
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::BankAccountName;
use coffer_core::timestamp::Timestamp;

/// An account of the bank's own. Nothing of it changes later, because the books name it.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"code": "fees", "name": "Fees earned", "kind": "income"}))]
pub struct BankAccountRequest {
    /// How requests name it: 1 to 32 of the characters a to z, 0 to 9 and _, a letter first.
    code: BankAccountCode,
    /// For people, up to 100 characters.
    #[schema(example = "Fees earned")]
    name: BankAccountName,
    kind: BankAccountKind,
}

/// One of the bank's own accounts. It is there in every currency; `GET /trial_balance` has its balances.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BankAccount)]
pub struct BankAccountBody {
    /// How requests name it.
    code: BankAccountCode,
    /// For people.
    #[schema(example = "Fees earned")]
    name: String,
    kind: BankAccountKind,
    /// The admin who has opened it. Null for the cash, which every bank has, and for the accounts of `coffer demo`.
    opened_by: Option<Uuid>,
    /// When it was opened; null for the cash.
    opened_at: Option<Timestamp>,
}

/// The bank's own accounts, the cash first.
#[derive(Debug, Serialize, ToSchema)]
pub struct BankAccounts {
    /// All of them.
    data: Vec<BankAccountBody>,
}

impl From<OpenedBankAccount> for BankAccountBody {
    fn from(opened: OpenedBankAccount) -> Self {
        let OpenedBankAccount { account, name, kind, opened_by, opened_at } = opened;
        Self { code: account.code, name, kind, opened_by, opened_at: (!account.is_cash()).then_some(opened_at) }
    }
}

/// List the bank's own accounts
///
/// All of them at once: the cash, and what admins have opened, in that order.
#[utoipa::path(
    get,
    path = "/bank_accounts",
    operation_id = "list_bank_accounts",
    tag = "Staff",
    responses(
        (status = OK, description = "The bank's own accounts", body = BankAccounts),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    Reader(_caller): Reader,
) -> Result<Json<BankAccounts>> {
    // It says nothing about anybody.
    context.set_on_record();
    let data = app.db.bank_accounts().await?;
    Ok(Json(BankAccounts { data: data.into_iter().map(Into::into).collect() }))
}

/// Open an account of the bank's own
///
/// For what is neither paid in nor out in cash: fees, interest, write-offs. Staff then say `against` in deposits and
/// withdrawals. It is there in every currency, and for good.
#[utoipa::path(
    post,
    path = "/bank_accounts",
    operation_id = "open_bank_account",
    tag = "Staff",
    request_body(content = BankAccountRequest, description = "How it is called, and what it is in the books"),
    responses(
        (status = CREATED, description = "The account", body = BankAccountBody,
         headers(("Location" = String, description = "The account"))),
        (status = FORBIDDEN, description = "For admins"),
        (status = CONFLICT, description = "The bank has an account with this code, or as many as it can have"),
    ),
    security(("bearer" = []))
)]
pub async fn open(
    State(app): State<App>,
    context: RequestContext,
    Admin(caller): Admin,
    Json(request): Json<BankAccountRequest>,
) -> Result<Response> {
    let BankAccountRequest { code, name, kind } = request;
    let name = String::from(name);
    let mut tx = app.db.begin().await?;
    // First, because it has the others wait who open an account.
    let event = context.event(Action::BankAccountOpened).on(code).detail(OpenedBankAccount::in_words(&name, kind));
    tx.append_to_audit_log(&[event]).await?;
    let opened = tx.bank_accounts().await?;
    if code == BankAccountCode::CUSTOMERS || opened.iter().any(|known| known.account.code == code) {
        let detail = "The bank has an account with this code. Take another code.";
        return Err(Error::conflict(ProblemCode::BankAccountExists, detail));
    }
    // The cash is one of them, which nobody has opened.
    if opened.len() > MAX_BANK_ACCOUNTS {
        let detail = "The bank has 1,000 accounts of its own, which is the most.";
        return Err(Error::conflict(ProblemCode::TooManyBankAccounts, detail));
    }
    let opened = tx.insert_bank_account(code, &name, kind, Some(caller.user_id), Timestamp::now()).await?;
    tx.commit().await?;
    let location = [(LOCATION, format!("/bank_accounts/{code}"))];
    Ok((StatusCode::CREATED, location, Json(BankAccountBody::from(opened))).into_response())
}

/// Show an account of the bank's own
///
/// Its name and its kind.
#[utoipa::path(
    get,
    path = "/bank_accounts/{code}",
    operation_id = "show_bank_account",
    tag = "Staff",
    params(("code" = BankAccountCode, Path, description = "How requests name it", example = "fees")),
    responses(
        (status = OK, description = "The account", body = BankAccountBody),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
        (status = NOT_FOUND, description = "The bank has no account with this code"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    Reader(_caller): Reader,
    PathParam(code): PathParam<BankAccountCode>,
) -> Result<Json<BankAccountBody>> {
    // It says nothing about anybody.
    context.set_on_record();
    let not_found = || Error::not_found(ProblemCode::BankAccountNotFound, "The bank has no account with this code.");
    let opened = app.db.bank_account_by_code(code).await?.ok_or_else(not_found)?;
    Ok(Json(opened.into()))
}

/// The account of the bank's that a movement goes against: its cash, unless staff name another one.
pub async fn against(app: &App, caller: Caller, named: Option<BankAccountCode>) -> Result<BankAccount> {
    let Some(code) = named else { return Ok(BankAccount::CASH) };
    refuse_unless_staff(caller.role.acts_on_any_account()).map_err(|error| Error::Invalid(vec![error]))?;
    let known = app.db.bank_account_by_code(code).await?;
    known.map(|opened| opened.account).ok_or_else(|| Error::Invalid(vec![not_found(code)]))
}

pub fn refuse_unless_staff(acts_on_any_account: bool) -> Result<(), FieldError> {
    match acts_on_any_account {
        true => Ok(()),
        false => Err(FieldError::new("/against", ProblemCode::AgainstByStaffOnly, "leave it out: only staff send it")),
    }
}

pub fn not_found(code: BankAccountCode) -> FieldError {
    let detail = format!("the bank has no account with the code {code}; GET /bank_accounts lists those that it has");
    FieldError::new("/against", ProblemCode::BankAccountNotFound, detail)
}
