//! Commands: complete requests to move money.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::approval::{Approval, ApprovalStatus, LIFETIME};
use super::audit_event::Event;
use super::hold;
use super::movement::Movement;
use super::texts::Texts;
use crate::account_number::AccountNumber;
use crate::api_key::KeyBounds;
use crate::bank_account::BankAccount;
use crate::money::{Amount, Currency, Money};
use crate::timestamp::Timestamp;

/// A request to move money, complete before it is queued: trying it twice is the same command.
#[derive(Clone, Debug)]
pub struct Command {
    /// The UUIDv7 of the transaction that the command becomes.
    pub id: Uuid,
    pub requester: Requester,
    pub movement: Movement,
    pub step: Step,
    pub amount: Amount,
    /// The currency that the requester expects; refused if the account has another one.
    pub currency: Option<Currency>,
    pub texts: Texts,
    /// The first 16 bytes of SHA-256(requester, Idempotency-Key).
    pub idempotency_key: Option<[u8; 16]>,
    /// Refused unless the account that the requester acts on has one of these sequences when it is decided. None for any.
    /// No part of the [fingerprint](Self::fingerprint): a replay is answered whatever has moved meanwhile.
    pub expected_sequences: Option<Box<[i64]>>,
    pub dual_control: DualControl,
    /// The movement that this one reverses, if it is a reversal.
    pub reverses: Option<Reverses>,
    /// Goes into the audit log if the requester alone books the movement on somebody else's account; what moved is
    /// added to it. None for those who have only accounts of their own.
    pub record: Option<Box<Event>>,
    /// When it happened, for what is booked afterwards (`coffer demo`): never in the future, and never before the
    /// account's last entry. None for now, as in every request.
    pub at: Option<Timestamp>,
}

impl Command {
    /// The user who has it carried out now: the approver, if it was approved, otherwise the requester.
    pub fn given_by(&self) -> Uuid {
        match self.dual_control {
            DualControl::Approved { by, .. } => by,
            DualControl::Refuse | DualControl::Request { .. } => self.requester.user_id,
        }
    }

    /// The API key that it came with, if the amount counts against a limit of that. A hold moves nothing yet: its capture
    /// counts, whoever has made the hold.
    pub fn limited_key(&self) -> Option<KeyBounds> {
        self.requester.key.filter(|key| key.per_day.is_some() && !matches!(self.step, Step::Hold { .. }))
    }

    /// Whether the tags that it brings are new: those of a hold that is captured, and of what is approved, are stored
    /// already.
    pub fn brings_tags(&self) -> bool {
        let is_first = self.step != Step::Capture && !matches!(self.dual_control, DualControl::Approved { .. });
        is_first && !self.texts.tags.is_empty()
    }

    /// The reference that it is to take.
    pub fn new_reference(&self) -> Option<&str> {
        self.texts.tags.reference().filter(|_| self.brings_tags())
    }
}

/// What a command does with the money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Moves it.
    Post,
    /// Keeps it on the account, for a capture, until then at most; for seven days if None.
    Hold { expires_at: Option<Timestamp> },
    /// Moves what the hold keeps that has the command's id, or less. The rest is free again.
    Capture,
}

/// How a command is handled that needs a second approver.
#[derive(Clone, Debug)]
pub enum DualControl {
    /// It is refused.
    Refuse,
    /// It is stored as a pending approval with the same id, until somebody else decides. `record` goes into the audit
    /// log; what is asked for is added to it.
    Request { record: Box<Event> },
    /// Somebody has approved it. It is only carried out while the approval is pending; `record` then goes into the
    /// audit log.
    Approved { by: Uuid, record: Box<Event> },
}

/// The booked movement that this command undoes: the command is its [mirror](Movement::mirror), of the same amount.
#[derive(Clone, Debug)]
pub struct Reverses {
    pub transaction_id: Uuid,
    /// Goes into the audit log when the reversal is booked; what moved and why is added to it.
    pub record: Box<Event>,
}

/// Whose command it is.
#[derive(Clone, Copy, Debug)]
pub struct Requester {
    pub user_id: Uuid,
    /// Staff: may act for any customer.
    pub acts_on_any_account: bool,
    /// Whether the bank takes deposits by customers to their own accounts.
    pub deposits_to_own: bool,
    /// The most that staff move within a day without a second approver, in whole units of the currency; None for any
    /// amount.
    pub approval_above: Option<i64>,
    /// The bounds of the API key that the command came with, if it came with one.
    pub key: Option<KeyBounds>,
}

impl Command {
    /// The approval that is pending from `now` on, when the command needs a second approver.
    pub fn approval(&self, money: Money, now: Timestamp) -> Approval {
        let (from_account, to_account) = self.movement.sides();
        let hold_expires_at = match self.step {
            Step::Hold { expires_at } => Some(expires_at.unwrap_or_else(|| now.plus(hold::DEFAULT_LIFETIME))),
            Step::Post | Step::Capture => None,
        };
        Approval {
            id: self.id,
            movement_type: self.movement.movement_type(),
            from_account,
            to_account,
            against: self.movement.against().unwrap_or(BankAccount::CASH),
            amount: money.minor_units,
            currency: money.currency,
            description: self.texts.description.clone(),
            tags: self.texts.tags.clone(),
            reverses: self.reverses.as_ref().map(|reverses| reverses.transaction_id),
            hold_expires_at,
            requested_by: self.requester.user_id,
            requested_at: now,
            expires_at: hold_expires_at.into_iter().fold(now.plus(LIFETIME), Timestamp::min),
            status: ApprovalStatus::Pending,
            decided_by: None,
            decided_at: None,
        }
    }

    /// SHA-256 of what is asked for. An Idempotency-Key that comes back with another fingerprint is a mistake. The same
    /// amount may be written in two ways ("5" and "5.00"), and is still the same request.
    pub fn fingerprint(&self) -> [u8; 32] {
        let (from, to) = self.movement.sides();
        // That of a capture is the hold's, which may be erased meanwhile.
        let description = self.texts.description.as_deref().filter(|_| self.step != Step::Capture);
        let number = |account: Option<AccountNumber>| account.map_or(0, AccountNumber::as_i64);
        let digest = Sha256::new()
            .chain_update((self.movement.movement_type() as i64).to_be_bytes())
            .chain_update(number(from).to_be_bytes())
            .chain_update(number(to).to_be_bytes())
            .chain_update(self.amount.canonical_bytes())
            .chain_update(self.currency.map_or("---", Currency::code))
            .chain_update([description.is_some() as u8])
            .chain_update(description.unwrap_or_default());
        // No text has these bytes in UTF-8, so no description ends like this.
        let digest = match self.movement.against().filter(|against| !against.is_cash()) {
            Some(against) => digest.chain_update([0xfb]).chain_update(against.id.as_i16().to_be_bytes()),
            None => digest,
        };
        let digest = match self.brings_tags() {
            true => digest.chain_update([0xfc]).chain_update(self.texts.tags.digest()),
            false => digest,
        };
        let digest = match &self.reverses {
            None => digest,
            Some(reverses) => digest.chain_update([0xff]).chain_update(reverses.transaction_id),
        };
        match self.step {
            Step::Post => digest.finalize().into(),
            Step::Hold { expires_at } => {
                let until = expires_at.map_or(0, Timestamp::as_micros);
                digest.chain_update([0xfe]).chain_update(until.to_be_bytes()).finalize().into()
            }
            Step::Capture => digest.chain_update([0xfd]).chain_update(self.id).finalize().into(),
        }
    }
}

/// The accounts that the commands name, each once and in order, which is also the order of their locks.
pub fn accounts_named<'a>(commands: impl IntoIterator<Item = &'a Command>) -> BTreeSet<AccountNumber> {
    commands.into_iter().flat_map(|command| command.movement.accounts()).collect()
}
