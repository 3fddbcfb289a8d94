//! The bank's own address, as the client knows it.

use std::convert::Infallible;
use std::str::FromStr;

use axum::extract::FromRequestParts;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};

use crate::api::App;
use crate::connection::Peer;

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
    use axum::http::HeaderValue;

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
