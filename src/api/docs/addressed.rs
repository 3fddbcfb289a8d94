//! Documents that name the bank's own address: where the client asked for them.
//!
//! Most banks are never asked, so a document is made when it is first asked for. Anybody may ask, with whatever address they
//! make up, so that must cost next to nothing: it is made once, and the compressed form is kept for the first few addresses
//! only. The others get it uncompressed.

use std::sync::{LazyLock, Mutex, PoisonError};

use axum::http::HeaderValue;

use crate::api::docs::static_file::StaticFile;
use crate::api::http::bank_address::BankAddress;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Stands for the bank's address until somebody asks.
pub const ADDRESS: &str = "https://address-of-the-bank.invalid";
/// Addresses for which a compressed document is kept. The bank has one or two; a client may make up any number.
const MAX_ADDRESSES: usize = 8;

/// A JSON document that has [`ADDRESS`] once, where the bank's address belongs.
pub struct AddressedDocument {
    text: LazyLock<String, Box<dyn FnOnce() -> String + Send>>,
    /// In place of the address of a client that named none.
    otherwise: &'static str,
    kept: Mutex<Vec<(Option<String>, StaticFile)>>,
}

impl AddressedDocument {
    pub fn new(make: impl FnOnce() -> String + Send + 'static, otherwise: &'static str) -> Self {
        let make = || {
            let text = make();
            debug_assert_eq!(text.matches(ADDRESS).count(), 1);
            text
        };
        Self { text: LazyLock::new(Box::new(make)), otherwise, kept: Mutex::default() }
    }

    pub fn at(&self, BankAddress(address): BankAddress) -> StaticFile {
        let text = || self.text.replacen(ADDRESS, address.as_deref().unwrap_or(self.otherwise), 1);
        // Held while a document is compressed, so that it is done once for each address.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, file)) = kept.iter().find(|(known, _)| *known == address) {
            return file.clone();
        }
        if kept.len() < MAX_ADDRESSES {
            let file = StaticFile::new(JSON, text());
            kept.push((address, file.clone()));
            return file;
        }
        drop(kept);
        StaticFile::uncompressed(JSON, text())
    }
}
