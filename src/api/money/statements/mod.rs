//! Statements: `GET /accounts/{account_number}/statement`, and `/statement.csv`.
//!
//! A statement is as long as the account's history and costs the memory of one page of it. What it covers is settled
//! before its first byte: histories only grow and their sequence has no gaps, so the numbers of the first and the last
//! movement say it all, and no transaction is held while a slow client reads.

mod csv;
mod encoder;
mod json;

use std::time::Duration;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;
use validator::Validate;

use self::encoder::{Encoder, Format};
use crate::api::App;
use crate::api::http::HANDLER_TIMEOUT;
use crate::api::http::attachment;
use crate::api::http::caller::Caller;
use crate::api::http::context::RequestContext;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{PathParam, Query};
use crate::api::http::long_answers::{LongAnswers, UnderWay};
use crate::api::http::pieces::{self, Pieces};
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::ACCOUNT_NUMBER;
use crate::api::money::transaction::TransactionBody;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::Account;
use coffer_core::books::audit_event::Action;
use coffer_core::books::entry::Entry;
use coffer_core::db::Db;
use coffer_core::db::history::EntryRange;
use coffer_core::money::{Currency, Money, MoneySum};
use coffer_core::problem_code::ProblemCode;
use coffer_core::timestamp::{DayOrMoment, Timestamp};

/// Movements in one read and one piece of the answer, some 90 KB: enough to make the round trip cheap, few enough to be
/// held for every statement under way.
const PAGE: i64 = 200;
/// Databases store times in microseconds.
const ONE_MICROSECOND: Duration = Duration::from_micros(1);

/// Everything that happened on an account in a period.
#[derive(Debug, ToSchema)]
#[expect(dead_code, reason = "describes the answer for the OpenAPI document; the encoders write its parts")]
pub struct Statement {
    account_number: AccountNumber,
    currency: Currency,
    /// The name that was given to the account, up to 50 characters; null if it has none.
    #[schema(example = "Savings")]
    label: Option<String>,
    /// The first moment of the period.
    from: Timestamp,
    /// The first moment after the period; never later than when the statement was made.
    to: Timestamp,
    /// Before the first movement.
    opening_balance: Money,
    /// The oldest first.
    movements: Vec<TransactionBody>,
    /// The sum of what came in.
    total_in: MoneySum,
    /// The sum of what went out.
    total_out: MoneySum,
    /// After the last movement: the opening balance, plus what came in, less what went out.
    closing_balance: Money,
}

/// The part of a statement before its first movement.
#[derive(Debug, Serialize)]
pub struct Heading {
    account_number: AccountNumber,
    currency: Currency,
    label: Option<String>,
    from: Timestamp,
    to: Timestamp,
    opening_balance: Money,
}

/// The part of a statement after its last movement.
#[derive(Debug, Serialize)]
pub struct Totals {
    total_in: MoneySum,
    total_out: MoneySum,
    closing_balance: Money,
}

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct StatementQuery {
    /// Where the period begins: a date, or a moment. The account's opening if left out.
    from: Option<DayOrMoment>,
    /// Where it ends: a date, which counts in as a whole, or a moment, which does not. Now if left out.
    to: Option<DayOrMoment>,
}

/// Take an account's statement
///
/// Opening balance, every movement with the balance after it, the oldest first, and closing balance. Dates are in UTC;
/// what is booked while the statement is read is not in it. A statement that breaks off has no closing balance and ends in
/// a broken connection.
#[utoipa::path(
    get,
    path = "/accounts/{account_number}/statement",
    operation_id = "take_statement",
    tag = "History",
    params(
        (
            "account_number" = String,
            Path,
            description = ACCOUNT_NUMBER,
            pattern = "^[1-9][0-9]{13}$",
            example = "10000000000180",
        ),
        StatementQuery,
    ),
    responses(
        (status = OK, description = "The statement", body = Statement),
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn show(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(number): PathParam<AccountNumber>,
    Query(query): Query<StatementQuery>,
) -> Result<Response> {
    take(&app, &context, caller, number, query, Format::Json).await
}

/// Take an account's statement as CSV
///
/// The same statement for a spreadsheet (RFC 4180): the first and last rows hold the opening and the closing balance and no
/// amount.
///
/// It is in UTF-8 and begins with a byte order mark, by which spreadsheets know that it is (Python: `encoding="utf-8-sig"`).
/// In it a description that a spreadsheet would run as a formula has an apostrophe before it: to undo it, take away one
/// apostrophe at the beginning and one after each semicolon, quotation marks and spaces before it aside, where there is one.
#[utoipa::path(
    get,
    path = "/accounts/{account_number}/statement.csv",
    operation_id = "take_statement_as_csv",
    tag = "History",
    params(
        (
            "account_number" = String,
            Path,
            description = ACCOUNT_NUMBER,
            pattern = "^[1-9][0-9]{13}$",
            example = "10000000000180",
        ),
        StatementQuery,
    ),
    responses(
        (status = OK, description = "The statement as a file",
         headers(("Content-Disposition" = String, description = "A name for the file")), body = String, content_type = "text/csv",
         example = "date,type,description,counterparty,amount,balance,currency,transaction_id,sequence,hash,against\r\n\
            2026-01-01T00:00:00.000000Z,opening_balance,,,,0.00,USD,,,,\r\n\
            2026-01-31T12:00:00.000000Z,deposit,Salary,,100.50,100.50,USD,019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88,1,\
            5f2b1d0c9e8a7f6b5d4c3b2a190807f6e5d4c3b2a1908f7e6d5c4b3a29180706,cash\r\n\
            2026-02-01T00:00:00.000000Z,closing_balance,,,,100.50,USD,,,,\r\n"),
        (status = NOT_FOUND, description = "No such account among the caller's"),
    ),
    security(("bearer" = []))
)]
pub async fn download(
    State(app): State<App>,
    context: RequestContext,
    caller: Caller,
    PathParam(number): PathParam<AccountNumber>,
    Query(query): Query<StatementQuery>,
) -> Result<Response> {
    take(&app, &context, caller, number, query, Format::Csv).await
}

async fn take(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    number: AccountNumber,
    query: StatementQuery,
    format: Format,
) -> Result<Response> {
    let account = app.db.account(number).await?;
    let account = account.filter(|account| caller.may_read(account)).ok_or_else(Error::account_not_found)?;
    let (from, to) = query.period(&account)?;
    let look = AccountLook::at(Action::StatementExported, format_args!("{from} to {to}"));
    app.viewed_account(context, caller, &account, look)?;
    let mut writing = Writing::begin(app, caller, account, (from, to), format).await?;
    if writing.is_long() {
        writing.under_way = Some(app.long_answers.begin(caller.user_id)?);
    }
    let headers = writing.headers();
    // A failure at once is answered with a problem, not with a broken connection.
    let first = writing.next_piece().await?;
    let body = pieces::body(first, writing, context);
    Ok((headers, body).into_response())
}

/// A statement under way: what has been read of it has been written.
struct Writing {
    db: Db,
    long_answers: LongAnswers,
    caller: Uuid,
    /// For a statement of more than one page.
    under_way: Option<UnderWay>,
    encoder: Encoder,
    heading: Heading,
    /// Minor units that came in and went out by what has been written. They may be more than a balance can be.
    came_in: i128,
    went_out: i128,
    /// The balance that it must come to.
    closing: i64,
    /// After the last movement that has been written.
    balance: i64,
    /// The last movement before the period.
    above: i64,
    /// The last movement that has been written, or `above`.
    written: i64,
    /// The last movement of the period.
    last: i64,
    is_done: bool,
}

impl Writing {
    /// Settles what the statement covers.
    async fn begin(
        app: &App,
        caller: Caller,
        account: Account,
        (from, to): (Timestamp, Timestamp),
        format: Format,
    ) -> Result<Self> {
        let db = &app.db;
        let number = account.account_number;
        let last = db.sequence_before(number, account.sequence, to).await?;
        let above = db.sequence_before(number, last, from).await?;
        let opening = balance_after(db, number, above).await?;
        let closing = balance_after(db, number, last).await?;
        let money = |minor_units| Money::new(minor_units, account.currency);
        let heading = Heading {
            account_number: number,
            currency: account.currency,
            label: account.label,
            from,
            to,
            opening_balance: money(opening),
        };
        Ok(Self {
            db: db.clone(),
            long_answers: app.long_answers.clone(),
            caller: caller.user_id,
            under_way: None,
            encoder: Encoder::new(format),
            heading,
            came_in: 0,
            went_out: 0,
            closing,
            balance: opening,
            above,
            written: above,
            last,
            is_done: false,
        })
    }

    /// Whether it takes more than one page.
    fn is_long(&self) -> bool {
        self.last - self.above > PAGE
    }

    fn headers(&self) -> HeaderMap {
        let content_type = self.encoder.content_type();
        match self.encoder.extension() {
            Some(extension) => attachment::headers(content_type, &format!("{}.{extension}", self.heading.file_name())),
            None => HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(content_type))]),
        }
    }

    async fn write_page(&mut self) -> Result<Vec<u8>> {
        let mut piece = Vec::new();
        if self.written == self.above {
            self.encoder.begin(&self.heading, &mut piece)?;
        }
        let page_end = self.last.min(self.written + PAGE);
        let reading = tokio::time::timeout(HANDLER_TIMEOUT, self.page_up_to(page_end));
        for entry in reading.await.map_err(|_| sqlx::Error::PoolTimedOut)?? {
            self.count(&entry)?;
            self.encoder.entry(entry, &mut piece)?;
        }
        if self.written != page_end {
            let number = self.heading.account_number;
            return Err(Error::Internal(format!("account {number}: entries up to {page_end} are missing")));
        }
        if self.written == self.last {
            self.is_done = true;
            self.end(&mut piece)?;
        }
        Ok(piece)
    }

    /// The movements after the last one written, the oldest first.
    async fn page_up_to(&self, page_end: i64) -> sqlx::Result<Vec<Entry>> {
        let range = EntryRange {
            account_number: self.heading.account_number,
            below: page_end + 1,
            above: self.written,
            movement_type: None,
            limit: PAGE,
        };
        if self.is_long() {
            self.long_answers.wait_for_page(self.caller).await;
        }
        let permit = self.long_answers.read_permit().await;
        let mut entries = self.db.entries(range).await?;
        drop(permit);
        entries.reverse();
        Ok(entries)
    }

    /// Adds a movement to the totals. Refuses one that does not follow from the one before.
    fn count(&mut self, entry: &Entry) -> Result<()> {
        let total = if entry.amount < 0 { &mut self.went_out } else { &mut self.came_in };
        *total += i128::from(entry.amount).abs();
        if entry.sequence != self.written + 1 || self.balance.checked_add(entry.amount) != Some(entry.balance) {
            return Err(wrong_books(entry, "it does not follow from the entry before"));
        }
        (self.written, self.balance) = (entry.sequence, entry.balance);
        Ok(())
    }

    fn end(&mut self, piece: &mut Vec<u8>) -> Result<()> {
        if self.balance != self.closing {
            let number = self.heading.account_number;
            return Err(Error::Internal(format!("account {number}: its entries do not add up")));
        }
        let currency = self.heading.currency;
        let totals = Totals {
            total_in: MoneySum::new(self.came_in, currency),
            total_out: MoneySum::new(self.went_out, currency),
            closing_balance: Money::new(self.closing, currency),
        };
        self.encoder.end(&self.heading, &totals, piece)
    }
}

impl Pieces for Writing {
    const NAME: &'static str = "a statement";

    fn is_done(&self) -> bool {
        self.is_done
    }

    /// A page of movements, with what belongs before the first and after the last.
    async fn next_piece(&mut self) -> Result<Vec<u8>> {
        self.write_page().await
    }
}

fn wrong_books(entry: &Entry, what: &str) -> Error {
    Error::Internal(format!("account {} entry {}: {what}", entry.account_number, entry.sequence))
}

async fn balance_after(db: &Db, number: AccountNumber, sequence: i64) -> Result<i64> {
    if sequence == 0 {
        return Ok(0);
    }
    let missing = || Error::Internal(format!("account {number} entry {sequence} is missing"));
    Ok(db.entry(number, sequence).await?.ok_or_else(missing)?.balance)
}

impl StatementQuery {
    /// The first moment of the period and the first one after it. No statement speaks of the future.
    fn period(&self, account: &Account) -> Result<(Timestamp, Timestamp)> {
        // Another instance's clock may be a little ahead: what is booked counts in.
        let latest = Timestamp::now().max(account.last_entry_at.plus(ONE_MICROSECOND));
        let to = self.to.map_or(latest, |to| to.ends.min(latest));
        let from = self.from.map_or(account.opened_at.min(to), |from| from.begins);
        let is_reversed = self.from.zip(self.to).is_some_and(|(from, to)| from.begins > to.begins);
        if from > to || is_reversed {
            let detail = "send a moment or date that has passed and is not after `to`";
            return Err(Error::invalid("?from", ProblemCode::PeriodReversed, detail));
        }
        Ok((from, to))
    }
}

impl Heading {
    /// Names the account and the first and the last day.
    fn file_name(&self) -> String {
        let day = |moment: Timestamp| moment.to_string().chars().take_while(|c| *c != 'T').collect::<String>();
        let last = self.from.max(Timestamp::from_micros(self.to.as_micros().saturating_sub(1)));
        format!("statement-{}-{}-{}", self.account_number, day(self.from), day(last))
    }
}
