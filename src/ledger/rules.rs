//! The rules of money: pure decisions over accounts that are already loaded. No I/O, no clock, no randomness.

use std::collections::HashMap;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::chain::entry_hash;
use super::unapproved::Unapproved;
use crate::account_number::AccountNumber;
use crate::db::accounts::{Account, AccountStatus};
use crate::db::approvals::{Approval, ApprovalStatus, LIFETIME};
use crate::db::audit::Event;
use crate::db::ledger::{Entry, MovementType, Transaction};
use crate::money::{Amount, AmountError, Currency, Money};
use crate::timestamp::Timestamp;

/// An order to move money, complete before it is queued: trying it twice is the same order.
#[derive(Clone, Debug)]
pub struct Command {
    /// The UUIDv7 of the transaction that the command becomes.
    pub id: Uuid,
    pub caller: Caller,
    pub movement: Movement,
    pub amount: Amount,
    /// What the caller believes the currency to be; a belief that is wrong is refused.
    pub currency: Option<Currency>,
    pub description: Option<String>,
    /// The first 16 bytes of SHA-256(caller, Idempotency-Key).
    pub idempotency_key: Option<[u8; 16]>,
    pub second_person: SecondPerson,
    /// What this movement undoes, if it does.
    pub reverses: Option<Reverses>,
    /// Goes into the audit log if the movement is booked on somebody else's account by the caller alone; what moved is added
    /// to it. None for those who have only accounts of their own.
    pub record: Option<Box<Event>>,
    /// When it happened, for what is booked afterwards (`coffer demo`): never in the future, and never before the
    /// account's last entry. None for now, as in every request.
    pub at: Option<Timestamp>,
}

impl Command {
    /// The user who has it carried out now: of what was approved, the one who approved it.
    pub fn given_by(&self) -> Uuid {
        match self.second_person {
            SecondPerson::HasApproved { by, .. } => by,
            SecondPerson::NotAsked | SecondPerson::MayBeAsked { .. } => self.caller.user_id,
        }
    }
}

/// What somebody else has to say to an order that nobody may give alone.
#[derive(Clone, Debug)]
pub enum SecondPerson {
    /// Nobody is asked: such an order is refused.
    NotAsked,
    /// Such an order is kept as an approval with the same id, until somebody else decides. `record` goes into the audit
    /// log; what is asked for is added to it.
    MayBeAsked { record: Box<Event> },
    /// Somebody has approved it. It is only carried out while the approval is pending, and `record` then goes into the
    /// audit log.
    HasApproved { by: Uuid, record: Box<Event> },
}

/// A booked movement that is undone by the one that is ordered: its [mirror](Movement::mirror), of the same amount.
#[derive(Clone, Debug)]
pub struct Reverses {
    pub transaction_id: Uuid,
    /// Goes into the audit log when the reversal is booked; what moved and why is added to it.
    pub record: Box<Event>,
}

/// Who gives the order.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    pub user_id: Uuid,
    /// Staff: may act for any customer.
    pub acts_on_any_account: bool,
    /// Whether deposits to the caller's own accounts are taken on the caller's word.
    pub deposits_to_own: bool,
    /// The most that staff move within a day without a second approver, in whole units of the currency; None for any amount.
    pub alone_up_to: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Movement {
    Deposit { to: AccountNumber },
    Withdrawal { from: AccountNumber },
    Transfer { from: AccountNumber, to: AccountNumber },
}

/// The accounts that a batch of commands names, as they are after the commands decided so far.
#[derive(Debug)]
pub struct Book {
    accounts: HashMap<AccountNumber, Account>,
    /// The time of new entries, unless an account's last one is later.
    now: Timestamp,
    /// The most one movement may be, in whole units of its currency.
    maximum_major_units: i64,
    /// Amounts that pending reversals reserve. Each is counted in its account, too.
    reservations: HashMap<Uuid, Reservation>,
    unapproved: Unapproved,
}

/// An amount that nobody else may take off an account, because a pending reversal needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Reservation {
    /// Of the reversal that waits.
    pub approval_id: Uuid,
    pub account_number: AccountNumber,
    /// Minor units, positive.
    pub amount: i64,
}

/// What a command adds to the journal and the passbooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub transaction: Transaction,
    /// The line of the account the caller acted on.
    pub entry: Entry,
    /// The receiver's line of a transfer.
    pub counter_entry: Option<Entry>,
}

/// Why a command was refused. A refused command leaves the book as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Also the answer for an account that the caller may not act on.
    #[error("There is no such account among yours. Check the account number.")]
    AccountNotFound,
    #[error("There is no account with this number to transfer to. Check the account number.")]
    ReceiverNotFound,
    #[error("The account is closed: it takes no more movements.")]
    AccountClosed,
    #[error("The account is frozen: no money moves until the bank releases it.")]
    AccountFrozen,
    #[error("The receiving account takes no money: it is closed or frozen.")]
    ReceiverUnavailable,
    #[error("Deposits are booked by the bank's staff: bring the money to them.")]
    DepositsByStaffOnly,
    #[error("A transfer needs two different accounts.")]
    SameAccount,
    #[error("The account is in {account}, not in {requested}.")]
    CurrencyMismatch { account: Currency, requested: Currency },
    #[error("Your account is in {from}, the receiving one in {to}: a transfer stays in one currency.")]
    TransferBetweenCurrencies { from: Currency, to: Currency },
    #[error("{available} {} is available, {requested} {} was asked for.", available.currency, requested.currency)]
    InsufficientFunds { available: Money, requested: Money },
    #[error("The balance would be larger than the bank can count.")]
    BalanceOverflow,
    #[error("{0}")]
    Amount(#[from] AmountError),
    /// Nothing else speaks against the movement.
    #[error("{why} Send it by itself, outside of a batch: it then waits for somebody else's approval.")]
    ApprovalRequired { requested: Money, why: NeedsApproval },
    #[error("One of the accounts is yours: somebody else must approve this.")]
    ApproverOwnsAccount,
    /// Decided where approvals are looked up, not here.
    #[error("{most} requests of yours wait for approval, which is the most. Have some decided first.")]
    TooManyPending { most: i64 },
    /// Decided where approvals are looked up, not here.
    #[error("A reversal of this movement waits for approval already: {approval_id}. Have that decided.")]
    ReversalPending { approval_id: Uuid },
    /// Decided where approvals are looked up, not here.
    #[error("The approval waits no longer: it has been decided, or has expired. GET /approvals/{{id}} says which.")]
    ApprovalNotPending,
    /// Decided where reversals are looked up, not here.
    #[error("This movement has been reversed before, by {by}: it is not reversed twice.")]
    AlreadyReversed { by: Uuid },
    /// Decided where reversals are looked up, not here.
    #[error("This movement is itself the reversal of {of}. Order the movement anew if it should stand after all.")]
    IsAReversal { of: Uuid },
    /// Decided where keys are looked up, not here.
    #[error("This Idempotency-Key was used for another request. Send a new key for a new request.")]
    IdempotencyKeyReused,
    /// Decided where a batch is, not here.
    #[error("Nothing of this batch was booked, because another item was refused.")]
    BatchRefused,
}

/// Why a movement is not for one person to order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeedsApproval {
    #[error("You have this done by the power of your role, and one of the accounts is yours.")]
    OwnAccount,
    #[error(
        "With this you would have moved {total} {} within a day, by yourself: more than the {above} {} that one person may.",
        above.currency, above.currency
    )]
    AboveLimit { total: Money, above: Money },
}

impl Book {
    pub fn new(accounts: Vec<Account>, now: Timestamp, maximum_major_units: i64) -> Self {
        let accounts = accounts.into_iter().map(|account| (account.account_number, account)).collect();
        Self { accounts, now, maximum_major_units, reservations: HashMap::new(), unapproved: Unapproved::default() }
    }

    /// With the reservations on the accounts, and what the batch's callers have moved without a second approver.
    pub fn with(mut self, reservations: Vec<Reservation>, unapproved: Unapproved) -> Self {
        reservations.into_iter().for_each(|reservation| self.reserve(reservation));
        Self { unapproved, ..self }
    }

    pub fn reserve(&mut self, reservation: Reservation) {
        if let Some(account) = self.accounts.get_mut(&reservation.account_number) {
            account.reserved = account.reserved.saturating_add(reservation.amount);
            self.reservations.insert(reservation.approval_id, reservation);
        }
    }

    /// The reversal that it was for is about to be decided.
    fn release(&mut self, approval_id: Uuid) {
        if let Some(reservation) = self.reservations.remove(&approval_id)
            && let Some(account) = self.accounts.get_mut(&reservation.account_number)
        {
            account.reserved -= reservation.amount;
        }
    }

    /// Before the commands of one order are decided: together they count as their sum, whatever becomes of each. `commands`
    /// are those that have not taken effect before, of callers who need a second approver for large sums.
    pub fn begin_order<'a>(&mut self, commands: impl Iterator<Item = &'a Command>) {
        let amounts = commands.filter_map(|command| self.amount_by_role(command)).collect();
        self.unapproved.begin_order(amounts);
    }

    /// After the commands of the order were decided.
    pub fn end_order(&mut self) {
        self.unapproved.end_order();
    }

    pub fn unapproved(&self) -> &Unapproved {
        &self.unapproved
    }

    /// What the command would move without a second approver by the power of the caller's role.
    fn amount_by_role(&self, command: &Command) -> Option<(Uuid, Money)> {
        let (from, to) = command.movement.sides();
        let (debited, credited) =
            (from.and_then(|number| self.account(number)), to.and_then(|number| self.account(number)));
        let money = agreed_amount(command, debited, credited, self.maximum_major_units).ok()?;
        (power(command, debited, credited) != Power::Own).then_some((command.caller.user_id, money))
    }

    pub fn account(&self, number: AccountNumber) -> Option<&Account> {
        self.accounts.get(&number)
    }

    /// Undoes what was decided of the order since these copies were taken.
    pub fn go_back(&mut self, accounts: Vec<Account>) {
        self.unapproved.forget_order();
        self.accounts.extend(accounts.into_iter().map(|account| (account.account_number, account)));
    }

    /// The account, if it is a customer's and the caller may act on it.
    fn callers_account(&self, caller: Caller, number: AccountNumber) -> Result<&Account, Refusal> {
        let account = self.accounts.get(&number).ok_or(Refusal::AccountNotFound)?;
        let is_owner = account.owner_id == Some(caller.user_id);
        if !is_owner && (!caller.acts_on_any_account || account.owner_id.is_none()) {
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
            (_, AccountStatus::Open) => Ok(account),
            _ => Err(Refusal::ReceiverUnavailable),
        }
    }
}

/// Decides one command and, if it is accepted, moves the book on by it.
///
/// All or nothing: after a refusal the book is what it was. The outcome's debits and credits are equal, no balance goes
/// below its limit, and an entry's time is never before the one ahead of it.
pub fn decide(book: &mut Book, command: &Command) -> Result<Outcome, Refusal> {
    let (debited, credited) = match command.movement {
        Movement::Deposit { to } => {
            let receiver = book.callers_account(command.caller, to)?;
            if receiver.owner_id == Some(command.caller.user_id) && !command.caller.deposits_to_own {
                return Err(Refusal::DepositsByStaffOnly);
            }
            (None, Some(receiver))
        }
        Movement::Withdrawal { from } => (Some(book.callers_account(command.caller, from)?), None),
        Movement::Transfer { from, to } => {
            let sender = book.callers_account(command.caller, from)?;
            if from == to {
                return Err(Refusal::SameAccount);
            }
            (Some(sender), Some(book.receiver(to)?))
        }
    };
    let money = agreed_amount(command, debited, credited, book.maximum_major_units)?;
    let released = book.reservations.get(&command.id).map_or(0, |reservation| reservation.amount);
    let debit_balance = debited.map(|account| balance_after_debit(account, money, released)).transpose()?;
    let credit_balance = credited.map(|account| balance_after_credit(account, money)).transpose()?;
    let power = power(command, debited, credited);
    refuse_approval_by_owner(command, debited, credited)?;
    book.refuse_alone(command, power, money)?;

    // Nothing can be refused from here on.
    let last_entry_at = [debited, credited].into_iter().flatten().map(|account| account.last_entry_at).max();
    let happened_at = command.at.map_or(book.now, |at| at.min(book.now));
    let at = last_entry_at.map_or(happened_at, |last| last.max(happened_at));
    let debit_number = debited.map(|account| account.account_number);
    let credit_number = credited.map(|account| account.account_number);
    book.release(command.id);
    if command.caller.alone_up_to.is_some() && power != Power::Own {
        book.unapproved.add(command.caller.user_id, money);
    }
    let mut post = |number: Option<AccountNumber>, counterparty, balance: Option<i64>, amount| {
        let account = book.accounts.get_mut(&number?)?;
        Some(append_entry(account, command, counterparty, amount, balance?, at))
    };
    let debit = post(debit_number, credit_number, debit_balance, -money.minor_units);
    let credit = post(credit_number, debit_number, credit_balance, money.minor_units);
    Ok(outcome(command, money, at, debit, credit))
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
    // What moved may move back, even if the maximum is lower by now.
    let maximum = if command.reverses.is_some() { i64::MAX } else { maximum_major_units };
    Ok(command.amount.to_money(from, maximum)?)
}

/// `released` minor units of what is reserved are reserved for this movement.
fn balance_after_debit(account: &Account, money: Money, released: i64) -> Result<i64, Refusal> {
    let balance = account.balance.checked_sub(money.minor_units).ok_or(Refusal::BalanceOverflow)?;
    let available = account.available().saturating_add(released);
    if money.minor_units > available {
        let available = Money::new(available, account.currency);
        return Err(Refusal::InsufficientFunds { available, requested: money });
    }
    Ok(balance)
}

fn balance_after_credit(account: &Account, money: Money) -> Result<i64, Refusal> {
    account.balance.checked_add(money.minor_units).ok_or(Refusal::BalanceOverflow)
}

/// By which right a command moves money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Power {
    /// Any customer may: the caller's money goes out, or to somebody else.
    Own,
    /// Any customer of a bank with self-service deposits may. Of staff it counts all the same, because money that they
    /// give themselves comes from nobody who would miss it.
    OwnDeposit,
    /// Only the caller's role allows it, and none of the accounts is the caller's.
    Role,
    /// Only the caller's role allows it, and one of the accounts is the caller's.
    RoleForOneself,
}

/// A reversal always takes the power of the role, also of one's own movement: no customer may reverse, it stands in the
/// books for good as the correction of somebody's order, and there is only one. Taking back one's own withdrawal is
/// moreover a deposit: the cash is gone and the balance is back.
fn power(command: &Command, debited: Option<&Account>, credited: Option<&Account>) -> Power {
    let is_own = |account: Option<&Account>| account.is_some_and(|a| a.owner_id == Some(command.caller.user_id));
    let acted_on = debited.or(credited);
    match (command.reverses.is_some(), command.movement.movement_type()) {
        (false, MovementType::Deposit) if is_own(acted_on) => Power::OwnDeposit,
        (false, MovementType::Withdrawal | MovementType::Transfer) if is_own(acted_on) => Power::Own,
        _ if is_own(debited) || is_own(credited) => Power::RoleForOneself,
        _ => Power::Role,
    }
}

/// Nobody approves what goes to or from an account of theirs.
fn refuse_approval_by_owner(
    command: &Command,
    debited: Option<&Account>,
    credited: Option<&Account>,
) -> Result<(), Refusal> {
    let SecondPerson::HasApproved { by, .. } = command.second_person else { return Ok(()) };
    let mut accounts = [debited, credited].into_iter().flatten();
    match accounts.any(|account| account.owner_id == Some(by)) {
        true => Err(Refusal::ApproverOwnsAccount),
        false => Ok(()),
    }
}

impl Book {
    /// Whether staff need a second approver for it: whatever the amount, where they have to do with themselves; otherwise
    /// when they have moved more than the limit within a day, with all that this order moves.
    fn refuse_alone(&self, command: &Command, power: Power, money: Money) -> Result<(), Refusal> {
        let Some(units) = command.caller.alone_up_to else { return Ok(()) };
        let why = match power {
            Power::Own => return Ok(()),
            Power::RoleForOneself => NeedsApproval::OwnAccount,
            Power::OwnDeposit | Power::Role => {
                let above = Money::of_major_units(units, money.currency);
                let total = self.unapproved.total_with(command.caller.user_id, money);
                if total <= above.minor_units {
                    return Ok(());
                }
                NeedsApproval::AboveLimit { total: Money::new(total, money.currency), above }
            }
        };
        Err(Refusal::ApprovalRequired { requested: money, why })
    }
}

/// Writes the next line of the account's passbook and moves its head there.
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
        amount,
        currency: account.currency,
        balance,
        description: command.description.clone(),
        initiated_by: command.caller.user_id,
        created_at: at,
        hash: [0; 32],
    };
    entry.hash = entry_hash(&account.head_hash, &entry);
    account.balance = balance;
    account.sequence = entry.sequence;
    account.head_hash = entry.hash;
    account.last_entry_at = at;
    entry
}

/// The journal row: a side without a passbook line is the bank's cash account.
fn outcome(command: &Command, money: Money, at: Timestamp, debit: Option<Entry>, credit: Option<Entry>) -> Outcome {
    let cash = AccountNumber::cash(money.currency);
    let transaction = Transaction {
        id: command.id,
        movement_type: command.movement.movement_type(),
        debit_account: debit.as_ref().map_or(cash, |entry| entry.account_number),
        debit_sequence: debit.as_ref().map(|entry| entry.sequence),
        credit_account: credit.as_ref().map_or(cash, |entry| entry.account_number),
        credit_sequence: credit.as_ref().map(|entry| entry.sequence),
        amount: money.minor_units,
        currency: money.currency,
        description: command.description.clone(),
        initiated_by: command.caller.user_id,
        created_at: at,
    };
    let (entry, counter_entry) = match (debit, credit) {
        (Some(debit), credit) => (debit, credit),
        (None, Some(credit)) => (credit, None),
        (None, None) => unreachable!("a movement has at least one customer's side"),
    };
    Outcome { transaction, entry, counter_entry }
}

impl Command {
    /// What waits for somebody else from `now` on, when the order is not for one person to give.
    pub fn approval(&self, money: Money, now: Timestamp) -> Approval {
        let (from_account, to_account) = self.movement.sides();
        Approval {
            id: self.id,
            movement_type: self.movement.movement_type(),
            from_account,
            to_account,
            amount: money.minor_units,
            currency: money.currency,
            description: self.description.clone(),
            reverses: self.reverses.as_ref().map(|reverses| reverses.transaction_id),
            requested_by: self.caller.user_id,
            requested_at: now,
            expires_at: now.plus(LIFETIME),
            status: ApprovalStatus::Pending,
            decided_by: None,
            decided_at: None,
        }
    }

    /// SHA-256 of what is asked for. An Idempotency-Key that comes back with another fingerprint is a mistake. The same
    /// amount may be written in two ways ("5" and "5.00"), and is still the same request.
    pub fn fingerprint(&self) -> [u8; 32] {
        let (from, to) = self.movement.sides();
        let number = |account: Option<AccountNumber>| account.map_or(0, AccountNumber::as_i64);
        let digest = Sha256::new()
            .chain_update((self.movement.movement_type() as i64).to_be_bytes())
            .chain_update(number(from).to_be_bytes())
            .chain_update(number(to).to_be_bytes())
            .chain_update(self.amount.canonical_bytes())
            .chain_update(self.currency.map_or("---", Currency::code))
            .chain_update([self.description.is_some() as u8])
            .chain_update(self.description.as_deref().unwrap_or_default());
        match &self.reverses {
            // As it was before there were reversals, because keys outlive an upgrade.
            None => digest.finalize().into(),
            // No text has this byte in UTF-8, so no description ends like this.
            Some(reverses) => digest.chain_update([0xff]).chain_update(reverses.transaction_id).finalize().into(),
        }
    }
}

impl Movement {
    /// The same movement the other way round: what a reversal of it moves.
    pub fn mirror(self) -> Self {
        match self {
            Movement::Deposit { to } => Movement::Withdrawal { from: to },
            Movement::Withdrawal { from } => Movement::Deposit { to: from },
            Movement::Transfer { from, to } => Movement::Transfer { from: to, to: from },
        }
    }

    /// The movement between two sides; None for the bank's cash, which is never both.
    pub fn between(from: Option<AccountNumber>, to: Option<AccountNumber>) -> Option<Self> {
        match (from, to) {
            (None, Some(to)) => Some(Movement::Deposit { to }),
            (Some(from), None) => Some(Movement::Withdrawal { from }),
            (Some(from), Some(to)) => Some(Movement::Transfer { from, to }),
            (None, None) => None,
        }
    }

    /// The customers' accounts that the money comes from and goes to; None for the bank's cash.
    pub fn sides(self) -> (Option<AccountNumber>, Option<AccountNumber>) {
        match self {
            Movement::Deposit { to } => (None, Some(to)),
            Movement::Withdrawal { from } => (Some(from), None),
            Movement::Transfer { from, to } => (Some(from), Some(to)),
        }
    }

    /// The accounts that must be loaded to decide this movement.
    pub fn accounts(self) -> impl Iterator<Item = AccountNumber> {
        let (from, to) = self.sides();
        from.into_iter().chain(to)
    }

    pub fn movement_type(self) -> MovementType {
        match self {
            Movement::Deposit { .. } => MovementType::Deposit,
            Movement::Withdrawal { .. } => MovementType::Withdrawal,
            Movement::Transfer { .. } => MovementType::Transfer,
        }
    }
}
