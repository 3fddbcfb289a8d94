//! One-time links that are mailed: to set a password, and to show that mail to an address arrives. Each is made when its mail
//! is sent, so that its secret is in that mail alone.

use std::time::Duration;

use super::password_links::{IssueError, LinkToken, RESET_LIFETIME};
use crate::books::audit_event::{Action, Event};
use crate::db::Tx;
use crate::db::mailed_links::{LinkPurpose, MailedLink};
use crate::db::mails::StoredMail;
use crate::db::users::User;
use crate::timestamp::Timestamp;

/// How long somebody has to show that mail to their address arrives.
const VERIFICATION_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);
/// Links of one kind that one person, and one address, gets in an hour, whoever asks for them: mail is nobody's means to pester somebody.
pub const MOST_IN_AN_HOUR: i64 = 3;
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Makes the link of a mail; sent again, a mail has another one, and the one before counts no more. None when the user, who
/// must be locked, got enough of them lately. It counts once the transaction is committed.
pub async fn issue(
    tx: &mut Tx<'_>,
    user: &User,
    purpose: LinkPurpose,
    mail: &StoredMail,
) -> Result<Option<LinkToken>, IssueError> {
    let now = Timestamp::now();
    if tx.count_mailed_links(user.id, &user.email, purpose, mail.id, now.minus(HOUR)).await? >= MOST_IN_AN_HOUR {
        return Ok(None);
    }
    let lifetime = match purpose {
        LinkPurpose::Password => RESET_LIFETIME,
        LinkPurpose::Address => VERIFICATION_LIFETIME,
    };
    let token = LinkToken::generate()?;
    let link = MailedLink {
        id: mail.id,
        user_id: user.id,
        purpose,
        address: user.email.clone(),
        created_at: now,
        expires_at: now.plus(lifetime),
    };
    let is_first = tx.put_mailed_link(&link, &token.hash()).await?;
    if is_first && purpose == LinkPurpose::Password {
        let event = Event::at(Action::PasswordLinkMailed, now).on(user.id);
        tx.append_to_audit_log(&[Event { address: mail.detail.clone(), ..event }]).await?;
    }
    Ok(Some(token))
}
