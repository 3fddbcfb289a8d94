//! What is the same for everybody: the web app, Swagger UI, the OpenAPI document, the Postman collection. Compressed once,
//! and sent only to those who do not have it yet.
//!
//! Answers with money are never compressed: how long they are would tell what is in them (BREACH).

use std::io::Write;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, ETAG, VARY};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use crate::api::http::entity_tags::is_known;
use crate::api::http::negotiation::takes_coding;

/// Ask each time whether it has changed: mostly it has not, and 304 is all that is sent.
pub const REVALIDATE: HeaderValue = HeaderValue::from_static("no-cache");
/// For an address that means this content and no other.
pub const IMMUTABLE: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The first bytes of the content's SHA-256 that are its version: enough that no two files have the same.
const VERSION_BYTES: usize = 8;

/// A file in the forms in which it is sent. Clones share them.
#[derive(Clone, Debug)]
pub struct StaticFile {
    content_type: HeaderValue,
    /// The first bytes of the SHA-256 of the content, in hex.
    version: String,
    plain: Bytes,
    /// None of what does not become smaller, such as pictures.
    gzip: Option<Bytes>,
}

impl StaticFile {
    /// Compresses it, which takes long for a large one: keep what is returned.
    pub fn new(content_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        let file = Self::uncompressed(content_type, content);
        let gzip = gzip(&file.plain).filter(|compressed| compressed.len() < file.plain.len());
        Self { gzip, ..file }
    }

    /// For what is sent once.
    pub fn uncompressed(content_type: HeaderValue, content: impl Into<Bytes>) -> Self {
        let plain = content.into();
        let version = hex::encode(&Sha256::digest(&plain)[..VERSION_BYTES]);
        Self { content_type, version, plain, gzip: None }
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    /// 200 with the form that the client takes, or 304 when it has that already. Each form has a strong tag of its own.
    pub fn answer(&self, headers: &HeaderMap, caching: HeaderValue) -> Response {
        let gzip = self.gzip.as_ref().filter(|_| takes_coding(headers, "gzip"));
        let tag = format!("\"{}{}\"", self.version, if gzip.is_some() { "-gzip" } else { "" });
        let is_known = is_known(headers, &tag);
        let mut answer = match gzip {
            _ if is_known => StatusCode::NOT_MODIFIED.into_response(),
            Some(gzip) => ([(CONTENT_ENCODING, "gzip")], Body::from(gzip.clone())).into_response(),
            None => Body::from(self.plain.clone()).into_response(),
        };
        let told = answer.headers_mut();
        if !is_known {
            told.insert(CONTENT_TYPE, self.content_type.clone());
        }
        told.insert(CACHE_CONTROL, caching);
        told.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Ok(tag) = HeaderValue::from_str(&tag) {
            told.insert(ETAG, tag);
        }
        answer
    }
}

/// None if the memory for it is missing: then it goes uncompressed.
fn gzip(content: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(content.len() / 3), Compression::best());
    encoder.write_all(content).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderName;
    use axum::http::header::{ACCEPT_ENCODING, IF_NONE_MATCH};

    use super::*;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).expect("a header"))])
    }

    #[test]
    fn what_the_client_has_is_not_sent_again() {
        let file = StaticFile::new(HeaderValue::from_static("text/plain"), Bytes::from_static(b"x"));
        let status = |headers: &HeaderMap| file.answer(headers, REVALIDATE).status();
        let tag = format!("W/\"{}\"", file.version());
        assert_eq!(status(&headers(IF_NONE_MATCH, &tag)), StatusCode::NOT_MODIFIED);
        assert_eq!(status(&headers(IF_NONE_MATCH, "\"other\"")), StatusCode::OK);
        assert_eq!(status(&HeaderMap::new()), StatusCode::OK);
    }

    #[test]
    fn what_does_not_become_smaller_is_sent_as_it_is() {
        let file = StaticFile::new(HeaderValue::from_static("text/plain"), Bytes::from_static(b"x"));
        let answer = file.answer(&headers(ACCEPT_ENCODING, "gzip"), REVALIDATE);
        assert_eq!(answer.headers().get(CONTENT_ENCODING), None);
    }
}
