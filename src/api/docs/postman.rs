//! The Postman collection.

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;

use crate::api::App;
use crate::api::docs::addressed::{ADDRESS, AddressedDocument};
use crate::api::docs::static_file::REVALIDATE;
use crate::api::http::bank_address::BankAddress;

/// The collection, and its variable that says where the bank is.
const COLLECTION: &str = include_str!("../../../postman/coffer.postman_collection.json");
const VARIABLE: &str = "\"key\": \"base_url\",\n      \"value\": ";
const BASE_URL: &str = "http://127.0.0.1:8080";

/// The Postman collection
///
/// Import its address into Postman. Its variable `base_url` is the address that you asked at.
#[utoipa::path(
    get,
    path = "/postman.json",
    operation_id = "postman",
    tag = "Operations",
    responses((status = OK, description = "A collection, version 2.1", body = Object))
)]
pub async fn postman(State(app): State<App>, address: BankAddress, headers: HeaderMap) -> Response {
    app.collection.at(address).answer(&headers, REVALIDATE)
}

pub fn collection() -> AddressedDocument {
    AddressedDocument::new(with_placeholder, BASE_URL)
}

fn with_placeholder() -> String {
    COLLECTION.replacen(&format!("{VARIABLE}\"{BASE_URL}\""), &format!("{VARIABLE}\"{ADDRESS}\""), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collection_says_once_where_the_bank_is() {
        assert_eq!(COLLECTION.matches(VARIABLE).count(), 1);
        assert_eq!(with_placeholder().matches(ADDRESS).count(), 1);
    }
}
