//! Examples of answers in the OpenAPI document: each belongs to its operation and its status.

use axum::http::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use super::problem_responses::{MEDIA_TYPE, for_each_problem, for_each_responses};
use crate::api::http::problem::FieldError;
use coffer_core::problem_code::ProblemCode::{self, *};

/// The example of a problem, by its status, where its operation has none of its own.
const OF_STATUS: &[(u16, ProblemCode)] = &[
    (400, MalformedJson),
    (401, InvalidToken),
    (403, RoleRequired),
    (404, AccountNotFound),
    (406, NotAcceptable),
    (408, RequestTimeout),
    (409, InsufficientFunds),
    (410, EventsMissed),
    (412, BalanceMovedOn),
    (413, BodyTooLarge),
    (415, UnsupportedMediaType),
    (422, MissingField),
    (429, TooManyRequests),
    (500, InternalError),
    (503, DatabaseUnavailable),
    (504, OutcomeUnknown),
    (507, DiskFull),
];

/// The example of a problem that one operation describes for itself.
const OF_OPERATION: &[(&str, u16, ProblemCode)] = &[
    ("create_hold", 401, RecentSignInRequired),
    ("capture_hold", 403, HoldOfBank),
    ("capture_hold", 404, HoldNotFound),
    ("capture_hold", 409, HoldCaptured),
    ("release_hold", 403, HoldOfBank),
    ("release_hold", 404, HoldNotFound),
    ("release_hold", 409, HoldReleased),
    ("show_hold", 404, HoldNotFound),
    ("list_accounts", 404, UserNotFound),
    ("list_events", 410, EventsMissed),
    ("create_webhook", 409, TooManyWebhooks),
    ("show_webhook", 404, WebhookNotFound),
    ("update_webhook", 404, WebhookNotFound),
    ("delete_webhook", 404, WebhookNotFound),
    ("rotate_webhook_secret", 404, WebhookNotFound),
    ("rotate_webhook_secret", 409, TooManyWebhookSecrets),
    ("test_webhook", 404, WebhookNotFound),
    ("list_webhook_deliveries", 404, WebhookNotFound),
    ("retry_webhook_delivery", 404, DeliveryNotFound),
    ("retry_webhook_delivery", 409, WebhookDisabled),
    ("replay_webhook", 404, WebhookNotFound),
    ("replay_webhook", 409, WebhookDisabled),
    ("create_payee", 409, PayeeExists),
    ("delete_payee", 404, PayeeNotFound),
    ("check_name", 429, TooManyNameChecks),
    ("show_api_key", 404, ApiKeyNotFound),
    ("rotate_api_key", 404, ApiKeyNotFound),
    ("revoke_api_key", 404, ApiKeyNotFound),
    ("create_api_key", 409, TooManyApiKeys),
    ("list_api_keys_of_user", 404, UserNotFound),
    ("revoke_api_keys_of_user", 404, UserNotFound),
    ("create_customer", 409, EmailTaken),
    ("list_notes", 404, UserNotFound),
    ("create_note", 404, UserNotFound),
    ("create_password_link", 404, UserNotFound),
    ("create_password_link", 409, ServiceUser),
    ("confirm_password_reset", 404, PasswordLinkNotFound),
    ("request_password_reset", 404, MailNotSetUp),
    ("request_password_reset", 429, TooManyMails),
    ("verify_email", 404, VerificationLinkNotFound),
    ("send_email_verification", 404, MailNotSetUp),
    ("send_email_verification", 409, EmailVerified),
    ("send_email_verification", 429, TooManyMails),
    ("open_account", 404, UserNotFound),
    ("open_account", 409, TooManyAccounts),
    ("open_account", 429, TooManyOpenings),
    ("update_account", 409, AccountClosed),
    ("close_account", 401, RecentSignInRequired),
    ("close_account", 409, AccountNotEmpty),
    ("set_account_status", 409, AccountClosed),
    ("set_limits", 401, RecentSignInRequired),
    ("set_limits", 409, OverdraftInUse),
    ("withdraw", 409, LimitExceeded),
    ("show_approval", 404, ApprovalNotFound),
    ("approve", 401, RecentSignInRequired),
    ("approve", 403, OwnApproval),
    ("approve", 404, ApprovalNotFound),
    ("approve", 409, ApprovalNotPending),
    ("reject", 404, ApprovalNotFound),
    ("reject", 409, ApprovalNotPending),
    ("create_account", 403, SignUpByStaffOnly),
    ("create_account", 409, EmailTaken),
    ("create_account", 429, TooManySignUps),
    ("deposit", 409, AccountFrozen),
    ("login", 401, InvalidCredentials),
    ("close_me", 401, RecentSignInRequired),
    ("close_me", 409, AccountsOpen),
    ("update_me", 401, RecentSignInRequired),
    ("update_me", 403, WrongPassword),
    ("update_me", 409, EmailTaken),
    ("change_password", 403, WrongPassword),
    ("prove", 403, WrongPassword),
    ("prove", 409, SecondFactorMissing),
    ("enrol_second_factor", 403, WrongPassword),
    ("enrol_second_factor", 409, SecondFactorEnabled),
    ("confirm_second_factor", 403, InvalidSecondFactor),
    ("confirm_second_factor", 409, NothingToConfirm),
    ("remove_second_factor", 403, WrongPassword),
    ("remove_second_factor", 409, SecondFactorMissing),
    ("end_session", 404, SessionNotFound),
    ("metrics", 404, MetricsOff),
    ("show_problem", 404, ProblemNotFound),
    ("readyz", 503, NotReady),
    ("refresh", 401, InvalidRefreshToken),
    ("batch", 401, RecentSignInRequired),
    ("batch", 409, BatchRefused),
    ("show_transaction", 404, TransactionNotFound),
    ("reverse_transaction", 404, TransactionNotFound),
    ("reverse_transaction", 409, AlreadyReversed),
    ("transfer", 401, RecentSignInRequired),
    ("transfer", 404, ReceiverNotFound),
    ("show_user", 404, UserNotFound),
    ("set_role", 401, RecentSignInRequired),
    ("set_role", 403, NotForOneself),
    ("set_role", 404, UserNotFound),
    ("set_role", 409, LastAdmin),
    ("reset_second_factor", 401, RecentSignInRequired),
    ("reset_second_factor", 403, NotForOneself),
    ("reset_second_factor", 404, UserNotFound),
    ("reset_second_factor", 409, SecondFactorMissing),
    ("end_sessions_of_user", 401, RecentSignInRequired),
    ("end_sessions_of_user", 404, UserNotFound),
    ("list_sessions_of_user", 404, UserNotFound),
    ("export_me", 401, RecentSignInRequired),
    ("erase_user", 401, RecentSignInRequired),
    ("erase_user", 403, NotForOneself),
    ("erase_user", 404, UserNotFound),
    ("erase_user", 409, AccountsOpen),
    ("end_session_of_user", 401, RecentSignInRequired),
    ("end_session_of_user", 404, SessionNotFound),
    ("set_user_status", 403, NotForOneself),
    ("set_user_status", 404, UserNotFound),
    ("withdraw", 401, RecentSignInRequired),
];

/// The movement that an operation shows.
struct Movement {
    operation: &'static str,
    movement_type: &'static str,
    direction: &'static str,
    counterparty: Option<&'static str>,
    reverses: Option<&'static str>,
}

const MOVEMENTS: &[Movement] = &[
    cash("deposit", "deposit", "credit"),
    cash("withdraw", "withdrawal", "debit"),
    Movement { counterparty: Some("10000000000277"), ..cash("transfer", "transfer", "debit") },
    Movement {
        reverses: Some("019a8f3e-6a10-7c52-8f7d-0b1c2d3e4f50"),
        ..cash("reverse_transaction", "withdrawal", "debit")
    },
    cash("show_transaction", "deposit", "credit"),
];

const fn cash(operation: &'static str, movement_type: &'static str, direction: &'static str) -> Movement {
    Movement { operation, movement_type, direction, counterparty: None, reverses: None }
}

/// Gives every answer that shows a problem or a movement an example.
pub fn add(document: &mut Value) {
    for_each_problem(document, &mut |operation, status, response| {
        if let (Some(content), Some(code)) = (content_of(response, MEDIA_TYPE), code_of(operation, status)) {
            content["example"] = problem(status, code);
        }
    });
    for_each_responses(document, &mut |operation, responses| {
        let Some(of) = MOVEMENTS.iter().find(|of| of.operation == operation) else { return };
        let is_preview = responses.get("201").is_some();
        for (status, is_posted) in [("200", true), ("201", true), ("202", false)] {
            let response = responses.get_mut(status);
            if let Some(content) = response.and_then(|response| content_of(response, "application/json")) {
                let movement = movement(of, is_posted);
                content["example"] = if is_preview && status == "200" { preview_of(movement) } else { movement };
            }
        }
    });
}

fn content_of<'v>(response: &'v mut Value, media_type: &str) -> Option<&'v mut Value> {
    response.get_mut("content")?.get_mut(media_type)
}

fn code_of(operation: &str, status: StatusCode) -> Option<ProblemCode> {
    let status = status.as_u16();
    let own = OF_OPERATION.iter().find(|of| (of.0, of.1) == (operation, status)).map(|of| of.2);
    own.or_else(|| OF_STATUS.iter().find(|of| of.0 == status).map(|of| of.1))
}

pub fn problem(status: StatusCode, code: ProblemCode) -> Value {
    let mut problem = json!({
        "type": format!("/problems/{code}"),
        "title": code.title(),
        "status": status.as_u16(),
        "detail": format!("{} {}", code.what_happened(), code.what_to_do()),
        "code": code,
        "request_id": "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88",
    });
    let members = match code {
        InsufficientFunds => json!({
            "currency": "USD", "requested": "100.50", "available": "20.00", "held": "15.00", "short_by": "80.50",
        }),
        LimitExceeded => json!({
            "currency": "USD", "requested": "100.50", "limit": "per_day", "allowed": "500.00", "used": "450.00",
            "remaining": "50.00", "resets_at": "2026-02-01T00:00:00.000000Z",
        }),
        OverdraftInUse => json!({"requested": "50.00", "used": "80.50"}),
        _ => json!({}),
    };
    problem
        .as_object_mut()
        .into_iter()
        .for_each(|problem| problem.extend(members.as_object().cloned().unwrap_or_default()));
    if status == StatusCode::UNPROCESSABLE_ENTITY {
        problem["errors"] = json!([FieldError::new("/amount", code, code.what_to_do())]);
    }
    problem
}

fn preview_of(mut movement: Value) -> Value {
    movement["id"] = Uuid::nil().to_string().into();
    movement["hash"] = Value::Null;
    movement["preview"] = true.into();
    movement
}

fn movement(of: &Movement, is_posted: bool) -> Value {
    let &Movement { movement_type, direction, counterparty, reverses, .. } = of;
    let if_posted = |value: Value| if is_posted { value } else { Value::Null };
    let mut movement = json!({
        "id": "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88",
        "type": movement_type,
        "status": if is_posted { "posted" } else { "pending_approval" },
        "account_number": "10000000000180",
        "counterparty": counterparty,
        "against": if counterparty.is_some() { Value::Null } else { "cash".into() },
        "direction": direction,
        "amount": "100.50",
        "currency": "USD",
        "balance": if_posted(json!("250.00")),
        "sequence": if_posted(json!(7)),
        "description": "Salary",
        "reference": null,
        "group": null,
        "metadata": {},
        "created_at": "2026-01-31T12:00:00.000000Z",
        "hash": if_posted(json!("5f2b1d0c9e8a7f6b5d4c3b2a190807f6e5d4c3b2a1908f7e6d5c4b3a29180706")),
    });
    if let Some(reverses) = reverses {
        movement["reverses"] = reverses.into();
    }
    movement
}
