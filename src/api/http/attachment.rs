//! Answers that browsers and `curl -OJ` keep as a file.

use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

use coffer_core::timestamp::Timestamp;

/// The headers of a file with this name, which is ours and has nothing that a header cannot hold.
pub fn headers(content_type: &'static str, file_name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{file_name}\"")) {
        headers.insert(CONTENT_DISPOSITION, disposition);
    }
    headers
}

/// Today's date in UTC, for the name of a file: `2026-01-31`.
pub fn today() -> String {
    Timestamp::now().to_string().chars().take_while(|c| *c != 'T').collect()
}
