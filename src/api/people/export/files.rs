//! The files of the archive, each read a page at a time.

use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::records;
use crate::api::App;
use crate::api::http::error::{Error, Result};
use crate::api::money::account_limits::LimitsBody;
use crate::api::money::accounts::AccountBody;
use crate::api::money::holds::HoldBody;
use crate::api::money::transaction::TransactionBody;
use crate::api::people::api_keys::ApiKeyBody;
use crate::api::people::second_factor;
use crate::api::people::users::Profile;
use coffer_core::account_number::AccountNumber;
use coffer_core::books::account::Account;
use coffer_core::db::Db;
use coffer_core::db::audit_search::Position;
use coffer_core::db::history::EntryRange;
use coffer_core::db::holds::HoldFilter;
use coffer_core::db::users::User;
use coffer_core::timestamp::Timestamp;

/// Rows in one read: some 200 KB of movements.
const PAGE: i64 = 500;
/// Accounts in one read, of which each takes a look-up of its own.
const ACCOUNTS_IN_A_PAGE: usize = 50;

const README: &str = include_str!("README.txt");

/// In the order in which they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    Readme,
    Profile,
    SecondFactor,
    Accounts,
    Limits,
    Transactions,
    Holds,
    Approvals,
    Payees,
    Sessions,
    ApiKeys,
    Notes,
    Records,
}

/// Whose archive it is.
pub struct Person {
    pub app: App,
    pub user: User,
    /// As they were at `moment`, by number.
    pub accounts: Vec<Account>,
    /// Keys that they have, or had.
    pub api_keys: Vec<Uuid>,
    pub moment: Timestamp,
}

/// Where a file is read on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// How many rows of the file are written.
    pub rows: u64,
    /// The account, by its index.
    pub account: usize,
    /// The last entry of it that was written.
    pub sequence: i64,
    /// The last row that was written, of those that have an id.
    pub before: Option<Uuid>,
    /// The last record that was looked at.
    pub position: Option<Position>,
}

/// Rows of a file, as JSON, and where to read on; None when that was all.
pub struct Page {
    pub rows: Vec<Vec<u8>>,
    pub next: Option<Place>,
}

impl File {
    pub const ALL: [Self; 13] = [
        Self::Readme,
        Self::Profile,
        Self::SecondFactor,
        Self::Accounts,
        Self::Limits,
        Self::Transactions,
        Self::Holds,
        Self::Approvals,
        Self::Payees,
        Self::Sessions,
        Self::ApiKeys,
        Self::Notes,
        Self::Records,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Readme => "README.txt",
            Self::Profile => "profile.json",
            Self::SecondFactor => "second_factor.json",
            Self::Accounts => "accounts.json",
            Self::Limits => "limits.json",
            Self::Transactions => "transactions.json",
            Self::Holds => "holds.json",
            Self::Approvals => "approvals.json",
            Self::Payees => "payees.json",
            Self::Sessions => "sessions.json",
            Self::ApiKeys => "api_keys.json",
            Self::Notes => "notes.json",
            Self::Records => "records.json",
        }
    }

    /// Whether it is one thing and not a list.
    fn is_single(self) -> bool {
        matches!(self, Self::Readme | Self::Profile | Self::SecondFactor)
    }

    /// The text between the rows: it comes before each, and `rows` are written already.
    pub fn before_row(self, rows: u64) -> &'static [u8] {
        match rows {
            _ if self.is_single() => b"",
            0 => b"[\n",
            _ => b",\n",
        }
    }

    /// What stands at the end of a file of so many rows.
    pub fn end(self, rows: u64) -> &'static [u8] {
        match rows {
            _ if self.is_single() => b"\n",
            0 => b"[]\n",
            _ => b"\n]\n",
        }
    }
}

impl Place {
    /// Whether nothing of the file was read yet.
    pub fn is_begin(&self) -> bool {
        *self == Self::default()
    }
}

impl Person {
    /// A page of the file from the place on.
    pub async fn read(&self, file: File, place: Place) -> Result<Page> {
        let (app, id) = (&self.app, self.user.id);
        match file {
            File::Readme => {
                let text = README.trim_end().replace("{moment}", &self.moment.to_string());
                Ok(Page { rows: vec![text.into_bytes()], next: None })
            }
            File::Profile => Page::of_one(&Profile::from(self.user.clone())),
            File::SecondFactor => Page::of_one(&second_factor::status_of(app, &self.user).await?),
            File::Accounts => self.accounts(place).await,
            File::Limits => self.limits(place).await,
            File::Transactions => self.transactions(place).await,
            File::Holds => self.holds(place).await,
            File::Approvals => {
                let approvals = app.db.approvals_on_accounts_of(id, place.before, PAGE).await?;
                let next = approvals.last().map(|approval| approval.id);
                let movements = approvals.into_iter().map(TransactionBody::try_from).collect::<Result<Vec<_>>>()?;
                Page::of_newest(&movements, next)
            }
            File::Payees => {
                let payees = app.db.payees_of(id, place.before, PAGE).await?;
                Page::of_newest(&payees, payees.last().map(|payee| payee.id))
            }
            File::Sessions => {
                let sessions = app.db.kept_sessions_of(id, place.before, PAGE).await?;
                Page::of_newest(&sessions, sessions.last().map(|kept| kept.session.id))
            }
            File::ApiKeys => self.api_keys(place).await,
            File::Notes => {
                let notes = app.db.notes_on(id, place.before, PAGE).await?;
                let next = notes.last().map(|note| note.id);
                // Who has written one is somebody else.
                let notes: Vec<_> =
                    notes.into_iter().map(|note| json!({"text": note.text, "created_at": note.created_at})).collect();
                Page::of_newest(&notes, next)
            }
            File::Records => records::read(self, place).await,
        }
    }

    async fn accounts(&self, place: Place) -> Result<Page> {
        let (accounts, next) = self.page_of_accounts(place);
        let mut rows = Vec::new();
        for account in accounts {
            let metadata = self.app.db.metadata_of(account.account_number).await?;
            rows.push(row(&AccountBody::from(account.clone()).with(metadata))?);
        }
        Ok(Page { rows, next })
    }

    async fn limits(&self, place: Place) -> Result<Page> {
        let (accounts, next) = self.page_of_accounts(place);
        let mut rows = Vec::new();
        for account in accounts {
            let limits = self.app.db.account_limits(account.account_number).await?;
            rows.push(row(&LimitsBody::of(&self.app, account, limits, Timestamp::now()))?);
        }
        Ok(Page { rows, next })
    }

    fn page_of_accounts(&self, place: Place) -> (&[Account], Option<Place>) {
        let end = self.accounts.len().min(place.account + ACCOUNTS_IN_A_PAGE);
        let next = (end < self.accounts.len()).then_some(Place { account: end, ..place });
        (self.accounts.get(place.account..end).unwrap_or_default(), next)
    }

    /// Those that each account had at the moment, the oldest first.
    async fn transactions(&self, place: Place) -> Result<Page> {
        let Some(account) = self.accounts.get(place.account) else { return Ok(Page::nothing()) };
        let below = account.sequence.min(place.sequence + PAGE) + 1;
        let account_number = account.account_number;
        let range = EntryRange { account_number, below, above: place.sequence, movement_type: None, limit: PAGE };
        let permit = self.app.long_answers.read_permit().await;
        let mut entries = self.app.db.entries(range).await?;
        drop(permit);
        entries.reverse();
        let rows = entries.into_iter().map(|entry| row(&TransactionBody::from(entry))).collect::<Result<Vec<_>>>()?;
        let is_last = below > account.sequence;
        Ok(Page { rows, next: self.next_in_account(place, Place { sequence: below - 1, ..place }, is_last) })
    }

    async fn holds(&self, place: Place) -> Result<Page> {
        let Some(account) = self.accounts.get(place.account) else { return Ok(Page::nothing()) };
        let filter = HoldFilter { account_number: account.account_number, status: None, before: place.before };
        let now = Timestamp::now();
        let holds = self.app.db.holds(filter, now, PAGE).await?;
        let (before, is_last) = (holds.last().map(|hold| hold.id), holds.len() < PAGE as usize);
        let rows = holds.into_iter().map(|hold| row(&HoldBody::of(hold, account, now))).collect::<Result<Vec<_>>>()?;
        Ok(Page { rows, next: self.next_in_account(place, Place { before, ..place }, is_last) })
    }

    /// Where to read on: in the same account, or at the beginning of the next one.
    fn next_in_account(&self, place: Place, in_the_same: Place, is_last: bool) -> Option<Place> {
        let next = Place { account: place.account + 1, ..Place::default() };
        match is_last {
            false => Some(in_the_same),
            true => (next.account < self.accounts.len()).then_some(next),
        }
    }

    async fn api_keys(&self, place: Place) -> Result<Page> {
        #[derive(Serialize)]
        struct KeptKey {
            #[serde(flatten)]
            key: ApiKeyBody,
            revoked_at: Option<Timestamp>,
        }

        let keys = self.app.db.kept_api_keys_of(self.user.id, place.before, PAGE).await?;
        let next = keys.last().map(|kept| kept.key.id);
        let keys: Vec<_> =
            keys.into_iter().map(|kept| KeptKey { key: kept.key.into(), revoked_at: kept.revoked_at }).collect();
        Page::of_newest(&keys, next)
    }

    pub fn has_account(&self, number: &str) -> bool {
        let number = number.parse::<AccountNumber>().ok();
        number.is_some_and(|number| self.accounts.binary_search_by_key(&number, |it| it.account_number).is_ok())
    }
}

impl Page {
    fn nothing() -> Self {
        Self { rows: Vec::new(), next: None }
    }

    fn of_one(body: &impl Serialize) -> Result<Self> {
        Ok(Self { rows: vec![row(body)?], next: None })
    }

    /// Of rows from the newest on, of which `last` is the last.
    fn of_newest(rows: &[impl Serialize], last: Option<Uuid>) -> Result<Self> {
        let goes_on = rows.len() as i64 == PAGE;
        let next = last.filter(|_| goes_on).map(|last| Place { before: Some(last), ..Place::default() });
        Ok(Self { rows: rows.iter().map(row).collect::<Result<_>>()?, next })
    }
}

/// The ids of all keys that somebody has, or had.
pub async fn ids_of_api_keys(db: &Db, user_id: Uuid) -> Result<Vec<Uuid>> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let keys = db.kept_api_keys_of(user_id, before, PAGE).await?;
        ids.extend(keys.iter().map(|kept| kept.key.id));
        before = ids.last().copied();
        if keys.len() < PAGE as usize {
            return Ok(ids);
        }
    }
}

pub fn row(body: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(body).map_err(|error| Error::Internal(error.to_string()))
}
