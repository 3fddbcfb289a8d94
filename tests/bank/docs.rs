//! What `docs/` says against the code.

use std::collections::BTreeSet;

use coffer::api::docs::openapi;
use coffer_core::money::DEFAULT_MAXIMUM;

const API: &str = include_str!("../../docs/API.md");

#[test]
fn the_page_about_the_api_names_every_operation_and_no_other() {
    let document = openapi::document(DEFAULT_MAXIMUM);
    let paths = document["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("operations").keys();
        methods.map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    assert_eq!(operations_of_the_table(API), operations.collect::<BTreeSet<String>>());
}

/// The calls that stand in the first column, such as `GET, POST /accounts`. One without a method has that of the one before.
fn operations_of_the_table(page: &str) -> BTreeSet<String> {
    let mut operations = BTreeSet::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let calls = row.split(" | ").next().unwrap_or_default();
        let mut methods = Vec::new();
        for call in calls.split('`').skip(1).step_by(2) {
            let (named, address) = call.rsplit_once(' ').unwrap_or(("", call));
            if !named.is_empty() {
                methods = named.split(", ").collect();
            }
            let path = address.split('?').next().unwrap_or_default();
            operations.extend(methods.iter().map(|method: &&str| format!("{method} {path}")));
        }
    }
    operations
}
