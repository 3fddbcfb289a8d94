//! The Postman collection.

use std::sync::LazyLock;

use axum::http::HeaderMap;
use axum::response::Response;

use crate::api::docs::addressed::{AddressedDocument, BankAddress};
use crate::api::docs::static_file::REVALIDATE;

/// The collection, and its variable that says where the bank is.
const COLLECTION: &str = include_str!("../../../postman/coffer.postman_collection.json");
const BASE_URL: &str = "\"key\": \"base_url\",\n      \"value\": \"http://127.0.0.1:8080\"";

/// The Postman collection
///
/// Import its address into Postman. Its variable `base_url` is the address that you asked at.
#[utoipa::path(
    get,
    path = "/postman.json",
    operation_id = "postman",
    tag = "Operations",
    responses((status = OK, description = "A collection, version 2.1", body = serde_json::Value))
)]
pub async fn postman(address: BankAddress, headers: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<AddressedDocument> = LazyLock::new(|| AddressedDocument::new(collection));
    DOCUMENT.at(address).answer(&headers, REVALIDATE)
}

/// The collection for the bank at this address.
fn collection(address: Option<&str>) -> String {
    match address {
        Some(address) => {
            let base_url = format!("\"key\": \"base_url\",\n      \"value\": \"{address}\"");
            COLLECTION.replacen(BASE_URL, &base_url, 1)
        }
        None => COLLECTION.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_collection_says_once_where_the_bank_is() {
        assert_eq!(COLLECTION.matches(BASE_URL).count(), 1);
    }
}
