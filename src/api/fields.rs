//! The rules of single fields that several requests share.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

/// A page's size in a query: a number from 1 to `MAX`.
pub fn limit<'de, D: Deserializer<'de>, const MAX: u32>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
    let refusal = || de::Error::custom(format!("limit_out_of_range: send a number from 1 to {MAX}"));
    number.map(Some).ok_or_else(refusal)
}

/// A user's id in a query.
pub fn user_id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uuid>, D::Error> {
    let text = Cow::<str>::deserialize(deserializer)?;
    text.parse().map(|UserId(id)| Some(id)).map_err(de::Error::custom)
}

/// Declares types of ids in paths, each with its own words for one that is none.
macro_rules! ids_in_paths {
    ($($name:ident: $what:literal,)*) => {$(
        #[derive(Clone, Copy, Debug)]
        pub struct $name(pub Uuid);

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, &'static str> {
                let malformed = |_| concat!("id_malformed: send the id of ", $what, ", a UUID");
                Uuid::try_parse(text).map(Self).map_err(malformed)
            }
        }
    )*};
}

ids_in_paths! {
    UserId: "a user",
    SessionId: "a session",
    TransactionId: "a movement",
    ApprovalId: "an approval",
}
