//! Entity tags, and the headers that compare them: RFC 9110 sections 8.8.3, 13.1.1 and 13.1.2.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::header::{IF_MATCH, IF_NONE_MATCH};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::api::http::error::{Error, Result};
use coffer_core::problem_code::ProblemCode;

/// A tag that a client has sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EntityTag<'a> {
    is_weak: bool,
    /// The text between the quotes.
    opaque: &'a [u8],
}

/// The value of `If-Match` or `If-None-Match`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags<'a> {
    /// `*`
    Any,
    Listed(Vec<EntityTag<'a>>),
}

/// The lines of `If-None-Match`, if there are any.
#[derive(Clone, Debug, Default)]
pub struct IfNoneMatch(Vec<HeaderValue>);

/// `If-Match`: the tags that count, without their quotes. None when there is no such header or when it is `*`, which
/// everything matches that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IfMatch(pub Option<Vec<String>>);

/// Refuses a request with `If-Match`, where no single account could be meant: to ignore it would be to do what the client
/// has asked not to be done.
#[derive(Clone, Copy, Debug)]
pub struct NoIfMatch;

impl IfNoneMatch {
    pub fn is_sent(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether it names the tag, which is given with its quotes. Compared weakly: a proxy that compresses makes weak tags
    /// of strong ones. A header that is no list of tags names none.
    pub fn names(&self, tag: &str) -> bool {
        names(self.0.iter(), tag)
    }
}

/// The same for headers at hand.
pub fn is_known(headers: &HeaderMap, tag: &str) -> bool {
    names(headers.get_all(IF_NONE_MATCH).iter(), tag)
}

fn names<'a>(lines: impl Iterator<Item = &'a HeaderValue>, tag: &str) -> bool {
    let opaque = tag.trim_matches('"').as_bytes();
    match parse(lines.map(HeaderValue::as_bytes)) {
        Some(Tags::Any) => true,
        Some(Tags::Listed(tags)) => tags.iter().any(|known| known.opaque == opaque),
        None => false,
    }
}

/// The tags of all lines together; None when that is no list of tags, nor `*`.
fn parse<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Option<Tags<'a>> {
    let (mut tags, mut has_any) = (Vec::new(), false);
    for line in lines {
        let mut rest = line.trim_ascii();
        while !rest.is_empty() {
            if let Some(after) = rest.strip_prefix(b"*") {
                (has_any, rest) = (true, after);
            } else if let Some(after) = rest.strip_prefix(b",") {
                // An empty member, which RFC 9110 section 5.6.1 allows.
                rest = after.trim_ascii_start();
                continue;
            } else {
                let (tag, after) = parse_tag(rest)?;
                tags.push(tag);
                rest = after;
            }
            rest = rest.trim_ascii_start();
            rest = if rest.is_empty() { rest } else { rest.strip_prefix(b",")?.trim_ascii_start() };
        }
    }
    match (has_any, tags.is_empty()) {
        (true, true) => Some(Tags::Any),
        (false, false) => Some(Tags::Listed(tags)),
        _ => None,
    }
}

/// The tag that the text begins with, and the rest. A tag may have commas.
fn parse_tag(text: &[u8]) -> Option<(EntityTag<'_>, &[u8])> {
    let (is_weak, quoted) = text.strip_prefix(b"W/").map_or((false, text), |quoted| (true, quoted));
    let quoted = quoted.strip_prefix(b"\"")?;
    let end = quoted.iter().position(|byte| *byte == b'"')?;
    let (opaque, rest) = (&quoted[..end], &quoted[end + 1..]);
    // etagc: visible ASCII but the quote, or anything beyond ASCII.
    let is_tag = opaque.iter().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii());
    is_tag.then_some((EntityTag { is_weak, opaque }, rest))
}

impl<S: Send + Sync> FromRequestParts<S> for IfNoneMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(lines_of(parts, &IF_NONE_MATCH)))
    }
}

fn lines_of(parts: &Parts, name: &HeaderName) -> Vec<HeaderValue> {
    parts.headers.get_all(name).iter().cloned().collect()
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        if !parts.headers.contains_key(IF_MATCH) {
            return Ok(Self(None));
        }
        let lines = parts.headers.get_all(IF_MATCH).iter().map(HeaderValue::as_bytes);
        match parse(lines).ok_or_else(malformed)? {
            Tags::Any => Ok(Self(None)),
            // None of the bank's has anything beyond ASCII.
            Tags::Listed(tags) if !tags.iter().all(|tag| tag.opaque.is_ascii()) => Err(malformed()),
            // Compared strongly: a weak tag matches nothing.
            Tags::Listed(tags) => Ok(Self(Some(tags.iter().filter(|tag| !tag.is_weak).map(EntityTag::text).collect()))),
        }
    }
}

impl EntityTag<'_> {
    fn text(&self) -> String {
        String::from_utf8_lossy(self.opaque).into_owned()
    }
}

fn malformed() -> Error {
    let detail = "send an ETag as it came, in its quotes, such as \"17\"; several with commas between, or * for any";
    Error::invalid("If-Match", ProblemCode::IfMatchMalformed, detail)
}

impl<S: Send + Sync> FromRequestParts<S> for NoIfMatch {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self> {
        if !parts.headers.contains_key(IF_MATCH) {
            return Ok(Self);
        }
        let detail = "leave it out: this may move money on several accounts, and the header cannot say which it means";
        Err(if_match_unsupported(detail))
    }
}

/// 422 about the header.
pub fn if_match_unsupported(detail: &str) -> Error {
    Error::invalid("If-Match", ProblemCode::IfMatchUnsupported, detail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn if_none_match(lines: &[&str]) -> IfNoneMatch {
        IfNoneMatch(lines.iter().map(|line| HeaderValue::from_str(line).expect("a header")).collect())
    }

    #[test]
    fn what_the_client_has_is_compared_weakly() {
        for (known, has) in [
            (&["\"a\""][..], true),
            (&["W/\"a\""], true),
            (&["\"b\", \"a\""], true),
            (&["\"b\"", "W/\"c\" , \"a\""], true),
            (&[" ,, \"b\",\t, \"a\" ,"], true),
            (&["\"x,y\",\"a\""], true),
            (&["*"], true),
            (&["\"\""], false),
            (&["\"a-gzip\""], false),
            (&["a"], false),
            (&["\"a\" \"b\""], false),
            (&["w/\"a\""], false),
            (&["*, \"b\""], false),
            (&["**"], false),
            (&["\"a"], false),
            (&["\"b c\", \"a\""], false),
            (&[""], false),
            (&[], false),
        ] {
            assert_eq!(if_none_match(known).names("\"a\""), has, "{known:?}");
        }
    }

    #[test]
    fn a_quote_within_a_tag_ends_it() {
        let line = b"W/\"a\", \"b,\xe9\"";
        let expected = [EntityTag { is_weak: true, opaque: b"a" }, EntityTag { is_weak: false, opaque: b"b,\xe9" }];
        assert_eq!(parse([&line[..]].into_iter()), Some(Tags::Listed(expected.into())));
        assert_eq!(parse([&b"\"a\"b\""[..]].into_iter()), None);
    }

    proptest! {
        #[test]
        fn no_header_makes_the_parser_panic(lines in prop::collection::vec("[ -~\u{e9}]{0,30}|[\"W/*, a]{0,12}", 0..3)) {
            let _ = parse(lines.iter().map(String::as_bytes));
        }

        #[test]
        fn every_tag_is_read_back(tags in prop::collection::vec(("[!#-~]{0,8}", any::<bool>()), 1..5)) {
            let quoted: Vec<_> = tags.iter().map(|(tag, weak)| format!("{}\"{tag}\"", if *weak { "W/" } else { "" })).collect();
            let line = quoted.join(" ,");
            let expected = tags.iter().map(|(tag, is_weak)| EntityTag { is_weak: *is_weak, opaque: tag.as_bytes() });
            prop_assert_eq!(parse([line.as_bytes()].into_iter()), Some(Tags::Listed(expected.collect())));
        }
    }
}
