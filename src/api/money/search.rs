//! Looking through movements for those that are asked for: those of an account, or of the whole bank.

use std::cmp::Ordering;

use crate::api::App;
use crate::api::http::cursor::Cursor;
use crate::api::http::page;
use crate::api::money::transaction::Direction;
use coffer_core::account_number::AccountNumber;
use coffer_core::bank_account::BankAccountCode;
use coffer_core::books::entry::Entry;
use coffer_core::books::movement::MovementType;
use coffer_core::books::tags::Tag;
use coffer_core::db::Db;
use coffer_core::db::history::{BankRange, EntryRange};
use coffer_core::money::{Amount, Money};
use coffer_core::text;

/// Entries that one request may look through for those that it asks for: some milliseconds of the database's time. A
/// page may end there with less than was asked for, or nothing.
const MAX_LOOKED_THROUGH: i64 = 5_000;
/// Entries that are read at once, of those. They cost the caller as much as one request.
const LOOKED_THROUGH_AT_ONCE: i64 = 200;

/// Where to look, the newest first.
#[derive(Clone, Copy, Debug)]
pub enum Place {
    Account(EntryRange),
    Bank(BankRange),
}

/// What a movement must have. What is None or empty does not count.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    pub movement_type: Option<MovementType>,
    /// [Folded](text::fold): a part of the description.
    pub text: String,
    pub direction: Option<Direction>,
    pub counterparty: Option<AccountNumber>,
    pub against: Option<BankAccountCode>,
    pub min_amount: Option<Amount>,
    pub max_amount: Option<Amount>,
    pub tags: Vec<Tag>,
}

impl Wanted {
    /// Whether every movement will do.
    pub fn is_anything(&self) -> bool {
        self.is_found_at_once() && self.tags.is_empty()
    }

    /// Whether an index leads to just these movements, with nothing to look through.
    fn is_found_at_once(&self) -> bool {
        let Self { movement_type, text, direction, counterparty, against, min_amount, max_amount, tags } = self;
        let has_amount = min_amount.is_some() || max_amount.is_some();
        let has_side = counterparty.is_some() || against.is_some();
        let is_plain = movement_type.is_none() && direction.is_none() && !has_side;
        is_plain && !has_amount && text.is_empty() && tags.len() <= 1
    }

    fn is(&self, entry: &Entry) -> bool {
        let is_at = |amount: Option<Amount>, wrong: Ordering| {
            let moved = Money::new(entry.amount.saturating_abs(), entry.currency);
            amount.is_none_or(|amount| amount.compare(moved) != wrong)
        };
        let has_text = || entry.texts.description.as_deref().is_some_and(|it| text::fold(it).contains(&self.text));
        self.movement_type.is_none_or(|wanted| wanted == entry.movement_type)
            && self.direction.is_none_or(|wanted| wanted == Direction::of(entry))
            && self.counterparty.is_none_or(|wanted| Some(wanted) == entry.counterparty)
            && self.against.is_none_or(|wanted| Some(wanted) == entry.against)
            && is_at(self.min_amount, Ordering::Less)
            && is_at(self.max_amount, Ordering::Greater)
            && self.tags.iter().all(|tag| entry.texts.tags.has(tag))
            && (self.text.is_empty() || has_text())
    }
}

/// At most `limit` of the movements that are wanted, and the cursor of the next page. When fewer are found among the
/// newest [`MAX_LOOKED_THROUGH`], or when `may_go_on` says no, the next page begins behind those that were looked
/// through.
pub async fn page(
    app: &App,
    place: Place,
    wanted: &Wanted,
    limit: u32,
    may_go_on: impl Fn() -> bool,
) -> sqlx::Result<(Vec<Entry>, Option<String>)> {
    let tag = rarest(&app.db, place, &wanted.tags).await?;
    if wanted.is_found_at_once() {
        let found = place.with_limit(i64::from(limit) + 1).read(&app.db, tag).await?;
        return Ok(page::cut(found, limit, |entry| place.cursor_at(entry)));
    }
    let (mut found, mut rest, mut looked_through) = (Vec::new(), Some(place), 0);
    while let Some(next) = rest
        && found.len() <= limit as usize
        && looked_through < MAX_LOOKED_THROUGH
        // The first ones are what the request itself has paid for.
        && (looked_through == 0 || may_go_on())
    {
        let permit = app.long_answers.read_permit().await;
        let (entries, behind) = next.look(&app.db, tag).await?;
        drop(permit);
        found.extend(entries.into_iter().filter(|entry| wanted.is(entry)));
        looked_through += LOOKED_THROUGH_AT_ONCE;
        rest = behind;
    }
    let (found, next_cursor) = page::cut(found, limit, |entry| place.cursor_at(entry));
    Ok((found, next_cursor.or_else(|| rest.map(|place| place.cursor().encode()))))
}

/// Some of the movements that are wanted, from the newest on, for a file of all of them; and where the rest is, if that was not
/// all. It may find none and say where to go on.
pub async fn piece(app: &App, place: Place, wanted: &Wanted) -> sqlx::Result<(Vec<Entry>, Option<Place>)> {
    let permit = app.long_answers.read_permit().await;
    let (mut entries, rest) = place.look(&app.db, wanted.tags.first()).await?;
    drop(permit);
    entries.retain(|entry| wanted.is(entry));
    Ok((entries, rest))
}

/// The tag that the fewest movements have, as far as it pays to count: the index leads to those, and the rest are held
/// against the others.
async fn rarest<'t>(db: &Db, place: Place, tags: &'t [Tag]) -> sqlx::Result<Option<&'t Tag>> {
    if tags.len() < 2 {
        return Ok(tags.first());
    }
    let mut rarest = None;
    for tag in tags {
        let count = match place {
            Place::Account(range) => db.count_tagged(range, tag, LOOKED_THROUGH_AT_ONCE).await?,
            Place::Bank(range) => db.count_tagged_of_the_bank(range, tag, LOOKED_THROUGH_AT_ONCE).await?,
        };
        if rarest.is_none_or(|(fewest, _)| count < fewest) {
            rarest = Some((count, tag));
        }
    }
    Ok(rarest.map(|(_, tag)| tag))
}

impl Place {
    fn with_limit(self, limit: i64) -> Self {
        match self {
            Self::Account(range) => Self::Account(EntryRange { limit, ..range }),
            Self::Bank(range) => Self::Bank(BankRange { limit, ..range }),
        }
    }

    async fn read(self, db: &Db, tag: Option<&Tag>) -> sqlx::Result<Vec<Entry>> {
        match (self, tag) {
            (Self::Account(range), None) => db.entries(range).await,
            (Self::Account(range), Some(tag)) => db.tagged_entries(range, tag).await,
            (Self::Bank(range), None) => db.entries_of_the_bank(range).await,
            (Self::Bank(range), Some(tag)) => db.tagged_entries_of_the_bank(range, tag).await,
        }
    }

    /// Reads some, and says where the rest is; None when that was all.
    async fn look(self, db: &Db, tag: Option<&Tag>) -> sqlx::Result<(Vec<Entry>, Option<Self>)> {
        if let (Self::Account(range), None) = (self, tag) {
            // Sequences have no gaps, so they bound the rows, too, whatever their type.
            let above = range.above.max(range.below - 1 - LOOKED_THROUGH_AT_ONCE);
            let entries = db.entries(EntryRange { above, limit: LOOKED_THROUGH_AT_ONCE, ..range }).await?;
            let rest = EntryRange { below: above + 1, ..range };
            return Ok((entries, (above > range.above).then_some(Self::Account(rest))));
        }
        let entries = self.with_limit(LOOKED_THROUGH_AT_ONCE).read(db, tag).await?;
        let is_all = (entries.len() as i64) < LOOKED_THROUGH_AT_ONCE;
        let rest = entries.last().filter(|_| !is_all).map(|last| self.behind(last));
        Ok((entries, rest))
    }

    fn behind(self, last: &Entry) -> Self {
        match self {
            Self::Account(range) => Self::Account(EntryRange { below: last.sequence, ..range }),
            Self::Bank(range) => Self::Bank(BankRange { below: last.transaction_id, ..range }),
        }
    }

    /// Where this begins.
    fn cursor(self) -> Cursor {
        match self {
            Self::Account(range) => Cursor::at_entry(range.account_number, range.below),
            Self::Bank(range) => Cursor::at_id(range.below),
        }
    }

    /// Of the page behind this entry.
    fn cursor_at(self, entry: &Entry) -> Cursor {
        self.behind(entry).cursor()
    }
}
