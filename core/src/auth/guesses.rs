//! Limits on guesses at passwords and codes, which lock nobody out.
//!
//! Every sign-in takes a guess from three quotas before anything is hashed; one that succeeds gives them back. So a
//! person who mistypes waits a little, from where they mistyped. The third quota meets those who guess at one account
//! from many networks: it counts only for networks that the account was not signed in from before, so that its owner is
//! not locked out by them. All of it is in memory, for each instance: OWASP ASVS 5.0 6.3.1.

use std::hash::Hash;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::limits::{Exceeded, Limiter, Policy, Quota, network_of};

/// At one account, from one network.
const ACCOUNT_FROM_NETWORK: Quota = Quota { burst: 10, interval: Duration::from_secs(30) };
/// From one network, at any account: an office may share it.
const NETWORK: Quota = Quota { burst: 100, interval: Duration::from_secs(2) };
/// At one account, from networks that it does not know.
const ACCOUNT_FROM_STRANGERS: Quota = Quota { burst: 50, interval: Duration::from_secs(60) };

/// Wrong passwords and codes of one user that are sent beside a token, on all instances and wherever from, until that
/// user signs in again. The last one ends the session that sent it: whoever has stolen a token loses it. They are
/// counted in the database, apart from those at sign-in, so that a thief cannot lock the owner out.
pub const MAX_WITHIN_SESSIONS: i64 = 10;

/// At the codes of one user's second factor at sign-in, wherever from: at this rate, a right guess takes some 190 years
/// of trying to be as likely as not.
const SECOND_FACTOR: Quota = Quota { burst: 10, interval: Duration::from_secs(15 * 60) };

/// At one user's recovery codes from one network, at sign-in. Nobody guesses 120 bits; this bounds what trying them
/// costs.
const RECOVERY_CODES: Quota = Quota { burst: 10, interval: Duration::from_secs(60) };

/// Refusals that are recorded in the audit log, for each network: a flood needs no record of every try.
const RECORDS: Quota = Quota { burst: 5, interval: Duration::from_secs(60) };

/// Complete sign-ins of one user, wherever from: each writes a session and a record. Its access token is good for 15
/// minutes, so nobody needs so many. Nobody else can use them up, because they count once password and code were right.
const SIGN_INS: Quota = Quota { burst: 200, interval: Duration::from_secs(30) };

pub struct Guesses {
    sign_ins: Limiter<Uuid>,
    records: Limiter<IpAddr>,
    account_from_network: Limiter<(String, IpAddr)>,
    network: Limiter<IpAddr>,
    account_from_strangers: Limiter<String>,
    second_factor: Limiter<Uuid>,
    recovery_codes: Limiter<(Uuid, IpAddr)>,
}

/// Guesses that were taken, to be given back if the password was right.
pub struct Taken {
    email: String,
    network: IpAddr,
    as_stranger: bool,
}

impl Default for Guesses {
    fn default() -> Self {
        Self {
            sign_ins: Limiter::new(SIGN_INS),
            records: Limiter::new(RECORDS),
            account_from_network: Limiter::new(ACCOUNT_FROM_NETWORK),
            network: Limiter::new(NETWORK),
            account_from_strangers: Limiter::new(ACCOUNT_FROM_STRANGERS),
            second_factor: Limiter::new(SECOND_FACTOR),
            recovery_codes: Limiter::new(RECOVERY_CODES),
        }
    }
}

impl Guesses {
    /// Takes a guess at the account with this address, whether or not there is one. `Err` when there have been too
    /// many; then this one, which nobody checks, counts nowhere.
    pub fn take(&self, email: &str, address: IpAddr, is_known: bool) -> Result<Taken, Exceeded> {
        let (now, network) = (Instant::now(), network_of(address));
        let taken = Taken { email: email.to_owned(), network, as_stranger: !is_known };
        let too_many = |allowance| Exceeded { policy: Policy::Guesses, allowance };
        self.network.take(network, now).map_err(too_many)?;
        if let Err(allowance) = self.account_from_network.take((taken.email.clone(), network), now) {
            self.network.give_back(&network);
            return Err(too_many(allowance));
        }
        if taken.as_stranger
            && let Err(allowance) = self.account_from_strangers.take(taken.email.clone(), now)
        {
            self.account_from_network.give_back(&(taken.email, network));
            self.network.give_back(&network);
            return Err(too_many(allowance));
        }
        Ok(taken)
    }

    /// Whether another refusal of this network's guesses is worth a record.
    pub fn is_worth_a_record(&self, address: IpAddr) -> bool {
        self.records.take(network_of(address), Instant::now()).is_ok()
    }

    /// The password was right: it was no guess.
    pub fn give_back(&self, taken: Taken) {
        self.network.give_back(&taken.network);
        if taken.as_stranger {
            self.account_from_strangers.give_back(&taken.email);
        }
        self.account_from_network.give_back(&(taken.email, taken.network));
    }

    /// Takes a guess at a code of a user whose password was right.
    pub fn take_code(&self, user_id: Uuid) -> Result<(), Exceeded> {
        take(&self.second_factor, user_id, Policy::Codes)
    }

    /// The code was right.
    pub fn give_back_code(&self, user_id: Uuid) {
        self.second_factor.give_back(&user_id);
    }

    /// Takes a guess at a recovery code of a user whose password was right.
    pub fn take_recovery_code(&self, user_id: Uuid, address: IpAddr) -> Result<(), Exceeded> {
        take(&self.recovery_codes, (user_id, network_of(address)), Policy::Codes)
    }

    /// The recovery code was right.
    pub fn give_back_recovery_code(&self, user_id: Uuid, address: IpAddr) {
        self.recovery_codes.give_back(&(user_id, network_of(address)));
    }

    /// Counts a complete sign-in.
    pub fn take_sign_in(&self, user_id: Uuid) -> Result<(), Exceeded> {
        take(&self.sign_ins, user_id, Policy::SignIns)
    }

    pub fn drop_idle(&self, now: Instant) {
        self.sign_ins.drop_idle(now);
        self.second_factor.drop_idle(now);
        self.recovery_codes.drop_idle(now);
        self.account_from_network.drop_idle(now);
        self.records.drop_idle(now);
        self.network.drop_idle(now);
        self.account_from_strangers.drop_idle(now);
    }
}

fn take<K: Hash + Eq>(limiter: &Limiter<K>, key: K, policy: Policy) -> Result<(), Exceeded> {
    limiter.take(key, Instant::now()).map(|_| ()).map_err(|allowance| Exceeded { policy, allowance })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever is refused at one account, a program with an old password say, takes no guesses from the rest of the office.
    #[test]
    fn a_refused_guess_counts_nowhere() {
        let (guesses, office) = (Guesses::default(), IpAddr::from([192, 0, 2, 1]));
        let refused = (0..500).filter(|_| guesses.take("robot@example.com", office, true).is_err()).count();
        assert_eq!(refused as u32, 500 - ACCOUNT_FROM_NETWORK.burst);
        for number in 0..NETWORK.burst - ACCOUNT_FROM_NETWORK.burst {
            assert!(guesses.take(&format!("{number}@example.com"), office, true).is_ok(), "{number}");
        }
        assert!(guesses.take("another@example.com", office, true).is_err());
    }

    #[test]
    fn a_guess_that_strangers_have_used_up_counts_nowhere_else() {
        let guesses = Guesses::default();
        for number in 0..ACCOUNT_FROM_STRANGERS.burst {
            let stranger = IpAddr::from([198, 51, 100, u8::try_from(number).expect("a byte")]);
            assert!(guesses.take("ada@example.com", stranger, false).is_ok());
        }
        let office = IpAddr::from([192, 0, 2, 1]);
        assert!((0..500).all(|_| guesses.take("ada@example.com", office, false).is_err()));
        assert!((0..ACCOUNT_FROM_NETWORK.burst).all(|_| guesses.take("ada@example.com", office, true).is_ok()));
    }
}
