//! Documents that name the bank's own address: where the client asked for them.
//!
//! Anybody may ask, with whatever address they make up, so that must cost next to nothing: a document is serialized once,
//! and the compressed form is kept for the first few addresses only. The others get it uncompressed.

use std::convert::Infallible;
use std::str::FromStr;
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Uri};

use crate::api::App;
use crate::api::docs::static_file::StaticFile;
use crate::connection::Peer;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Stands for the bank's address until somebody asks.
pub const ADDRESS: &str = "https://address-of-the-bank.invalid";
/// Addresses for which a compressed document is kept. The bank has one or two; a client may make up any number.
const MAX_ADDRESSES: usize = 8;

/// The address that the client asked at, such as `https://bank.example`; None when it did not name one that is plain.
pub struct BankAddress(pub Option<String>);

impl FromRequestParts<App> for BankAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().map(|peer| peer.address);
        let scheme = app.edge.scheme(peer, &parts.headers);
        Ok(Self(asked_at(&parts.uri, &parts.headers).map(|host| format!("{scheme}://{host}"))))
    }
}

/// A JSON document that has [`ADDRESS`] once, where the bank's address belongs.
pub struct AddressedDocument {
    text: String,
    /// In place of the address of a client that named none.
    otherwise: &'static str,
    kept: Mutex<Vec<(Option<String>, StaticFile)>>,
}

impl AddressedDocument {
    pub fn new(text: String, otherwise: &'static str) -> Self {
        debug_assert_eq!(text.matches(ADDRESS).count(), 1);
        Self { text, otherwise, kept: Mutex::default() }
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

/// The host, with its port, that the client believes to be talking to: nothing but a name or an address, because whoever
/// gets such a document sends passwords there.
fn asked_at(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    let mut named = headers.get_all(HOST).iter();
    let host = match (uri.authority(), named.next(), named.next()) {
        (Some(authority), _, _) => authority.as_str(),
        (None, Some(host), None) => host.to_str().ok()?,
        _ => return None,
    };
    let authority = Authority::from_str(host).ok().filter(|authority| authority.as_str() == host)?;
    let (name, port) = (authority.host(), authority.port_u16());
    let literal = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let is_good = match literal {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)),
    };
    let whole = port.map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"));
    (is_good && whole == host).then_some(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_host_is_repeated() {
        let asked = |host: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_str(host).expect("a header"));
            asked_at(&Uri::from_static("/postman.json"), &headers)
        };
        for good in ["bank.example", "bank.example:8443", "127.0.0.1:8080", "[::1]:8080", "[2001:db8::1]", "localhost"]
        {
            assert_eq!(asked(good).as_deref(), Some(good));
        }
        for bad in [
            "",
            "user@bank.example",
            "user:word@bank.example",
            "bank.example/path",
            "bank.example\"",
            "bank.example:99999",
            "bank.example:",
            "bank example",
            "[::1",
            "[evil]:80",
            "bank_example",
            "bank.example?x",
            "a,b",
        ] {
            assert_eq!(asked(bad), None, "{bad}");
        }
        assert_eq!(asked_at(&Uri::from_static("/postman.json"), &HeaderMap::new()), None);
    }
}
