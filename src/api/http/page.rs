//! Pages of lists: how many rows are asked for, and what is answered.

use std::borrow::Cow;

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};
use utoipa::{PartialSchema, ToSchema};

use crate::api::http::cursor::Cursor;
use coffer_core::problem_code::ProblemCode;

/// How many rows a page has at most when the request does not say.
const DEFAULT_LIMIT: u32 = 50;

/// A page of a list: some of its items, and where the next page begins.
#[derive(Debug, Serialize, ToSchema)]
pub struct Page<T> {
    /// The items of this page, at most `limit`, in the order of the list.
    data: Vec<T>,
    /// Whether another page follows.
    has_more: bool,
    /// Send it as `cursor` to get the next page; null when there is none.
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    pub fn new(data: Vec<T>, next_cursor: Option<String>) -> Self {
        Self { data, has_more: next_cursor.is_some(), next_cursor }
    }
}

/// At most `limit` of the rows, and the cursor of the next page if there are more.
pub fn cut<R>(mut rows: Vec<R>, limit: u32, cursor_of: impl Fn(&R) -> Cursor) -> (Vec<R>, Option<String>) {
    let has_more = rows.len() > limit as usize;
    rows.truncate(limit as usize);
    let next_cursor = rows.last().filter(|_| has_more).map(|last| cursor_of(last).encode());
    (rows, next_cursor)
}

/// How many rows a page has at most: from 1 to `MAX`.
#[derive(Clone, Copy, Debug)]
pub struct Limit<const MAX: u32>(u32);

impl<const MAX: u32> Limit<MAX> {
    pub fn rows(self) -> u32 {
        self.0
    }
}

impl<const MAX: u32> Default for Limit<MAX> {
    fn default() -> Self {
        Self(DEFAULT_LIMIT)
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for Limit<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        let number = text.parse().ok().filter(|number| (1..=MAX).contains(number));
        let code = ProblemCode::LimitOutOfRange;
        let refusal = || de::Error::custom(format!("{code}: send a number from 1 to {MAX}"));
        number.map(Self).ok_or_else(refusal)
    }
}

impl<const MAX: u32> PartialSchema for Limit<MAX> {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::Integer)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int32)))
            .minimum(Some(1))
            .maximum(Some(MAX))
            .default(Some(DEFAULT_LIMIT.into()))
            .into()
    }
}

impl<const MAX: u32> ToSchema for Limit<MAX> {
    fn name() -> Cow<'static, str> {
        format!("Limit{MAX}").into()
    }
}
