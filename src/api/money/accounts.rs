//! Accounts and balances: `/accounts`, `/accounts/{account_number}` and `GET /balance`.

use std::collections::HashMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::header::LOCATION;
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller, Proven};
use crate::api::http::context::RequestContext;
use crate::api::http::cursor::Cursor;
use crate::api::http::entity_tags::IfNoneMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam, Query};
use crate::api::http::fields;
use crate::api::http::page::{self, Limit, Page};
use crate::api::http::problem::FieldError;
use crate::api::http::views::AccountLook;
use crate::api::money::tags::{Metadata, MetadataChanges};
use crate::api::money::versions::{self, NotModified, Version};
use crate::api::people::{proof, users};
use coffer_core::account_number::AccountNumber;
use coffer_core::api_key::BoundAccounts;
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::account_limits::MAX_MAJOR_UNITS;
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::refusal::Refusal;
use coffer_core::books::tags::Pairs;
use coffer_core::db::Tx;
use coffer_core::limits::{Allowance, Exceeded, Policy, Quota};
use coffer_core::money::{AmountOrZero, Currency, CurrentCurrency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::Label;
use coffer_core::timestamp::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// Describes the account number in a path, for the OpenAPI document.
pub const ACCOUNT_NUMBER: &str =
    "The number of the account: 14 digits, the last two are check digits (ISO 7064 MOD 97-10)";

/// Open accounts per user: enough for any household, too few to fill a database with.
const MAX_OPEN_ACCOUNTS: i64 = 100;
/// A random number is taken once in a trillion tries; several times in a row means that something is broken.
const MAX_NUMBER_TRIES: u32 = 5;

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Account)]
pub struct AccountBody {
    /// 14 digits, the last two are check digits (ISO 7064 MOD 97-10).
    account_number: AccountNumber,
    /// The user whose it is.
    #[schema(value_type = Uuid)]
    owner_id: Option<Uuid>,
    currency: Currency,
    /// The name that was given to the account, up to 50 characters; null if it has none.
    #[schema(example = "Savings")]
    label: Option<String>,
    /// What was noted on the account; `{}` if nothing was.
    metadata: Metadata,
    status: AccountStatus,
    balance: Money,
    /// What could be withdrawn now.
    available: Money,
    /// What holds keep, and movements that wait for approval: it is part of the balance and not of `available`.
    held: Money,
    /// How many entries its history has.
    #[schema(example = 1, minimum = 0)]
    sequence: i64,
    opened_at: Timestamp,
    /// A movement that takes the balance below it makes the event `balance.below`; null for none.
    alert_below: Option<Money>,
    /// The owner, whose address must be verified, is told by mail of a movement of more than this; null for none.
    notify_above: Option<Money>,
}

/// What an account holds, or held.
#[derive(Debug, Serialize, ToSchema)]
pub struct Balance {
    account_number: AccountNumber,
    balance: Money,
    /// What could be withdrawn.
    available: Money,
    /// What holds keep, and movements that wait for approval: it is part of the balance and not of `available`. 0 for a
    /// moment in the past.
    held: Money,
    currency: Currency,
    /// The last entry counted in.
    #[schema(example = 1, minimum = 0)]
    sequence: i64,
    /// The moment this is true of.
    as_of: Timestamp,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AccountsQuery {
    /// How many accounts, 1 to 100.
    limit: Option<Limit<100>>,
    /// `next_cursor` of the page before.
    cursor: Option<Cursor>,
    /// Whose accounts, for staff, admins and auditors; the caller's own if left out.
    #[serde(default, deserialize_with = "fields::user_id")]
    owner_id: Option<Uuid>,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct BalanceQuery {
    /// The number of the account: 14 digits, the last two are check digits.
    account_number: AccountNumber,
    /// A moment in the past; now if left out.
    at: Option<Timestamp>,
}

/// The account to open. Every field may be left out.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"currency": "EUR", "label": "Savings"}))]
pub struct OpenAccountRequest {
    /// Whose account, for staff and admins; the caller's own if left out.
    owner_id: Option<Uuid>,
    /// ISO 4217; the bank's default if left out.
    currency: Option<CurrentCurrency>,
    /// A name for it, up to 50 characters.
    #[schema(example = "Savings")]
    label: Option<Label>,
}

/// Changes to an account. A field that is left out stays as it is.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"label": "Holidays", "metadata": {"cost_centre": "4711", "project": null}}))]
pub struct UpdateAccountRequest {
    /// A new name for the account, up to 50 characters; null for none.
    #[serde(default, deserialize_with = "fields::present")]
    #[schema(example = "Holidays")]
    label: Option<Option<Label>>,
    /// A movement that takes the balance below it makes the event `balance.below`; null for none.
    #[serde(default, deserialize_with = "fields::present")]
    alert_below: Option<Option<AmountOrZero>>,
    /// The owner, whose address must be verified, is told by mail of a movement of more than this; null for none.
    #[serde(default, deserialize_with = "fields::present")]
    notify_above: Option<Option<AmountOrZero>>,
    /// Pairs to note, by key; null removes one.
    #[serde(default)]
    metadata: MetadataChanges,
}

/// Show a balance
///
/// Now, or as it was at a moment in the past. Its `ETag` is the account's sequence: with `If-None-Match` and `Prefer: wait=25`
/// the answer comes when the balance has changed.
#[utoipa::path(
    get,
    path = "/balance",
    operation_id = "show_balance",
    tag = "Money",
    params(BalanceQuery, versions::ConditionalHeaders),
    responses(
        (status = OK, description = "The balance", body = Balance, headers(
            ("ETag" = Option<String>, description = "The version: the account's sequence, and a hash where more shows in the answer"),
            ("Preference-Applied" = Option<String>, description = "For how long the answer may have waited, if that was asked for"),
        )),
        NotModified,
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn balance(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    known: IfNoneMatch,
    Query(query): Query<BalanceQuery>,
) -> Result<Response> {
    let look = AccountLook::new(Action::BalanceViewed);
    let account = readable_account(&app, &context, caller, query.account_number, look).await?;
    let now = Timestamp::now();
    match query.at {
        None => {
            let balance = Balance::of(&account, account.balance, account.sequence, now);
            Ok(Version::of_balance(&account).answer(&account, &known, balance))
        }
        Some(at) if at > now => Err(Error::invalid("?at", ProblemCode::AtInTheFuture, "send a moment that has passed")),
        Some(at) => {
            // What was lent and held then is not known any more.
            let account = Account { reserved: 0, overdraft_limit: 0, ..account };
            let (sequence, balance) = balance_at(&app, &account, at).await?;
            Ok(Json::<_>(Balance::of(&account, balance, sequence, at)).into_response())
        }
    }
}

/// List the caller's accounts
///
/// Or, for staff, admins and auditors, somebody else's.
#[utoipa::path(
    get,
    path = "/accounts",
    operation_id = "list_accounts",
    tag = "Accounts",
    params(AccountsQuery),
    responses(
        (status = OK, description = "A page of accounts, by number", body = Page<AccountBody>),
        (status = NOT_FOUND, description = "No such user whose accounts the caller may see"),
    ),
    security(("bearer" = []))
)]
pub async fn list(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    Query(query): Query<AccountsQuery>,
) -> Result<Json<Page<AccountBody>>> {
    let limit = query.limit.unwrap_or_default().rows();
    let after = query.cursor.map(|cursor| cursor.account_number);
    let owner_id = query.owner_id.unwrap_or(caller.user_id);
    if owner_id != caller.user_id && !(caller.role.reads_any_account() && app.db.user(owner_id).await?.is_some()) {
        return Err(Error::user_not_found());
    }
    let accounts = match caller.key.map(|key| key.bounds.accounts).filter(BoundAccounts::are_some) {
        None => app.db.accounts_of(owner_id, after, i64::from(limit) + 1).await?,
        Some(bound) => accounts_of_key(&app, caller, bound, after, limit).await?,
    };

    let (accounts, next_cursor) = page::cut(accounts, limit, |account| Cursor::at_account(account.account_number));
    if owner_id == caller.user_id {
        context.set_on_record();
    } else {
        let look = context.event(Action::AccountsListed).on(owner_id);
        app.viewed(accounts.iter().map(|account| account.account_number).fold(look, Event::about))?;
    }
    let mut metadata = metadata_of(&app, owner_id, &accounts).await?;
    let with_metadata = |account: Account| {
        let metadata = metadata.remove(&account.account_number).unwrap_or_default();
        AccountBody::from(account).with(metadata)
    };
    let data = accounts.into_iter().map(with_metadata).collect();
    Ok(Json(Page::new(data, next_cursor)))
}

/// Open another account
///
/// In any currency that ISO 4217 has not withdrawn. It starts at zero. Staff open one for somebody else with `owner_id`.
#[utoipa::path(
    post,
    path = "/accounts",
    operation_id = "open_account",
    tag = "Accounts",
    request_body(
        content = OpenAccountRequest,
        description = "The currency and the label of the new account; `{}` takes the bank's currency and no label",
    ),
    responses(
        (status = CREATED, description = "Opened", body = AccountBody,
         headers(("Location" = String, description = "The account"))),
        (status = NOT_FOUND, description = "No such user whose accounts the caller may open"),
        (status = CONFLICT, description = "The owner has as many open accounts as one may have"),
        (status = TOO_MANY_REQUESTS, description = "As many accounts were opened for the owner in 24 hours as one may have"),
    ),
    security(("bearer" = []))
)]
pub async fn open(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Json(request): Json<OpenAccountRequest>,
) -> Result<(StatusCode, [(HeaderName, String); 1], Json<AccountBody>)> {
    let currency = request.currency.map_or(app.default_currency, Into::into);
    if caller.key.is_some_and(|key| key.bounds.accounts.are_some()) {
        let detail = "This API key is for certain accounts: it opens no others.";
        return Err(Error::forbidden(ProblemCode::ScopeRequired, detail));
    }
    let owner_id = request.owner_id.unwrap_or(caller.user_id);
    let mut tx = app.db.begin().await?;
    if owner_id == caller.user_id {
        users::lock_caller(&mut tx, caller).await?;
    } else {
        let owner = if caller.role.acts_on_any_account() { tx.lock_user(owner_id).await? } else { None };
        owner.ok_or_else(Error::user_not_found)?;
    }
    refuse_to_open_too_many(&app, &mut tx, owner_id).await?;
    if tx.count_open_accounts(owner_id).await? >= MAX_OPEN_ACCOUNTS {
        let detail = "The owner has 100 open accounts, which is the most. Close one that is no longer needed.";
        return Err(Error::conflict(ProblemCode::TooManyAccounts, detail));
    }
    let account = insert_account(&app, &mut tx, owner_id, currency, request.label.map(Into::into)).await?;
    tx.append_to_audit_log(&[opened(&account, &context)]).await?;
    let opened = BankEvent::of_account(EventKind::AccountOpened, account.account_number, account.owner_id);
    app.append_events(&mut tx, &[opened]).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, [location_of(&account)], Json(account.into())))
}

/// Show an account
///
/// With its balance now. Staff, admins and auditors may look at anybody's, on record.
#[utoipa::path(
    get,
    path = "/accounts/{account_number}",
    operation_id = "show_account",
    tag = "Accounts",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    ), versions::ConditionalHeaders),
    responses(
        (status = OK, description = "The account", body = AccountBody, headers(
            ("ETag" = Option<String>, description = "The version: the account's sequence, and a hash where more shows in the answer"),
            ("Preference-Applied" = Option<String>, description = "For how long the answer may have waited, if that was asked for"),
        )),
        NotModified,
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    known: IfNoneMatch,
    PathParam(number): PathParam<AccountNumber>,
) -> Result<Response> {
    let look = AccountLook::new(Action::AccountViewed);
    let account = readable_account(&app, &context, caller, number, look).await?;
    let metadata = app.db.metadata_of(number).await?;
    let version = Version::of_account(&account, &metadata);
    Ok(version.answer(&account, &known, AccountBody::from(account.clone()).with(metadata)))
}

/// Change an account
///
/// Its label, the balance below which an event tells, the amount above which mail does, and what is noted on it: `metadata` is merged, key by key (RFC 7396).
/// Its owner may, and staff.
#[utoipa::path(
    patch,
    path = "/accounts/{account_number}",
    operation_id = "update_account",
    tag = "Accounts",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    )),
    request_body(content = UpdateAccountRequest, description = "The fields to change; the others stay as they are"),
    responses(
        (status = OK, description = "Changed", body = AccountBody),
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = CONFLICT, description = "The account is closed"),
    ),
    security(("bearer" = []))
)]
pub async fn update(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    PathParam(number): PathParam<AccountNumber>,
    Json(request): Json<UpdateAccountRequest>,
) -> Result<Json<AccountBody>> {
    let mut tx = app.db.begin().await?;
    // Two who note something at the same time merge one after the other.
    let account = lock_managed_account(&mut tx, caller, number).await?;
    if account.status == AccountStatus::Closed {
        return Err(Error::conflict(
            ProblemCode::AccountClosed,
            "The account is closed: what is on it stays as it is.",
        ));
    }
    let mut records = Vec::new();
    let mut label = account.label.clone();
    if let Some(new) = request.label {
        label = new.map(String::from);
        tx.label_account(number, label.as_deref()).await?;
        records.push(context.event(Action::AccountRenamed).on(number).detail(label.as_deref().unwrap_or("(no name)")));
    }
    let mut alert_below = account.alert_below;
    if let Some(new) = request.alert_below {
        alert_below = new.map(|amount| threshold("/alert_below", amount, account.currency)).transpose()?;
        tx.set_alert_below(number, alert_below).await?;
        let record = context.event(Action::AccountAlertSet).on(number);
        records.push(record.detail(in_words(alert_below, account.currency)));
    }
    let mut notify_above = account.notify_above;
    if let Some(new) = request.notify_above {
        notify_above = new.map(|amount| threshold("/notify_above", amount, account.currency)).transpose()?;
        tx.set_notify_above(number, notify_above).await?;
        let record = context.event(Action::AccountNoticeSet).on(number);
        records.push(record.detail(in_words(notify_above, account.currency)));
    }
    let mut metadata = tx.metadata_of(number).await?;
    let keys = request.metadata.keys().collect::<Vec<_>>().join(", ");
    if !keys.is_empty() {
        metadata = request.metadata.merged_into(metadata).map_err(|error| Error::Invalid(vec![error]))?;
        tx.set_metadata_of(number, &metadata).await?;
        records.push(context.event(Action::AccountMetadataChanged).on(number).detail(keys));
    }
    let records: Vec<_> = records.into_iter().map(|record| about_owner(record, &account)).collect();
    tx.append_to_audit_log(&records).await?;
    tx.commit().await?;
    app.watches.changed(|| [number]);
    Ok(Json(AccountBody::from(Account { label, alert_below, notify_above, ..account }).with(metadata)))
}

/// Minor units of the account's currency, less than limits may be.
fn threshold(pointer: &'static str, amount: AmountOrZero, currency: Currency) -> Result<i64> {
    let money = amount.to_money(currency);
    let money = money.map_err(|error| Error::Invalid(vec![FieldError::coded(pointer, &error.to_string())]))?;
    let too_much = Money::of_major_units(MAX_MAJOR_UNITS, currency);
    if money.minor_units < too_much.minor_units {
        return Ok(money.minor_units);
    }
    let detail = format!("send less than {too_much} {currency}, or null");
    Err(Error::invalid(pointer, ProblemCode::LimitAboveMaximum, detail))
}

/// For the audit log.
fn in_words(minor_units: Option<i64>, currency: Currency) -> String {
    minor_units.map_or_else(|| "none".to_owned(), |minor| Money::new(minor, currency).to_string())
}

/// Close an account
///
/// Only at a balance of zero. Its history stays.
#[utoipa::path(
    delete,
    path = "/accounts/{account_number}",
    operation_id = "close_account",
    tag = "Accounts",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    )),
    responses(
        (status = NO_CONTENT, description = "Closed"),
        (status = UNAUTHORIZED, description = proof::REQUIRED),
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = CONFLICT, description = "There is money on it, or it is frozen or closed already"),
    ),
    security(("bearer" = []))
)]
pub async fn close(
    State(app): State<App>,
    context: RequestContext,
    Proven(Actor(caller)): Proven<Actor>,
    PathParam(number): PathParam<AccountNumber>,
) -> Result<StatusCode> {
    let mut tx = app.db.begin().await?;
    // Nobody reserves money of it from here on.
    let account = lock_managed_account(&mut tx, caller, number).await?;
    context.note_accounts([number]);
    let closed = tx.close_account(number, Timestamp::now()).await?;
    if closed {
        let event = about_owner(context.event(Action::AccountClosed).on(number), &account);
        tx.append_to_audit_log(&[event]).await?;
        let closed = BankEvent::of_account(EventKind::AccountClosed, number, account.owner_id);
        app.append_events(&mut tx, &[closed]).await?;
    }
    tx.commit().await?;
    if closed {
        app.watches.changed(|| [number]);
        return Ok(StatusCode::NO_CONTENT);
    }
    // The condition stood in the update itself; this only finds the words for it.
    let account = managed_account(&app, caller, number).await?;
    Err(match account.status {
        AccountStatus::Closed => Error::conflict(ProblemCode::AccountClosed, "The account is closed already."),
        AccountStatus::Frozen => Refusal::AccountFrozen.into(),
        AccountStatus::Open if account.reserved > 0 && account.balance == 0 => Error::conflict(
            ProblemCode::AccountHasHolds,
            "Money of the account is held, by holds or by what waits for approval at the bank: end those first.",
        ),
        AccountStatus::Open => Error::conflict(
            ProblemCode::AccountNotEmpty,
            "Only an account with a balance of zero can be closed. Move the money first.",
        ),
    })
}

/// How many accounts an owner has opened lately, whatever has become of them, by whomever and on whichever instance. Hold
/// the owner's lock: nobody else opens one meanwhile.
async fn refuse_to_open_too_many(app: &App, tx: &mut Tx<'_>, owner_id: Uuid) -> Result<()> {
    let Some(quota) = Quota::per(DAY, app.accounts_per_day) else { return Ok(()) };
    let now = Timestamp::now();
    match tx.nth_last_opening(owner_id, quota.burst).await?.map(|opened_at| opened_at.plus(DAY)) {
        Some(free_again) if free_again > now => {
            let allowance = Allowance { quota, remaining: 0, reset: free_again.since(now) };
            Err(Exceeded { policy: Policy::Openings, allowance }.into())
        }
        _ => Ok(()),
    }
}

/// Opens an account with a new number, in the caller's transaction.
pub async fn insert_account(
    app: &App,
    tx: &mut Tx<'_>,
    owner_id: Uuid,
    currency: Currency,
    label: Option<String>,
) -> Result<Account> {
    app.disk.refuse_if_reached()?;
    let now = Timestamp::now();
    for _ in 0..MAX_NUMBER_TRIES {
        let number = AccountNumber::random().map_err(|error| Error::Internal(error.to_string()))?;
        let account = Account::open(number, owner_id, currency, label.clone(), now);
        if tx.insert_account(&account).await? {
            return Ok(account);
        }
    }
    Err(Error::Internal("no free account number was found".to_owned()))
}

pub fn location_of(account: &Account) -> (HeaderName, String) {
    (LOCATION, format!("/accounts/{}", account.account_number))
}

/// An account of the caller's, or any for those who may look at all, on record; the same 404 for every other.
pub async fn readable_account(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    number: AccountNumber,
    look: AccountLook,
) -> Result<Account> {
    let account = app.db.account(number).await?;
    let account = account.filter(|account| caller.may_read(account)).ok_or_else(Error::account_not_found)?;
    app.viewed_account(context, caller, &account, look)?;
    Ok(account)
}

/// The accounts that an API key is for, a page of them and one more, by number.
async fn accounts_of_key(
    app: &App,
    caller: Caller,
    bound: BoundAccounts,
    after: Option<i64>,
    limit: u32,
) -> Result<Vec<Account>> {
    let mut numbers: Vec<_> = bound.each().filter(|number| after.is_none_or(|after| number.as_i64() > after)).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.truncate(limit as usize + 1);
    if numbers.is_empty() {
        return Ok(Vec::new());
    }
    let mut accounts = app.db.accounts(&numbers).await?;
    accounts.retain(|account| caller.may_read(account));
    accounts.sort_unstable_by_key(|account| account.account_number);
    Ok(accounts)
}

/// An account that was opened, for the audit log.
pub fn opened(account: &Account, context: &RequestContext) -> Event {
    let event = context.event(Action::AccountOpened).on(account.account_number).detail(account.currency.code());
    about_owner(event, account)
}

pub fn about_owner(event: Event, account: &Account) -> Event {
    account.owner_id.into_iter().fold(event, Event::about)
}

async fn managed_account(app: &App, caller: Caller, number: AccountNumber) -> Result<Account> {
    let account = app.db.account(number).await?;
    account.filter(|account| caller.may_manage(account)).ok_or_else(Error::account_not_found)
}

/// The same account as it is now, held until the transaction ends.
pub async fn lock_managed_account(tx: &mut Tx<'_>, caller: Caller, number: AccountNumber) -> Result<Account> {
    let account = tx.lock_account(number).await?;
    account.filter(|account| caller.may_manage(account)).ok_or_else(Error::account_not_found)
}

/// What is noted on accounts of this owner, which are in the order of their numbers.
async fn metadata_of(app: &App, owner_id: Uuid, accounts: &[Account]) -> sqlx::Result<HashMap<AccountNumber, Pairs>> {
    let (Some(first), Some(last)) = (accounts.first(), accounts.last()) else { return Ok(HashMap::new()) };
    let found = app.db.metadata_between(owner_id, first.account_number, last.account_number).await?;
    Ok(found.into_iter().collect())
}

/// The last sequence at or before `at`, and the balance after it.
async fn balance_at(app: &App, account: &Account, at: Timestamp) -> Result<(i64, i64)> {
    let sequence = app.db.sequence_at(account.account_number, account.sequence, at).await?;
    let balance = app.db.entry(account.account_number, sequence).await?.map_or(0, |entry| entry.balance);
    Ok((sequence, balance))
}

impl Balance {
    fn of(account: &Account, balance: i64, sequence: i64, as_of: Timestamp) -> Self {
        Self {
            account_number: account.account_number,
            balance: Money::new(balance, account.currency),
            available: Money::new(Account { balance, ..account.clone() }.available(), account.currency),
            held: Money::new(account.reserved, account.currency),
            currency: account.currency,
            sequence,
            as_of,
        }
    }
}

impl AccountBody {
    pub fn with(self, metadata: Pairs) -> Self {
        Self { metadata: Metadata(metadata), ..self }
    }
}

/// Of an account on which nothing is noted.
impl From<Account> for AccountBody {
    fn from(account: Account) -> Self {
        Self {
            account_number: account.account_number,
            owner_id: account.owner_id,
            currency: account.currency,
            balance: Money::new(account.balance, account.currency),
            available: Money::new(account.available(), account.currency),
            held: Money::new(account.reserved, account.currency),
            label: account.label,
            alert_below: account.alert_below.map(|minor| Money::new(minor, account.currency)),
            notify_above: account.notify_above.map(|minor| Money::new(minor, account.currency)),
            metadata: Metadata::default(),
            status: account.status,
            sequence: account.sequence,
            opened_at: account.opened_at,
        }
    }
}
