//! Calls by web pages of other origins: from the listed ones, with a token but never with cookies.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::header::{
    AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_TYPE, ETAG, HOST, IF_MATCH, IF_NONE_MATCH, LINK, LOCATION, ORIGIN,
    RETRY_AFTER,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use tower_http::cors::{AllowOrigin, CorsLayer};

use crate::api::http::rate_limits::{RATE_LIMIT, RATE_LIMIT_POLICY};
use crate::api::http::waiting::{PREFER, PREFERENCE_APPLIED};
use coffer_core::request_ids::{CLIENT_REQUEST_ID, REQUEST_ID};

/// How long a browser may remember the answer to a preflight.
const PREFLIGHT_LIFETIME: Duration = Duration::from_secs(600);
/// Refused origins that are named in the log. Anybody can invent some: more are not remembered.
const MAX_NAMED: usize = 100;
/// The most that the log shows of one, in bytes. A host has at most 253.
const MAX_SHOWN: usize = 300;

/// Which web pages may call. Clones share it.
#[derive(Clone, Default)]
pub struct Origins(Arc<Inner>);

#[derive(Default)]
struct Inner {
    allowed: Vec<HeaderValue>,
    /// Refused origins that the log has named already.
    refused: Mutex<HashSet<String>>,
}

impl Origins {
    pub fn new(allowed: Vec<HeaderValue>) -> Self {
        Self(Arc::new(Inner { allowed, refused: Mutex::default() }))
    }

    /// The layer that answers preflight requests and marks the answers that pages may read. None when no page may.
    pub fn layer(&self) -> Option<CorsLayer> {
        let origins = self.clone();
        let layer = CorsLayer::new()
            .allow_origin(AllowOrigin::predicate(move |origin, parts| origins.allow(origin, &parts.headers)))
            .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
            .allow_headers([
                AUTHORIZATION,
                CONTENT_TYPE,
                HeaderName::from_static("idempotency-key"),
                IF_MATCH,
                IF_NONE_MATCH,
                HeaderName::from_static("last-event-id"),
                PREFER,
                REQUEST_ID,
            ])
            .expose_headers([
                ETAG,
                LOCATION,
                LINK,
                PREFERENCE_APPLIED,
                CONTENT_DISPOSITION,
                RETRY_AFTER,
                REQUEST_ID,
                CLIENT_REQUEST_ID,
                HeaderName::from_static("idempotent-replayed"),
                RATE_LIMIT,
                RATE_LIMIT_POLICY,
            ])
            .max_age(PREFLIGHT_LIFETIME);
        (!self.0.allowed.is_empty()).then_some(layer)
    }

    /// Where no page may call, no layer looks at requests: this does.
    pub fn notice(&self, headers: &HeaderMap) {
        if let (true, Some(origin)) = (self.0.allowed.is_empty(), headers.get(ORIGIN)) {
            self.allow(origin, headers);
        }
    }

    fn allow(&self, origin: &HeaderValue, headers: &HeaderMap) -> bool {
        let is_allowed = self.0.allowed.contains(origin);
        if !is_allowed && let Some(origin) = self.news(origin, headers) {
            tracing::warn!(
                origin,
                "a web page of this origin was refused: COFFER_CORS_ORIGINS (--cors-origins) does not list it"
            );
        }
        is_allowed
    }

    /// The origin, if the page is of another than the bank's and this was not known.
    fn news(&self, origin: &HeaderValue, headers: &HeaderMap) -> Option<String> {
        if is_the_banks_own(origin, headers) {
            return None;
        }
        let bytes = origin.as_bytes();
        let shown = bytes[..bytes.len().min(MAX_SHOWN)].escape_ascii().to_string();
        let mut refused = self.0.refused.lock().unwrap_or_else(PoisonError::into_inner);
        (refused.len() < MAX_NAMED && refused.insert(shown.clone())).then_some(shown)
    }
}

/// Whether the page comes from here. Newer browsers say so; otherwise the origin has the host that was asked.
fn is_the_banks_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin";
    }
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let Some((scheme, authority)) = origin.to_str().ok().and_then(|origin| origin.split_once("://")) else {
        return false;
    };
    let usual_port = if scheme == "https" { ":443" } else { ":80" };
    let without = |authority: &str| authority.strip_suffix(usual_port).unwrap_or(authority).to_ascii_lowercase();
    without(authority) == without(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a header");
        pairs.iter().map(|(name, text)| (HeaderName::from_static(name), value(text))).collect()
    }

    #[test]
    fn a_refused_origin_is_news_once() {
        let origins = Origins::new(vec![HeaderValue::from_static("https://app.example")]);
        let at_the_bank = headers(&[("host", "bank.example")]);
        let news = |origin: &str| origins.news(&HeaderValue::from_str(origin).expect("a header"), &at_the_bank);
        assert_eq!(news("https://evil.example").as_deref(), Some("https://evil.example"));
        assert_eq!(news("https://evil.example"), None);
        assert_eq!(news("null").as_deref(), Some("null"));
        assert_eq!(news("https://é.example").as_deref(), Some("https://\\xc3\\xa9.example"));
        assert_eq!(news(&"x".repeat(10_000)).map(|shown| shown.len()), Some(MAX_SHOWN));
        let named = (0..1_000).filter(|number| news(&format!("https://evil{number}.example")).is_some()).count();
        assert_eq!(named, MAX_NAMED - 4);
    }

    #[test]
    fn the_banks_own_pages_are_no_news() {
        for (origin, asked) in [
            ("https://bank.example", &[("host", "bank.example")][..]),
            ("https://bank.example", &[("host", "Bank.Example:443")]),
            ("http://bank.example", &[("host", "bank.example:80")]),
            ("http://127.0.0.1:8080", &[("host", "127.0.0.1:8080")]),
            ("https://bank.example", &[("host", "10.0.0.7:8080"), ("sec-fetch-site", "same-origin")]),
        ] {
            assert_eq!(Origins::default().news(&HeaderValue::from_static(origin), &headers(asked)), None, "{origin}");
        }
        for (origin, asked) in [
            ("https://bank.example", &[("host", "bank.example:8443")][..]),
            ("https://bank.example:8443", &[("host", "bank.example")]),
            ("https://evil.example", &[("host", "bank.example"), ("sec-fetch-site", "cross-site")]),
            ("https://app.bank.example", &[("host", "bank.example"), ("sec-fetch-site", "same-site")]),
            ("null", &[("host", "bank.example")]),
        ] {
            assert!(Origins::default().news(&HeaderValue::from_static(origin), &headers(asked)).is_some(), "{origin}");
        }
    }
}
