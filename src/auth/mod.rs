//! Who is calling: passwords, access tokens, sessions and the [`Caller`] extractor.

pub mod caller;
pub mod factor_keys;
pub mod guesses;
pub mod origin;
pub mod passwords;
pub mod second_factor;
pub mod sessions;
pub mod standings;
pub mod tokens;

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use caller::{Actor, Admin, Caller, Overseer, Proven, Reader, Staff};
pub use origin::Origin;
use uuid::Uuid;

use self::factor_keys::FactorKeys;
use self::guesses::Guesses;
use self::passwords::Passwords;
use self::sessions::EndedSessions;
use self::standings::Standings;
use self::tokens::{AccessTokens, SigningSecrets};
use crate::limits::{Limiter, Quota, RequestLimit};

/// Of one caller: somebody who tries everything is on record well enough.
const DENIALS_ON_RECORD: Quota = Quota { burst: 50, interval: Duration::from_secs(10) };

/// Everything that decides who is calling. Clones share it.
#[derive(Clone)]
pub struct Auth(Arc<Parts>);

pub struct Parts {
    pub passwords: Passwords,
    pub tokens: AccessTokens,
    pub ended_sessions: EndedSessions,
    pub standings: Standings,
    pub guesses: Guesses,
    pub factor_keys: FactorKeys,
    /// How many denials of one caller the audit log is told of.
    pub denials: Limiter<Uuid>,
    pub requests: RequestLimit<Uuid>,
    /// Whether the roles of those who work at the bank count only with a second factor.
    pub staff_second_factor: bool,
}

impl Auth {
    pub fn new(
        secrets: &SigningSecrets,
        factor_keys: FactorKeys,
        requests_per_second: u32,
        staff_second_factor: bool,
    ) -> std::io::Result<Self> {
        let detail = "Too many requests. Wait as long as Retry-After says.";
        Ok(Self(Arc::new(Parts {
            passwords: Passwords::new()?,
            tokens: AccessTokens::new(secrets),
            ended_sessions: EndedSessions::default(),
            standings: Standings::default(),
            guesses: Guesses::default(),
            factor_keys,
            denials: Limiter::new(DENIALS_ON_RECORD),
            requests: RequestLimit::new("caller", detail, requests_per_second),
            staff_second_factor,
        })))
    }
}

impl Parts {
    pub fn forget_idle(&self, now: Instant) {
        self.guesses.forget_idle(now);
        self.denials.forget_idle(now);
        self.requests.forget_idle(now);
    }
}

impl Deref for Auth {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
