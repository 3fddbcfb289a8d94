//! `coffer demo`: a customer with a year of movements, so that there is something to look at.
//!
//! Everything goes through the ledger as requests do, decided by its rules and written by its committer; but each
//! command says when it happened. The past is made up, and the same each time.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use time::{Date, Duration, OffsetDateTime, Time, Weekday};
use uuid::Uuid;

use coffer_core::account_number::AccountNumber;
use coffer_core::auth::passwords::{self, Password};
use coffer_core::bank_account::{BankAccount, BankAccountCode, BankAccountKind, OpenedBankAccount};
use coffer_core::books::account::Account;
use coffer_core::books::account_limits::{AccountLimits, Limits};
use coffer_core::books::audit_event::{Action, Event};
use coffer_core::books::calendar::Calendar;
use coffer_core::books::command::{Command, DualControl, Requester, Step};
use coffer_core::books::movement::Movement;
use coffer_core::books::tags::{Pairs, Tags};
use coffer_core::books::texts::Texts;
use coffer_core::committer::Committer;
use coffer_core::db::users::{Role, User};
use coffer_core::db::{Db, Tx, errors};
use coffer_core::listening::Listening;
use coffer_core::money::{Amount, Currency};
use coffer_core::timestamp::Timestamp;
use coffer_core::watches::Watches;

type AnyError = Box<dyn std::error::Error + Send + Sync>;

const NAME: &str = "Robin Sample";
/// RFC 2606: nobody's address.
const EMAIL: &str = "robin@example.com";
/// Labels of the accounts: for every day, for savings and for travel.
const LABELS: [&str; 3] = ["Everyday", "Savings", "Travel"];
/// Stored in place of a hash until everything is booked: no password fits it, and it shows that a run was broken off.
const NO_PASSWORD: &str = "the demo is not finished";
const DAYS: u16 = 365;
/// The largest movement in whole units; a bank that is set to allow less cannot have this past.
const LARGEST: i64 = 4_000;
/// Of the account for every day: what it may be overdrawn by, and what may leave it in a day, in cents.
const OVERDRAFT: i64 = 50_000;
const PER_DAY: i64 = 300_000;
/// Movements in one commit: few enough to show how it goes, many enough not to wait for each.
const AT_ONCE: usize = 50;

/// The outcome, for the terminal.
pub struct Filled {
    pub name: &'static str,
    pub email: &'static str,
    /// It is stored nowhere.
    pub password: String,
    pub movements: usize,
    pub since: Date,
}

/// Fills a bank that has no customers, and refuses any other. `progress` hears how many movements are booked, of how
/// many. `show` is handed the password before it counts: if it cannot be shown, another run goes on from here.
pub async fn fill(
    db: &Db,
    max_amount: i64,
    calendar: &Calendar,
    progress: impl FnMut(usize, usize),
    show: impl FnOnce(&Filled) -> std::io::Result<()>,
) -> Result<(), AnyError> {
    if max_amount < LARGEST {
        return Err(format!("COFFER_MAX_AMOUNT (--max-amount): the demo moves up to {LARGEST} at once").into());
    }
    let password = passwords::generate()?;
    let password_hash = passwords::hash_now(&Password::from(password.clone()))?;
    let (user, accounts) = match unfinished(db).await? {
        Some(begun) => begun,
        None => open_accounts(db).await?,
    };
    let since = day_of(user.created_at)?;
    let mut year = a_year(since, &accounts);
    year.retain(|planned| planned.at < Timestamp::now());
    let booking = Booking { db, max_amount, calendar, user_id: user.id };
    book(booking, "demo", &year, progress).await?;
    limit(db, accounts.everyday, calendar).await?;
    book(booking, "demo hold", &holds_of_today(&accounts), |_, _| {}).await?;

    let mut tx = db.begin().await?;
    if tx.lock_user(user.id).await?.is_none_or(|user| user.password_hash != NO_PASSWORD) {
        return Err("another run of the demo has finished in the meantime, and printed how to sign in".into());
    }
    tx.update_password(user.id, &password_hash).await?;
    tx.append_to_audit_log(&[Event::at(Action::DemoFilled, Timestamp::now()).on(user.id)]).await?;
    show(&Filled { name: NAME, email: EMAIL, password, movements: year.len(), since })?;
    tx.commit().await?;
    Ok(())
}

/// Lends something on the account and limits what leaves it in a day: the first hold of today uses a part of that. Does
/// nothing where an earlier run has done it.
async fn limit(db: &Db, number: AccountNumber, calendar: &Calendar) -> Result<(), AnyError> {
    let now = Timestamp::now();
    let mut tx = db.begin().await?;
    let account = tx.lock_account(number).await?.ok_or("an account of the demo is missing")?;
    if account.has_limits {
        return Ok(());
    }
    let used = db.add_up_used(&mut tx, &account, calendar, now).await?;
    let bank = Limits { per_day: Some(PER_DAY), ..Limits::default() };
    let limits = AccountLimits { bank, ..AccountLimits::none(number, used) };
    tx.set_account_limits(&limits, OVERDRAFT, account.has_limits).await?;
    let event = Event::at(Action::LimitsSet, now).on(number).detail(bank.of_bank_in_words(OVERDRAFT, account.currency));
    tx.append_to_audit_log(&[account.owner_id.into_iter().fold(event, Event::about)]).await?;
    Ok(tx.commit().await?)
}

/// The customer of an earlier run that did not finish. This run goes on from there, because the keys of its movements
/// are known.
async fn unfinished(db: &Db) -> Result<Option<(User, Accounts)>, AnyError> {
    let Some(user) = db.user_by_email(EMAIL).await?.filter(|user| user.password_hash == NO_PASSWORD) else {
        return Ok(None);
    };
    let opened = db.accounts_of(user.id, None, LABELS.len() as i64).await?;
    let labelled = |label: &str| {
        let found = opened.iter().find(|account| account.label.as_deref() == Some(label));
        found.map(|account| account.account_number).ok_or("an account of the demo is missing")
    };
    let [everyday, savings, travel] = LABELS;
    let mut tx = db.begin().await?;
    let of_bank = BankAccounts::open(&mut tx, user.created_at).await?;
    tx.commit().await?;
    let (everyday, savings, travel) = (labelled(everyday)?, labelled(savings)?, labelled(travel)?);
    Ok(Some((user, Accounts { everyday, savings, travel, of_bank })))
}

struct Accounts {
    everyday: AccountNumber,
    savings: AccountNumber,
    travel: AccountNumber,
    of_bank: BankAccounts,
}

/// The bank's own accounts that the demo uses.
struct BankAccounts {
    fees: BankAccount,
    interest: BankAccount,
}

impl BankAccounts {
    /// Opens those that the bank does not have yet.
    async fn open(tx: &mut Tx<'_>, opened_at: Timestamp) -> Result<Self, AnyError> {
        let fees = Self::open_one(tx, "fees", "Fees earned", BankAccountKind::Income, opened_at).await?;
        let interest = Self::open_one(tx, "interest", "Interest paid", BankAccountKind::Expense, opened_at).await?;
        Ok(Self { fees, interest })
    }

    async fn open_one(
        tx: &mut Tx<'_>,
        code: &str,
        name: &str,
        kind: BankAccountKind,
        opened_at: Timestamp,
    ) -> Result<BankAccount, AnyError> {
        let code: BankAccountCode = code.parse()?;
        let known = tx.bank_accounts().await?.into_iter().find(|opened| opened.account.code == code);
        if let Some(opened) = known {
            return Ok(opened.account);
        }
        let event = Event::at(Action::BankAccountOpened, Timestamp::now()).on(code);
        tx.append_to_audit_log(&[event.detail(OpenedBankAccount::in_words(name, kind))]).await?;
        Ok(tx.insert_bank_account(code, name, kind, None, opened_at).await?.account)
    }
}

fn paid_in(to: AccountNumber) -> Movement {
    Movement::Deposit { to, against: BankAccount::CASH }
}

fn paid_out(from: AccountNumber) -> Movement {
    Movement::Withdrawal { from, against: BankAccount::CASH }
}

/// The customer with empty accounts, all or nothing.
async fn open_accounts(db: &Db) -> Result<(User, Accounts), AnyError> {
    let since = OffsetDateTime::now_utc().date() - Duration::days(DAYS.into());
    let opened_at = moment(since, 8 * 60);
    let user = User {
        id: id_of(opened_at),
        created_at: opened_at,
        ..User::new(NAME.to_owned(), EMAIL.to_owned(), Role::Customer, NO_PASSWORD.to_owned())
    };
    let mut tx = db.begin().await?;
    if tx.has_customers().await? {
        return Err("this bank has customers already; the demo is for a new one. Choose another database with \
                    DATABASE_URL (--database-url) or another directory with COFFER_DATA_DIR (--data-dir)"
            .into());
    }
    tx.insert_user(&user).await.map_err(|error| -> AnyError {
        if errors::is_unique_violation(&error) {
            format!("somebody has the address {EMAIL} already").into()
        } else {
            error.into()
        }
    })?;
    let of_bank = BankAccounts::open(&mut tx, opened_at).await?;
    let mut opened_at = opened_at;
    let mut open = async |label: &str, currency: &str| -> Result<AccountNumber, AnyError> {
        let currency = Currency::from_code(currency).ok_or("an unknown currency")?;
        let number = AccountNumber::random()?;
        let account = Account::open(number, user.id, currency, Some(label.to_owned()), opened_at);
        // One after the other, so that whoever lists the oldest first has them in this order.
        opened_at = opened_at.plus(std::time::Duration::from_secs(1));
        if tx.insert_account(&account).await? {
            Ok(number)
        } else {
            Err("an account number was taken; try again".into())
        }
    };
    let [everyday, savings, travel] = LABELS;
    let accounts = Accounts {
        everyday: open(everyday, "USD").await?,
        savings: open(savings, "USD").await?,
        travel: open(travel, "EUR").await?,
        of_bank,
    };
    tx.commit().await?;
    Ok((user, accounts))
}

/// A movement of the made-up year.
struct Planned {
    at: Timestamp,
    movement: Movement,
    step: Step,
    /// Minor units of a currency with two decimals.
    cents: u32,
    description: &'static str,
}

/// The movements of a year, in the order of time.
fn a_year(since: Date, accounts: &Accounts) -> Vec<Planned> {
    let mut diary = Diary { chance: Chance(0), plans: Vec::new() };
    for day in 0..=DAYS {
        let date = since + Duration::days(day.into());
        if day == 0 {
            diary.note(date, 9, paid_in(accounts.everyday), 400_000..400_001, "From my old bank");
            continue;
        }
        diary.note_regular(date, accounts);
        diary.note_whims(date, accounts);
        diary.note_travel(date, day, accounts);
    }
    let mut plans = diary.plans;
    plans.sort_by_key(|planned| planned.at.as_micros());
    plans
}

/// Money that is held today, for a week.
fn holds_of_today(accounts: &Accounts) -> Vec<Planned> {
    let hold = |movement, cents, description| Planned {
        at: Timestamp::now(),
        movement,
        step: Step::Hold { expires_at: None },
        cents,
        description,
    };
    vec![
        hold(paid_out(accounts.everyday), 15_000, "Deposit for a hired bicycle"),
        hold(
            Movement::Transfer { from: accounts.everyday, to: accounts.savings },
            5_000,
            "Put aside, if it is left over",
        ),
    ]
}

struct Diary {
    chance: Chance,
    plans: Vec<Planned>,
}

impl Diary {
    /// Some time in the hour, some amount in the range.
    fn note(
        &mut self,
        date: Date,
        hour: u16,
        movement: Movement,
        cents: std::ops::Range<u32>,
        description: &'static str,
    ) {
        let at = moment(date, hour * 60 + self.chance.below(60) as u16);
        let cents = cents.start + self.chance.below(cents.end - cents.start);
        self.plans.push(Planned { at, movement, step: Step::Post, cents, description });
    }

    /// The movements of every month.
    fn note_regular(&mut self, date: Date, accounts: &Accounts) {
        let pay = paid_out(accounts.everyday);
        let save = Movement::Transfer { from: accounts.everyday, to: accounts.savings };
        match date.day() {
            1 => {
                self.note(date, 7, pay, 115_000..115_001, "Rent");
                self.note(date, 8, save, 25_000..25_001, "Put aside");
            }
            3 => self.note(date, 9, pay, 6_200..11_800, "Electricity"),
            5 => self.note(date, 9, pay, 3_500..3_501, "Telephone"),
            12 => self.note(date, 4, pay, 1_299..1_300, "Films and series"),
            28 => {
                let fees = Movement::Withdrawal { from: accounts.everyday, against: accounts.of_bank.fees };
                self.note(date, 3, fees, 450..451, "Fee for the account");
                let interest = Movement::Deposit { to: accounts.savings, against: accounts.of_bank.interest };
                self.note(date, 4, interest, 180..620, "Interest");
            }
            25 => self.note(date, 6, paid_in(accounts.everyday), 325_000..325_001, "Salary, Example Ltd"),
            _ => {}
        }
    }

    /// The movements that come with the days of the week.
    fn note_whims(&mut self, date: Date, accounts: &Accounts) {
        let pay = paid_out(accounts.everyday);
        match date.weekday() {
            Weekday::Monday | Weekday::Thursday => self.note(date, 17, pay, 3_500..9_500, "Groceries"),
            Weekday::Wednesday | Weekday::Friday => self.note(date, 8, pay, 320..560, "Coffee"),
            Weekday::Saturday if self.chance.below(3) == 0 => self.note(date, 20, pay, 2_500..7_000, "Restaurant"),
            Weekday::Sunday if self.chance.below(4) == 0 => self.note(date, 15, pay, 1_200..3_000, "Cinema"),
            _ => {}
        }
    }

    /// Two journeys, and something large that was saved for.
    fn note_travel(&mut self, date: Date, day: u16, accounts: &Accounts) {
        let pay = paid_out(accounts.travel);
        match day {
            100 | 240 => self.note(date, 12, paid_in(accounts.travel), 120_000..120_001, "Changed for the journey"),
            120..=126 => {
                self.note(date, 10, pay, 9_600..9_601, "Hotel in Lisbon");
                self.note(date, 13, pay, 1_400..4_200, "Lunch");
            }
            200 => {
                let back = Movement::Transfer { from: accounts.savings, to: accounts.everyday };
                self.note(date, 9, back, 90_000..90_001, "For the bicycle");
                self.note(date, 11, paid_out(accounts.everyday), 84_900..84_901, "Bicycle");
            }
            260..=263 => {
                self.note(date, 10, pay, 8_900..8_901, "Hotel in Vienna");
                self.note(date, 19, pay, 2_400..6_800, "Opera");
            }
            _ => {}
        }
    }
}

/// Where, by which rules and for whom to book.
#[derive(Clone, Copy)]
struct Booking<'a> {
    db: &'a Db,
    max_amount: i64,
    calendar: &'a Calendar,
    user_id: Uuid,
}

/// Books what was planned, some at a time and in its order. The keys, which begin with `name`, tell the next run what is
/// booked.
async fn book(
    Booking { db, max_amount, calendar, user_id }: Booking<'_>,
    name: &str,
    planned: &[Planned],
    mut progress: impl FnMut(usize, usize),
) -> Result<(), AnyError> {
    // The bank itself does this, so it may even where customers may not.
    let requester =
        Requester { user_id, acts_on_any_account: false, deposits_to_own: true, approval_above: None, key: None };
    let (committer, mut writers) =
        Committer::start(db, max_amount, calendar, &Arc::default(), &Watches::default(), &Listening::default(), false);
    let mut booked = 0;
    for (index, some) in planned.chunks(AT_ONCE).enumerate() {
        let numbered = some.iter().zip(index * AT_ONCE..);
        let commands = numbered
            .map(|(planned, number)| planned.command(requester, &format!("{name} {number}")))
            .collect::<Result<_, _>>()?;
        for verdict in committer.submit_all(commands, false).await? {
            verdict?;
        }
        booked += some.len();
        progress(booked, planned.len());
    }
    drop(committer);
    writers.all_ended().await;
    Ok(())
}

impl Planned {
    /// A UUIDv7 as it would have been made then, and the same in every run: the journal takes each once.
    fn id(&self, digest: &[u8; 32]) -> Uuid {
        let random = std::array::from_fn(|i| digest[16 + i]);
        uuid::Builder::from_unix_timestamp_millis(self.at.as_unix_seconds().unsigned_abs() * 1_000, &random).into_uuid()
    }

    /// What a program for household accounts would note, where it knows. The movements of a journey are a group.
    fn tags(&self) -> Tags {
        let journey = match self.description {
            "Hotel in Lisbon" | "Lunch" => Some("Lisbon"),
            "Hotel in Vienna" | "Opera" => Some("Vienna"),
            _ => None,
        };
        self.category().in_group(journey.map(str::to_owned))
    }

    fn category(&self) -> Tags {
        let category = match self.description {
            "Rent" | "Electricity" | "Telephone" => "home",
            "Groceries" | "Coffee" | "Restaurant" => "food",
            "Cinema" | "Opera" | "Films and series" => "culture",
            "Hotel in Lisbon" | "Hotel in Vienna" | "Lunch" => "travel",
            _ => return Tags::default(),
        };
        Tags::new(None, Pairs::from([("category".to_owned(), category.to_owned())]))
    }

    fn command(&self, requester: Requester, key: &str) -> Result<Command, AnyError> {
        let key = Sha256::new().chain_update(requester.user_id).chain_update(key).finalize();
        let key = <[u8; 32]>::from(key);
        Ok(Command {
            id: self.id(&key),
            requester,
            movement: self.movement,
            step: self.step,
            amount: Amount::parse(&format!("{}.{:02}", self.cents / 100, self.cents % 100))?,
            currency: None,
            texts: Texts::new(Some(self.description.to_owned()), self.tags(), Uuid::new_v4().into_bytes()),
            idempotency_key: key.first_chunk().copied(),
            at: Some(self.at),
            dual_control: DualControl::Refuse,
            expected_sequences: None,
            reverses: None,
            record: None,
        })
    }
}

fn moment(date: Date, minute: u16) -> Timestamp {
    let at = date.with_time(Time::MIDNIGHT).assume_utc() + Duration::minutes(minute.into());
    Timestamp::from_micros(at.unix_timestamp() * 1_000_000)
}

fn day_of(at: Timestamp) -> Result<Date, time::error::ComponentRange> {
    Ok(OffsetDateTime::from_unix_timestamp(at.as_unix_seconds())?.date())
}

/// A UUIDv7 as it would have been made then.
fn id_of(at: Timestamp) -> Uuid {
    let seconds = at.as_unix_seconds().unsigned_abs();
    Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0))
}

/// Numbers that look like chance and are the same each time (Knuth's MMIX generator). Nothing secret comes from it.
struct Chance(u64);

impl Chance {
    /// `bound` must not be zero.
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % u64::from(bound)) as u32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use coffer_core::db::DbOptions;
    use sqlx::sqlite::SqliteConnectOptions;

    use super::*;

    /// On any day of today, with its own first of the month and its own Mondays.
    #[test]
    fn the_year_is_in_order_and_never_lacks_the_money() {
        let number = || AccountNumber::random().expect("random numbers");
        let of_bank = BankAccounts { fees: BankAccount::CASH, interest: BankAccount::CASH };
        let accounts = Accounts { everyday: number(), savings: number(), travel: number(), of_bank };
        let mut since = Date::from_calendar_date(2024, time::Month::January, 1).expect("a date");
        for _ in 0..=DAYS {
            let mut balances: HashMap<AccountNumber, i64> = HashMap::new();
            let mut of_the_day: HashMap<Date, i64> = HashMap::new();
            let mut last = moment(since, 0);
            for planned in a_year(since, &accounts) {
                assert!(planned.at >= last, "{since}: {} comes too late", planned.description);
                last = planned.at;
                let (from, to) = planned.movement.sides();
                assert!(i64::from(planned.cents) <= LARGEST * 100, "{}", planned.description);
                from.into_iter().for_each(|from| *balances.entry(from).or_default() -= i64::from(planned.cents));
                if from == Some(accounts.everyday) {
                    *of_the_day.entry(day_of(planned.at).expect("a day")).or_default() += i64::from(planned.cents);
                }
                to.into_iter().for_each(|to| *balances.entry(to).or_default() += i64::from(planned.cents));
                assert!(
                    balances.values().all(|balance| *balance >= 0),
                    "{since}: no money for {}",
                    planned.description
                );
            }
            let holds: i64 = holds_of_today(&accounts).iter().map(|planned| i64::from(planned.cents)).sum();
            let last_day = of_the_day.get(&(since + Duration::days(DAYS.into()))).copied().unwrap_or_default();
            assert!(last_day + holds <= PER_DAY, "{since}: the limit leaves no room for the holds");
            since = since.next_day().expect("another day");
        }
    }

    #[tokio::test]
    async fn what_was_broken_off_is_finished_by_the_next_run() {
        let directory = tempfile::TempDir::new().expect("a directory");
        let file = SqliteConnectOptions::new().filename(directory.path().join("bank.db")).create_if_missing(true);
        let db = Db::connect(&DbOptions::of_file(file)).await.expect("a database");
        db.migrate().await.expect("tables");
        let (user, accounts) = open_accounts(&db).await.expect("accounts");
        let year = a_year(day_of(user.created_at).expect("a day"), &accounts);
        let calendar = Calendar::default();
        let booking = Booking { db: &db, max_amount: LARGEST, calendar: &calendar, user_id: user.id };
        book(booking, "demo", &year[..AT_ONCE + 7], |_, _| ()).await.expect("a part of it");

        let mut movements = 0;
        let show = |filled: &Filled| {
            movements = filled.movements;
            Ok(())
        };
        fill(&db, LARGEST, &calendar, |_, _| (), show).await.expect("the rest");
        let opened = db.accounts_of(user.id, None, 10).await.expect("accounts");
        let entries: i64 = opened.iter().map(|account| account.sequence).sum();
        let entries_of = |planned: &Planned| planned.movement.accounts().count();
        assert_eq!(entries, year[..movements].iter().map(entries_of).sum::<usize>() as i64);
        let refused = fill(&db, LARGEST, &calendar, |_, _| (), |_| Ok(())).await.expect_err("a refusal");
        assert!(refused.to_string().contains("customers already"), "{refused}");
        db.close().await;
    }
}
