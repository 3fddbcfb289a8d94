//! The rules of money: pure decisions over accounts that are already loaded. No I/O, no clock, no randomness.

use uuid::Uuid;

use super::account::{Account, AccountStatus};
use super::account_limits::AccountLimits;
use super::approval::Reservation;
use super::calendar::Calendar;
use super::chain::entry_hash;
use super::command::{Command, DualControl, Requester, Step};
use super::entry::{Entry, Transaction};
use super::hold::{self, Hold, HoldStatus};
use super::movement::{Movement, MovementType};
use super::refusal::{NeedsApproval, Refusal};
use super::staged::Staged;
use super::unapproved::Unapproved;
use crate::account_number::AccountNumber;
use crate::bank_account::BankAccount;
use crate::money::{Currency, Money};
use crate::timestamp::Timestamp;

/// The accounts that a batch of commands names, as they are after the commands decided so far.
#[derive(Debug)]
pub struct Book {
    accounts: Staged<AccountNumber, Account>,
    /// The time of new entries, unless an account's last one is later.
    now: Timestamp,
    /// The most one movement may be, in whole units of its currency.
    maximum_major_units: i64,
    /// Amounts that holds and pending approvals reserve. Each is counted in its account, too.
    reservations: Staged<Uuid, Reservation>,
    /// Of the accounts that have any.
    limits: Staged<AccountNumber, AccountLimits>,
    /// Days and months of the limits are this one's.
    calendar: Calendar,
    unapproved: Unapproved,
}

/// The additions of a command to the journal and to the accounts' histories.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub transaction: Transaction,
    /// The entry of the account that the requester acted on.
    pub entry: Entry,
    /// The receiver's entry of a transfer.
    pub counter_entry: Option<Entry>,
}

impl Book {
    pub fn new(accounts: Vec<Account>, now: Timestamp, maximum_major_units: i64) -> Self {
        let accounts = accounts.into_iter().map(|account| (account.account_number, account)).collect();
        let (reservations, limits, calendar, unapproved) = Default::default();
        Self { accounts, now, maximum_major_units, reservations, limits, calendar, unapproved }
    }

    /// With the limits of accounts, whose days and months are those of the calendar.
    pub fn limited(self, limits: Vec<AccountLimits>, calendar: Calendar) -> Self {
        let limits = limits.into_iter().map(|limits| (limits.account_number, limits)).collect();
        Self { limits, calendar, ..self }
    }

    /// With the reservations on the accounts, and what the batch's requesters have moved without a second approver.
    pub fn with(mut self, reservations: Vec<Reservation>, unapproved: Unapproved) -> Self {
        reservations.into_iter().for_each(|reservation| self.reserve(reservation));
        self.accept();
        Self { unapproved, ..self }
    }

    pub fn reserve(&mut self, reservation: Reservation) {
        if let Some(account) = self.accounts.get_mut(&reservation.account_number) {
            account.reserved = account.reserved.saturating_add(reservation.amount);
            account.reservations += 1;
            self.reservations.insert(reservation.id, reservation);
        }
    }

    /// Ends a reservation, because the movement is carried out that it was made for.
    fn release(&mut self, id: Uuid) {
        if let Some(reservation) = self.reservations.remove(&id)
            && let Some(account) = self.accounts.get_mut(&reservation.account_number)
        {
            account.reserved -= reservation.amount;
            account.reservations -= 1;
        }
    }

    /// Call it before deciding the commands of a request: they count together as their sum, whatever becomes of each.
    /// `commands` are those that have not taken effect before, of requesters who need a second approver for large sums.
    pub fn begin_request<'a>(&mut self, commands: impl Iterator<Item = &'a Command>) {
        let amounts = commands.filter_map(|command| self.amount_by_role(command)).collect();
        self.unapproved.begin_request(amounts);
    }

    /// Accepts the request's changes.
    pub fn accept(&mut self) {
        self.accounts.accept();
        self.reservations.accept();
        self.limits.accept();
        self.unapproved.accept();
    }

    /// Discards the request's changes.
    pub fn discard(&mut self) {
        self.accounts.discard();
        self.reservations.discard();
        self.limits.discard();
        self.unapproved.discard();
    }

    pub fn unapproved(&self) -> &Unapproved {
        &self.unapproved
    }

    /// The amount that the command would move without a second approver, by the power of the requester's role.
    fn amount_by_role(&self, command: &Command) -> Option<(Uuid, Money)> {
        let (from, to) = command.movement.sides();
        let (debited, credited) =
            (from.and_then(|number| self.account(number)), to.and_then(|number| self.account(number)));
        let money = agreed_amount(command, debited, credited, self.maximum_major_units).ok()?;
        (power(command, debited, credited) != Power::Own).then_some((command.requester.user_id, money))
    }

    pub fn account(&self, number: AccountNumber) -> Option<&Account> {
        self.accounts.get(&number)
    }

    /// The limits of the account, with what is used of them by now; None if it has none.
    pub fn limits(&self, number: AccountNumber) -> Option<&AccountLimits> {
        self.limits.get(&number)
    }

    /// Whether no account of the batch has limits, as in most.
    pub fn has_no_limits(&self) -> bool {
        self.limits.is_empty()
    }

    /// When a hold is created on the account.
    fn time_of_hold(&self, number: AccountNumber) -> Timestamp {
        self.limits(number).map_or(self.now, |limits| self.now.max(limits.used.not_before()))
    }

    /// The account, if it is a customer's and the requester may act on it.
    fn requesters_account(&self, requester: Requester, number: AccountNumber) -> Result<&Account, Refusal> {
        let account = self.accounts.get(&number).ok_or(Refusal::AccountNotFound)?;
        if requester.key.is_some_and(|key| !key.accounts.admit(number)) {
            return Err(Refusal::AccountNotFound);
        }
        let is_owner = account.owner_id == Some(requester.user_id);
        if !is_owner && (!requester.acts_on_any_account || account.owner_id.is_none()) {
            return Err(Refusal::AccountNotFound);
        }
        match account.status {
            AccountStatus::Open => Ok(account),
            AccountStatus::Frozen => Err(Refusal::AccountFrozen),
            AccountStatus::Closed => Err(Refusal::AccountClosed),
        }
    }

    fn receiver(&self, number: AccountNumber) -> Result<&Account, Refusal> {
        let account = self.accounts.get(&number).ok_or(Refusal::ReceiverNotFound)?;
        match (account.owner_id, account.status) {
            (None, _) => Err(Refusal::ReceiverNotFound),
            (Some(_), AccountStatus::Open) => Ok(account),
            (Some(_), AccountStatus::Frozen | AccountStatus::Closed) => Err(Refusal::ReceiverUnavailable),
        }
    }
}

/// Decides one command that moves money and, if it is accepted, moves the book on by it.
///
/// All or nothing: after a refusal the book is what it was. The outcome's debits and credits are equal, no balance goes
/// below its limit, and an entry's time is never before the one ahead of it.
pub fn decide(book: &mut Book, command: &Command) -> Result<Outcome, Refusal> {
    let Agreed { money, debit, credit, at } = agree(book, command)?;
    let mut post = |side: Option<Side>, counterparty: Option<Side>, amount| {
        let Side { account_number, balance } = side?;
        let account = book.accounts.get_mut(&account_number)?;
        let counterparty = counterparty.map(|side| side.account_number);
        Some(append_entry(account, command, counterparty, amount, balance, at))
    };
    let debit_entry = post(debit, credit, -money.minor_units);
    let credit_entry = post(credit, debit, money.minor_units);
    Ok(outcome(command, money, at, debit_entry, credit_entry))
}

/// Decides one command that creates a hold and, if it is accepted, reserves the money in the book.
///
/// Whatever would refuse the movement now refuses the hold.
pub fn hold(book: &mut Book, command: &Command, expires_at: Option<Timestamp>) -> Result<Hold, Refusal> {
    let (Some(from_account), to_account) = command.movement.sides() else { return Err(Refusal::AccountNotFound) };
    let created_at = book.time_of_hold(from_account);
    let expires_at = expires_at.unwrap_or_else(|| created_at.plus(hold::DEFAULT_LIFETIME));
    if expires_at <= created_at || expires_at > created_at.plus(hold::MAX_LIFETIME) {
        return Err(Refusal::HoldLifetime);
    }
    let Agreed { money, .. } = agree(book, command)?;
    let hold = Hold {
        id: command.id,
        from_account,
        to_account,
        amount: money.minor_units,
        currency: money.currency,
        description: command.texts.description.clone(),
        tags: command.texts.tags.clone(),
        created_by: command.requester.user_id,
        created_at,
        expires_at,
        status: HoldStatus::Held,
        captured_amount: None,
        decided_by: None,
        decided_at: None,
    };
    book.reserve(hold.reservation());
    Ok(hold)
}

/// A command that nothing refuses any more.
struct Agreed {
    money: Money,
    debit: Option<Side>,
    credit: Option<Side>,
    /// When it happens: never before the last entry of one of the accounts.
    at: Timestamp,
}

/// A customer's account, and its balance after the movement.
#[derive(Clone, Copy)]
struct Side {
    account_number: AccountNumber,
    balance: i64,
}

/// Holds a command against every rule. If none refuses it, what was reserved for it is free for it, and it has been
/// counted against the limits of the account and against what staff move alone.
fn agree(book: &mut Book, command: &Command) -> Result<Agreed, Refusal> {
    let (debited, credited) = match command.movement {
        Movement::Deposit { to, .. } => {
            let receiver = book.requesters_account(command.requester, to)?;
            if receiver.owner_id == Some(command.requester.user_id) && !command.requester.deposits_to_own {
                return Err(Refusal::DepositsByStaffOnly);
            }
            (None, Some(receiver))
        }
        Movement::Withdrawal { from, .. } => (Some(book.requesters_account(command.requester, from)?), None),
        Movement::Transfer { from, to } => {
            let sender = book.requesters_account(command.requester, from)?;
            if from == to {
                return Err(Refusal::SameAccount);
            }
            (Some(sender), Some(book.receiver(to)?))
        }
    };
    refuse_if_moved_on(command, debited.or(credited))?;
    let money = agreed_amount(command, debited, credited, book.maximum_major_units)?;
    let released = book.reservations.get(&command.id).map_or(0, |reservation| reservation.amount);
    let debit_balance = debited.map(|account| balance_after_debit(account, money, released)).transpose()?;
    let credit_balance = credited.map(|account| balance_after_credit(account, money)).transpose()?;
    let power = power(command, debited, credited);
    refuse_approval_by_owner(command, debited, credited)?;
    book.refuse_too_many_holds(command, debited)?;
    let at = book.time_of(command, debited, credited);
    let limits = book.count_against_limits(command, debited, credited, money, at)?;
    book.refuse_above_limit_of_key(command, money)?;
    book.refuse_alone(command, power, money)?;

    // Nothing can be refused from here on.
    let side = |account: Option<&Account>, balance: Option<i64>| {
        Some(Side { account_number: account?.account_number, balance: balance? })
    };
    let (debit, credit) = (side(debited, debit_balance), side(credited, credit_balance));
    book.release(command.id);
    if let Some(limits) = limits {
        book.limits.insert(limits.account_number, limits);
    }
    if command.requester.approval_above.is_some() && power != Power::Own {
        book.unapproved.add(command.requester.user_id, money);
    }
    if let Some(key) = command.limited_key() {
        book.unapproved.add(key.key_id, money);
    }
    Ok(Agreed { money, debit, credit, at })
}

/// Refuses a command of which the requester thinks that the account acted on is as it was. The account is locked: nothing
/// moves between this and what follows.
fn refuse_if_moved_on(command: &Command, acted_on: Option<&Account>) -> Result<(), Refusal> {
    let (Some(expected), Some(account)) = (&command.expected_sequences, acted_on) else { return Ok(()) };
    match expected.contains(&account.sequence) {
        true => Ok(()),
        false => Err(Refusal::BalanceMovedOn { sequence: account.sequence }),
    }
}

/// The amount as money of the account's currency, once everyone agrees which that is.
fn agreed_amount(
    command: &Command,
    debited: Option<&Account>,
    credited: Option<&Account>,
    maximum_major_units: i64,
) -> Result<Money, Refusal> {
    let from = debited.or(credited).ok_or(Refusal::AccountNotFound)?.currency;
    let to = credited.or(debited).ok_or(Refusal::AccountNotFound)?.currency;
    if let Some(requested) = command.currency.filter(|requested| *requested != from) {
        return Err(Refusal::CurrencyMismatch { account: from, requested });
    }
    if from != to {
        return Err(Refusal::TransferBetweenCurrencies { from, to });
    }
    // An amount that has moved may move back, and one that is held may move, even if the maximum is lower by now.
    let was_in_order = command.reverses.is_some() || command.step == Step::Capture;
    let maximum = if was_in_order { i64::MAX } else { maximum_major_units };
    Ok(command.amount.to_money(from, maximum)?)
}

/// `released` minor units of what is reserved are reserved for this movement.
fn balance_after_debit(account: &Account, money: Money, released: i64) -> Result<i64, Refusal> {
    let balance = account.balance.checked_sub(money.minor_units).ok_or(Refusal::BalanceOverflow)?;
    let available = account.available().saturating_add(released);
    if money.minor_units > available {
        let available = Money::new(available, account.currency);
        let held = Money::new(account.reserved.saturating_sub(released), account.currency);
        return Err(Refusal::InsufficientFunds { available, requested: money, held });
    }
    Ok(balance)
}

fn balance_after_credit(account: &Account, money: Money) -> Result<i64, Refusal> {
    account.balance.checked_add(money.minor_units).ok_or(Refusal::BalanceOverflow)
}

/// The right by which a command moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// Any customer may: the requester's money goes out, or to somebody else. So is the capture of a hold, whoever does
    /// it: by which right the money may move was decided when the hold was created.
    Own,
    /// Any customer of a bank with self-service deposits may. When staff use it, it counts all the same, because money
    /// that they give themselves comes from nobody who would miss it.
    OwnDeposit,
    /// Only the requester's role allows it, and none of the accounts is the requester's.
    Role,
    /// Only the requester's role allows it, and one of the accounts is the requester's.
    RoleForOneself,
}

fn is_hold(command: &Command) -> bool {
    matches!(command.step, Step::Hold { .. })
}

/// A reversal always takes the power of the role, also of one's own movement: no customer may reverse, it stands in the
/// books for good as the correction of somebody's command, and there is only one. Taking back one's own withdrawal is
/// moreover a deposit: the cash is gone and the balance is back. So does what goes against another account of the bank's
/// than its cash, which no customer can name.
fn power(command: &Command, debited: Option<&Account>, credited: Option<&Account>) -> Power {
    if command.step == Step::Capture {
        return Power::Own;
    }
    let is_own = |account: Option<&Account>| account.is_some_and(|a| a.owner_id == Some(command.requester.user_id));
    let acted_on = debited.or(credited);
    if command.reverses.is_none() && command.movement.is_customers() && is_own(acted_on) {
        return match command.movement.movement_type() {
            MovementType::Deposit => Power::OwnDeposit,
            MovementType::Withdrawal | MovementType::Transfer => Power::Own,
        };
    }
    if is_own(debited) || is_own(credited) { Power::RoleForOneself } else { Power::Role }
}

/// Nobody approves what goes to or from an account of theirs.
fn refuse_approval_by_owner(
    command: &Command,
    debited: Option<&Account>,
    credited: Option<&Account>,
) -> Result<(), Refusal> {
    let DualControl::Approved { by, .. } = command.dual_control else { return Ok(()) };
    let mut accounts = [debited, credited].into_iter().flatten();
    match accounts.any(|account| account.owner_id == Some(by)) {
        true => Err(Refusal::ApproverOwnsAccount),
        false => Ok(()),
    }
}

/// Whether money leaves an account for somebody else, for which its limits count. A capture moves what its hold has
/// counted, a reversal is no movement that anybody chose, and what the bank takes for itself, such as a fee, its customers
/// cannot limit.
fn leaves(command: &Command, debited: &Account, credited: Option<&Account>) -> bool {
    command.step != Step::Capture
        && command.reverses.is_none()
        && command.movement.is_customers()
        && credited.is_none_or(|credited| credited.owner_id != debited.owner_id)
}

impl Book {
    /// When a command happens: never before the last entry of one of the accounts, nor in a period of limits that has
    /// ended.
    fn time_of(&self, command: &Command, debited: Option<&Account>, credited: Option<&Account>) -> Timestamp {
        let asked = command.at.filter(|_| !is_hold(command)).map_or(self.now, |at| at.min(self.now));
        let accounts = || [debited, credited].into_iter().flatten();
        let limits = debited.filter(|debited| leaves(command, debited, credited));
        let limits = limits.and_then(|account| self.limits(account.account_number));
        let not_before = limits.map(|limits| limits.used.not_before());
        let last_entries = accounts().map(|account| account.last_entry_at).filter(|_| !is_hold(command));
        last_entries.chain(not_before).fold(asked, Timestamp::max)
    }

    /// The limits of the account that money leaves, as they are after the command; None if nothing has to be counted.
    fn count_against_limits(
        &self,
        command: &Command,
        debited: Option<&Account>,
        credited: Option<&Account>,
        money: Money,
        at: Timestamp,
    ) -> Result<Option<AccountLimits>, Refusal> {
        let Some(debited) = debited.filter(|debited| leaves(command, debited, credited)) else { return Ok(None) };
        let Some(limits) = self.limits(debited.account_number) else { return Ok(None) };
        let used = limits.count(money, at, self.now, &self.calendar)?;
        Ok(Some(AccountLimits { used, ..*limits }))
    }

    /// An account has room for so many holds and pending approvals. A hold that was one of the latter has its room.
    fn refuse_too_many_holds(&self, command: &Command, debited: Option<&Account>) -> Result<(), Refusal> {
        let waiting = debited.map_or(0, |account| account.reservations);
        let is_new_hold = is_hold(command) && !self.reservations.contains(&command.id);
        match is_new_hold && waiting >= hold::MAX_PER_ACCOUNT {
            true => Err(Refusal::TooManyHolds { most: hold::MAX_PER_ACCOUNT }),
            false => Ok(()),
        }
    }

    /// Refuses a command by which an API key would have moved more than its own limit within a day, whatever its user may.
    fn refuse_above_limit_of_key(&self, command: &Command, money: Money) -> Result<(), Refusal> {
        let Some(key) = command.limited_key() else { return Ok(()) };
        let Some(allowed) = key.per_day_in(money.currency) else { return Ok(()) };
        let total = self.unapproved.total_with(key.key_id, money);
        if total <= allowed.minor_units {
            return Ok(());
        }
        let used = Money::new(total.saturating_sub(money.minor_units), money.currency);
        Err(Refusal::KeyLimitExceeded { allowed, used, requested: money })
    }

    /// Refuses a command for which staff need a second approver: by their role on an account of their own, whatever the
    /// amount; otherwise when they would have moved more than the limit within a day, with all that this request moves.
    fn refuse_alone(&self, command: &Command, power: Power, money: Money) -> Result<(), Refusal> {
        let Some(units) = command.requester.approval_above else { return Ok(()) };
        let why = match power {
            Power::Own => return Ok(()),
            Power::RoleForOneself => NeedsApproval::OwnAccount,
            Power::OwnDeposit | Power::Role => {
                let above = Money::of_major_units(units, money.currency);
                let total = self.unapproved.total_with(command.requester.user_id, money);
                if total <= above.minor_units {
                    return Ok(());
                }
                NeedsApproval::AboveLimit { total: Money::new(total, money.currency), above }
            }
        };
        Err(Refusal::ApprovalRequired { requested: money, why })
    }
}

/// Makes the account's next entry and moves its head there.
fn append_entry(
    account: &mut Account,
    command: &Command,
    counterparty: Option<AccountNumber>,
    amount: i64,
    balance: i64,
    at: Timestamp,
) -> Entry {
    let mut entry = Entry {
        account_number: account.account_number,
        sequence: account.sequence + 1,
        transaction_id: command.id,
        movement_type: command.movement.movement_type(),
        counterparty,
        against: command.movement.against().map(|against| against.code),
        amount,
        currency: account.currency,
        balance,
        texts: command.texts.clone(),
        initiated_by: command.requester.user_id,
        created_at: at,
        hash: [0; 32],
    };
    let other_side = counterparty.unwrap_or_else(|| banks_side(command.movement, account.currency));
    entry.hash = entry_hash(&account.head_hash, &entry, other_side);
    account.balance = balance;
    account.sequence = entry.sequence;
    account.head_hash = entry.hash;
    account.last_entry_at = at;
    entry
}

/// The number of the bank's account on the other side. A movement that has none is never asked for it.
fn banks_side(movement: Movement, currency: Currency) -> AccountNumber {
    AccountNumber::of_bank(movement.against().unwrap_or(BankAccount::CASH).id, currency)
}

/// The journal row: a side without an entry is an account of the bank's.
fn outcome(command: &Command, money: Money, at: Timestamp, debit: Option<Entry>, credit: Option<Entry>) -> Outcome {
    let bank = banks_side(command.movement, money.currency);
    let transaction = Transaction {
        id: command.id,
        movement_type: command.movement.movement_type(),
        debit_account: debit.as_ref().map_or(bank, |entry| entry.account_number),
        debit_sequence: debit.as_ref().map(|entry| entry.sequence),
        credit_account: credit.as_ref().map_or(bank, |entry| entry.account_number),
        credit_sequence: credit.as_ref().map(|entry| entry.sequence),
        amount: money.minor_units,
        currency: money.currency,
        texts: command.texts.clone(),
        initiated_by: command.requester.user_id,
        created_at: at,
    };
    let (entry, counter_entry) = match (debit, credit) {
        (Some(debit), credit) => (debit, credit),
        (None, Some(credit)) => (credit, None),
        (None, None) => unreachable!("a movement has at least one customer's side"),
    };
    Outcome { transaction, entry, counter_entry }
}
