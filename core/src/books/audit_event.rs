//! Events of the audit log: who did what, to whom, and when.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::text::{self, Reason};
use crate::timestamp::Timestamp;

/// The longest text that a record quotes, in characters.
const MAX_TEXT_LENGTH: usize = 300;

/// Declares the actions, each with its name as stored and on the wire.
macro_rules! actions {
    ($($(#[$meta:meta])* $action:ident = $name:literal,)*) => {
        /// The kind of an event in the audit log. Most names say what was done to the subject.
        /// `login_throttled`: there were too many tries, and this one was not looked at.
        /// `access_denied`: the role of the caller does not allow the request.
        /// `refresh_token_reused`: a refresh token came a second time, so its session was ended.
        /// `second_factor_failed`: the password was right and the code was wrong.
        /// `proof_failed`: a password or a code beside an access token was wrong.
        /// `confirmation_changed`: a user has changed their own `confirm_above`.
        /// `session_ended`: one session was ended. `sessions_ended`: an admin ended all sessions of a user.
        /// `movement_by_staff`: staff moved money on somebody else's account.
        /// `movement_refused`: staff tried to do so and were refused.
        /// `demo_filled`: `coffer demo` filled the bank with made-up data.
        /// `statement_exported`, `audit_read`, `record_viewed` and the names that end in `_viewed` or `_listed`:
        /// somebody was shown data about other people.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $($(#[$meta])* $action,)*
        }

        impl Action {
            pub const ALL: &[Self] = &[$(Self::$action,)*];

            /// As stored and on the wire.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$action => $name,)*
                }
            }
        }
    };
}

actions! {
    Login = "login",
    LoginFailed = "login_failed",
    /// Too many tries: this one was not even looked at.
    LoginThrottled = "login_throttled",
    /// Somebody asked for what their role may not do.
    AccessDenied = "access_denied",
    /// A refresh token came back a second time: it has been copied, and its session was ended.
    RefreshTokenReused = "refresh_token_reused",
    PasswordChanged = "password_changed",
    /// A link was made by which somebody sets a password: one who has lost it, or a new customer.
    PasswordLinkCreated = "password_link_created",
    /// Such a link was mailed to somebody who has lost the password; the address is that of who asked for it.
    PasswordLinkMailed = "password_link_mailed",
    /// Somebody has set a password by such a link.
    PasswordReset = "password_reset",
    AddressChanged = "address_changed",
    /// Somebody has shown that mail to their address arrives.
    AddressVerified = "address_verified",
    SecondFactorEnabled = "second_factor_enabled",
    SecondFactorRemoved = "second_factor_removed",
    /// The password was right, the code was not.
    SecondFactorFailed = "second_factor_failed",
    /// A password or code beside a token was wrong.
    ProofFailed = "proof_failed",
    /// Somebody changed above which amount their own movements are to be confirmed.
    ConfirmationChanged = "confirmation_changed",
    /// Signed out, here or from another session; or the bank ended it, for the reason that the detail gives.
    SessionEnded = "session_ended",
    /// Somebody looked at the sessions of somebody else.
    SessionsListed = "sessions_listed",
    /// An admin ended all of somebody's sessions.
    SessionsEnded = "sessions_ended",
    RoleChanged = "role_changed",
    /// Somebody became a customer, or staff made them one.
    UserCreated = "user_created",
    UserFrozen = "user_frozen",
    UserReleased = "user_released",
    UserClosed = "user_closed",
    /// An admin erased somebody who has left: texts, names and addresses are gone for good.
    UserErased = "user_erased",
    /// Somebody took everything along that the bank has about them.
    DataExported = "data_exported",
    AccountOpened = "account_opened",
    AccountRenamed = "account_renamed",
    /// Something was noted on an account, or removed: the detail has the keys.
    AccountMetadataChanged = "account_metadata_changed",
    /// Somebody changed below which balance an event tells: the detail has the amount.
    AccountAlertSet = "account_alert_set",
    /// Somebody changed above which amount the owner is told of movements by mail: the detail has the amount.
    AccountNoticeSet = "account_notice_set",
    AccountFrozen = "account_frozen",
    AccountReleased = "account_released",
    AccountClosed = "account_closed",
    /// Staff set the limits of an account, alone or after somebody else's approval.
    LimitsSet = "limits_set",
    /// Somebody set limits of their own account.
    OwnLimitsSet = "own_limits_set",
    /// A movement waits for a second approver.
    ApprovalRequested = "approval_requested",
    /// A second approver agreed, and the movement was booked.
    ApprovalApproved = "approval_approved",
    /// Somebody refused it, or whoever asked for it took it back.
    ApprovalRejected = "approval_rejected",
    /// A movement was undone by one the other way round.
    MovementReversed = "movement_reversed",
    /// Staff moved money on somebody else's account, by themselves.
    MovementByStaff = "movement_by_staff",
    /// Staff requested a movement on somebody else's account and were refused: the refusal tells how the account
    /// stands.
    MovementRefused = "movement_refused",
    /// Staff created a hold on somebody else's account, by themselves.
    HoldCreated = "hold_created",
    /// Staff captured a hold on somebody else's account.
    HoldCaptured = "hold_captured",
    /// Staff released a hold on somebody else's account.
    HoldReleased = "hold_released",
    /// An admin opened an account of the bank's own: the detail has its kind and its name.
    BankAccountOpened = "bank_account_opened",
    AdminCreated = "admin_created",
    /// The command line made a user that is a program.
    ServiceUserCreated = "service_user_created",
    /// Somebody created an API key: the detail has what it may do.
    ApiKeyCreated = "api_key_created",
    /// An API key has got another secret.
    ApiKeyRotated = "api_key_rotated",
    /// An API key counts no more.
    ApiKeyRevoked = "api_key_revoked",
    /// Somebody looked at the API keys of somebody else.
    ApiKeysListed = "api_keys_listed",
    /// An admin created a webhook: the detail has its URL.
    WebhookCreated = "webhook_created",
    /// An admin changed a webhook, or the bank disabled it: the detail says how.
    WebhookChanged = "webhook_changed",
    WebhookDeleted = "webhook_deleted",
    /// A webhook has got another secret.
    WebhookSecretRotated = "webhook_secret_rotated",
    /// An admin had something sent to a webhook that had been sent before, or a test: the detail says what.
    WebhookResent = "webhook_resent",
    /// `coffer demo` filled the bank with a customer and made-up movements, to try it out.
    DemoFilled = "demo_filled",
    /// Somebody other than its owner took an account's statement.
    StatementExported = "statement_exported",
    /// Somebody other than its owner looked at an account.
    AccountViewed = "account_viewed",
    /// Somebody other than its owner looked at the balance of an account.
    BalanceViewed = "balance_viewed",
    /// Somebody other than its owner looked at the movements of an account.
    HistoryViewed = "history_viewed",
    /// Somebody who works here looked through the movements of the whole bank; the record is about the accounts that
    /// they were shown.
    MovementsListed = "movements_listed",
    /// Somebody other than its owner looked at one movement of an account.
    TransactionViewed = "transaction_viewed",
    /// Somebody other than its owner looked at the holds on an account.
    HoldsViewed = "holds_viewed",
    /// Somebody other than its owner looked at the limits of an account.
    LimitsViewed = "limits_viewed",
    /// Staff looked at somebody's profile.
    UserViewed = "user_viewed",
    /// Staff looked people up; the record is about everybody whom they were shown.
    UsersListed = "users_listed",
    /// Somebody who works here listed events; the record is about the accounts that they happened to.
    EventsListed = "events_listed",
    /// Somebody who works here began to listen to the events of the whole bank, or of an account.
    EventsStreamed = "events_streamed",
    /// Somebody took all users, or some, away as a file.
    UsersExported = "users_exported",
    /// Somebody took the movements of the whole bank, or some, away as a file.
    MovementsExported = "movements_exported",
    /// Staff noted something on somebody.
    NoteAdded = "note_added",
    /// Somebody looked at what staff have noted on somebody.
    NotesListed = "notes_listed",
    /// Staff looked at the accounts of somebody.
    AccountsListed = "accounts_listed",
    /// Staff looked at movements that wait for approval, or have waited.
    ApprovalsListed = "approvals_listed",
    /// Staff looked at one of them.
    ApprovalViewed = "approval_viewed",
    /// Somebody looked through the audit log, or took it away as a file; the record is about whom or what they asked
    /// for.
    AuditRead = "audit_read",
    /// Staff were shown something by a route that says nothing more about it.
    RecordViewed = "record_viewed",
}

/// Something to be recorded.
#[derive(Clone, Debug)]
pub struct Event {
    pub created_at: Timestamp,
    pub action: Action,
    /// None when nobody was signed in, or when it was the command line.
    pub actor_id: Option<Uuid>,
    /// The thing that it was done to.
    pub subject: Option<String>,
    pub address: Option<String>,
    pub request_id: Option<String>,
    /// The client's own id of the request.
    pub client_request_id: Option<String>,
    pub detail: Option<String>,
    /// The accounts and people that it is about, beside the subject, and the API key that it was done by.
    pub concerns: BTreeSet<Concern>,
}

/// Whom or what a record is about, or by which key it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Concern {
    Account(AccountNumber),
    User(Uuid),
    /// By which it was done.
    ApiKey(Uuid),
}

impl fmt::Display for Concern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(number) => number.fmt(f),
            Self::User(id) | Self::ApiKey(id) => id.fmt(f),
        }
    }
}

impl From<AccountNumber> for Concern {
    fn from(number: AccountNumber) -> Self {
        Self::Account(number)
    }
}

impl From<Uuid> for Concern {
    fn from(id: Uuid) -> Self {
        Self::User(id)
    }
}

impl Event {
    /// Without an actor or an address, as for the command line.
    pub fn at(action: Action, created_at: Timestamp) -> Self {
        Self {
            created_at,
            action,
            actor_id: None,
            subject: None,
            address: None,
            request_id: None,
            client_request_id: None,
            detail: None,
            concerns: BTreeSet::new(),
        }
    }

    pub fn by(self, actor_id: Uuid) -> Self {
        Self { actor_id: Some(actor_id), ..self }
    }

    pub fn on(self, subject: impl ToString) -> Self {
        Self { subject: Some(clean(&subject.to_string())), ..self }
    }

    /// An account or a person whom it is about beside the subject, so that it is found by it. May be called for each.
    pub fn about(mut self, concern: impl Into<Concern>) -> Self {
        self.concerns.insert(concern.into());
        self
    }

    pub fn detail(self, detail: impl AsRef<str>) -> Self {
        Self { detail: Some(clean(detail.as_ref())), ..self }
    }

    /// In the words of whoever did it.
    pub fn with_reason(self, reason: Option<Reason>) -> Self {
        Self { detail: reason.map(Into::into), ..self }
    }
}

/// Text that may come from anyone, as one line of bounded length that reads in its order. (PostgreSQL would refuse a
/// NUL, and the batch with it.)
fn clean(text: &str) -> String {
    text::quoted(text, MAX_TEXT_LENGTH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_on_the_wire() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_value(action).expect("a name"), action.name());
        }
    }
}
