//! Reference and metadata as requests and answers have them.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};
use utoipa::{IntoParams, PartialSchema, ToSchema};
use validator::Validate;

use crate::api::http::error::{Error, Result};
use crate::api::http::extract::parse_query;
use crate::api::http::problem::FieldError;
use coffer_core::books::tags::{self, MAX_PAIRS, Pairs, Tag, Tags};
use coffer_core::problem_code::ProblemCode;
use coffer_core::schema::string;
use coffer_core::text::{MetadataValue, Reference};

/// What the names of parameters begin with that ask for metadata: `metadata[order_id]=42`.
const PARAMETER: &str = "metadata[";

/// Up to ten pairs of texts that a program notes, to find by them what they stand on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Metadata(pub Pairs);

/// Changes to metadata, by key (RFC 7396): a text is noted, null removes the key, and what is left out stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataChanges(BTreeMap<String, Option<String>>);

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes the parameters for the OpenAPI document; asked_for reads them")]
pub struct MetadataParameter {
    /// Only movements whose metadata has each of these pairs: `metadata[order_id]=42`. Found by an index.
    #[param(style = DeepObject, explode, value_type = Metadata, required = false)]
    metadata: Metadata,
}

/// What a request says about a movement so that it is found again.
pub fn of_request(reference: Option<Reference>, metadata: Option<Metadata>) -> Tags {
    Tags::new(reference.map(Into::into), metadata.unwrap_or_default().0)
}

/// The key within the name of a parameter, `metadata[order_id]`, if it is such a name.
pub fn key_asked_for(name: &str) -> Option<&str> {
    name.strip_prefix(PARAMETER)?.strip_suffix(']')
}

/// The metadata that the parameters of a query ask for.
pub fn asked_for<'a>(
    parameters: impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
) -> Result<Vec<Tag>, Vec<FieldError>> {
    let (mut asked, mut errors) = (Vec::<Tag>::new(), Vec::new());
    for (name, value) in parameters {
        let Some(key) = key_asked_for(&name) else { continue };
        let is_repeated = asked.iter().any(|tag| tag.key == key);
        let refuse = |error: String| FieldError::coded(format!("?{name}"), &error);
        match (parse_key(key), MetadataValue::parse(value.into_owned())) {
            (Err(error), _) => errors.push(refuse(error)),
            (_, Err(error)) => errors.push(refuse(error.to_string())),
            _ if is_repeated => {
                errors.push(FieldError::new(format!("?{name}"), ProblemCode::DuplicateField, "send it once"));
            }
            (Ok(()), Ok(value)) => asked.push(Tag { key: key.to_owned(), value: value.into() }),
        }
    }
    if asked.len() > MAX_PAIRS {
        errors.push(FieldError::coded("?metadata", &too_large()));
    }
    if errors.is_empty() { Ok(asked) } else { Err(errors) }
}

impl MetadataChanges {
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The pairs after the changes, of which there must not be too many.
    pub fn merged_into(self, mut pairs: Pairs) -> Result<Pairs, FieldError> {
        for (key, value) in self.0 {
            match value {
                Some(value) => pairs.insert(key, value),
                None => pairs.remove(&key),
            };
        }
        if pairs.len() > MAX_PAIRS {
            return Err(FieldError::coded("/metadata", &too_large()));
        }
        Ok(pairs)
    }
}

fn parse_key(key: &str) -> Result<(), String> {
    match tags::is_key(key) {
        true => Ok(()),
        false => Err(format!(
            "{}: send keys of 1 to {} small letters (a to z), digits and underscores",
            ProblemCode::MetadataKeyMalformed,
            tags::MAX_KEY_LENGTH
        )),
    }
}

fn too_large() -> String {
    format!("{}: send at most {MAX_PAIRS} pairs", ProblemCode::MetadataTooLarge)
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let pairs: BTreeMap<String, MetadataValue> = deserializer.deserialize_map(PairsVisitor(PhantomData))?;
        if pairs.len() > MAX_PAIRS {
            return Err(de::Error::custom(too_large()));
        }
        Ok(Self(pairs.into_iter().map(|(key, value)| (key, value.into())).collect()))
    }
}

impl<'de> Deserialize<'de> for MetadataChanges {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let changes: BTreeMap<String, Option<MetadataValue>> =
            deserializer.deserialize_map(PairsVisitor(PhantomData))?;
        Ok(Self(changes.into_iter().map(|(key, value)| (key, value.map(Into::into))).collect()))
    }
}

/// Reads an object whose keys are those of metadata, each once.
struct PairsVisitor<V>(PhantomData<V>);

impl<'de, V: Deserialize<'de>> Visitor<'de> for PairsVisitor<V> {
    type Value = BTreeMap<String, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of strings")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some(key) = map.next_key::<String>()? {
            parse_key(&key).map_err(de::Error::custom)?;
            if pairs.contains_key(&key) {
                return Err(de::Error::custom(format!("duplicate field `{key}`")));
            }
            pairs.insert(key, map.next_value()?);
        }
        Ok(pairs)
    }
}

/// An object with keys of metadata and these values.
fn object_of(values: Schema) -> ObjectBuilder {
    let key = string().pattern(Some("^[a-z0-9_]{1,32}$"));
    ObjectBuilder::new()
        .schema_type(Type::Object)
        .property_names(Some(key))
        .additional_properties(Some(AdditionalProperties::RefOr(RefOr::T(values))))
        .max_properties(Some(MAX_PAIRS))
}

/// The schema of a value, without the description and the example, which stand at the whole.
fn value() -> ObjectBuilder {
    match MetadataValue::schema() {
        RefOr::T(Schema::Object(object)) => {
            ObjectBuilder::from(object).description(None::<String>).examples([] as [&str; 0])
        }
        _ => string(),
    }
}

impl PartialSchema for Metadata {
    fn schema() -> RefOr<Schema> {
        let what = "Up to ten pairs of texts that a program notes, to find by them what they stand on. Keys have 1 to \
                    32 small letters (a to z), digits and underscores; values have up to 140 characters, as \
                    descriptions do.";
        object_of(value().into()).description(Some(what)).examples([serde_json::json!({"order_id": "42"})]).into()
    }
}

impl ToSchema for Metadata {}

impl PartialSchema for MetadataChanges {
    fn schema() -> RefOr<Schema> {
        let what = "Changes to the metadata, by key (RFC 7396): a text is noted, null removes the key, and what is \
                    left out stays. No more than ten pairs may be left.";
        let nullable = value().schema_type(utoipa::openapi::schema::SchemaType::from_iter([Type::String, Type::Null]));
        object_of(nullable.into())
            .description(Some(what))
            .examples([serde_json::json!({"cost_centre": "4711", "project": null})])
            .into()
    }
}

impl ToSchema for MetadataChanges {}

/// A query, and the pairs of metadata that it asks for.
pub struct WithMetadata<Q> {
    pub query: Q,
    pub metadata: Vec<Tag>,
}

/// `metadata[order_id]=42` is a name that no field can have, so those are taken out before the others are read.
impl<S: Send + Sync, Q: DeserializeOwned + Validate> FromRequestParts<S> for WithMetadata<Q> {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        let parameters = || form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes());
        let others = parameters().filter(|(name, _)| key_asked_for(name).is_none());
        let others = form_urlencoded::Serializer::new(String::new()).extend_pairs(others).finish();
        let query = parse_query(&others)?;
        let metadata = asked_for(parameters()).map_err(Error::Invalid)?;
        Ok(Self { query, metadata })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Merging is what RFC 7396 says: later changes win, and null removes.
        #[test]
        fn changes_are_merged_key_by_key(
            before in prop::collection::btree_map("[a-f]", "[a-z]", 0..6),
            changes in prop::collection::btree_map("[a-f]", prop::option::of("[a-z]"), 0..6),
        ) {
            let merged = MetadataChanges(changes.clone()).merged_into(before.clone()).expect("few pairs");
            for key in ["a", "b", "c", "d", "e", "f"] {
                let expected = changes.get(key).cloned().unwrap_or_else(|| before.get(key).cloned());
                prop_assert_eq!(merged.get(key), expected.as_ref());
            }
        }

        #[test]
        fn no_text_makes_the_parser_of_parameters_panic(
            name in "metadata\\[\\PC{0,4}\\]?|\\PC{0,20}",
            value in "\\PC{0,20}",
        ) {
            let read = asked_for([(Cow::from(name.as_str()), Cow::from(value.as_str()))].into_iter());
            prop_assert!(key_asked_for(&name).is_some() || read.expect("nothing to refuse").is_empty());
        }
    }

    #[test]
    fn metadata_is_an_object_of_texts() {
        let read = |text: &str| serde_json::from_str::<Metadata>(text).map_err(|error| error.to_string());
        assert_eq!(
            read(r#"{"b":" 2 ","a":"1"}"#).map(|it| tags::to_stored(&it.0)),
            Ok(r#"{"a":"1","b":"2"}"#.to_owned())
        );
        let eleven: BTreeMap<String, &str> = (0..11).map(|key| (format!("k{key}"), "v")).collect();
        for (wrong, code) in [
            (r#"{"A":"1"}"#, "metadata_key_malformed"),
            (r#"{"":"1"}"#, "metadata_key_malformed"),
            (r#"{"a":" "}"#, "metadata_blank"),
            (r#"{"a":"1","a":"1"}"#, "duplicate field `a`"),
            (r#"{"a":1}"#, "invalid type"),
            ("[]", "invalid type"),
            (&serde_json::to_string(&eleven).expect("JSON"), "metadata_too_large"),
        ] {
            let error = read(wrong).expect_err(wrong);
            assert!(error.starts_with(code), "{wrong}: {error}");
        }
    }
}
