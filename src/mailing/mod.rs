//! Sends the mail that waits in the database, beside the requests.
//!
//! A mail is a row that was written by what it tells of, in the same transaction ([`coffer_core::db::mails`]): nobody who asks for
//! anything waits for a mail server, and nothing that is committed goes untold. Any number of instances look for rows that are
//! due. Whoever claims one keeps it from the others for [`LEASE`], makes its text, hands it over and deletes it. Who ends in
//! between leaves it to be claimed again: a mail is sent at least once, and twice only when that happens between the server's
//! answer and the deletion.

pub mod letters;
pub mod smtp;

use std::time::Duration;

use futures_util::future::join_all;
use lettre::message::Mailbox;
use tokio::sync::watch;

use self::letters::{Letter, Writer};
use self::smtp::{Sent, Smtp, SmtpError, SmtpServer};
use coffer_core::auth::mailed_links;
use coffer_core::auth::password_links::IssueError;
use coffer_core::db::mailed_links::LinkPurpose;
use coffer_core::db::mails::{MailKind, StoredMail};
use coffer_core::db::users::{Role, User};
use coffer_core::db::{Db, errors};
use coffer_core::timestamp::Timestamp;

/// How often an instance looks for mail. What is due is sent as fast as the server takes it.
const TICK: Duration = Duration::from_secs(1);
/// Mails that one instance sends at once.
pub const AT_ONCE: usize = 8;
/// Nobody else claims a mail meanwhile: longer than a try takes.
const LEASE: Duration = Duration::from_secs(2 * 60);
/// A mail that could not be sent for so long tells nothing new any more.
pub const LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause before the second try, which doubles with each.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);

/// How the bank sends mail.
#[derive(Clone, Debug)]
pub struct MailSettings {
    pub server: SmtpServer,
    pub from: Mailbox,
    /// The address of the bank, which links begin with: `https://bank.example`.
    pub bank: String,
}

/// Sends what waits.
pub struct Mailing {
    db: Db,
    smtp: Smtp,
    writer: Writer,
}

/// Why no letter could be made.
#[derive(Debug, thiserror::Error)]
enum LetterError {
    #[error(transparent)]
    Link(#[from] IssueError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Mailing {
    pub fn new(db: &Db, settings: MailSettings) -> Result<Self, SmtpError> {
        let MailSettings { server, from, bank } = settings;
        let smtp = Smtp::new(&server, from, &bank)?;
        Ok(Self { db: db.clone(), smtp, writer: Writer::new(bank) })
    }

    /// Sends mail until `closing` says true; then what is under way is finished.
    pub async fn run(self, mut closing: watch::Receiver<bool>) {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                _ = closing.wait_for(|closing| *closing) => return,
            }
            if let Err(error) = self.send_what_is_due(&closing).await {
                tracing::warn!(%error, "mail that waits will be looked for again");
            }
        }
    }

    async fn send_what_is_due(&self, closing: &watch::Receiver<bool>) -> sqlx::Result<()> {
        while !*closing.borrow() && self.db.is_mail_due(Timestamp::now()).await? {
            let mut tx = self.db.begin().await?;
            let claimed = tx.claim_mails(Timestamp::now(), LEASE, AT_ONCE as i64).await?;
            tx.commit().await?;
            // Another instance was faster.
            if claimed.is_empty() {
                return Ok(());
            }
            for done in join_all(claimed.iter().map(|mail| self.send(mail))).await {
                done?;
            }
        }
        Ok(())
    }

    /// Sends one mail, and stores what came of it.
    async fn send(&self, mail: &StoredMail) -> sqlx::Result<()> {
        let Some(kind) = mail.kind() else {
            // A later version has written it, and will send it.
            return self.postpone(mail).await;
        };
        let sent = match self.letter(mail, kind).await {
            Ok(Some(letter)) => self.smtp.send(mail.id, &letter).await,
            Ok(None) => return self.delete(mail).await,
            Err(LetterError::Database(error)) if errors::is_transient(&error) => return Err(error),
            Err(error) => Sent::NotNow(error.to_string()),
        };
        let is_too_old = mail.created_at.plus(LIFETIME) <= Timestamp::now();
        let (outcome, reason) = match sent {
            Sent::Yes => ("sent", None),
            Sent::NotNow(reason) if is_too_old => ("given_up", Some(reason)),
            Sent::NotNow(reason) => ("postponed", Some(reason)),
            Sent::Never(reason) => ("refused", Some(reason)),
        };
        metrics::counter!("coffer_mails_total", "outcome" => outcome).increment(1);
        if let Some(reason) = reason {
            tracing::warn!(mail = %mail.id, kind = kind.name(), outcome, reason, "a mail could not be sent");
        }
        if outcome == "postponed" { self.postpone(mail).await } else { self.delete(mail).await }
    }

    async fn delete(&self, mail: &StoredMail) -> sqlx::Result<()> {
        let mut tx = self.db.begin().await?;
        tx.delete_mail(mail).await?;
        tx.commit().await
    }

    async fn postpone(&self, mail: &StoredMail) -> sqlx::Result<()> {
        let mut tx = self.db.begin().await?;
        tx.postpone_mail(mail, Timestamp::now().plus(pause_after(mail.attempts))).await?;
        tx.commit().await
    }

    /// The letter of a mail; None when there is nobody to tell, or nothing any more.
    async fn letter(&self, mail: &StoredMail, kind: MailKind) -> Result<Option<Letter>, LetterError> {
        if kind == MailKind::PasswordReset {
            return self.password_reset(mail).await;
        }
        let Some(user_id) = mail.user_id else { return Ok(None) };
        let Some(user) = self.db.user(user_id).await?.filter(|user| !user.is_service) else { return Ok(None) };
        let (writer, at) = (&self.writer, mail.created_at);
        Ok(match kind {
            MailKind::PasswordReset => None,
            MailKind::AddressCheck => self.address_check(mail, &user).await?,
            MailKind::SignIn => {
                is_verified(&user).then(|| writer.sign_in(&user, mail.detail.as_deref().unwrap_or_default(), at))
            }
            MailKind::PasswordChanged => Some(writer.password_changed(&user, at)),
            MailKind::SecondFactorRemoved => Some(writer.second_factor_removed(&user, at)),
            MailKind::AddressChanged => mail.address.as_deref().map(|before| writer.address_changed(&user, before, at)),
            MailKind::Movement if is_verified(&user) => self.movement(mail, &user).await?,
            MailKind::Movement => None,
        })
    }

    /// An address that nobody has, a program's, and one that has got enough links lately get nothing. Those who work at the
    /// bank are told to ask an admin: whoever reads their mail must not get their rights.
    async fn password_reset(&self, mail: &StoredMail) -> Result<Option<Letter>, LetterError> {
        let from = mail.detail.as_deref().unwrap_or_default();
        let Some(user) = self.db.user_by_email(mail.address.as_deref().unwrap_or_default()).await? else {
            return Ok(None);
        };
        let mut tx = self.db.begin().await?;
        let Some(user) = tx.lock_user(user.id).await?.filter(|user| !user.is_service) else { return Ok(None) };
        if user.role != Role::Customer {
            return Ok(Some(self.writer.ask_an_admin(&user, from)));
        }
        let Some(token) = mailed_links::issue(&mut tx, &user, LinkPurpose::Password, mail).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(self.writer.password_reset(&user, &token, from)))
    }

    async fn address_check(&self, mail: &StoredMail, user: &User) -> Result<Option<Letter>, LetterError> {
        let mut tx = self.db.begin().await?;
        let Some(user) = tx.lock_user(user.id).await?.filter(|user| !is_verified(user)) else { return Ok(None) };
        let Some(token) = mailed_links::issue(&mut tx, &user, LinkPurpose::Address, mail).await? else {
            return Ok(None);
        };
        tx.commit().await?;
        Ok(Some(self.writer.address_check(&user, &token)))
    }

    async fn movement(&self, mail: &StoredMail, user: &User) -> Result<Option<Letter>, LetterError> {
        let (Some(number), Some(sequence)) = (mail.account_number, mail.sequence) else { return Ok(None) };
        let (account, entry) = (self.db.account(number).await?, self.db.entry(number, sequence).await?);
        let told = account.zip(entry).filter(|(account, _)| account.owner_id == Some(user.id));
        Ok(told.map(|(account, entry)| self.writer.movement(user, &account, &entry)))
    }
}

/// Whether mail is known to reach the user, and nobody else.
fn is_verified(user: &User) -> bool {
    user.email_verified_at.is_some()
}

/// Twice as long after each try, and up to a quarter more or less, so that mails which failed together do not come back
/// together.
fn pause_after(attempts: i32) -> Duration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(16);
    let pause = (FIRST_PAUSE * 2u32.pow(doublings)).min(LONGEST_PAUSE);
    let mut byte = [0];
    // Without random numbers the pause is a quarter shorter, which harms nobody.
    let _ = getrandom::fill(&mut byte);
    pause.mul_f64(0.75 + 0.5 * f64::from(byte[0]) / 255.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_quarter_of_an_hour_and_differ() {
        let seconds = |attempts: i32| pause_after(attempts).as_secs_f64();
        for (attempts, pause) in [(1, 2.0), (2, 4.0), (5, 32.0), (20, 900.0), (i32::MAX, 900.0)] {
            for _ in 0..50 {
                assert!((pause * 0.75..=pause * 1.25).contains(&seconds(attempts)), "{attempts}");
            }
        }
        let pauses: Vec<_> = (0..50).map(|_| pause_after(20)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
