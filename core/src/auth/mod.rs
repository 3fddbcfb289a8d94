//! Who is calling: passwords, second factors, access tokens, sessions and API keys.

pub mod api_keys;
pub mod factor_keys;
pub mod guesses;
pub mod hashing;
pub mod mailed_links;
pub mod password_links;
pub mod passwords;
pub mod second_factor;
pub mod sessions;
pub mod standings;
pub mod tokens;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use self::api_keys::ApiKeys;
use self::factor_keys::FactorKeys;
use self::guesses::Guesses;
use self::passwords::{HashCost, Passwords};
use self::sessions::EndedSessions;
use self::standings::Standings;
use self::tokens::{AccessTokens, SigningSecrets};
use crate::db::Db;
use crate::limits::{Limiter, Policy, Quota, RequestLimit};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// People and accounts that one person may look at in a day: a page of a hundred every three minutes, around the clock.
const LOOKS_PER_DAY: u32 = 50_000;

/// Names that one person may have compared: somebody pays a few new people in an hour, and who tries out names is to get
/// nowhere.
const NAME_CHECKS_PER_HOUR: u32 = 20;

/// Mails with a link to set a password that one network may ask for in an hour: an office shares one.
const RESETS_PER_NETWORK: u32 = 20;
/// The same for one address, whoever asks, and for the links by which one user verifies theirs. Mail is nobody's means to
/// pester somebody.
const MAILS_PER_HOUR: u32 = mailed_links::MOST_IN_AN_HOUR as u32;

/// Denials of one caller that are recorded: somebody who tries everything is on record well enough.
const DENIALS_ON_RECORD: Quota = Quota { burst: 50, interval: Duration::from_secs(10) };

/// The limits on what callers do. 0 stands for any number.
#[derive(Clone, Copy, Debug)]
pub struct CallerLimits {
    pub requests_per_second: u32,
    pub changes_per_day: u32,
    /// The most that one network may make.
    pub sign_ups_per_hour: u32,
}

/// Everything that decides who is calling. Clones share it.
#[derive(Clone)]
pub struct Auth(Arc<Parts>);

pub struct Parts {
    pub passwords: Passwords,
    pub tokens: AccessTokens,
    pub ended_sessions: EndedSessions,
    pub standings: Standings,
    pub api_keys: ApiKeys,
    pub guesses: Guesses,
    pub factor_keys: FactorKeys,
    /// How many denials of one caller the audit log is told of.
    pub denials: Limiter<Uuid>,
    pub requests: RequestLimit<Uuid>,
    /// Writes beside the money: each leaves something behind, a row or a record.
    pub changes: RequestLimit<Uuid>,
    /// How many people and accounts one person may look at in a day: each is a row of the audit log, beside the record.
    pub looks: RequestLimit<Uuid>,
    /// How many names one person may have compared with those of accounts' owners.
    pub name_checks: RequestLimit<Uuid>,
    /// By network: see [`crate::limits::network_of`].
    pub sign_ups: RequestLimit<IpAddr>,
    /// Links to set a password that were asked for, by network.
    pub resets_from: RequestLimit<IpAddr>,
    /// The same by address, whether or not anybody has it.
    pub resets_to: RequestLimit<String>,
    /// Links by which users verify their addresses.
    pub address_checks: RequestLimit<Uuid>,
    /// Whether the roles of those who work at the bank count only with a second factor.
    pub staff_second_factor: bool,
}

impl Auth {
    pub fn new(
        db: &Db,
        secrets: &SigningSecrets,
        factor_keys: FactorKeys,
        limits: CallerLimits,
        staff_second_factor: bool,
        hash_cost: HashCost,
    ) -> std::io::Result<Self> {
        let changes_per_day = Quota::per(DAY, limits.changes_per_day);
        let sign_ups_per_hour = Quota::per(HOUR, limits.sign_ups_per_hour);
        Ok(Self(Arc::new(Parts {
            passwords: Passwords::new(hash_cost)?,
            tokens: AccessTokens::new(secrets),
            ended_sessions: EndedSessions::default(),
            standings: Standings::default(),
            api_keys: ApiKeys::new(db.clone()),
            guesses: Guesses::default(),
            factor_keys,
            denials: Limiter::new(DENIALS_ON_RECORD),
            requests: RequestLimit::new(Policy::Caller, Quota::per_second(limits.requests_per_second)),
            name_checks: RequestLimit::new(Policy::NameChecks, Quota::per(HOUR, NAME_CHECKS_PER_HOUR)),
            looks: RequestLimit::new(Policy::Looks, Quota::per(DAY, LOOKS_PER_DAY)),
            changes: RequestLimit::new(Policy::Changes, changes_per_day),
            sign_ups: RequestLimit::new(Policy::SignUps, sign_ups_per_hour),
            resets_from: RequestLimit::new(Policy::Resets, Quota::per(HOUR, RESETS_PER_NETWORK)),
            resets_to: RequestLimit::new(Policy::Resets, Quota::per(HOUR, MAILS_PER_HOUR)),
            address_checks: RequestLimit::new(Policy::AddressChecks, Quota::per(HOUR, MAILS_PER_HOUR)),
            staff_second_factor,
        })))
    }
}

impl Parts {
    pub fn drop_idle(&self, now: Instant) {
        self.guesses.drop_idle(now);
        self.denials.drop_idle(now);
        self.requests.drop_idle(now);
        self.changes.drop_idle(now);
        self.looks.drop_idle(now);
        self.name_checks.drop_idle(now);
        self.sign_ups.drop_idle(now);
        self.resets_from.drop_idle(now);
        self.resets_to.drop_idle(now);
        self.address_checks.drop_idle(now);
    }
}

impl Deref for Auth {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}
