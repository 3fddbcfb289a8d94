//! The OpenAPI document in the words of version 3.0.3, which has no type that is null, no list of examples in a schema,
//! and no webhooks.

use serde_json::{Map, Value, json};

use super::refine::for_each_object;

/// 3.0 names a licence by its address alone.
const LICENSE_URL: &str = "https://spdx.org/licenses/MIT.html";

pub fn of(mut document: Value) -> Value {
    document["openapi"] = json!("3.0.3");
    if let Some(license) = document.pointer_mut("/info/license").and_then(Value::as_object_mut) {
        license.shift_remove("identifier");
        license.insert("url".to_owned(), json!(LICENSE_URL));
    }
    if let Some(members) = document.as_object_mut() {
        members.shift_remove("webhooks");
    }
    for_each_object(&mut document, &mut |members| {
        translate_reference(members);
        translate_nullable_type(members);
        translate_nullable_choice(members);
        translate_examples(members);
        leave_out_names_of_properties(members);
        leave_out_parameters_that_are_objects(members);
        leave_out_link_with_body(members);
    });
    document
}

/// A reference with a description of its own becomes `allOf: [{$ref}]` beside it: 3.0 looks at nothing beside a reference.
fn translate_reference(members: &mut Map<String, Value>) {
    if members.len() > 1
        && let Some(reference) = members.get("$ref").filter(|it| it.is_string()).cloned()
    {
        members.shift_remove("$ref");
        members.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
}

/// `type: [string, null]` becomes `type: string, nullable: true`.
fn translate_nullable_type(members: &mut Map<String, Value>) {
    let Some(types) = members.get("type").and_then(Value::as_array) else { return };
    if let Some(only) = types.iter().find(|kind| **kind != "null").cloned() {
        members.insert("type".to_owned(), only);
        members.insert("nullable".to_owned(), json!(true));
    }
}

/// `oneOf: [{$ref}, {type: null}]` becomes `allOf: [{$ref}], nullable: true`.
fn translate_nullable_choice(members: &mut Map<String, Value>) {
    let null = json!({"type": "null"});
    let Some(choices) = members.get("oneOf").and_then(Value::as_array).filter(|it| it.contains(&null)) else { return };
    let others: Vec<Value> = choices.iter().filter(|choice| **choice != null).cloned().collect();
    let word = if others.len() == 1 { "allOf" } else { "oneOf" };
    members.shift_remove("oneOf");
    members.insert(word.to_owned(), Value::Array(others));
    members.insert("nullable".to_owned(), json!(true));
}

/// 3.0 says nothing about the names of properties: their description does.
fn leave_out_names_of_properties(members: &mut Map<String, Value>) {
    if members.contains_key("additionalProperties") {
        members.shift_remove("propertyNames");
    }
}

/// Generators that read 3.0 make code that does not compile of a parameter like `metadata[key]` (OpenAPI Generator, for
/// Java): their clients do without it.
fn leave_out_parameters_that_are_objects(members: &mut Map<String, Value>) {
    if let Some(parameters) = members.get_mut("parameters").and_then(Value::as_array_mut) {
        parameters.retain(|parameter| parameter.get("style") != Some(&json!("deepObject")));
    }
}

/// `examples: [x]` of a schema becomes `example: x`. Elsewhere `examples` is an object, in both versions.
fn translate_examples(members: &mut Map<String, Value>) {
    let Some(example) = members.get("examples").and_then(Value::as_array).and_then(|it| it.first()).cloned() else {
        return;
    };
    members.shift_remove("examples");
    members.insert("example".to_owned(), example);
}

/// The standard lets a link give a whole body, but generators of that time take no object there, and refuse the document.
fn leave_out_link_with_body(members: &mut Map<String, Value>) {
    let Some(links) = members.get_mut("links").and_then(Value::as_object_mut) else { return };
    links.retain(|_, link| link.get("requestBody").is_none());
    if links.is_empty() {
        members.shift_remove("links");
    }
}
