//! Between the network and the handlers: the client's address, limits on requests, and the headers that keep a browser
//! from doing harm.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::http::header::{
    CONTENT_SECURITY_POLICY, HeaderMap, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::api::http::protocol::tokens;
use coffer_core::limits::{Policy, Quota, RequestLimit, network_of};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// Headers in which proxies say where a request came from. Only the first two are ever read.
static FORWARDED: [HeaderName; 5] = [
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("forwarded"),
];
/// Networks that are named in the log because they sent such a header and are not trusted: a bank has a few proxies,
/// and anybody can send one.
const MAX_NAMED: usize = 10;

/// An API answer is no page: nothing in it may load, run or be framed.
const API_POLICY: HeaderValue = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
/// Swagger UI: its own scripts and styles, and pictures that it carries along.
const DOCS_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The web app: its own files, a QR code as a `data:` picture, and no text that becomes markup.
const APP_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; \
     connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
     require-trusted-types-for 'script'",
);

/// No other window keeps a hold on ours, nor does another site's page load anything of ours into its process.
const CROSS_ORIGIN_OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const CROSS_ORIGIN_RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const ONE_YEAR_OF_TLS: HeaderValue = HeaderValue::from_static("max-age=31536000; includeSubDomains");

/// From one network: several balancers and orchestrators may ask once a second or so each. Probes cost next to nothing.
const PROBES_PER_SECOND: u32 = 100;
/// From one network: several scrapers may ask a few times a minute each. An answer takes a millisecond or so to write.
const METRICS_PER_SECOND: u32 = 5;

/// Everything that is decided before a handler sees the request.
pub struct Edge {
    trusted_proxies: Vec<IpNet>,
    requests: RequestLimit<IpAddr>,
    probes: RequestLimit<IpAddr>,
    metrics: RequestLimit<IpAddr>,
    serves_tls: bool,
    /// Networks that sent what only trusted proxies may, and that the log has named.
    untrusted: Mutex<HashSet<IpAddr>>,
}

impl Edge {
    pub fn new(trusted_proxies: Vec<IpNet>, requests_per_second: u32, serves_tls: bool) -> Self {
        // Without a limit on requests there is none here either.
        let rate = |per_second| if requests_per_second == 0 { 0 } else { per_second };
        Self {
            trusted_proxies,
            requests: RequestLimit::new(Policy::Address, Quota::per_second(requests_per_second)),
            probes: RequestLimit::new(Policy::Probes, Quota::per_second(rate(PROBES_PER_SECOND))),
            metrics: RequestLimit::new(Policy::Metrics, Quota::per_second(rate(METRICS_PER_SECOND))),
            serves_tls,
            untrusted: Mutex::default(),
        }
    }

    /// The quota that a request for this path counts against, by network: see [`coffer_core::limits::network_of`]. Probes and
    /// metrics have their own, so that a busy network is still seen to be well.
    pub fn limit_of(&self, path: &str) -> &RequestLimit<IpAddr> {
        match path {
            "/livez" | "/readyz" => &self.probes,
            "/metrics" => &self.metrics,
            _ => &self.requests,
        }
    }

    pub fn drop_idle(&self, now: Instant) {
        for limit in [&self.requests, &self.probes, &self.metrics] {
            limit.drop_idle(now);
        }
    }

    /// The client's address: the other end of the connection or, if that is a trusted proxy, the last address in
    /// `X-Forwarded-For` that is none. What stands before it was written by the client and may be anything.
    pub fn client_address(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let hops: Vec<&[u8]> = tokens(headers, X_FORWARDED_FOR).collect();
        self.find_client(peer, &hops).0
    }

    /// The client's address, and its place among the hops if it stands there.
    fn find_client(&self, peer: IpAddr, hops: &[&[u8]]) -> (IpAddr, Option<usize>) {
        let mut client = (peer.to_canonical(), None);
        for (place, hop) in hops.iter().enumerate().rev() {
            if !self.is_trusted(client.0) {
                break;
            }
            let Some(address) = std::str::from_utf8(hop).ok().and_then(parse_hop) else { break };
            client = (address.to_canonical(), Some(place));
        }
        client
    }

    /// How the client reaches the bank: as the bank itself serves it or, if the other end of the connection is a
    /// trusted proxy, as that says in `X-Forwarded-Proto`.
    pub fn scheme(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> &'static str {
        let is_behind_proxy = |peer: &IpAddr| self.is_trusted(peer.to_canonical());
        let forwarded = peer.filter(is_behind_proxy).and_then(|peer| self.forwarded_scheme(peer, headers));
        forwarded.unwrap_or(if self.serves_tls { "https" } else { "http" })
    }

    /// Several proxies in a row replace the header, pass it on, or add to it. Where each has added to it as to
    /// `X-Forwarded-For`, the scheme counts that stands beside the client's address: one before that was made up.
    /// Otherwise the first, which is the nearest to the client.
    fn forwarded_scheme(&self, peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
        let schemes: Vec<&[u8]> = tokens(headers, X_FORWARDED_PROTO).collect();
        let hops: Vec<&[u8]> = tokens(headers, X_FORWARDED_FOR).collect();
        let beside = self.find_client(peer, &hops).1.filter(|_| hops.len() == schemes.len());
        let scheme = schemes.get(beside.unwrap_or_default())?;
        ["https", "http"].into_iter().find(|known| scheme.eq_ignore_ascii_case(known.as_bytes()))
    }

    /// Warns, once for each network and a few times in all, of a peer that says where its requests come from and is not
    /// believed: a proxy that somebody forgot to list, whose clients then share its address, and its limits.
    pub fn notice_forwarded(&self, peer: IpAddr, headers: &HeaderMap) {
        let Some(header) = FORWARDED.iter().find(|name| headers.contains_key(*name)) else { return };
        let peer = peer.to_canonical();
        if !self.is_trusted(peer) && self.is_news(network_of(peer)) {
            tracing::warn!(
                "a request from {peer} came with the header {header}, which is not believed: if that is a proxy of yours, \
                 list it in COFFER_TRUSTED_PROXIES (--trusted-proxies); if not, somebody makes up where they come from"
            );
        }
    }

    fn is_news(&self, network: IpAddr) -> bool {
        let mut named = self.untrusted.lock().unwrap_or_else(PoisonError::into_inner);
        named.len() < MAX_NAMED && named.insert(network)
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        self.trusted_proxies.iter().any(|network| network.contains(&address))
    }

    /// Adds the headers of OWASP ASVS 5.0 3.4 and 3.5.8 that every answer gets.
    pub fn protect(&self, policy: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        headers.insert(CROSS_ORIGIN_OPENER_POLICY, HeaderValue::from_static("same-origin"));
        // This concerns no-cors requests alone: a page of a listed origin imports the JavaScript client by CORS, like
        // all modules.
        headers.insert(CROSS_ORIGIN_RESOURCE_POLICY, HeaderValue::from_static("same-origin"));
        if self.serves_tls {
            headers.insert(STRICT_TRANSPORT_SECURITY, ONE_YEAR_OF_TLS);
        }
    }
}

/// The Content-Security-Policy of the answer from this path.
pub fn content_policy(path: &str) -> HeaderValue {
    if path == "/" || path.starts_with("/web/") {
        APP_POLICY
    } else if path.starts_with("/swagger-ui") {
        DOCS_POLICY
    } else {
        API_POLICY
    }
}

/// An address, with or without a port: some gateways add theirs.
fn parse_hop(text: &str) -> Option<IpAddr> {
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let address = bracketed.unwrap_or(text).parse().ok();
    address.or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_trusted_proxies_are_believed() {
        let edge = Edge::new(vec!["10.0.0.0/8".parse().expect("a network")], 0, false);
        let client = |peer: &str, forwarded: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in forwarded {
                headers.append("x-forwarded-for", HeaderValue::from_bytes(value.as_bytes()).expect("a header"));
            }
            edge.client_address(peer.parse().expect("an address"), &headers).to_string()
        };
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.2"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &["é, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1,"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1:443"]), "198.51.100.1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(client("::ffff:10.0.0.1", &["2001:db8::1"]), "2001:db8::1");
    }

    #[test]
    fn a_proxy_that_is_not_trusted_is_news_once_and_a_crowd_makes_no_flood() {
        let edge = Edge::new(vec!["10.0.0.0/8".parse().expect("a network")], 0, false);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert!(edge.is_news(network_of(address("192.0.2.1"))));
        assert!(!edge.is_news(network_of(address("192.0.2.1"))));
        assert!(edge.is_news(network_of(address("2001:db8::1"))));
        assert!(!edge.is_news(network_of(address("2001:db8::2"))));
        let more = (0..255).filter(|n| edge.is_news(address(&format!("198.51.100.{n}")))).count();
        assert_eq!(more, MAX_NAMED - 2);
    }

    #[test]
    fn only_trusted_proxies_say_how_the_client_came() {
        let scheme = |serves_tls, peer: &str, forwarded: &str| {
            let edge = Edge::new(vec!["10.0.0.0/8".parse().expect("a network")], 0, serves_tls);
            let mut headers = HeaderMap::new();
            headers.insert("x-forwarded-proto", HeaderValue::from_str(forwarded).expect("a header"));
            edge.scheme(Some(peer.parse().expect("an address")), &headers)
        };
        assert_eq!(scheme(false, "10.0.0.1", "https"), "https");
        assert_eq!(scheme(false, "10.0.0.1", "HTTPS"), "https");
        assert_eq!(scheme(false, "::ffff:10.0.0.1", "https"), "https");
        assert_eq!(scheme(true, "10.0.0.1", "http"), "http");
        assert_eq!(scheme(false, "192.0.2.1", "https"), "http");
        assert_eq!(scheme(true, "192.0.2.1", "http"), "https");
        assert_eq!(scheme(false, "10.0.0.1", "javascript"), "http");
        assert_eq!(scheme(true, "10.0.0.1", ""), "https");
        assert_eq!(scheme(true, "10.0.0.1", ","), "https");
    }

    #[test]
    fn several_proxies_say_how_the_client_came() {
        let scheme = |hops: &[&str], schemes: &[&str]| {
            let edge = Edge::new(vec!["10.0.0.0/8".parse().expect("a network")], 0, false);
            let mut headers = HeaderMap::new();
            for (name, values) in [(X_FORWARDED_FOR, hops), (X_FORWARDED_PROTO, schemes)] {
                for value in values {
                    headers.append(name.clone(), HeaderValue::from_str(value).expect("a header"));
                }
            }
            edge.scheme(Some("10.0.0.1".parse().expect("an address")), &headers)
        };
        // Each has added to both lists, on one line or on several.
        assert_eq!(scheme(&["198.51.100.1, 10.0.0.2"], &["https,http"]), "https");
        assert_eq!(scheme(&["198.51.100.1", "10.0.0.2"], &["https", "http"]), "https");
        assert_eq!(scheme(&["198.51.100.1, 10.0.0.2"], &["http, https"]), "http");
        // So has the client, who came by plain HTTP.
        assert_eq!(scheme(&["6.6.6.6, 198.51.100.1, 10.0.0.2"], &["https, http, https"]), "http");
        assert_eq!(scheme(&["6.6.6.6, 198.51.100.1"], &["https, http"]), "http");
        // One of them has added to only one list, or to none.
        assert_eq!(scheme(&["198.51.100.1, 10.0.0.2"], &["https"]), "https");
        assert_eq!(scheme(&["198.51.100.1"], &["https, http"]), "https");
        assert_eq!(scheme(&[], &["https,http"]), "https");
        assert_eq!(scheme(&[], &["https", "http"]), "https");
        assert_eq!(scheme(&[], &["Https , http"]), "https");
        assert_eq!(scheme(&["nonsense"], &["https"]), "https");
        assert_eq!(scheme(&[], &["javascript,https"]), "http");
    }
}
