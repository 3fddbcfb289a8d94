//! Movements of the whole bank as a file: `GET /transactions.csv`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;
use validator::Validate;

use crate::api::App;
use crate::api::http::caller::Reader;
use crate::api::http::context::RequestContext;
use crate::api::http::csv::{self, row, without_formulas};
use crate::api::http::error::Result;
use crate::api::http::long_answers::UnderWay;
use crate::api::http::pieces::{self, Pieces};
use crate::api::money::search::{self, Place, Wanted};
use crate::api::money::tags::{MetadataParameter, WithMetadata};
use crate::api::money::transaction::Direction;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::audit_event::Action;
use coffer_core::books::entry::Entry;
use coffer_core::books::movement::MovementType;
use coffer_core::books::tags::Tag;
use coffer_core::db::history::BankRange;
use coffer_core::money::{Amount, Money};
use coffer_core::text::{DescriptionSearch, Group, Reference};
use coffer_core::timestamp::{Timestamp, first_uuid_of};

const COLUMNS: [&str; 14] = [
    "created_at",
    "transaction_id",
    "type",
    "account_number",
    "counterparty",
    "against",
    "amount",
    "currency",
    "balance",
    "description",
    "reference",
    "group",
    "requested_by",
    "sequence",
];

#[derive(Debug, Deserialize, Validate, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct MovementsFileQuery {
    /// Only movements of this type.
    #[serde(rename = "type")]
    movement_type: Option<MovementType>,
    /// Only movements with this text in their description, whatever its case and accents.
    #[param(inline)]
    text: Option<DescriptionSearch>,
    /// Only movements of batches that were requested with this group.
    #[param(inline)]
    group: Option<Group>,
    /// Only the movement that was requested with this reference.
    #[param(inline)]
    reference: Option<Reference>,
    /// Only movements of this amount or more.
    #[param(inline)]
    min_amount: Option<Amount>,
    /// Only movements of this amount or less.
    #[param(inline)]
    max_amount: Option<Amount>,
    /// Only movements that go this way, seen from the account that was acted on.
    direction: Option<Direction>,
    /// Only transfers to this account.
    #[param(inline)]
    counterparty: Option<AccountNumber>,
    /// Only deposits and withdrawals against this account of the bank's own, by its code.
    #[param(inline)]
    against: Option<BankAccountCode>,
    /// Only movements that were asked for at this moment or later.
    from: Option<Timestamp>,
    /// Only movements that were asked for before this moment.
    to: Option<Timestamp>,
}

impl MovementsFileQuery {
    fn place(&self) -> Place {
        let below = self.to.map_or(Uuid::max(), first_uuid_of);
        Place::Bank(BankRange { below, from: self.from.map_or(Uuid::nil(), first_uuid_of), limit: 0 })
    }

    fn wanted(&self, metadata: Vec<Tag>) -> Wanted {
        let reference = self.reference.iter().map(|reference| Tag::reference(reference.as_str()));
        let group = self.group.iter().map(|group| Tag::group(group.as_str()));
        Wanted {
            movement_type: self.movement_type,
            text: self.text.as_ref().map(|text| text.folded()).unwrap_or_default(),
            direction: self.direction,
            counterparty: self.counterparty,
            against: self.against,
            min_amount: self.min_amount,
            max_amount: self.max_amount,
            tags: reference.chain(group).chain(metadata).collect(),
        }
    }

    /// For the audit log.
    fn in_words(&self, metadata: &[Tag]) -> String {
        let parts = [
            self.movement_type.map(|it| it.name().to_owned()),
            self.text.as_ref().map(|text| format!("text {}", text.as_str())),
            self.group.as_ref().map(|group| format!("group {}", group.as_str())),
            self.reference.as_ref().map(|reference| format!("reference {}", reference.as_str())),
            self.min_amount.map(|amount| format!("at least {amount}")),
            self.max_amount.map(|amount| format!("at most {amount}")),
            self.direction.map(|direction| direction.name().to_owned()),
            self.counterparty.map(|number| format!("counterparty {number}")),
            self.against.map(|code| format!("against {code}")),
            self.from.map(|from| format!("from {from}")),
            self.to.map(|to| format!("to {to}")),
        ];
        let pairs = metadata.iter().map(|Tag { key, value }| format!("{key} {value}"));
        let parts: Vec<String> = parts.into_iter().flatten().chain(pairs).collect();
        if parts.is_empty() { "all".to_owned() } else { parts.join(", ") }
    }
}

/// Take the movements of the whole bank as CSV
///
/// All that the filters let through, each as the account saw it that was acted on, the newest first, in one file of any length:
/// CSV (RFC 4180) in UTF-8 with a byte order mark, in which a text that a spreadsheet would run as a formula has an apostrophe
/// before it, as in a statement. A file that breaks off ends in a broken connection. On record.
#[utoipa::path(
    get,
    path = "/transactions.csv",
    operation_id = "take_transactions_as_csv",
    tag = "Staff",
    params(MovementsFileQuery, MetadataParameter),
    responses(
        (status = OK, description = "A file of all movements",
         headers(("Content-Disposition" = String, description = "A name for the file")), body = String, content_type = "text/csv",
         example = "created_at,transaction_id,type,account_number,counterparty,against,amount,currency,balance,description,reference,group,requested_by,sequence\r\n\
            2026-01-31T12:00:00.000000Z,019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88,deposit,10000000000180,,cash,100.50,USD,100.50,Salary,,,019a8f3e-6a10-7c52-8f7d-0b1c2d3e4f50,1\r\n"),
        (status = FORBIDDEN, description = "For staff, admins and auditors"),
    ),
    security(("bearer" = []))
)]
pub async fn download(
    State(app): State<App>,
    context: RequestContext,
    Reader(caller): Reader,
    request: WithMetadata<MovementsFileQuery>,
) -> Result<Response> {
    let WithMetadata { query, metadata } = request;
    app.viewed(context.event(Action::MovementsExported).detail(query.in_words(&metadata)))?;
    let (caller, place, wanted) = (caller.user_id, Some(query.place()), query.wanted(metadata));
    let mut writing = Writing { app: app.clone(), caller, under_way: None, place, wanted, is_begun: false };
    // What fails at once is answered with a problem, not with a broken connection.
    let first = writing.next_piece().await?;
    if !writing.is_done() {
        writing.under_way = Some(app.long_answers.begin(caller)?);
    }
    Ok((csv::file_headers("movements"), pieces::body(first, writing, &context)).into_response())
}

/// A file that is being written. It holds one page in memory.
struct Writing {
    app: App,
    caller: Uuid,
    /// For a file of more than one page.
    under_way: Option<UnderWay>,
    /// Where to read on; None when that was all.
    place: Option<Place>,
    wanted: Wanted,
    is_begun: bool,
}

impl Pieces for Writing {
    const NAME: &'static str = "the movements as a file";

    fn is_done(&self) -> bool {
        self.place.is_none()
    }

    async fn next_piece(&mut self) -> Result<Vec<u8>> {
        let mut piece = if self.is_begun { Vec::new() } else { csv::header(&COLUMNS)? };
        self.is_begun = true;
        // A page may have nothing of what is wanted; a piece of nothing would not be sent, and the client would wait.
        while let Some(place) = self.place {
            self.app.long_answers.wait_for_page(self.caller).await;
            let (entries, rest) = search::piece(&self.app, place, &self.wanted).await?;
            self.place = rest;
            for entry in &entries {
                piece.extend(line(entry)?);
            }
            if !piece.is_empty() {
                break;
            }
        }
        Ok(piece)
    }
}

fn line(entry: &Entry) -> Result<Vec<u8>> {
    let money = |minor_units| Money::new(minor_units, entry.currency).to_string();
    let tags = &entry.texts.tags;
    row(&[
        &entry.created_at.to_string(),
        &entry.transaction_id.to_string(),
        entry.movement_type.name(),
        &entry.account_number.to_string(),
        &entry.counterparty.map(|number| number.to_string()).unwrap_or_default(),
        entry.against.as_ref().map(BankAccountCode::as_str).unwrap_or_default(),
        &money(entry.amount),
        entry.currency.code(),
        &money(entry.balance),
        &without_formulas(entry.texts.description.as_deref().unwrap_or_default()),
        &without_formulas(tags.reference().unwrap_or_default()),
        &without_formulas(tags.group().unwrap_or_default()),
        &entry.initiated_by.to_string(),
        &entry.sequence.to_string(),
    ])
}
