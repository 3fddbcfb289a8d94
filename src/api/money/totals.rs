//! The bank at a glance: `GET /totals`.

use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::api::App;
use crate::api::http::caller::Reader;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::Json;
use crate::api::money::trial_balance::{add_up, currency_of};
use coffer_core::books::movement::MovementType;
use coffer_core::db::bank_totals::{CustomersHoldings, MovementsOfAKind};
use coffer_core::money::{Currency, MoneySum};
use coffer_core::timestamp::{self, Timestamp};

/// A movement that was asked for so long before the day began may be booked in it.
const LONGEST_WAY_TO_THE_BOOKS: Duration = Duration::from_secs(60);

/// How many customers and accounts the bank has, what they hold, and what has moved today.
#[derive(Debug, Serialize, ToSchema)]
pub struct Totals {
    /// When they were counted.
    at: Timestamp,
    customers: CustomersTotal,
    accounts: AccountsTotal,
    /// The money on these accounts, by currency.
    balances: Vec<BalanceTotal>,
    today: Today,
}

/// People by their status.
#[derive(Debug, Serialize, ToSchema)]
pub struct CustomersTotal {
    /// Those who may do what customers do.
    #[schema(example = 1200, minimum = 0)]
    active: i64,
    /// Those whom the bank has frozen.
    #[schema(example = 3, minimum = 0)]
    frozen: i64,
    /// Those who have left the bank.
    #[schema(example = 40, minimum = 0)]
    closed: i64,
}

/// Everybody's accounts by their status: people who work at the bank may have some, too.
#[derive(Debug, Serialize, ToSchema)]
pub struct AccountsTotal {
    /// Those that take movements.
    #[schema(example = 1900, minimum = 0)]
    open: i64,
    /// Those on which the bank has stopped all movements.
    #[schema(example = 5, minimum = 0)]
    frozen: i64,
    /// Those that are closed for good.
    #[schema(example = 130, minimum = 0)]
    closed: i64,
}

/// What the accounts of one currency hold together.
#[derive(Debug, Serialize, ToSchema)]
pub struct BalanceTotal {
    currency: Currency,
    /// Accounts that are not closed.
    #[schema(example = 1900, minimum = 0)]
    accounts: i64,
    /// What the bank owes them; negative if overdrafts are more.
    #[schema(example = "81500.00")]
    balance: MoneySum,
}

/// What has been booked since the day began in the bank's time zone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Today {
    /// When the day began.
    since: Timestamp,
    /// One for each currency and type that has moved.
    movements: Vec<MovementTotal>,
}

/// Movements of one type in one currency.
#[derive(Debug, Serialize, ToSchema)]
pub struct MovementTotal {
    currency: Currency,
    #[serde(rename = "type")]
    movement_type: MovementType,
    /// How many there were.
    #[schema(example = 310, minimum = 1)]
    count: i64,
    /// What they moved together.
    #[schema(example = "10250.00")]
    amount: MoneySum,
}

/// See the bank at a glance
///
/// Customers, accounts, what they hold in each currency, and what has moved today. It counts them anew each time, and costs
/// as much as 20 other requests.
#[utoipa::path(
    get,
    path = "/totals",
    operation_id = "show_totals",
    tag = "Staff",
    responses(
        (status = OK, description = "The totals", body = Totals),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn show(State(app): State<App>, context: RequestContext, Reader(caller): Reader) -> Result<Json<Totals>> {
    let calendar = app.calendar.clone();
    let sums = add_up(&app, &context, caller, async move |mut tx| {
        let at = Timestamp::now();
        let since = calendar.day_of(at).starts;
        let people = (tx.count_customers().await?, tx.count_accounts_by_status().await?);
        let money = (tx.customers_holdings().await?, tx.movements_since(since, first_id(since)).await?);
        Ok((at, since, people, money))
    });
    let (at, since, (customers, accounts), (balances, movements)) = sums.await?;
    Ok(Json(Totals {
        at,
        customers: CustomersTotal { active: customers.active, frozen: customers.frozen, closed: customers.closed },
        accounts: AccountsTotal { open: accounts.open, frozen: accounts.frozen, closed: accounts.closed },
        balances: balances.into_iter().map(TryInto::try_into).collect::<Result<_>>()?,
        today: Today { since, movements: movements.into_iter().map(TryInto::try_into).collect::<Result<_>>()? },
    }))
}

/// No movement that is booked from then on, without having waited for anybody, has a smaller id.
fn first_id(since: Timestamp) -> Uuid {
    timestamp::first_uuid_of(since.minus(LONGEST_WAY_TO_THE_BOOKS))
}

impl TryFrom<CustomersHoldings> for BalanceTotal {
    type Error = Error;

    fn try_from(held: CustomersHoldings) -> Result<Self> {
        let currency = currency_of(&held.currency)?;
        let balance = MoneySum::new(held.balance.minor_units(), currency);
        Ok(Self { currency, accounts: held.accounts, balance })
    }
}

impl TryFrom<MovementsOfAKind> for MovementTotal {
    type Error = Error;

    fn try_from(moved: MovementsOfAKind) -> Result<Self> {
        let currency = currency_of(&moved.currency)?;
        let amount = MoneySum::new(moved.amount.minor_units(), currency);
        Ok(Self { currency, movement_type: moved.movement_type, count: moved.count, amount })
    }
}
