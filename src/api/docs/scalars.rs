//! Types that are one text or number on the wire, in the OpenAPI document: their schema stands wherever they are used, not
//! behind a reference, because generators of clients make a class of each referenced schema.

use std::collections::HashMap;

use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;
use utoipa::{PartialSchema, ToSchema};

use crate::api::http::archive::ZipFile;
use crate::api::http::cursor::Cursor;
use crate::api::http::fields::WholeUnits;
use crate::api::http::page::Limit;
use crate::api::money::tags::{Metadata, MetadataChanges};
use crate::email::Email;
use crate::webhooks::destinations::WebhookUrl;
use coffer_core::account_number::AccountNumber;
use coffer_core::api_key::Network;
use coffer_core::auth::passwords::{NewPassword, Password};
use coffer_core::bank_account::BankAccountCode;
use coffer_core::money::{Amount, AmountOrZero, Currency, CurrentCurrency, Money, MoneySum};
use coffer_core::text::{
    ApiKeyName, BankAccountName, Description, DescriptionSearch, Group, Label, MetadataValue, Name, NoteText, Reason,
    Reference, UserSearch,
};
use coffer_core::timestamp::{DayOrMoment, Timestamp};

/// What references to schemas begin with.
pub const REFERENCE: &str = "#/components/schemas/";

macro_rules! scalars {
    ($($scalar:ty),* $(,)?) => {
        [$((<$scalar>::name().into_owned(), serde_json::to_value(<$scalar>::schema()).unwrap_or_default())),*]
    };
}

/// The document as JSON, with the schema of each scalar where it is used. One movement may be `maximum_major_units` at most.
pub fn inline(document: OpenApi, maximum_major_units: i64) -> Value {
    let mut scalars: HashMap<String, Value> = HashMap::from(scalars![
        AccountNumber,
        Amount,
        AmountOrZero,
        ApiKeyName,
        BankAccountCode,
        BankAccountName,
        Currency,
        CurrentCurrency,
        Cursor,
        DayOrMoment,
        Description,
        DescriptionSearch,
        Email,
        Group,
        Label,
        Limit<100>,
        Limit<200>,
        Metadata,
        MetadataChanges,
        MetadataValue,
        Money,
        MoneySum,
        Name,
        Network,
        NewPassword,
        NoteText,
        Password,
        Reason,
        Reference,
        Timestamp,
        UserSearch,
        WebhookUrl,
        WholeUnits,
        ZipFile,
    ]);
    if let Some(amount) = scalars.get_mut(&*Amount::name()) {
        amount["pattern"] = Amount::pattern(maximum_major_units).into();
    }
    // It is made of literals and cannot fail to be written.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    if let Some(schemas) = document.pointer_mut("/components/schemas").and_then(Value::as_object_mut) {
        schemas.retain(|name, _| !scalars.contains_key(name));
    }
    replace(&mut document, &scalars);
    document
}

fn replace(value: &mut Value, scalars: &HashMap<String, Value>) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| replace(item, scalars)),
        Value::Object(members) => {
            if let Some(schema) = scalar(members, scalars).or_else(|| nullable_scalar(members, scalars)) {
                *members = schema;
            } else {
                members.values_mut().for_each(|member| replace(member, scalars));
            }
        }
        _ => {}
    }
}

/// What a reference to a scalar stands for. The description of the field comes before that of the type.
fn scalar(members: &Map<String, Value>, scalars: &HashMap<String, Value>) -> Option<Map<String, Value>> {
    let name = members.get("$ref")?.as_str()?.strip_prefix(REFERENCE)?;
    let mut schema = scalars.get(name)?.as_object()?.clone();
    schema.extend(members.iter().filter(|(key, _)| *key != "$ref").map(|(key, value)| (key.clone(), value.clone())));
    Some(schema)
}

/// The same for `oneOf: [{$ref}, {type: null}]`: a field that may be null.
fn nullable_scalar(members: &Map<String, Value>, scalars: &HashMap<String, Value>) -> Option<Map<String, Value>> {
    let is_null = |schema: &&Value| **schema == json!({"type": "null"});
    let choices = members.get("oneOf")?.as_array()?;
    let mut others = choices.iter().filter(|schema| !is_null(schema));
    let (Some(reference), None) = (others.next(), others.next()) else { return None };
    let mut schema = scalar(reference.as_object()?, scalars)?;
    if choices.len() > 1 {
        let not_null = schema.get("type")?.clone();
        schema.insert("type".to_owned(), json!([not_null, "null"]));
    }
    schema.extend(members.iter().filter(|(key, _)| *key != "oneOf").map(|(key, value)| (key.clone(), value.clone())));
    Some(schema)
}
