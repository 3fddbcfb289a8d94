//! The balances of all accounts, by which it is seen that the books are whole: `GET /trial_balance`.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Caller, Reader};
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, Query};
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::{BankAccountCode, BankAccountKind, OpenedBankAccount};
use coffer_core::db::bank_totals::TrialBalance;
use coffer_core::db::{Db, Tx};
use coffer_core::money::{Currency, MoneySum};
use coffer_core::problem_code::ProblemCode;
use coffer_core::request_ids;
use coffer_core::timestamp::Timestamp;

/// How many requests it costs beside itself to add up the books: that reads every account, and most of the journal.
const COST: u32 = 20;

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TrialBalanceQuery {
    /// A moment in the past; now if left out.
    at: Option<Timestamp>,
}

/// What the bank has and what it owes at one moment, account by account, in every currency.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TrialBalance)]
pub struct TrialBalanceBody {
    /// The moment: every movement is in it that was booked by then, but for those that are being committed just now.
    at: Timestamp,
    /// One for each currency, by its code.
    data: Vec<CurrencyBalance>,
}

/// The balances of one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct CurrencyBalance {
    currency: Currency,
    /// Customers' accounts as one line, then the bank's own that were ever used in this currency.
    accounts: Vec<AccountBalance>,
    /// The sum of all balances: zero, unless somebody has changed the books behind the bank's back. Then `coffer doctor`
    /// says where.
    #[schema(example = "0.00")]
    sum: MoneySum,
}

/// One line: debits less credits. What the bank has, and what it has spent, is positive; what it owes, and what it has
/// earned, is negative.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountBalance {
    /// As in `GET /bank_accounts`, or `customers`.
    code: BankAccountCode,
    /// For people.
    #[schema(example = "Fees earned")]
    name: String,
    kind: BankAccountKind,
    #[schema(example = "-12.50")]
    balance: MoneySum,
}

/// See what the bank has and owes
///
/// The balance of every account at one moment, customers' together and the bank's own one by one, in each currency: they sum
/// to zero. It reads the whole books, one caller after the other, and costs as much as 20 other requests.
#[utoipa::path(
    get,
    path = "/trial_balance",
    operation_id = "show_trial_balance",
    tag = "Staff",
    params(TrialBalanceQuery),
    responses(
        (status = OK, description = "The trial balance", body = TrialBalanceBody),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    Query(query): Query<TrialBalanceQuery>,
) -> Result<Json<TrialBalanceBody>> {
    if query.at.is_some_and(|at| at > Timestamp::now()) {
        return Err(Error::invalid("?at", ProblemCode::AtInTheFuture, "send a moment that has passed"));
    }
    let sums = add_up(&app, &context, caller, async move |mut tx| {
        let at = query.at.unwrap_or_else(Timestamp::now);
        Ok((at, tx.trial_balance(at).await?, tx.bank_accounts().await?))
    });
    let (at, balances, opened) = sums.await?;
    let data = balances.into_iter().map(|(code, balance)| lines(&code, &balance, &opened));
    Ok(Json(TrialBalanceBody { at, data: data.collect::<Result<_>>()? }))
}

/// Adds up the books in a snapshot, once the caller has paid for it and nobody else adds them up.
///
/// On SQLite in a task of its own: that goes on when the caller gives up, and until it is done nobody else is to begin.
pub async fn add_up<T, F>(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    add: impl FnOnce(Tx<'static>) -> F + Send + 'static,
) -> Result<T>
where
    T: Send + 'static,
    F: Future<Output = sqlx::Result<T>> + Send,
{
    // Sums say nothing about anybody.
    context.set_on_record();
    app.auth.requests.take_many(caller.user_id, COST)?;
    let permit = app.long_answers.sums_permit().await;
    let db = app.db.clone();
    let added = async move {
        let _permit = permit;
        add(db.snapshot().await?).await
    };
    match app.db {
        Db::Sqlite { .. } => {
            Ok(request_ids::spawn(added).await.map_err(|error| Error::Internal(error.to_string()))??)
        }
        Db::Postgres { .. } => Ok(added.await?),
    }
}

/// A currency that the books name.
pub fn currency_of(code: &str) -> Result<Currency> {
    Currency::from_code(code).ok_or_else(|| Error::Internal(format!("the books have an unknown currency: {code}")))
}

fn lines(code: &str, balance: &TrialBalance, opened: &[OpenedBankAccount]) -> Result<CurrencyBalance> {
    let currency = currency_of(code)?;
    let customers = AccountBalance {
        code: BankAccountCode::CUSTOMERS,
        name: "Customers' accounts".to_owned(),
        kind: BankAccountKind::Liability,
        balance: MoneySum::new(balance.customers, currency),
    };
    let of_bank = opened.iter().filter_map(|opened| {
        let number = AccountNumber::of_bank(opened.account.id, currency);
        let balance = MoneySum::new(*balance.of_bank.get(&number)?, currency);
        Some(AccountBalance { code: opened.account.code, name: opened.name.clone(), kind: opened.kind, balance })
    });
    let accounts = std::iter::once(customers).chain(of_bank).collect();
    Ok(CurrencyBalance { currency, accounts, sum: MoneySum::new(balance.sum(), currency) })
}
