//! What the OpenAPI document says beyond what the types say by themselves.
//!
//! A field of an answer that is always there is required, even if it may be null, and a page refers to its items: clients in
//! Go, Java and Rust are made from it, and a field that may be absent *and* null decodes into a type that nobody wants to
//! use. And a filter that nobody has to send has no example, which Swagger UI would send.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::scalars::REFERENCE;

/// utoipa's name for a page of items.
const PAGE_OF: &str = "Page_";

pub fn complete(document: &mut Value) {
    name_pages(document);
    require_nullable_fields(document);
    fill_in_required_parameters_only(document);
    have_no_null_headers(document);
}

/// A header is there or is not: it is never null, as an optional value is elsewhere.
fn have_no_null_headers(document: &mut Value) {
    for_each_object(document, &mut |members| {
        let Some(headers) = members.get_mut("headers").and_then(Value::as_object_mut) else { return };
        for schema in headers.values_mut().filter_map(|header| header.get_mut("schema")) {
            if schema.get("type") == Some(&json!(["string", "null"])) {
                schema["type"] = json!("string");
            }
        }
    });
}

/// Swagger UI fills in the example of a parameter, and knows none of its schema's.
fn fill_in_required_parameters_only(document: &mut Value) {
    for_each_object(document, &mut |members| {
        if !members.contains_key("in") {
            return;
        }
        let schema = members.get_mut("schema").and_then(Value::as_object_mut);
        let example = schema.and_then(|schema| {
            schema.shift_remove("example");
            schema.shift_remove("examples")?.get(0).cloned()
        });
        if members.get("required") != Some(&json!(true)) {
            members.shift_remove("example");
        } else if let Some(example) = example {
            members.entry("example").or_insert(example);
        }
    });
}

/// `Page_Account` becomes `AccountPage`, and refers to `Account` instead of repeating it.
fn name_pages(document: &mut Value) {
    let Some(schemas) = schemas_of(document) else { return };
    let pages: Vec<String> = schemas.keys().filter(|name| name.starts_with(PAGE_OF)).cloned().collect();
    let mut renamed = Vec::new();
    for page in pages {
        let item = page.trim_start_matches(PAGE_OF).to_owned();
        let Some(mut schema) = schemas.shift_remove(&page) else { continue };
        if let Some(items) = schema.pointer_mut("/properties/data/items") {
            *items = json!({"$ref": format!("{REFERENCE}{item}")});
        }
        let name = format!("{}Page", item.trim_end_matches("Record").trim_end_matches("Body"));
        schemas.insert(name.clone(), schema);
        renamed.push((format!("{REFERENCE}{page}"), format!("{REFERENCE}{name}")));
    }
    schemas.sort_keys();
    for_each_object(document, &mut |members| {
        for (from, to) in &renamed {
            if members.get("$ref").and_then(Value::as_str) == Some(from) {
                members.insert("$ref".to_owned(), json!(to));
            }
        }
    });
}

/// In every schema that only answers use: what an answer leaves out is not nullable, so what is nullable is there.
fn require_nullable_fields(document: &mut Value) {
    let asked: HashSet<String> = reachable(document, |operation| operation.get("requestBody"));
    let answered = reachable(document, |operation| operation.get("responses"));
    let Some(schemas) = schemas_of(document) else { return };
    for (name, schema) in schemas.iter_mut() {
        if answered.contains(name) && !asked.contains(name) {
            for_each_object(schema, &mut require_nullable);
        }
    }
}

fn require_nullable(members: &mut Map<String, Value>) {
    let Some(properties) = members.get("properties").and_then(Value::as_object) else { return };
    let is_required = |name: &str| {
        members.get("required").is_some_and(|it| it.as_array().is_some_and(|it| it.contains(&json!(name))))
    };
    let names: Vec<Value> = properties
        .iter()
        .filter(|(name, schema)| is_required(name) || is_nullable(schema))
        .map(|(name, _)| json!(name))
        .collect();
    if !names.is_empty() {
        members.insert("required".to_owned(), Value::Array(names));
    }
}

fn is_nullable(schema: &Value) -> bool {
    let null = json!("null");
    let in_type = schema.get("type").and_then(Value::as_array).is_some_and(|types| types.contains(&null));
    let choices = schema.get("oneOf").and_then(Value::as_array);
    in_type || choices.is_some_and(|choices| choices.iter().any(|choice| choice.get("type") == Some(&null)))
}

/// The names of the schemas that this part of any operation leads to.
fn reachable(document: &Value, part: impl Fn(&Value) -> Option<&Value>) -> HashSet<String> {
    let mut found = HashSet::new();
    let operations = document.get("paths").and_then(Value::as_object).into_iter().flat_map(Map::values);
    let parts = operations.filter_map(Value::as_object).flat_map(Map::values).filter_map(part);
    parts.for_each(|part| follow(document, part, &mut found));
    found
}

fn follow(document: &Value, value: &Value, found: &mut HashSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| follow(document, item, found)),
        Value::Object(members) => {
            let name = members.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix(REFERENCE));
            if let Some(name) = name
                && found.insert(name.to_owned())
                && let Some(schema) = document.pointer(&format!("/components/schemas/{name}"))
            {
                follow(document, schema, found);
            }
            members.values().for_each(|member| follow(document, member, found));
        }
        _ => {}
    }
}

/// Changes every object of the document, the outer ones first.
pub fn for_each_object(value: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| for_each_object(item, change)),
        Value::Object(members) => {
            change(members);
            members.values_mut().for_each(|member| for_each_object(member, change));
        }
        _ => {}
    }
}

fn schemas_of(document: &mut Value) -> Option<&mut Map<String, Value>> {
    document.pointer_mut("/components/schemas")?.as_object_mut()
}
