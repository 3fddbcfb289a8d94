//! One-time links by which somebody sets a password: who has lost theirs, and whom staff have made a customer.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::db::Tx;
use crate::db::password_links::{LinkHash, PasswordLink};
use crate::timestamp::Timestamp;

/// How long somebody who has lost the password has to set another one: the link is handed over while they wait.
pub const RESET_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// How long a new customer has to set the first one.
pub const INVITATION_LIFETIME: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// 256 random bits: not to be guessed, so a plain hash is enough to store (OWASP ASVS 5.0 11.4.1).
const TOKEN_BYTES: usize = 32;

/// The secret of a link. Never printed, but when it is made.
#[derive(Clone, Debug)]
pub struct LinkToken(SecretString);

impl LinkToken {
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; TOKEN_BYTES];
        getrandom::fill(&mut bytes)?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bytes).into()))
    }

    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// By which the database finds the link.
    pub fn hash(&self) -> LinkHash {
        LinkHash { hash: Sha256::digest(self.expose()).into() }
    }

    /// Where the web app takes it, from the bank's address on. A browser sends nothing that stands behind the `#`, so it is in
    /// no log.
    pub fn path(&self) -> String {
        format!("/#/set-password/{}", self.expose())
    }

    /// The same of a link that shows that mail to an address arrives.
    pub fn verification_path(&self) -> String {
        format!("/#/verify-address/{}", self.expose())
    }
}

impl From<SecretString> for LinkToken {
    fn from(text: SecretString) -> Self {
        Self(text)
    }
}

/// Why somebody gets a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// They have lost their password.
    Lost,
    /// They have had none yet.
    Invited,
}

/// Makes a link that takes the place of the user's last one. It counts once the transaction is committed. The user must be
/// locked.
pub async fn issue(tx: &mut Tx<'_>, user_id: Uuid, reason: Reason) -> Result<(PasswordLink, LinkToken), IssueError> {
    let token = LinkToken::generate()?;
    let now = Timestamp::now();
    let lifetime = match reason {
        Reason::Lost => RESET_LIFETIME,
        Reason::Invited => INVITATION_LIFETIME,
    };
    let link = PasswordLink {
        user_id,
        is_invitation: reason == Reason::Invited,
        created_at: now,
        expires_at: now.plus(lifetime),
        used_at: None,
    };
    tx.put_password_link(&link, &token.hash()).await?;
    Ok((link, token))
}

/// Why no link was made.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("there are no random numbers: {0}")]
    NoRandomNumbers(#[from] getrandom::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_is_not_printed() {
        let token = LinkToken::generate().expect("random numbers");
        let same = LinkToken::from(SecretString::from(token.expose().to_owned()));
        assert_eq!(same.hash().hash, token.hash().hash);
        assert!(token.path().ends_with(token.expose()));
        // Base64 has 6 bits in a character.
        assert_eq!(token.expose().len(), (TOKEN_BYTES * 8).div_ceil(6));
        assert!(!format!("{token:?}").contains(token.expose()));
        assert_ne!(LinkToken::generate().expect("random numbers").hash().hash, token.hash().hash);
    }
}
