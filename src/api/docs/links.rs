//! Links of the OpenAPI document: which answer has what the next request needs, for clients that are made from the
//! document and for the fuzzer that walks along them (`tests/fuzz/run`).

use serde_json::{Value, json};
use utoipa::openapi::link::{Link, LinkBuilder};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::{OpenApi, RefOr};

/// From the answer with `status` to the operation with the id `to`, with what it takes from there.
#[derive(Clone)]
struct Step {
    status: &'static str,
    to: &'static str,
    takes: Takes,
}

/// What the next request takes, as runtime expressions.
#[derive(Clone)]
enum Takes {
    Parameter(&'static str, &'static str),
    Body(Value),
}

const ACCOUNT: &str = "$response.body#/account_number";
const ID: &str = "$response.body#/id";
const FIRST_ACCOUNT: &str = "$response.body#/data/0/account_number";
const FIRST_ID: &str = "$response.body#/data/0/id";
const NEXT_CURSOR: &str = "$response.body#/next_cursor";
/// Whole units: good in every currency.
const SOME_AMOUNT: &str = "25";

/// Adds the links to the answers that they start from.
pub fn add(document: &mut OpenApi) {
    for operation in document.paths.paths.values_mut().flat_map(operations) {
        for step in steps_from(operation.operation_id.as_deref().unwrap_or_default()) {
            if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut(step.status) {
                answer.links.insert(step.to.to_owned(), RefOr::T(step.into()));
            }
        }
    }
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
}

fn steps_from(operation_id: &str) -> Vec<Step> {
    match operation_id {
        "create_account" => {
            let body = json!({"email": "$request.body#/email", "password": "$request.body#/password"});
            vec![with_body("201", "login", body)]
        }
        "login" | "refresh" => {
            vec![with_body("200", "refresh", json!({"refresh_token": "$response.body#/refresh_token"}))]
        }
        "open_account" => [of_an_account("201", ACCOUNT), vec![into_an_account("201", ACCOUNT)]].concat(),
        "show_account" => of_an_account("200", ACCOUNT),
        "list_accounts" => {
            let money = vec![into_an_account("200", FIRST_ACCOUNT), out_of_an_account("200", FIRST_ACCOUNT)];
            [of_an_account("200", FIRST_ACCOUNT), money, vec![next_page("list_accounts")]].concat()
        }
        "deposit" => {
            let undo = vec![out_of_an_account("201", ACCOUNT), reversal()];
            [after_a_movement(), undo, after_a_request()].concat()
        }
        "withdraw" | "transfer" => [after_a_movement(), vec![reversal()], after_a_request()].concat(),
        "reverse_transaction" => [after_a_movement(), after_a_request()].concat(),
        "list_transactions" => {
            vec![
                with_parameter("200", "show_transaction", "id", FIRST_ID),
                with_parameter("200", "list_transactions", "cursor", NEXT_CURSOR),
            ]
        }
        "create_hold" => of_a_hold("201", ID),
        "list_holds" => [of_a_hold("200", FIRST_ID), vec![next_page("list_holds")]].concat(),
        "capture_hold" => [after_a_movement(), vec![reversal()]].concat(),
        "list_sessions" => vec![with_parameter("200", "end_session", "id", FIRST_ID)],
        "list_users" => vec![
            with_parameter("200", "show_user", "user_id", FIRST_ID),
            with_parameter("200", "list_accounts", "owner_id", FIRST_ID),
            with_parameter("200", "set_user_status", "user_id", FIRST_ID),
            with_parameter("200", "set_role", "user_id", FIRST_ID),
            with_parameter("200", "end_sessions_of_user", "user_id", FIRST_ID),
            with_parameter("200", "list_sessions_of_user", "user_id", FIRST_ID),
            next_page("list_users"),
        ],
        "list_approvals" => [of_an_approval("200", FIRST_ID), vec![next_page("list_approvals")]].concat(),
        "list_audit_records" => vec![next_page("list_audit_records")],
        "list_problems" => vec![with_parameter("200", "show_problem", "code", "$response.body#/data/0/code")],
        _ => vec![],
    }
}

fn of_an_account(status: &'static str, number: &'static str) -> Vec<Step> {
    let targets = [
        "show_account",
        "update_account",
        "close_account",
        "take_statement",
        "take_statement_as_csv",
        "show_balance",
        "list_transactions",
        "show_limits",
    ];
    targets.map(|to| with_parameter(status, to, "account_number", number)).into()
}

fn into_an_account(status: &'static str, number: &'static str) -> Step {
    with_body(status, "deposit", json!({"account_number": number, "amount": SOME_AMOUNT}))
}

fn out_of_an_account(status: &'static str, number: &'static str) -> Step {
    with_body(status, "withdraw", json!({"account_number": number, "amount": SOME_AMOUNT}))
}

fn after_a_movement() -> Vec<Step> {
    vec![
        with_parameter("201", "show_transaction", "id", ID),
        with_parameter("201", "list_transactions", "account_number", ACCOUNT),
        with_parameter("201", "show_balance", "account_number", ACCOUNT),
    ]
}

fn reversal() -> Step {
    with_parameter("201", "reverse_transaction", "id", ID)
}

fn after_a_request() -> Vec<Step> {
    [of_an_approval("202", ID), vec![with_parameter("202", "show_transaction", "id", ID)]].concat()
}

fn of_an_approval(status: &'static str, id: &'static str) -> Vec<Step> {
    ["show_approval", "approve", "reject"].map(|to| with_parameter(status, to, "id", id)).into()
}

fn of_a_hold(status: &'static str, id: &'static str) -> Vec<Step> {
    ["show_hold", "capture_hold", "release_hold"].map(|to| with_parameter(status, to, "id", id)).into()
}

fn next_page(list: &'static str) -> Step {
    with_parameter("200", list, "cursor", NEXT_CURSOR)
}

fn with_parameter(status: &'static str, to: &'static str, name: &'static str, expression: &'static str) -> Step {
    Step { status, to, takes: Takes::Parameter(name, expression) }
}

fn with_body(status: &'static str, to: &'static str, body: Value) -> Step {
    Step { status, to, takes: Takes::Body(body) }
}

impl From<Step> for Link {
    fn from(step: Step) -> Self {
        let link = LinkBuilder::new().operation_id(step.to);
        match step.takes {
            Takes::Parameter(name, expression) => link.parameter(name, expression),
            Takes::Body(body) => link.request_body(Some(body)),
        }
        .build()
    }
}
