//! Who may do what: every route of the OpenAPI document, called by everybody.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Answer, Customer, PASSWORD, TestBank, bank_tests, with_old_proof};

/// Whoever calls. All but the last three call about something that belongs to the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Anonymous,
    Owner,
    OtherCustomer,
    Staff,
    Admin,
    Auditor,
    /// The owner, frozen by the bank.
    Frozen,
    /// The owner, about an account that is closed.
    OfClosedAccount,
    /// The owner, with the token of a session that has ended.
    Revoked,
}

const EVERYBODY: [Who; 9] = [
    Who::Anonymous,
    Who::Owner,
    Who::OtherCustomer,
    Who::Staff,
    Who::Admin,
    Who::Auditor,
    Who::Frozen,
    Who::OfClosedAccount,
    Who::Revoked,
];

/// What an API key needs for a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Nothing: nobody is asked who calls.
    Open,
    /// A scope.
    Read,
    Move,
    Staff,
    /// No key reaches it.
    People,
}
use Reach::{Move, Open, People, Read, Staff as ByStaff};

/// Method, path, what an API key needs, and the status that each of [`EVERYBODY`] gets.
type Row = (&'static str, &'static str, Reach, [u16; 9]);

#[rustfmt::skip]
const MATRIX: &[Row] = &[
    //                                               reach     anonymous owner other staff admin auditor frozen closed revoked
    ("POST",   "/create_account",                    Open,   [201, 201, 201, 201, 201, 201, 201, 201, 201]),
    ("POST",   "/login",                             Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("POST",   "/refresh",                           Open,   [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/logout",                            People, [401, 204, 204, 204, 204, 204, 204, 204, 401]),
    ("POST",   "/deposit",                           Move,   [401, 201, 404, 201, 201, 403, 403, 409, 401]),
    ("POST",   "/withdraw",                          Move,   [401, 201, 404, 201, 201, 403, 403, 409, 401]),
    ("POST",   "/transfer",                          Move,   [401, 201, 404, 201, 201, 403, 403, 409, 401]),
    ("POST",   "/transactions/batch",                Move,   [401, 200, 409, 200, 200, 403, 403, 409, 401]),
    ("GET",    "/balance",                           Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("GET",    "/transactions",                      Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("GET",    "/transactions/{id}",                 Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/transactions/{id}/reverse",         Move,   [401, 403, 403, 201, 201, 403, 403, 403, 401]),
    ("POST",   "/transactions/{id}/reverse_group",   Move,   [401, 403, 403, 409, 409, 403, 403, 403, 401]),
    ("GET",    "/accounts",                          Read,   [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/accounts",                          Move,   [401, 201, 201, 201, 201, 403, 403, 201, 401]),
    ("GET",    "/accounts/{account_number}",         Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("PATCH",  "/accounts/{account_number}",         Move,   [401, 200, 404, 200, 200, 403, 403, 409, 401]),
    ("DELETE", "/accounts/{account_number}",         Move,   [401, 204, 404, 204, 204, 403, 403, 409, 401]),
    ("GET",    "/accounts/{account_number}/statement", Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("GET",    "/accounts/{account_number}/statement.csv", Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("PUT",    "/accounts/{account_number}/status",  ByStaff, [401, 403, 403, 200, 200, 403, 403, 403, 401]),
    ("GET",    "/accounts/{account_number}/limits",  Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("PUT",    "/accounts/{account_number}/limits",  ByStaff, [401, 200, 404, 200, 200, 403, 403, 409, 401]),
    ("GET",    "/me",                                Read,   [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("PATCH",  "/me",                                People, [401, 200, 200, 200, 200, 403, 403, 200, 401]),
    ("DELETE", "/me",                                People, [401, 409, 409, 409, 409, 403, 403, 409, 401]),
    ("GET",    "/me/export",                         People, [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/me/proof",                          People, [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("PUT",    "/me/password",                       People, [401, 204, 204, 204, 204, 204, 403, 204, 401]),
    ("GET",    "/me/sessions",                       People, [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("DELETE", "/me/sessions/{id}",                  People, [401, 204, 404, 404, 404, 404, 204, 204, 401]),
    ("GET",    "/me/second_factor",                  People, [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/me/second_factor/confirm",          People, [401, 409, 409, 409, 409, 409, 403, 409, 401]),
    ("POST",   "/me/second_factor/remove",           People, [401, 409, 409, 409, 409, 409, 403, 409, 401]),
    ("POST",   "/me/second_factor",                  People, [401, 200, 200, 200, 200, 200, 403, 200, 401]),
    ("GET",    "/me/payees",                         Read,    [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/me/payees",                         Move,    [401, 201, 201, 201, 201, 403, 403, 201, 401]),
    ("DELETE", "/me/payees/{id}",                    Move,    [401, 204, 404, 404, 404, 403, 403, 204, 401]),
    ("POST",   "/name_check",                        Move,    [401, 200, 200, 200, 200, 403, 403, 200, 401]),
    ("GET",    "/me/api_keys",                       People, [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/me/api_keys",                       People, [401, 201, 201, 201, 201, 201, 403, 201, 401]),
    ("GET",    "/me/api_keys/{id}",                  People, [401, 200, 404, 404, 404, 404, 200, 200, 401]),
    ("DELETE", "/me/api_keys/{id}",                  People, [401, 204, 404, 404, 404, 404, 204, 204, 401]),
    ("POST",   "/me/api_keys/{id}/rotate",           People, [401, 200, 404, 404, 404, 404, 403, 200, 401]),
    ("GET",    "/users/{user_id}/api_keys",          People, [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("DELETE", "/users/{user_id}/api_keys",          People, [401, 403, 403, 403, 204, 403, 403, 403, 401]),
    // The bank of these tests sends no mail.
    ("POST",   "/password_reset",                    Open,    [404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST",   "/email_verification",                Open,    [404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST",   "/me/email_verification",             People,  [401, 404, 404, 404, 404, 404, 403, 404, 401]),
    ("POST",   "/password_reset/confirm",            Open,    [404, 404, 404, 404, 404, 404, 404, 404, 404]),
    ("POST",   "/users",                             ByStaff, [401, 403, 403, 201, 201, 403, 403, 403, 401]),
    ("GET",    "/users.csv",                         Read,    [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/transactions.csv",                  Read,    [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/users/{user_id}/notes",             Read,    [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("POST",   "/users/{user_id}/notes",             ByStaff, [401, 403, 403, 201, 201, 403, 403, 403, 401]),
    ("POST",   "/users/{user_id}/password_reset",    People,  [401, 403, 403, 403, 202, 403, 403, 403, 401]),
    ("GET",    "/users",                             Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/users/{user_id}",                   Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("PUT",    "/users/{user_id}/role",              People, [401, 403, 403, 403, 202, 403, 403, 403, 401]),
    ("PUT",    "/users/{user_id}/status",            ByStaff, [401, 403, 403, 200, 200, 403, 403, 403, 401]),
    ("GET",    "/users/{user_id}/sessions",          People, [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("DELETE", "/users/{user_id}/sessions/{session_id}", People, [401, 403, 403, 204, 204, 403, 403, 403, 401]),
    ("DELETE", "/users/{user_id}/sessions",          People, [401, 403, 403, 403, 204, 403, 403, 403, 401]),
    ("POST",   "/users/{user_id}/erase",             People, [401, 403, 403, 403, 409, 403, 403, 403, 401]),
    ("DELETE", "/users/{user_id}/second_factor",     People, [401, 403, 403, 403, 409, 403, 403, 403, 401]),
    ("GET",    "/audit",                             Read,   [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("GET",    "/audit.csv",                         Read,   [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("GET",    "/approvals",                         Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/approvals/count",                   Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/approvals/{id}",                    Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("POST",   "/approvals/{id}/approve",            People, [401, 403, 403, 200, 200, 403, 403, 403, 401]),
    ("POST",   "/approvals/{id}/reject",             People, [401, 403, 403, 200, 200, 403, 403, 403, 401]),
    ("POST",   "/holds",                             Move,   [401, 201, 404, 201, 201, 403, 403, 409, 401]),
    ("GET",    "/events",                            Read,    [401, 200, 200, 200, 200, 200, 200, 200, 401]),
    ("GET",    "/holds",                             Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("GET",    "/holds/{id}",                        Read,   [401, 200, 404, 200, 200, 200, 200, 200, 401]),
    ("POST",   "/holds/{id}/capture",                Move,   [401, 201, 404, 403, 403, 403, 403, 201, 401]),
    ("POST",   "/holds/{id}/release",                Move,   [401, 200, 404, 200, 200, 403, 403, 200, 401]),
    ("GET",    "/bank_accounts",                     Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("POST",   "/bank_accounts",                     ByStaff, [401, 403, 403, 403, 201, 403, 403, 403, 401]),
    ("GET",    "/bank_accounts/{code}",              Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/trial_balance",                     Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/totals",                            Read,   [401, 403, 403, 200, 200, 200, 403, 403, 401]),
    ("GET",    "/bank",                              Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/webhooks",                          People,  [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("POST",   "/webhooks",                          People,  [401, 403, 403, 403, 201, 403, 403, 403, 401]),
    ("GET",    "/webhooks/{id}",                     People,  [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("PATCH",  "/webhooks/{id}",                     People,  [401, 403, 403, 403, 200, 403, 403, 403, 401]),
    ("POST",   "/webhooks/{id}/secret",              People,  [401, 403, 403, 403, 200, 403, 403, 403, 401]),
    ("POST",   "/webhooks/{id}/test",                People,  [401, 403, 403, 403, 200, 403, 403, 403, 401]),
    ("GET",    "/webhooks/{id}/deliveries",          People,  [401, 403, 403, 403, 200, 200, 403, 403, 401]),
    ("POST",   "/webhooks/{id}/deliveries/{event_id}/retry", People, [401, 403, 403, 403, 404, 403, 403, 403, 401]),
    ("POST",   "/webhooks/{id}/replay",              People,  [401, 403, 403, 403, 202, 403, 403, 403, 401]),
    // The last of these, because it is gone then.
    ("DELETE", "/webhooks/{id}",                     People,  [401, 403, 403, 403, 204, 403, 403, 403, 401]),
    ("GET",    "/problems",                          Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/problems/{code}",                   Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/livez",                             Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/readyz",                            Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/metrics",                           Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
    ("GET",    "/postman.json",                      Open,   [200, 200, 200, 200, 200, 200, 200, 200, 200]),
];

/// What cannot be taken back: whoever may do it must have shown password or code within the last five minutes.
const ASKS_FOR_RECENT_PROOF: &[(&str, &str)] = &[
    ("DELETE", "/accounts/{account_number}"),
    ("DELETE", "/me"),
    ("GET", "/me/export"),
    ("POST", "/users/{user_id}/erase"),
    ("PUT", "/users/{user_id}/role"),
    ("DELETE", "/users/{user_id}/sessions"),
    ("DELETE", "/users/{user_id}/sessions/{session_id}"),
    ("DELETE", "/users/{user_id}/second_factor"),
    ("POST", "/approvals/{id}/approve"),
    ("POST", "/me/api_keys"),
    ("POST", "/me/api_keys/{id}/rotate"),
    ("DELETE", "/users/{user_id}/api_keys"),
    ("POST", "/users/{user_id}/password_reset"),
    ("POST", "/webhooks"),
    ("PATCH", "/webhooks/{id}"),
    ("DELETE", "/webhooks/{id}"),
    ("POST", "/webhooks/{id}/secret"),
];

/// What the calls are about, and the tokens of those who make them.
struct Scene<'a> {
    owner: Customer<'a>,
    owner_id: String,
    empty_account: String,
    transaction: String,
    session: String,
    receiver: String,
    /// A deposit for the owner that waits for approval.
    approval: String,
    /// Of the owner's money, by the owner.
    hold: String,
    /// Of the owner, and never used.
    api_key: String,
    /// Of the owner.
    payee: String,
    /// Of the bank.
    webhook: String,
    token: Option<String>,
    refresh_token: String,
}

/// Something that nobody has.
const NO_ACCOUNT: &str = "10000000000180";
/// A private address, so that nothing is sent.
const LEADS_NOWHERE: &str = "https://localhost:9/hook";
const NO_ID: &str = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";

impl<'a> Scene<'a> {
    /// A fresh owner with a movement, and a fresh session of whoever is to call.
    async fn set(bank: &'a TestBank, staff: &Staff<'a>, who: Who) -> Self {
        let mut owner = bank.customer().await;
        let transaction = owner.deposit("10").await.expect_status(201).text_at("/id");
        owner.deposit("2").await.expect_status(201);
        let hold = json!({"account_number": owner.account, "amount": "2"});
        let hold = owner.post("/holds", hold).send().await.expect_status(201).text_at("/id");
        let api_key = json!({"name": "Unused", "scopes": ["read"]});
        let api_key = owner.post("/me/api_keys", api_key).send().await.expect_status(201).text_at("/id");
        let empty_account = owner.open_account(json!({})).await.expect_status(201).text_at("/account_number");
        let payee = json!({"name": "Other", "account_number": NO_ACCOUNT});
        let payee = owner.post("/me/payees", payee).send().await.expect_status(201).text_at("/id");
        let large = json!({"account_number": owner.account, "amount": "1000.01"});
        // A person may only have so many that wait.
        bank.tamper_with_approvals("update approvals set expires_at = 1 where status = 'pending'").await;
        let approval = staff.clerk.post("/deposit", large).send().await.expect_status(202).text_at("/id");
        let owner_id = owner.get("/me").send().await.text_at("/id");
        let session = owner.get("/me/sessions").send().await.text_at("/data/0/id");
        let sign_in = async |email: &str| {
            let tokens = bank.sign_in(email, PASSWORD).await.expect_status(200);
            (Some(tokens.text_at("/access_token")), tokens.text_at("/refresh_token"))
        };
        let (token, refresh_token) = match who {
            Who::Anonymous => (None, "nobody's".to_owned()),
            Who::Owner => (Some(owner.token.clone()), owner.refresh_token.clone()),
            Who::OtherCustomer => sign_in(&staff.other.email).await,
            Who::Staff => sign_in(&staff.staff.email).await,
            Who::Admin => sign_in(&staff.admin.email).await,
            Who::Auditor => sign_in(&staff.auditor.email).await,
            Who::Frozen => {
                let freeze = staff.clerk.request(Method::PUT, &format!("/users/{owner_id}/status"));
                freeze.json(json!({"status": "frozen"})).send().await.expect_status(200);
                (Some(owner.token.clone()), owner.refresh_token.clone())
            }
            Who::OfClosedAccount => {
                let path = format!("/accounts/{empty_account}");
                owner.request(Method::DELETE, &path).send().await.expect_status(204);
                owner.account = empty_account.clone();
                (Some(owner.token.clone()), owner.refresh_token.clone())
            }
            Who::Revoked => {
                let (token, refresh_token) = sign_in(&owner.email).await;
                bank.post("/logout", json!({}))
                    .bearer(token.as_deref().expect("a token"))
                    .send()
                    .await
                    .expect_status(204);
                (token, refresh_token)
            }
        };
        let receiver = staff.other.account.clone();
        Self {
            webhook: staff.webhook.clone(),
            owner,
            owner_id,
            empty_account,
            transaction,
            session,
            receiver,
            approval,
            hold,
            api_key,
            payee,
            token,
            refresh_token,
        }
    }

    /// The same scene, but about things that do not exist.
    fn about_nothing(mut self) -> Self {
        self.owner.account = NO_ACCOUNT.to_owned();
        self.empty_account = NO_ACCOUNT.to_owned();
        self.transaction = NO_ID.to_owned();
        self.session = NO_ID.to_owned();
        self.hold = NO_ID.to_owned();
        self.api_key = NO_ID.to_owned();
        self.payee = NO_ID.to_owned();
        self
    }

    /// That no account of the bank's has.
    fn code(&self) -> String {
        format!("fees_{}", self.transaction.replace('-', "_")).chars().take(32).collect()
    }

    async fn call(&self, method: &str, path: &str) -> Answer {
        let account = &self.owner.account;
        let movement = json!({"account_number": account, "amount": "1"});
        let (path, body) = match (method, path) {
            ("POST", "/create_account") => {
                let email = format!("new-{}@example.com", self.owner.email.split('@').next().unwrap_or_default());
                (path.to_owned(), Some(json!({"name": "New", "email": email, "password": PASSWORD})))
            }
            ("POST", "/users") => {
                let email = format!("made-{}", self.owner.email);
                (path.to_owned(), Some(json!({"name": "New", "email": email})))
            }
            ("POST", "/password_reset") => (path.to_owned(), Some(json!({"email": self.owner.email}))),
            ("POST", "/email_verification") => (path.to_owned(), Some(json!({"token": "nonsense"}))),
            ("POST", "/password_reset/confirm") => {
                (path.to_owned(), Some(json!({"token": "nonsense", "new_password": PASSWORD})))
            }
            ("POST", "/users/{user_id}/notes") => {
                (path.replace("{user_id}", &self.owner_id), Some(json!({"text": "Called"})))
            }
            ("POST", "/login") => (path.to_owned(), Some(json!({"email": self.owner.email, "password": PASSWORD}))),
            ("POST", "/refresh") => (path.to_owned(), Some(json!({"refresh_token": self.refresh_token}))),
            ("POST", "/deposit" | "/withdraw" | "/holds") => (path.to_owned(), Some(movement)),
            ("POST", "/transfer") => {
                (path.to_owned(), Some(json!({"from_account": account, "to_account": self.receiver, "amount": "1"})))
            }
            ("POST", "/transactions/batch") => {
                let item = json!({"type": "deposit", "account_number": account, "amount": "1"});
                (path.to_owned(), Some(json!({"atomic": true, "transactions": [item]})))
            }
            ("POST", "/accounts") => (path.to_owned(), Some(json!({}))),
            ("POST", "/bank_accounts") => {
                (path.to_owned(), Some(json!({"code": self.code(), "name": "Fees", "kind": "income"})))
            }
            ("GET", "/balance" | "/transactions" | "/holds") => (format!("{path}?account_number={account}"), None),
            ("GET", "/transactions/{id}") => (format!("/transactions/{}", self.transaction), None),
            ("POST", "/transactions/{id}/reverse") => {
                (format!("/transactions/{}/reverse", self.transaction), Some(json!({})))
            }
            ("POST", "/transactions/{id}/reverse_group") => {
                (format!("/transactions/{}/reverse_group", self.transaction), Some(json!({})))
            }
            ("GET" | "POST", path) if path.starts_with("/approvals/") => (path.replace("{id}", &self.approval), None),
            ("POST", "/holds/{id}/capture") => (path.replace("{id}", &self.hold), Some(json!({}))),
            ("GET" | "POST", path) if path.starts_with("/holds/") => (path.replace("{id}", &self.hold), None),
            ("PATCH", "/accounts/{account_number}") => {
                (format!("/accounts/{account}"), Some(json!({"label": "Another name"})))
            }
            ("DELETE", "/accounts/{account_number}") => (format!("/accounts/{}", self.empty_account), None),
            ("PUT", "/accounts/{account_number}/status") => {
                (format!("/accounts/{}/status", self.empty_account), Some(json!({"status": "frozen"})))
            }
            ("PUT", "/accounts/{account_number}/limits") => {
                (format!("/accounts/{account}/limits"), Some(json!({"per_day": "100"})))
            }
            ("GET", "/bank_accounts/{code}") => ("/bank_accounts/cash".to_owned(), None),
            ("GET", "/problems/{code}") => ("/problems/insufficient_funds".to_owned(), None),
            ("PATCH", "/me") => (path.to_owned(), Some(json!({"name": "Another Name"}))),
            ("PUT", "/me/password") => {
                let body = json!({"current_password": PASSWORD, "new_password": PASSWORD});
                (path.to_owned(), Some(body))
            }
            ("POST", "/me/proof") => (path.to_owned(), Some(json!({"password": PASSWORD}))),
            ("POST", "/me/second_factor") => (path.to_owned(), Some(json!({"password": PASSWORD}))),
            ("POST", "/me/second_factor/confirm") => (path.to_owned(), Some(json!({"code": "123456"}))),
            ("POST", "/me/second_factor/remove") => {
                (path.to_owned(), Some(json!({"password": PASSWORD, "code": "123456"})))
            }
            ("POST", "/webhooks") => (path.to_owned(), Some(json!({"url": LEADS_NOWHERE}))),
            ("PATCH", "/webhooks/{id}") => (path.replace("{id}", &self.webhook), Some(json!({"description": "Shop"}))),
            ("POST", "/webhooks/{id}/replay") => {
                (path.replace("{id}", &self.webhook), Some(json!({"from": "2026-01-01T00:00:00Z"})))
            }
            (_, path) if path.starts_with("/webhooks/") => {
                (path.replace("{id}", &self.webhook).replace("{event_id}", NO_ID), None)
            }
            ("POST", "/me/payees") => {
                (path.to_owned(), Some(json!({"name": "Another", "account_number": self.empty_account})))
            }
            (_, "/me/payees/{id}") => (path.replace("{id}", &self.payee), None),
            ("POST", "/name_check") => (path.to_owned(), Some(json!({"name": "Ada", "account_number": account}))),
            ("POST", "/me/api_keys") => (path.to_owned(), Some(json!({"name": "Another", "scopes": ["read"]}))),
            ("POST", "/me/api_keys/{id}/rotate") => (path.replace("{id}", &self.api_key), Some(json!({}))),
            (_, "/me/api_keys/{id}") => (path.replace("{id}", &self.api_key), None),
            ("DELETE", "/users/{user_id}/sessions/{session_id}") => {
                (format!("/users/{}/sessions/{}", self.owner_id, self.session), None)
            }
            ("DELETE", "/me/sessions/{id}") => (format!("/me/sessions/{}", self.session), None),
            ("PUT", "/users/{user_id}/role") => {
                (format!("/users/{}/role", self.owner_id), Some(json!({"role": "staff"})))
            }
            ("PUT", "/users/{user_id}/status") => {
                (format!("/users/{}/status", self.owner_id), Some(json!({"status": "frozen"})))
            }
            _ => (path.replace("{account_number}", account).replace("{user_id}", &self.owner_id), None),
        };
        let request = self.owner.bank.request(method.parse().expect("a method"), &path);
        let request = match &self.token {
            Some(token) => request.bearer(token),
            None => request,
        };
        match body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        }
    }
}

/// Those who are not the owner.
struct Staff<'a> {
    other: Customer<'a>,
    staff: Customer<'a>,
    admin: Customer<'a>,
    auditor: Customer<'a>,
    /// Asks for what others then approve.
    clerk: Customer<'a>,
    webhook: String,
}

impl<'a> Staff<'a> {
    async fn hire(bank: &'a TestBank) -> Self {
        let admin = bank.employee("admin").await;
        let webhook = admin.post("/webhooks", json!({"url": LEADS_NOWHERE})).send().await.expect_status(201);
        Self {
            other: bank.customer().await,
            staff: bank.employee("staff").await,
            webhook: webhook.text_at("/id"),
            admin,
            auditor: bank.employee("auditor").await,
            clerk: bank.employee("staff").await,
        }
    }
}

/// Without what differs from request to request.
fn comparable(answer: &Answer) -> Value {
    let mut body = answer.body.clone();
    if let Some(members) = body.as_object_mut() {
        members.remove("request_id");
    }
    body
}

bank_tests! {
    with &["--approval-above", "1000"];

    async fn everybody_gets_what_the_matrix_says(bank: &TestBank) {
        let staff = Staff::hire(bank).await;
        let mut wrong = Vec::new();
        for (method, path, _, expected) in MATRIX {
            for (who, expected) in EVERYBODY.into_iter().zip(expected) {
                let answer = Scene::set(bank, &staff, who).await.call(method, path).await;
                if answer.status.as_u16() != *expected {
                    wrong.push(format!(
                        "{method} {path} by {who:?}: {} instead of {expected}: {}",
                        answer.status, answer.body
                    ));
                }
                if who == Who::OtherCustomer && *expected == 404 {
                    let missing = Scene::set(bank, &staff, who).await.about_nothing().call(method, path).await;
                    if comparable(&answer) != comparable(&missing) || answer.headers.len() != missing.headers.len() {
                        wrong.push(format!("{method} {path}: somebody else's answers otherwise than a missing one"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// Of those who are let in, and of nobody else: a role that is missing is told first.
    async fn an_old_proof_opens_everything_but_what_cannot_be_taken_back(bank: &TestBank) {
        let staff = Staff::hire(bank).await;
        let mut wrong = Vec::new();
        for (method, path, _, expected) in MATRIX {
            for who in [Who::Owner, Who::Staff, Who::Admin] {
                let mut scene = Scene::set(bank, &staff, who).await;
                scene.token = scene.token.as_deref().map(with_old_proof);
                let answer = scene.call(method, path).await;
                let usual = expected[EVERYBODY.iter().position(|each| *each == who).expect("a column")];
                let is_asked = ASKS_FOR_RECENT_PROOF.contains(&(*method, *path)) && usual != 403;
                let expected = if is_asked { 401 } else { usual };
                let code = answer.body["code"].as_str().unwrap_or_default();
                if answer.status.as_u16() != expected || (code == "recent_sign_in_required") != is_asked {
                    wrong.push(format!(
                        "{method} {path} by {who:?}: {} instead of {expected}: {}",
                        answer.status, answer.body
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }

    /// By their scopes, and by the role of their user only with the scope `staff`.
    async fn api_keys_reach_what_the_matrix_says(bank: &TestBank) {
        let staff = Staff::hire(bank).await;
        let mut wrong = Vec::new();
        // What is refused changes nothing, so that one scene does for all of it.
        let mut unchanged = Scene::set(bank, &staff, Who::Owner).await;
        let mut keys = Vec::new();
        for (who, scopes) in KEYS {
            let user = if *who == Who::Owner { &unchanged.owner } else { &staff.admin };
            keys.push(create_key(user, scopes).await);
        }
        for (method, path, reach, expected) in MATRIX {
            for ((who, scopes), key) in KEYS.iter().zip(&keys) {
                let (status, code) = expected_of_key((method, path), *reach, *who, scopes, expected);
                let answer = if code.is_empty() {
                    let mut scene = Scene::set(bank, &staff, *who).await;
                    let is_owners = *who == Who::Owner;
                    scene.token = Some(if is_owners { create_key(&scene.owner, scopes).await } else { key.clone() });
                    scene.call(method, path).await
                } else {
                    unchanged.token = Some(key.clone());
                    unchanged.call(method, path).await
                };
                let is_as_expected = answer.status == status && (code.is_empty() || answer.body["code"] == code);
                if !is_as_expected {
                    wrong.push(format!(
                        "{method} {path} by a key of {who:?} for {scopes:?}: {} instead of {status} {code}: {}",
                        answer.status, answer.body
                    ));
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

async fn create_key(user: &Customer<'_>, scopes: &[&str]) -> String {
    let key = user.post("/me/api_keys", json!({"name": "Tried", "scopes": scopes})).send().await;
    key.expect_status(201).text_at("/api_key")
}

/// Whose keys are tried, and their scopes.
const KEYS: &[(Who, &[&str])] = &[
    (Who::Owner, &["read"]),
    (Who::Owner, &["move"]),
    (Who::Admin, &["staff"]),
    (Who::Admin, &["read", "move"]),
    (Who::Admin, &["read", "move", "staff"]),
];

/// The status and, if it is refused for what the key is, the code.
fn expected_of_key(
    route: (&str, &str),
    reach: Reach,
    who: Who,
    scopes: &[&str],
    expected: &[u16; 9],
) -> (u16, &'static str) {
    let column = |who| expected[EVERYBODY.iter().position(|each| *each == who).expect("a column")];
    let has_role = who == Who::Admin && scopes.contains(&"staff");
    let of_role = column(if has_role || who == Who::Owner { who } else { Who::OtherCustomer });
    let needed = match reach {
        Open if route.0 == "POST" && route.1 == "/refresh" => return (200, ""),
        Open => return (of_role, ""),
        People => return (403, "session_required"),
        Read => "read",
        Move => "move",
        ByStaff => "staff",
    };
    if !scopes.contains(&needed) {
        return (403, "scope_required");
    }
    if of_role == 403 && who == Who::Admin && !has_role {
        return (403, "scope_required");
    }
    if of_role != 403 && ASKS_FOR_RECENT_PROOF.contains(&route) {
        return (403, "session_required");
    }
    (of_role, "")
}

#[test]
fn the_document_says_what_asks_for_a_recent_proof() {
    let document = coffer::api::docs::openapi::document(coffer_core::money::DEFAULT_MAXIMUM);
    let mut said = BTreeSet::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("an item") {
            if operation["responses"]["401"]["description"] == coffer::api::people::proof::REQUIRED {
                said.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    let asked: BTreeSet<_> =
        ASKS_FOR_RECENT_PROOF.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(said, asked);
}

#[test]
fn every_route_has_a_row() {
    let document = coffer::api::docs::openapi::document(coffer_core::money::DEFAULT_MAXIMUM);
    let paths = document["paths"].as_object().expect("paths");
    let documented: BTreeSet<(String, &str)> = paths
        .iter()
        .flat_map(|(path, item)| item.as_object().expect("an item").keys().map(move |method| (path, method)))
        .map(|(path, method)| (method.to_uppercase(), path.as_str()))
        .collect();
    let rows: BTreeSet<(String, &str)> =
        MATRIX.iter().map(|(method, path, ..)| ((*method).to_owned(), *path)).collect();
    assert_eq!(rows, documented);
}
