//! Moving money in bulk: `POST /transactions/batch`.

use std::collections::{BTreeSet, HashMap};

use axum::extract::State;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::{Actor, Caller};
use crate::api::http::context::RequestContext;
use crate::api::http::entity_tags::NoIfMatch;
use crate::api::http::error::{Error, Result};
use crate::api::http::extract::{Json, MAX_CHARACTER_BYTES, Object};
use crate::api::http::problem::{FieldError, Problem, count_refusal};
use crate::api::http::views::AccountLook;
use crate::api::money::accounts::readable_account;
use crate::api::money::conditions::Conditions;
use crate::api::money::preview::PreviewQuery;
use crate::api::money::tags::{self, Metadata};
use crate::api::money::transaction::TransactionBody;
use crate::api::money::transactions;
use crate::api::money::{bank_accounts, holds, movements};
use crate::api::people::proof;
use crate::log_lines::REFUSALS;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::{BankAccount, BankAccountCode};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::command::{self, Command, DualControl, Step};
use coffer_core::books::decisions::{Receipt, Verdict};
use coffer_core::books::movement::Movement;
use coffer_core::books::refusal::Refusal;
use coffer_core::by_name::read_by_name;
use coffer_core::money::{Amount, Currency};
use coffer_core::problem_code::ProblemCode;
use coffer_core::text::{Description, Group, MAX_DESCRIPTION_LENGTH, Reference};
use coffer_core::timestamp::Timestamp;

/// Movements in one batch: as many as the ledger writes in one commit.
pub const MAX_ITEMS: usize = 1_000;
/// This many items cost the caller one request more: items that are refused or repeated are work, too, and count as no
/// movement.
const ITEMS_FOR_A_REQUEST: usize = 100;
/// Items of an earlier request that are looked up at a time: a thousand of them, each with some queries, must be answered
/// within the time of any answer, and leave connections to others.
const LOOKED_UP_AT_ONCE: usize = 4;
/// Everything in an item but its description, with the white space of a program that prints it for people. An item with
/// a reference and some metadata fits, too; batches with much of it are sent in parts.
const MAX_ITEM_FRAME_BYTES: usize = 320;
/// A whole batch, 2 MB, however it is written: every character of every description may be two escapes (`\ud83d\ude00`).
/// It is held in memory until it is parsed. Only signed-in users may send one, and the limits on requests bound how
/// many there are at once.
pub const MAX_BODY_BYTES: usize =
    MAX_ITEMS * (MAX_DESCRIPTION_LENGTH * MAX_CHARACTER_BYTES + MAX_ITEM_FRAME_BYTES) + MAX_ITEM_FRAME_BYTES;

/// Movements to book in one request.
#[derive(Debug, Deserialize, Validate, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"atomic": true, "transactions": [
    {"type": "deposit", "account_number": "10000000000180", "amount": "100.50", "description": "Salary"},
    {"type": "transfer", "from_account": "10000000000180", "to_account": "10000000000277", "amount": "25.00"}
]}))]
pub struct BatchRequest {
    /// Whether all of them are booked or none. Otherwise each stands for itself.
    #[serde(default)]
    atomic: bool,
    /// Your own name for these movements together, up to 64 characters: they are found by it, and reversed together. More
    /// batches of yours may have it, and then are one group.
    group: Option<Group>,
    /// 1 to 1,000 movements, decided in this order.
    #[schema(value_type = Vec<BatchItem>, min_items = 1, max_items = 1000)]
    transactions: Vec<Object<BatchItem>>,
}

/// A deposit or withdrawal with `account_number`, or a transfer with `from_account` and `to_account`. A hold has either, and
/// nothing moves until it is captured.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "deposit", "account_number": "10000000000180", "amount": "100.50"}))]
pub struct BatchItem {
    #[serde(rename = "type")]
    item_type: BatchItemType,
    account_number: Option<AccountNumber>,
    from_account: Option<AccountNumber>,
    to_account: Option<AccountNumber>,
    amount: Amount,
    currency: Option<Currency>,
    /// The account of the bank's own on the other side of a deposit or a withdrawal: its `cash` if left out. Only staff
    /// send it.
    against: Option<BankAccountCode>,
    description: Option<Description>,
    /// Your own name for the movement, up to 64 characters. It names one movement of yours for good.
    reference: Option<Reference>,
    metadata: Option<Metadata>,
    /// Of a hold: when the money is free again, at most 31 days away. In seven days if left out.
    expires_at: Option<Timestamp>,
}

/// What an item does. `hold` keeps money for a movement to come, as `POST /holds` does. The others move it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum BatchItemType {
    Deposit,
    Withdrawal,
    Transfer,
    Hold,
}

read_by_name!(BatchItemType);

/// What became of each item, in the order of the batch.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResult {
    /// How many items are booked, by this request or by an earlier one with the same key.
    #[schema(example = 2)]
    booked: usize,
    /// How many items were refused.
    #[schema(example = 0)]
    refused: usize,
    /// One result for each item, in the order of the batch.
    data: Vec<ItemResult>,
}

/// What became of one item: a `transaction` if it was booked, a `problem` if it was refused.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemResult {
    /// What the item alone would have been answered with.
    #[schema(example = 201)]
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    transaction: Option<TransactionBody>,
    /// Whether an earlier request with the same key booked it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    replayed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    problem: Option<Problem>,
}

/// Move money in bulk
///
/// Books up to 1,000 movements in one durable commit. With `atomic` all are booked or none; without, each item succeeds
/// or is refused by itself. An `Idempotency-Key` covers the whole batch, item by item.
/// A batch of n takes n of the caller's movements, and every 100 count as one request.
#[utoipa::path(
    post,
    path = "/transactions/batch",
    tag = "Money",
    operation_id = "batch",
    request_body(
        content = BatchRequest,
        description = "The movements, and whether all must be booked or none; up to 2 MB",
    ),
    params(transactions::IdempotencyKeyHeader, PreviewQuery),
    responses(
        (status = OK, description = "What became of each item", body = BatchResult),
        (status = UNAUTHORIZED, description = proof::REQUIRED_ABOVE),
        (status = CONFLICT, description = "The batch is atomic and an item was refused: nothing was booked, `errors` says which and why"),
    ),
    security(("bearer" = []))
)]
pub async fn batch(
    State(app): State<App>,
    context: RequestContext,
    Actor(caller): Actor,
    Conditions { key, preview, .. }: Conditions<NoIfMatch>,
    Json(request): Json<BatchRequest, MAX_BODY_BYTES>,
) -> Result<Json<BatchResult>> {
    if !(1..=MAX_ITEMS).contains(&request.transactions.len()) {
        return Err(Error::invalid(
            "/transactions",
            ProblemCode::BatchSize,
            format!("send 1 to {MAX_ITEMS} movements"),
        ));
    }
    let bank_accounts = bank_accounts_named(&app, &request.transactions).await?;
    let shared = Shared { requester: app.requester(caller), bank_accounts, group: request.group.map(Into::into) };
    let record = movements::record(&context, shared.requester);
    let record_of_hold = record.as_ref().map(|_| Box::new(context.event(Action::HoldCreated)));
    let mut errors = Vec::new();
    let mut commands = Vec::with_capacity(request.transactions.len());
    for (index, Object(item)) in request.transactions.into_iter().enumerate() {
        let record = if item.item_type == BatchItemType::Hold { &record_of_hold } else { &record };
        match item.command(&shared, record.clone(), key.of_item(caller.user_id, index)) {
            Ok(command) => commands.push(command),
            Err(error) => {
                errors.push(FieldError { pointer: format!("/transactions/{index}{}", error.pointer).into(), ..error });
            }
        }
    }
    if !errors.is_empty() {
        return Err(Error::Invalid(errors));
    }
    take_requests_for(&app, caller, commands.len())?;
    preview.confirm_amounts(&app, caller, &debits_of(&commands)).await?;
    carry_out(&app, &context, caller, commands, request.atomic, preview).await
}

/// So many items cost the caller these requests beside the one that they come with.
pub fn take_requests_for(app: &App, caller: Caller, items: usize) -> Result<()> {
    app.auth.requests.take_many(caller.user_id, (items / ITEMS_FOR_A_REQUEST) as u32)?;
    Ok(())
}

/// The bank's own accounts, if an item names one.
async fn bank_accounts_named(app: &App, items: &[Object<BatchItem>]) -> Result<BankAccountsByCode> {
    if items.iter().all(|Object(item)| item.against.is_none()) {
        return Ok(BankAccountsByCode::new());
    }
    let opened = app.db.bank_accounts().await?;
    Ok(opened.into_iter().map(|opened| (opened.account.code, opened.account)).collect())
}

type BankAccountsByCode = HashMap<BankAccountCode, BankAccount>;

/// The same for all items of a batch.
struct Shared {
    requester: command::Requester,
    bank_accounts: BankAccountsByCode,
    group: Option<String>,
}

/// The amounts that the commands take, each with its account.
fn debits_of(commands: &[Command]) -> Vec<(AccountNumber, Amount)> {
    let debit = |command: &Command| match command.movement {
        Movement::Deposit { .. } => None,
        Movement::Withdrawal { from, .. } | Movement::Transfer { from, .. } => Some((from, command.amount)),
    };
    commands.iter().filter_map(debit).collect()
}

impl BatchItem {
    fn command(
        self,
        shared: &Shared,
        record: Option<Box<Event>>,
        idempotency_key: Option<[u8; 16]>,
    ) -> Result<Command, FieldError> {
        Ok(Command {
            id: Uuid::now_v7(),
            requester: shared.requester,
            movement: self.movement(shared)?,
            step: self.step()?,
            amount: self.amount,
            currency: self.currency,
            texts: movements::texts(
                self.description.map(Into::into),
                tags::of_request(self.reference, self.metadata).in_group(shared.group.clone()),
            ),
            idempotency_key,
            // A pending item would hold up the batch, or split it.
            dual_control: DualControl::Refuse,
            expected_sequences: None,
            reverses: None,
            record,
            at: None,
        })
    }

    /// Each type names its own accounts and no others.
    fn movement(&self, shared: &Shared) -> Result<Movement, FieldError> {
        let against = || self.against(shared);
        match self.item_type {
            BatchItemType::Deposit => Ok(Movement::Deposit { to: self.only_account()?, against: against()? }),
            BatchItemType::Withdrawal => Ok(Movement::Withdrawal { from: self.only_account()?, against: against()? }),
            BatchItemType::Hold => {
                refuse_surplus("/against", self.against)?;
                holds::movement_to_come(self.account_number, self.from_account, self.to_account)
            }
            BatchItemType::Transfer => {
                refuse_surplus("/against", self.against)?;
                refuse_surplus("/account_number", self.account_number)?;
                let from = self.from_account.ok_or_else(|| missing("/from_account"))?;
                let to = self.to_account.ok_or_else(|| missing("/to_account"))?;
                Ok(Movement::Transfer { from, to })
            }
        }
    }

    fn against(&self, shared: &Shared) -> Result<BankAccount, FieldError> {
        let Some(code) = self.against else { return Ok(BankAccount::CASH) };
        bank_accounts::refuse_unless_staff(shared.requester.acts_on_any_account)?;
        shared.bank_accounts.get(&code).copied().ok_or_else(|| bank_accounts::not_found(code))
    }

    fn step(&self) -> Result<Step, FieldError> {
        match (self.item_type, self.expires_at) {
            (BatchItemType::Hold, expires_at) => Ok(Step::Hold { expires_at }),
            (BatchItemType::Deposit | BatchItemType::Withdrawal | BatchItemType::Transfer, None) => Ok(Step::Post),
            (BatchItemType::Deposit | BatchItemType::Withdrawal | BatchItemType::Transfer, Some(_)) => {
                Err(FieldError::new("/expires_at", ProblemCode::UnknownField, "leave it out for this type of movement"))
            }
        }
    }

    /// The account of a movement that has one.
    fn only_account(&self) -> Result<AccountNumber, FieldError> {
        refuse_surplus("/from_account", self.from_account)?;
        refuse_surplus("/to_account", self.to_account)?;
        self.account_number.ok_or_else(|| missing("/account_number"))
    }
}

fn missing(pointer: &'static str) -> FieldError {
    FieldError::new(pointer, ProblemCode::MissingField, "this type of movement needs it")
}

fn refuse_surplus<T>(pointer: &'static str, sent: Option<T>) -> Result<(), FieldError> {
    match sent {
        None => Ok(()),
        Some(_) => Err(FieldError::new(pointer, ProblemCode::UnknownField, "leave it out for this type of movement")),
    }
}

impl BatchResult {
    /// As the answer to a preview: nothing of it has happened.
    fn into_preview(mut self) -> Self {
        for item in &mut self.data {
            item.status = if item.transaction.is_some() { 200 } else { item.status };
            item.transaction = item.transaction.take().map(TransactionBody::into_preview);
        }
        self
    }
}

impl ItemResult {
    fn booked(transaction: TransactionBody, replayed: bool) -> Self {
        Self { status: 201, transaction: Some(transaction), replayed, problem: None }
    }

    fn refused(problem: Problem) -> Self {
        Self { status: problem.status, transaction: None, replayed: false, problem: Some(problem) }
    }
}

/// Has the commands carried out, or only asks for their verdicts, and shows what became of each.
pub async fn carry_out(
    app: &App,
    context: &RequestContext,
    caller: Caller,
    commands: Vec<Command>,
    atomic: bool,
    preview: PreviewQuery,
) -> Result<Json<BatchResult>> {
    context.note_accounts(commands.iter().flat_map(|command| command.movement.accounts()));
    let reverses: Vec<_> = commands.iter().map(|it| it.reverses.as_ref().map(|it| it.transaction_id)).collect();
    let verdicts = preview.submit(app, commands, atomic).await?;
    if atomic && verdicts.iter().any(Result::is_err) {
        // Those that are refused for the sake of others are not at fault.
        let at_fault = verdicts.iter().filter_map(|verdict| verdict.as_ref().err());
        at_fault
            .filter(|refusal| **refusal != Refusal::BatchRefused)
            .for_each(|refusal| note_refused_item(&Problem::from(refusal.clone())));
        return Err(Error::BatchRefused(verdicts.into_iter().map(Result::err).collect()));
    }
    if verdicts.iter().any(Result::is_err) {
        context.set_partly_refused();
    }
    let items = verdicts.into_iter().zip(reverses).map(|(verdict, reverses)| item(app, verdict, reverses));
    let mut data: Vec<ItemResult> = stream::iter(items).buffered(LOOKED_UP_AT_ONCE).try_collect().await?;
    hide_unreadable_replays(app, context, caller, &mut data).await;
    for problem in data.iter_mut().filter_map(|item| item.problem.as_mut()) {
        problem.request_id = context.request_id().to_owned();
    }
    let booked = data.iter().filter(|item| item.transaction.is_some()).count();
    let result = BatchResult { booked, refused: data.len() - booked, data };
    let shown = result.data.iter().filter_map(|item| item.transaction.as_ref());
    preview.put_on_record(app, context, caller, shown.map(|transaction| transaction.account_number)).await?;
    Ok(Json(if preview.is_wanted() { result.into_preview() } else { result }))
}

/// `reverses` is the movement that it was to undo.
async fn item(app: &App, verdict: Verdict, reverses: Option<Uuid>) -> Result<ItemResult> {
    match verdict {
        Ok(Receipt::Posted(entry)) => {
            Ok(ItemResult::booked(TransactionBody::from(entry).with_other_half(reverses, None), false))
        }
        Ok(Receipt::Held(hold)) => Ok(ItemResult::booked(hold.into(), false)),
        Ok(Receipt::Replay { transaction_id }) => {
            Ok(ItemResult::booked(transactions::earlier(app, transaction_id).await?, true))
        }
        Ok(Receipt::Pending(approval)) => Err(Error::Internal(format!("approval {} came out of a batch", approval.id))),
        Err(refusal) => {
            let problem = Problem::from(refusal);
            note_refused_item(&problem);
            Ok(ItemResult::refused(problem))
        }
    }
}

fn note_refused_item(problem: &Problem) {
    count_refusal(problem.code);
    let (status, code) = (problem.status, problem.code.name());
    tracing::debug!(target: REFUSALS, status, code, "an item of a batch is refused");
}

/// A replay may show what the first answer did not, and to somebody who may not see the account any more. So it is a look like
/// any other; what the caller may not see, or what cannot be put on record, is told in the place of the movement.
async fn hide_unreadable_replays(app: &App, context: &RequestContext, caller: Caller, data: &mut [ItemResult]) {
    let replayed_on =
        |item: &ItemResult| item.transaction.as_ref().filter(|_| item.replayed).map(|it| it.account_number);
    for number in data.iter().filter_map(replayed_on).collect::<BTreeSet<_>>() {
        let look = AccountLook::new(Action::TransactionViewed);
        if let Err(error) = readable_account(app, context, caller, number, look).await {
            let problem = error.into_problem();
            let hidden = data.iter_mut().filter(|item| replayed_on(item) == Some(number));
            hidden.for_each(|item| *item = ItemResult::refused(problem.clone()));
        }
    }
}
