//! Who is calling: passwords, access tokens, sessions and the [`Caller`] extractor.

pub mod caller;
pub mod origin;
pub mod passwords;
pub mod sessions;
pub mod standings;
pub mod tokens;

use std::ops::Deref;
use std::sync::Arc;

pub use caller::{Actor, Admin, Caller, Overseer, Reader, Staff};
pub use origin::Origin;
use secrecy::SecretString;

use self::passwords::Passwords;
use self::sessions::EndedSessions;
use self::standings::Standings;
use self::tokens::AccessTokens;

/// Everything that decides who is calling. Clones share it.
#[derive(Clone)]
pub struct Auth(Arc<Parts>);

pub struct Parts {
    pub passwords: Passwords,
    pub tokens: AccessTokens,
    pub ended_sessions: EndedSessions,
    pub standings: Standings,
}

impl Auth {
    pub fn new(jwt_secret: &SecretString) -> Result<Self, getrandom::Error> {
        Ok(Self(Arc::new(Parts {
            passwords: Passwords::new()?,
            tokens: AccessTokens::new(jwt_secret),
            ended_sessions: EndedSessions::default(),
            standings: Standings::default(),
        })))
    }
}

impl Deref for Auth {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
