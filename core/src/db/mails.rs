//! Mail that is to be sent. See `src/mailing/` for who sends it.

use std::time::Duration;

use sqlx::FromRow;
use uuid::Uuid;

use super::{Db, Tx, in_transaction, on_reader};
use crate::account_number::AccountNumber;
use crate::timestamp::Timestamp;

/// Declares the kinds, each with its name as stored.
macro_rules! mail_kinds {
    ($($(#[doc = $doc:literal])* $kind:ident = $name:literal,)*) => {
        /// What a mail tells.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum MailKind {
            $($(#[doc = $doc])* $kind,)*
        }

        impl MailKind {
            /// As stored.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// None for a kind that a later version has written.
            pub fn from_name(name: &str) -> Option<Self> {
                [$(Self::$kind,)*].into_iter().find(|kind| kind.name() == name)
            }
        }
    };
}

mail_kinds! {
    /// Somebody has lost the password of the user with this address, if there is one.
    PasswordReset = "password_reset",
    /// The user shows by a link that mail to their address reaches them.
    AddressCheck = "address_check",
    /// Somebody has signed in from where the user did not lately.
    SignIn = "sign_in",
    PasswordChanged = "password_changed",
    SecondFactorRemoved = "second_factor_removed",
    /// To the address that the user had before.
    AddressChanged = "address_changed",
    /// A movement of more than the owner of the account has named.
    Movement = "movement",
}

/// A mail to be sent.
#[derive(Clone, Debug)]
pub struct NewMail {
    kind: MailKind,
    user_id: Option<Uuid>,
    address: Option<String>,
    detail: Option<String>,
}

impl NewMail {
    /// To the address that the user has when it is sent.
    pub fn to_user(kind: MailKind, user_id: Uuid) -> Self {
        Self { kind, user_id: Some(user_id), address: None, detail: None }
    }

    /// To whoever has this address.
    pub fn to_address(kind: MailKind, address: String) -> Self {
        Self { kind, user_id: None, address: Some(address), detail: None }
    }

    /// To this address of the user, whatever it is when it is sent.
    pub fn at(self, address: String) -> Self {
        Self { address: Some(address), ..self }
    }

    /// Where a request came from, in words.
    pub fn detail(self, detail: String) -> Self {
        Self { detail: Some(detail), ..self }
    }
}

/// A mail as it is stored.
#[derive(Clone, Debug, FromRow)]
pub struct StoredMail {
    pub id: Uuid,
    kind: String,
    pub user_id: Option<Uuid>,
    pub address: Option<String>,
    pub account_number: Option<AccountNumber>,
    pub sequence: Option<i64>,
    pub detail: Option<String>,
    pub created_at: Timestamp,
    /// Until when nobody else tries.
    pub next_try_at: Timestamp,
    /// With the one that it was claimed for.
    pub attempts: i32,
}

impl StoredMail {
    /// None for a kind that a later version has written.
    pub fn kind(&self) -> Option<MailKind> {
        MailKind::from_name(&self.kind)
    }
}

impl Db {
    /// Whether there is any mail to be sent at `now`.
    pub async fn is_mail_due(&self, now: Timestamp) -> sqlx::Result<bool> {
        on_reader!(self, conn => sqlx::query_scalar("select exists (select 1 from mails where next_try_at <= $1)")
            .bind(now)
            .fetch_one(conn)
            .await)
    }

    pub async fn count_mails(&self) -> sqlx::Result<i64> {
        on_reader!(self, conn => sqlx::query_scalar("select count(*) from mails").fetch_one(conn).await)
    }
}

impl Tx<'_> {
    /// Has the mail sent once the transaction is committed.
    pub async fn put_mail(&mut self, mail: &NewMail, now: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query(
            "insert into mails (id, kind, user_id, address, detail, created_at, next_try_at)
             values ($1, $2, $3, $4, $5, $6, $6)",
        )
        .bind(Uuid::now_v7())
        .bind(mail.kind.name())
        .bind(mail.user_id)
        .bind(&mail.address)
        .bind(&mail.detail)
        .bind(now)
        .execute(conn)
        .await
        .map(|_| ()))
    }

    /// Takes some mails that are due, and keeps them from all others for as long as `lease`. Of any number who ask at once,
    /// each mail goes to one: the outer condition is looked at again once a row that somebody else has changed is free.
    pub async fn claim_mails(&mut self, now: Timestamp, lease: Duration, limit: i64) -> sqlx::Result<Vec<StoredMail>> {
        in_transaction!(self, conn => sqlx::query_as(
            "update mails set attempts = attempts + 1, next_try_at = $2
             where next_try_at <= $1
               and id in (select id from mails where next_try_at <= $1 order by next_try_at limit $3)
             returning id, kind, user_id, address, account_number, sequence, detail, created_at, next_try_at, attempts",
        )
        .bind(now)
        .bind(now.plus(lease))
        .bind(limit)
        .fetch_all(conn)
        .await)
    }

    /// Deletes a mail that was sent, or never will be. Does nothing once somebody else has claimed it.
    pub async fn delete_mail(&mut self, mail: &StoredMail) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from mails where id = $1 and attempts = $2")
            .bind(mail.id)
            .bind(mail.attempts)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Has a mail tried again later. Does nothing once somebody else has claimed it.
    pub async fn postpone_mail(&mut self, mail: &StoredMail, until: Timestamp) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("update mails set next_try_at = $3 where id = $1 and attempts = $2")
            .bind(mail.id)
            .bind(mail.attempts)
            .bind(until)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Deletes what waits for a user who leaves, and the links that were mailed.
    pub async fn delete_mail_to(&mut self, user_id: Uuid) -> sqlx::Result<()> {
        in_transaction!(self, conn => sqlx::query("delete from mails where user_id = $1")
            .bind(user_id)
            .execute(&mut *conn)
            .await
            .map(|_| ()))?;
        in_transaction!(self, conn => sqlx::query("delete from mailed_links where user_id = $1")
            .bind(user_id)
            .execute(conn)
            .await
            .map(|_| ()))
    }

    /// Deletes mails that nobody sends any more.
    pub async fn delete_mails_older_than(&mut self, before: Timestamp) -> sqlx::Result<u64> {
        in_transaction!(self, conn => sqlx::query("delete from mails where created_at < $1")
            .bind(before)
            .execute(conn)
            .await
            .map(|done| done.rows_affected()))
    }
}
