//! Why a command is refused, in the words of the answer.

use uuid::Uuid;

use super::account_limits::Excess;
use super::hold;
use crate::money::{AmountError, Currency, Money};

/// Why a command was refused. A refused command leaves the book as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Also the answer for an account that the requester may not act on.
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
    InsufficientFunds {
        available: Money,
        requested: Money,
        /// What others keep of the balance.
        held: Money,
    },
    /// The account has another sequence than the requester expects.
    #[error(
        "The account is at \"{sequence}\" now, which If-Match does not name. Nothing was booked: look again, and decide anew."
    )]
    BalanceMovedOn { sequence: i64 },
    #[error("{0}")]
    LimitExceeded(Box<Excess>),
    #[error(
        "This API key may move {allowed} {} within 24 hours and has moved {used}; {requested} was asked for.",
        allowed.currency
    )]
    KeyLimitExceeded { allowed: Money, used: Money, requested: Money },
    /// Decided where limits are set, not here.
    #[error("{used} {} of the overdraft is in use: set at least that, or wait until it is paid back.", used.currency)]
    OverdraftInUse { used: Money, requested: Money },
    #[error("The balance would be larger than the bank can count.")]
    BalanceOverflow,
    #[error("{0}")]
    Amount(#[from] AmountError),
    /// Only said when the movement would be accepted otherwise.
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
    #[error("This movement is itself the reversal of {of}. Request the movement anew if it should stand after all.")]
    IsAReversal { of: Uuid },
    /// Decided where holds are looked up, not here.
    #[error("There is no such hold.")]
    HoldNotFound,
    /// Decided where holds are looked up, not here.
    #[error("The hold was captured before: GET /transactions/{{id}} shows what has moved.")]
    HoldCaptured,
    /// Decided where holds are looked up, not here.
    #[error("The hold was released: its money is free again. Create a new one.")]
    HoldReleased,
    /// Decided where holds are looked up, not here.
    #[error("The hold has expired: its money is free again. Create a new one.")]
    HoldExpired,
    /// Decided where holds are looked up, not here.
    #[error("{held} {} is held, and no more can be captured: release the hold and create a larger one.", held.currency)]
    CaptureExceedsHold { held: Money },
    #[error("A hold ends in the future, and after {} days at most", hold::MAX_LIFETIME.as_secs() / 86_400)]
    HoldLifetime,
    #[error("{most} holds and requests wait on this account, which is the most. Have some of them end first.")]
    TooManyHolds { most: usize },
    /// Decided where keys are looked up, not here.
    #[error("This Idempotency-Key was used for another request. Send a new key for a new request.")]
    IdempotencyKeyReused,
    /// Decided where references are looked up, not here.
    #[error(
        "This reference is taken: it names your movement {by} for good. Send another reference for another movement."
    )]
    ReferenceTaken { by: Uuid },
    /// The same, by a command of the same request, which may never be carried out.
    #[error("Another item has this reference: one names one movement of yours for good. Send another reference.")]
    ReferenceRepeated,
    /// Decided where a batch is, not here.
    #[error("Nothing of this batch was booked, because another item was refused.")]
    BatchRefused,
}

/// Why a command needs a second approver.
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
