//! Limits of an account: `GET, PUT /accounts/{account_number}/limits`.
//!
//! Staff set the bank's, the owner sets their own beside them, and the smaller one of both counts. The ledger holds
//! movements against them: see [`coffer_core::books::account_limits`] for what counts.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::{Validate, ValidationError};

use crate::api::App;
use crate::api::http::caller::{Actor, Caller};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, PathParam};
use crate::api::http::problem::FieldError;
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::{ACCOUNT_NUMBER, about_owner, lock_managed_account, readable_account};
use crate::api::money::approvals::done_or_waiting;
use crate::api::money::limit_changes;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::{Account, AccountStatus};
use coffer_core::books::account_limits::{AccountLimits, Limits, MAX_MAJOR_UNITS, MAX_MOVEMENTS, NextLimits, Used};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::bank_event::{BankEvent, EventKind};
use coffer_core::books::refusal::Refusal;
use coffer_core::books::unapproved::{UnapprovedTotal, window};
use coffer_core::db::Tx;
use coffer_core::money::{AmountOrZero, Currency, Money};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::Timestamp;

/// All limits that the caller sets: what is left out, or null, is not limited.
#[derive(Clone, Copy, Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"per_movement": "500.00", "per_day": "1000.00", "movements_per_day": 10}))]
pub struct LimitsRequest {
    /// How far below zero the balance may go; not at all if left out. Only staff send it.
    overdraft: Option<AmountOrZero>,
    /// The most that leaves the account at once.
    per_movement: Option<AmountOrZero>,
    /// The most that leaves it in a calendar day of the bank's time zone.
    per_day: Option<AmountOrZero>,
    /// The most that leaves it in a calendar month of the bank's time zone.
    per_month: Option<AmountOrZero>,
    /// How often money leaves it in a calendar day, up to 1,000,000 times.
    #[serde(default, deserialize_with = "whole_number")]
    #[validate(custom(function = count_of_movements))]
    #[schema(minimum = 0, maximum = 1_000_000, example = 10)]
    movements_per_day: Option<i64>,
}

/// The limits of an account, and what is used of them.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AccountLimits)]
pub struct LimitsBody {
    account_number: AccountNumber,
    currency: Currency,
    /// How far below zero the balance may go.
    overdraft: Money,
    per_movement: MovementLimit,
    per_day: PeriodLimit,
    per_month: PeriodLimit,
    movements_per_day: CountLimit,
    /// Present while a raise of the owner's limits waits: what they will be, and from when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_own: Option<NextOwnLimits>,
    /// Present while other limits of the bank wait for a second person: the approval.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    approval_id: Option<Uuid>,
}

/// The most that leaves an account at once. Null is not limited.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovementLimit {
    /// What counts: the smaller one of the two below.
    limit: Option<Money>,
    /// What staff have set.
    bank: Option<Money>,
    /// What the owner has set.
    own: Option<Money>,
}

/// The most that leaves an account in a calendar day or month. Null is not limited.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodLimit {
    /// What counts: the smaller one of the two below.
    limit: Option<Money>,
    /// What staff have set.
    bank: Option<Money>,
    /// What the owner has set.
    own: Option<Money>,
    /// What has left the account since the day or month began; null for an account whose limits were never set, of
    /// which nothing is counted.
    used: Option<Money>,
    /// What may still leave it; null if that is not limited.
    remaining: Option<Money>,
    /// When the next day or month begins in the bank's time zone.
    resets_at: Timestamp,
}

/// How often money leaves an account in a calendar day. Null is not limited.
#[derive(Debug, Serialize, ToSchema)]
pub struct CountLimit {
    /// What counts: the smaller one of the two below.
    #[schema(example = 10, minimum = 0)]
    limit: Option<i64>,
    /// What staff have set.
    #[schema(example = 10, minimum = 0)]
    bank: Option<i64>,
    /// What the owner has set.
    #[schema(example = 10, minimum = 0)]
    own: Option<i64>,
    /// How often since the day began; null for an account whose limits were never set, of which nothing is counted.
    #[schema(example = 3, minimum = 0)]
    used: Option<i64>,
    /// How often it still may; null if that is not limited.
    #[schema(example = 7, minimum = 0)]
    remaining: Option<i64>,
    /// When the next day begins in the bank's time zone.
    resets_at: Timestamp,
}

/// The owner's limits as they will be. Null is not limited.
#[derive(Debug, Serialize, ToSchema)]
pub struct NextOwnLimits {
    per_movement: Option<Money>,
    per_day: Option<Money>,
    per_month: Option<Money>,
    /// How often money leaves the account in a calendar day.
    #[schema(example = 10, minimum = 0)]
    movements_per_day: Option<i64>,
    /// From when on.
    effective_at: Timestamp,
}

/// Show the limits of an account
///
/// How much may leave it, what staff and what the owner have set, and what is used by now.
#[utoipa::path(
    get,
    path = "/accounts/{account_number}/limits",
    operation_id = "show_limits",
    tag = "Accounts",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    )),
    responses(
        (status = OK, description = "The limits", body = LimitsBody),
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(number): PathParam<AccountNumber>,
) -> Result<Json<LimitsBody>> {
    let account = readable_account(&app, &context, caller, number, AccountLook::new(Action::LimitsViewed)).await?;
    let (limits, now) = (app.db.account_limits(number).await?, Timestamp::now());
    let waiting = match caller.role.reads_any_account() {
        true => app.db.pending_limit_change(number, now).await?,
        false => None,
    };
    let body = LimitsBody::of(&app, &account, limits, now);
    Ok(Json(LimitsBody { approval_id: waiting.map(|change| change.id), ..body }))
}

/// Set the limits of an account
///
/// All of them at once: what is left out is not limited. Sent by staff they are the bank's; sent by the owner, their
/// own, which cannot be higher. What is lower counts at once; when owners raise theirs, that counts after 24 hours.
/// Limits count for withdrawals, transfers to others and new holds, whoever asks for them. At a bank with an approval
/// amount, a higher overdraft above it needs a second person: then the answer is 202.
#[utoipa::path(
    put,
    path = "/accounts/{account_number}/limits",
    operation_id = "set_limits",
    tag = "Accounts",
    params((
        "account_number" = String,
        Path,
        description = ACCOUNT_NUMBER,
        pattern = "^[1-9][0-9]{13}$",
        example = "10000000000180",
    )),
    request_body(content = LimitsRequest, description = "All limits, in the currency of the account; `{}` for none"),
    responses(
        (status = OK, description = "Set", body = LimitsBody),
        (status = ACCEPTED, description = "Waits until somebody else approves it: the limits as before", body = LimitsBody,
         headers(("Location" = String, description = "The approval"))),
        (status = UNAUTHORIZED, description = "No access token that counts; or owners who have set `confirm_above` raise their \
            limits, and neither password nor code was shown within the last five minutes"),
        (status = NOT_FOUND, description = "No such account among the caller's"),
        (status = CONFLICT, description = "More of the overdraft is in use, another change waits, or the account is closed"),
    ),
    security(("bearer" = []))
)]
pub async fn set(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    PathParam(number): PathParam<AccountNumber>,
    Json(request): Json<LimitsRequest>,
) -> Result<LimitsBody> {
    let mut tx = app.db.begin().await?;
    // The ledger waits meanwhile, so that what is counted now and what leaves next add up.
    let account = lock_managed_account(&mut tx, caller, number).await?;
    if account.status == AccountStatus::Closed {
        return Err(Error::conflict(ProblemCode::AccountClosed, "The account is closed: nothing leaves it any more."));
    }
    context.note_accounts([number]);
    let wanted = Wanted::of(request, account.currency)?;
    match account.owner_id == Some(caller.user_id) {
        true => set_own(&app, &context, caller, tx, account, wanted).await,
        false => set_banks(&app, &context, caller, tx, account, wanted).await,
    }
}

async fn set_own(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    mut tx: Tx<'static>,
    account: Account,
    Wanted { overdraft, limits: wanted }: Wanted,
) -> Result<LimitsBody> {
    if overdraft > 0 {
        let detail = "leave it out: the bank sets it";
        return Err(Error::invalid("/overdraft", ProblemCode::OverdraftOfBank, detail));
    }
    let now = Timestamp::now();
    let mut limits = limits_of(app, &mut tx, &account, now).await?;
    refuse_above_banks(wanted, limits.bank, account.currency)?;
    if limits.is_raise(wanted, now) && caller.confirm_above.is_some() {
        caller.refuse_without_recent_proof()?;
    }
    limits.set_own(wanted, now);
    tx.set_account_limits(&limits, account.overdraft_limit, account.has_limits).await?;
    let event = context.event(Action::OwnLimitsSet).on(account.account_number);
    let event = event.detail(limits.own_in_words(account.currency));
    tx.append_to_audit_log(&[about_owner(event, &account)]).await?;
    app.append_events(&mut tx, &[limits_set(&account)]).await?;
    tx.commit().await?;
    Ok(LimitsBody::of(app, &account, Some(limits), now))
}

async fn set_banks(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    mut tx: Tx<'static>,
    account: Account,
    wanted: Wanted,
) -> Result<LimitsBody> {
    let now = Timestamp::now();
    if needs_approval(app, caller, &mut tx, &account, wanted.overdraft, now).await? {
        let limits = tx.account_limits(account.account_number).await?;
        let waiting = limit_changes::ask_for(app, tx, context, caller, &account, wanted).await?;
        let body = LimitsBody::of(app, &account, limits, now);
        return Ok(LimitsBody { approval_id: Some(waiting.id), ..body });
    }
    limit_changes::refuse_while_another_waits(&mut tx, &account).await?;
    let (account, limits) = set_within(app, context, &mut tx, account, wanted, vec![]).await?;
    tx.commit().await?;
    app.watches.changed(|| [account.account_number]);
    Ok(LimitsBody::of(app, &account, Some(limits), now))
}

/// Whether somebody else must approve the overdraft. What is lent without that counts with what the caller moves without it, so
/// that nobody evades it by many small overdrafts.
async fn needs_approval(
    app: &App,
    caller: Caller,
    tx: &mut Tx<'_>,
    account: &Account,
    overdraft: i64,
    now: Timestamp,
) -> Result<bool> {
    let (raise, currency) = (overdraft.saturating_sub(account.overdraft_limit), account.currency);
    let Some(units) = app.approval_above.filter(|_| raise > 0) else { return Ok(false) };
    let above = Money::of_major_units(units, currency).minor_units;
    tx.lock_user(caller.user_id).await?;
    let (since, until) = window(now, app.clock.certain(now));
    let before = tx.unapproved_sum(caller.user_id, currency, since, until).await?;
    if overdraft > above || before.saturating_add(raise) > above {
        return Ok(true);
    }
    let lent = Money::new(raise, currency);
    tx.add_unapproved_total(&UnapprovedTotal { mover: caller.user_id, money: lent, moved_at: now }).await?;
    Ok(false)
}

/// Sets the bank's limits within the transaction. The account must be locked.
pub async fn set_within(
    app: &App,
    context: &RequestContext,
    tx: &mut Tx<'_>,
    account: Account,
    wanted: Wanted,
    mut records: Vec<Event>,
) -> Result<(Account, AccountLimits)> {
    let now = Timestamp::now();
    refuse_below_used(app, &account, wanted.overdraft, now).await?;
    let limits = limits_of(app, tx, &account, now).await?;
    let limits = AccountLimits { bank: wanted.limits, ..limits };
    tx.set_account_limits(&limits, wanted.overdraft, account.has_limits).await?;
    let event = context.event(Action::LimitsSet).on(account.account_number).detail(wanted.in_words(account.currency));
    records.push(about_owner(event, &account));
    tx.append_to_audit_log(&records).await?;
    app.append_events(tx, &[limits_set(&account)]).await?;
    Ok((Account { overdraft_limit: wanted.overdraft, has_limits: true, ..account }, limits))
}

fn limits_set(account: &Account) -> BankEvent {
    BankEvent::of_account(EventKind::LimitSet, account.account_number, account.owner_id)
}

/// The limits of an account that is locked. Where none was ever set, what has left it this month is added up, once.
async fn limits_of(app: &App, tx: &mut Tx<'_>, account: &Account, now: Timestamp) -> Result<AccountLimits> {
    let number = account.account_number;
    if let Some(limits) = tx.account_limits(number).await? {
        return Ok(limits);
    }
    Ok(AccountLimits::none(number, app.db.add_up_used(tx, account, &app.calendar, now).await?))
}

/// A lower overdraft must still cover the balance, and what is held.
async fn refuse_below_used(app: &App, account: &Account, overdraft: i64, now: Timestamp) -> Result<()> {
    if overdraft >= account.overdraft_limit {
        return Ok(());
    }
    // The account is locked, so nobody reserves more meanwhile.
    let reserved = app.db.reserved_on(account.account_number, now).await?;
    let used = reserved.saturating_sub(account.balance);
    if used <= overdraft {
        return Ok(());
    }
    let money = |minor_units| Money::new(minor_units, account.currency);
    Err(Refusal::OverdraftInUse { used: money(used), requested: money(overdraft) }.into())
}

/// Owners may not allow themselves more than the bank does.
fn refuse_above_banks(wanted: Limits, bank: Limits, currency: Currency) -> Result<()> {
    let refuse = |pointer: &'static str, wanted: Option<i64>, bank: Option<i64>, words: &dyn Fn(i64) -> String| {
        let (wanted, bank) = (wanted?, bank?);
        let detail = || format!("the bank allows {}: send at most that", words(bank));
        (wanted > bank).then(|| FieldError::new(pointer, ProblemCode::LimitAboveBanks, detail()))
    };
    let money = |minor_units| format!("{} {currency}", Money::new(minor_units, currency));
    let errors: Vec<FieldError> = [
        refuse("/per_movement", wanted.per_movement, bank.per_movement, &money),
        refuse("/per_day", wanted.per_day, bank.per_day, &money),
        refuse("/per_month", wanted.per_month, bank.per_month, &money),
        refuse("/movements_per_day", wanted.movements_per_day, bank.movements_per_day, &|count| count.to_string()),
    ]
    .into_iter()
    .flatten()
    .collect();
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// An integer of JSON Schema, for which 10.0 is one, too.
fn whole_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    let Some(number) = Option::<serde_json::Number>::deserialize(deserializer)? else { return Ok(None) };
    let is_whole = |number: &f64| number.fract() == 0.0 && number.abs() <= MAX_MOVEMENTS as f64;
    let whole = number.as_i64().or_else(|| number.as_f64().filter(is_whole).map(|number| number as i64));
    let wrong = || D::Error::custom(format!("{}: send a whole number", ProblemCode::WrongType));
    whole.map(Some).ok_or_else(wrong)
}

fn count_of_movements(count: i64) -> Result<(), ValidationError> {
    if (0..=MAX_MOVEMENTS).contains(&count) {
        return Ok(());
    }
    let detail = format!("send a whole number from 0 to {MAX_MOVEMENTS}, or leave it out");
    Err(ValidationError::new(ProblemCode::InvalidValue.name()).with_message(detail.into()))
}

/// What somebody wants the limits to be, in the currency of the account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Minor units, as in the limits.
    pub overdraft: i64,
    pub limits: Limits,
}

impl Wanted {
    fn of(request: LimitsRequest, currency: Currency) -> Result<Self> {
        let mut errors = Vec::new();
        let mut money = |pointer: &'static str, sent: Option<AmountOrZero>| {
            let money = sent?.to_money(currency);
            let too_much = Money::of_major_units(MAX_MAJOR_UNITS, currency);
            match money {
                Ok(money) if money.minor_units < too_much.minor_units => return Some(money.minor_units),
                Ok(_) => {
                    let detail = format!("send less than {too_much} {currency}, or leave it out");
                    errors.push(FieldError::new(pointer, ProblemCode::LimitAboveMaximum, detail));
                }
                Err(error) => errors.push(FieldError::coded(pointer, &error.to_string())),
            }
            None
        };
        let overdraft = money("/overdraft", request.overdraft).unwrap_or_default();
        let limits = Limits {
            per_movement: money("/per_movement", request.per_movement),
            per_day: money("/per_day", request.per_day),
            per_month: money("/per_month", request.per_month),
            movements_per_day: request.movements_per_day,
        };
        if errors.is_empty() { Ok(Self { overdraft, limits }) } else { Err(Error::Invalid(errors)) }
    }

    /// For the audit log, in one way only, because `coffer doctor` compares it.
    fn in_words(self, currency: Currency) -> String {
        self.limits.of_bank_in_words(self.overdraft, currency)
    }
}

impl LimitsBody {
    pub fn of(app: &App, account: &Account, limits: Option<AccountLimits>, now: Timestamp) -> Self {
        let currency = account.currency;
        let money = |minor_units: Option<i64>| minor_units.map(|it| Money::new(it, currency));
        let is_counted = limits.is_some();
        let nothing = Used::nothing(now, &app.calendar);
        let limits = limits.unwrap_or_else(|| AccountLimits::none(account.account_number, nothing));
        let used = limits.used.at(now, &app.calendar);
        let (bank, own, counts) = (limits.bank, limits.own_at(now), limits.at(now));
        let if_counted = |used: i64| Some(used).filter(|_| is_counted);
        let remaining = |limit: Option<i64>, used: i64| limit.map(|limit| limit.saturating_sub(used).max(0));
        let in_period = |of: fn(Limits) -> Option<i64>, used: i64, resets_at| PeriodLimit {
            limit: money(of(counts)),
            bank: money(of(bank)),
            own: money(of(own)),
            used: money(if_counted(used)),
            remaining: money(remaining(of(counts), used)),
            resets_at,
        };
        Self {
            account_number: account.account_number,
            currency,
            overdraft: Money::new(account.overdraft_limit, currency),
            per_movement: MovementLimit {
                limit: money(counts.per_movement),
                bank: money(bank.per_movement),
                own: money(own.per_movement),
            },
            per_day: in_period(|limits| limits.per_day, used.spent_today, used.day.ends),
            per_month: in_period(|limits| limits.per_month, used.spent_this_month, used.month.ends),
            movements_per_day: CountLimit {
                limit: counts.movements_per_day,
                bank: bank.movements_per_day,
                own: own.movements_per_day,
                used: if_counted(used.movements_today),
                remaining: remaining(counts.movements_per_day, used.movements_today),
                resets_at: used.day.ends,
            },
            next_own: limits.waiting_at(now).map(|NextLimits { limits, effective_at }| NextOwnLimits {
                per_movement: money(limits.per_movement),
                per_day: money(limits.per_day),
                per_month: money(limits.per_month),
                movements_per_day: limits.movements_per_day,
                effective_at,
            }),
            approval_id: None,
        }
    }
}

impl IntoResponse for LimitsBody {
    fn into_response(self) -> Response {
        done_or_waiting(self.approval_id, self)
    }
}
