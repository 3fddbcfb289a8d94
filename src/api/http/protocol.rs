//! The rules of HTTP/1.1 (RFC 9112) that hyper leaves to those who use it. They are checked before anything else looks
//! at a request: the bank refuses what two programs in a row could read in two ways.

use std::net::Ipv6Addr;

use axum::extract::Request;
use axum::http::header::{EXPECT, HOST, TRANSFER_ENCODING};
use axum::http::{HeaderMap, HeaderName, StatusCode, Version};

use crate::api::http::error::{Error, Result};
use crate::connection::TwoLengths;
use coffer_core::problem_code::ProblemCode;

pub fn check(request: &Request) -> Result<()> {
    check_host(request)?;
    check_length(request)?;
    check_expectation(request)
}

/// RFC 9112 section 3.2: HTTP/1.1 takes one Host, nobody sends two, and each is a host. So is what stands in the
/// target.
fn check_host(request: &Request) -> Result<()> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let detail = match (hosts.next(), hosts.next()) {
        (None, _) if request.version() == Version::HTTP_11 => "Send one Host header, as HTTP/1.1 requires.",
        (Some(_), Some(_)) => "Send one Host header: there were several.",
        (Some(host), None) if !is_host(host.as_bytes()) => {
            "The Host header is no host. Send the name or address that you connect to, with its port if that is not the \
             usual one."
        }
        _ if request.uri().authority().is_some_and(|authority| !is_host(authority.as_str().as_bytes())) => {
            "The request's target begins with something that is no host. Send a path, or http:// and a host before it."
        }
        _ => return Ok(()),
    };
    Err(Error::client(StatusCode::BAD_REQUEST, ProblemCode::HostInvalid, detail))
}

/// A host with or without a port, as RFC 3986 section 3.2.2 writes it. No comma, although a name could have one: that
/// would be two headers that a proxy has joined.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = match text.rfind(':') {
        Some(colon) if !text.ends_with(']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, ""),
    };
    let is_port = port.is_empty() || port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_host = match host.strip_prefix('[') {
        Some(literal) => literal.strip_suffix(']').is_some_and(|address| address.parse::<Ipv6Addr>().is_ok()),
        None => is_name(host.as_bytes()),
    };
    is_host && is_port
}

fn is_name(mut text: &[u8]) -> bool {
    if text.is_empty() {
        return false;
    }
    while let Some((first, rest)) = text.split_first() {
        text = match first {
            b'%' if rest.len() >= 2 && rest[..2].iter().all(u8::is_ascii_hexdigit) => &rest[2..],
            byte if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(byte) => rest,
            _ => return false,
        };
    }
    true
}

/// RFC 9112 sections 6.1 and 6.3: where the body ends must be said once, and in a way that everybody reads alike.
fn check_length(request: &Request) -> Result<()> {
    if request.extensions().get::<TwoLengths>().is_some() {
        let detail = "Send Content-Length or Transfer-Encoding, not both: a body has one length.";
        return Err(Error::client(StatusCode::BAD_REQUEST, ProblemCode::LengthAmbiguous, detail));
    }
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return Ok(());
    }
    let codings = || tokens(request.headers(), TRANSFER_ENCODING);
    let chunked = codings().filter(|coding| coding.eq_ignore_ascii_case(b"chunked")).count();
    let others = codings().count() - chunked;
    let (status, detail) = match (chunked, others) {
        (1, 0) => return Ok(()),
        (_, 0) => (StatusCode::BAD_REQUEST, "Send \"Transfer-Encoding: chunked\" once: nothing is in chunks twice."),
        _ => (StatusCode::NOT_IMPLEMENTED, "Send no other Transfer-Encoding than chunked, or a Content-Length."),
    };
    Err(Error::client(status, ProblemCode::TransferEncodingUnsupported, detail))
}

/// RFC 9110 section 10.1.1. HTTP/1.0 knows no expectations.
fn check_expectation(request: &Request) -> Result<()> {
    let is_known = |expectation: &[u8]| expectation.eq_ignore_ascii_case(b"100-continue");
    if request.version() == Version::HTTP_10 || tokens(request.headers(), EXPECT).all(is_known) {
        return Ok(());
    }
    let detail = "Expect nothing but 100-continue, or leave the header Expect out.";
    Err(Error::client(StatusCode::EXPECTATION_FAILED, ProblemCode::ExpectationFailed, detail))
}

/// The members of a header that is a list, over all of its lines.
pub fn tokens(headers: &HeaderMap, name: HeaderName) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(name).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    values.map(<[u8]>::trim_ascii).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hosts_are_names_or_addresses_with_or_without_a_port() {
        for good in [
            "bank",
            "bank.example",
            "BANK.example.",
            "bank.example:8443",
            "bank.example:",
            "my_bank",
            "xn--bcher-kva.example",
            "b%C3%BCcher",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]",
            "[::1]:8080",
            "[2001:DB8::192.0.2.1]",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "a b",
            "a/b",
            "a@b",
            "user:word@b",
            "a:b",
            "a:b:c",
            "a:80:80",
            "a:99999",
            "a:-1",
            "a:+1",
            "[::1",
            "::1",
            "[::1]x",
            "[]",
            "[bank]",
            "[fe80::1%25eth0]",
            "a,b",
            "a?b",
            "a#b",
            "a\\b",
            "a\"b",
            "a<b>",
            "a%",
            "a%4",
            "a%zz",
            "bücher",
            "http://a",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
        assert!(!is_host(b"\xff"));
    }

    proptest! {
        #[test]
        fn no_host_makes_the_check_panic(text in "\\PC*|[\\[\\]:%a0.]{0,8}") {
            let _ = is_host(text.as_bytes());
        }
    }
}
