//! API keys: by them programs call in a user's name. What a key may do is what its user may do today, as far as its scopes
//! and bounds reach.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::account_number::AccountNumber;
use crate::by_name::by_name;
use crate::money::{Currency, Money};
use crate::problem_code::ProblemCode;
use crate::schema::{scalar_schema, string};

/// The most living keys of one user: each backend has one, and one more while it changes.
pub const MAX_LIVING: i64 = 20;
/// The most accounts that a key may be bound to. It is for any account otherwise.
pub const MAX_ACCOUNTS: usize = 10;
/// The most networks that a key may be bound to.
pub const MAX_NETWORKS: usize = 10;

/// The reach of a key. `read`: see what its user sees. `move`: move money, and open and name accounts. `staff`: do both
/// by the role of its user, on other people's accounts, and what else staff do for customers. No key manages keys,
/// passwords, second factors, sessions or roles, nor decides what waits for approval.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(remote = "Self", rename_all = "lowercase")]
pub enum Scope {
    Read,
    Move,
    Staff,
}

by_name!(Scope);

impl Scope {
    const ALL: [Self; 3] = [Self::Read, Self::Move, Self::Staff];

    /// As stored and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Move => "move",
            Self::Staff => "staff",
        }
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|scope| scope.name() == text);
        known.ok_or_else(|| "a scope is read, move or staff".to_owned())
    }
}

/// One scope or more, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scopes {
    read: bool,
    moves: bool,
    staff: bool,
}

impl Scopes {
    /// None when there is no scope.
    pub fn of(scopes: &[Scope]) -> Option<Self> {
        let has = |scope| scopes.contains(&scope);
        let scopes_are_there = !scopes.is_empty();
        scopes_are_there.then(|| Self { read: has(Scope::Read), moves: has(Scope::Move), staff: has(Scope::Staff) })
    }

    pub fn include(self, scope: Scope) -> bool {
        match scope {
            Scope::Read => self.read,
            Scope::Move => self.moves,
            Scope::Staff => self.staff,
        }
    }

    pub fn each(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.include(*scope))
    }
}

/// Words with a space between them, as they are stored.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_words(f, self.each().map(Scope::name))
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.each())
    }
}

/// The accounts that a key is bound to. Kept in place, because every caller has one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BoundAccounts {
    /// What the numbers do not fill is zero, which is no number.
    numbers: [i64; MAX_ACCOUNTS],
}

impl BoundAccounts {
    /// None when there are too many.
    pub fn of(accounts: &[AccountNumber]) -> Option<Self> {
        let mut numbers = [0; MAX_ACCOUNTS];
        let places = numbers.get_mut(..accounts.len())?;
        places.iter_mut().zip(accounts).for_each(|(place, account)| *place = account.as_i64());
        Some(Self { numbers })
    }

    /// Whether the key is for certain accounts alone.
    pub fn are_some(&self) -> bool {
        self.numbers[0] != 0
    }

    pub fn admit(&self, number: AccountNumber) -> bool {
        !self.are_some() || self.numbers.contains(&number.as_i64())
    }

    pub fn each(&self) -> impl Iterator<Item = AccountNumber> {
        self.numbers.into_iter().filter(|number| *number != 0).map(AccountNumber::from_i64)
    }
}

impl fmt::Display for BoundAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_words(f, self.each())
    }
}

/// The bounds of a key on the money that it moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyBounds {
    pub key_id: Uuid,
    pub accounts: BoundAccounts,
    /// The most that it moves within 24 hours, in whole units of each currency. None for any amount.
    pub per_day: Option<i64>,
}

impl KeyBounds {
    /// The most that it moves within 24 hours in this currency.
    pub fn per_day_in(&self, currency: Currency) -> Option<Money> {
        self.per_day.map(|units| Money::of_major_units(units, currency))
    }
}

/// A network such as 10.0.0.0/8, or a single address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

/// The text is no network. Prints as `code: what to send instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send an address such as \"192.0.2.1\" or a network such as \"192.0.2.0/24\"",
    code = ProblemCode::NetworkMalformed
)]
pub struct NetworkError;

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let network = text.parse().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| NetworkError)?;
        canonical(network).map(|network| Self(network.trunc())).ok_or(NetworkError)
    }
}

/// How many bits of an IPv4-mapped address (RFC 4291, section 2.5.5.2) come before the IPv4 address.
const MAPPED_PREFIX: u8 = 96;

/// The IPv4 network of a mapped one, because that is how callers' addresses are compared; None if it is not mapped as a whole.
fn canonical(network: IpNet) -> Option<IpNet> {
    let IpNet::V6(v6) = network else { return Some(network) };
    match v6.addr().to_ipv4_mapped() {
        None => Some(network),
        Some(address) => IpNet::new(address.into(), v6.prefix_len().checked_sub(MAPPED_PREFIX)?).ok(),
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

scalar_schema!(
    Network,
    "An address, or a network in CIDR notation (RFC 4632).",
    string().pattern(Some("^[0-9a-fA-F.:]{2,45}(/[0-9]{1,3})?$")).examples(["192.0.2.0/24"])
);

/// The networks that a key is bound to; any if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks(pub Vec<Network>);

impl Networks {
    pub fn admit(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.is_empty() || self.0.iter().any(|network| network.0.contains(&address))
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_words(f, &self.0)
    }
}

fn write_words(
    f: &mut fmt::Formatter<'_>,
    words: impl IntoIterator<Item = impl fmt::Display>,
) -> Result<(), fmt::Error> {
    for (index, word) in words.into_iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        write!(f, "{space}{word}")?;
    }
    Ok(())
}

/// What is stored of a key is nothing that the bank has written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a stored API key has {0:?}")]
pub struct StoredKeyError(String);

/// Reads words back as they are stored.
fn read_words<T: FromStr>(text: &str) -> Result<Vec<T>, StoredKeyError> {
    text.split_whitespace().map(|word| word.parse().map_err(|_| StoredKeyError(text.to_owned()))).collect()
}

impl TryFrom<String> for Scopes {
    type Error = StoredKeyError;

    fn try_from(text: String) -> Result<Self, StoredKeyError> {
        Self::of(&read_words(&text)?).ok_or(StoredKeyError(text))
    }
}

impl TryFrom<String> for BoundAccounts {
    type Error = StoredKeyError;

    fn try_from(text: String) -> Result<Self, StoredKeyError> {
        Self::of(&read_words(&text)?).ok_or(StoredKeyError(text))
    }
}

impl TryFrom<String> for Networks {
    type Error = StoredKeyError;

    fn try_from(text: String) -> Result<Self, StoredKeyError> {
        read_words(&text).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_stored_reads_back() {
        let scopes = Scopes::of(&[Scope::Staff, Scope::Read, Scope::Staff]).expect("scopes");
        assert_eq!(scopes.to_string(), "read staff");
        assert_eq!(Scopes::try_from(scopes.to_string()), Ok(scopes));
        assert_eq!(Scopes::of(&[]), None);
        let networks: Networks = "192.0.2.0/24 2001:db8::1/128".to_owned().try_into().expect("networks");
        assert_eq!(networks.to_string(), "192.0.2.0/24 2001:db8::1/128");
        assert!(Scopes::try_from("read admin".to_owned()).is_err());
    }

    #[test]
    fn networks_admit_what_is_in_them() {
        let networks: Networks = "192.0.2.7/24 2001:db8::/32".to_owned().try_into().expect("networks");
        let admits = |text: &str| networks.admit(text.parse().expect("an address"));
        assert!(admits("192.0.2.200") && admits("::ffff:192.0.2.1") && admits("2001:db8:1::1"));
        assert!(!admits("192.0.3.1") && !admits("2001:db9::1"));
        assert!(Networks::default().admit(IpAddr::from([10, 0, 0, 1])));
    }

    proptest! {
        #[test]
        fn accounts_admit_themselves_and_nobody_else(numbers in prop::collection::vec(1..1_000i64, 0..12), other in 1..1_000i64) {
            let accounts: Vec<_> = numbers.iter().map(|number| AccountNumber::from_i64(*number)).collect();
            match BoundAccounts::of(&accounts) {
                None => prop_assert!(numbers.len() > MAX_ACCOUNTS),
                Some(bound) => {
                    prop_assert_eq!(bound.each().collect::<Vec<_>>(), accounts);
                    prop_assert_eq!(
                        bound.admit(AccountNumber::from_i64(other)),
                        numbers.is_empty() || numbers.contains(&other)
                    );
                }
            }
        }

        #[test]
        fn no_text_makes_the_network_parser_panic(text in "\\PC*|[0-9a-f.:/]{0,50}") {
            if let Ok(network) = text.parse::<Network>() {
                prop_assert_eq!(network.to_string().parse::<Network>(), Ok(network));
            }
        }
    }
}
