//! Enums that are one of some names on the wire, and nothing else.
//!
//! What serde derives for an enum also reads an object with the name in it, `{"staff": null}`, which no schema mentions. So such
//! an enum derives under `#[serde(remote = "Self")]`, which makes functions of its own of what is derived, and one of these macros
//! has the traits call them.

/// For an enum that derives `Deserialize` alone.
#[macro_export]
macro_rules! read_by_name {
    ($enum:ty) => {
        impl<'de> serde::Deserialize<'de> for $enum {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
                Self::deserialize(serde::de::IntoDeserializer::into_deserializer(name))
            }
        }
    };
}
pub use read_by_name;

/// For an enum that derives `Serialize` as well.
#[macro_export]
macro_rules! by_name {
    ($enum:ty) => {
        $crate::by_name::read_by_name!($enum);

        impl serde::Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                Self::serialize(self, serializer)
            }
        }
    };
}
pub use by_name;
