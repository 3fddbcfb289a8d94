//! The OpenAPI schema of a type that is one text or number on the wire stands beside the type: whoever has a field of
//! it writes nothing about it.

use utoipa::openapi::schema::{ObjectBuilder, Type};

/// Gives a type its schema: the [`ObjectBuilder`] with the type's doc.
#[macro_export]
macro_rules! scalar_schema {
    ($name:ident, $description:literal, $object:expr) => {
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $object.description(Some($description)).into()
            }
        }

        impl utoipa::ToSchema for $name {}
    };
}
pub use scalar_schema;

pub fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}
