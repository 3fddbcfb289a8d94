//! CSV (RFC 4180) that spreadsheets can open, with texts that they do not run as formulas.

use axum::http::HeaderMap;

use crate::api::http::attachment;
use crate::api::http::error::{Error, Result};

/// U+FEFF in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

pub const CONTENT_TYPE: &str = "text/csv; charset=utf-8; header=present";

/// The headers of a file that a browser saves as `name-2026-01-31.csv`.
pub fn file_headers(name: &str) -> HeaderMap {
    attachment::headers(CONTENT_TYPE, &format!("{name}-{}.csv", attachment::today()))
}

/// The names of the columns, behind a byte order mark: without one Excel takes the file for one in the code page of its
/// country, and shows `MÃ¼ller`. RFC 4180 is silent about it; readers that know UTF-8 know the mark.
pub fn header(columns: &[&str]) -> Result<Vec<u8>> {
    Ok([BYTE_ORDER_MARK, &row(columns)?].concat())
}

/// One record as RFC 4180 has it.
pub fn row(fields: &[&str]) -> Result<Vec<u8>> {
    let failed = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
    let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    writer.write_record(fields).map_err(|error| failed(&error))?;
    writer.into_inner().map_err(|error| failed(&error))
}

/// A text that a spreadsheet shows and does not run (OWASP, "CSV Injection"): an apostrophe before each formula's first
/// character where a cell could begin, which is at the beginning and, where semicolons separate, after each of them;
/// quotation marks and spaces before it do not count, because a program may drop them. An apostrophe that stands there
/// gets another one, so that nothing is lost: see the description of `GET /accounts/{account_number}/statement`.
pub fn without_formulas(text: &str) -> String {
    let mut safe = String::with_capacity(text.len() + 1);
    let mut begins_cell = true;
    for c in text.chars() {
        if begins_cell && matches!(c, '=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '＝' | '＋' | '－' | '＠' | '\'')
        {
            safe.push('\'');
        }
        safe.push(c);
        begins_cell = c == ';' || (begins_cell && matches!(c, '"' | ' '));
    }
    safe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the routes' descriptions say.
    fn undone(text: &str) -> String {
        let without = |cell: &str| {
            let begins = cell.len() - cell.trim_start_matches(['"', ' ']).len();
            let (dropped, rest) = cell.split_at(begins);
            format!("{dropped}{}", rest.strip_prefix('\'').unwrap_or(rest))
        };
        text.split(';').map(without).collect::<Vec<_>>().join(";")
    }

    #[test]
    fn formulas_are_shown_and_not_run() {
        for (text, safe) in [
            ("a;\"=1+1", "a;\"'=1+1"),
            ("Rent", "Rent"),
            ("=1+1", "'=1+1"),
            ("-1", "'-1"),
            ("a;@SUM(A1)", "a;'@SUM(A1)"),
            ("＝1+1", "'＝1+1"),
            ("'t is", "''t is"),
            ("a-b = c", "a-b = c"),
        ] {
            assert_eq!(without_formulas(text), safe);
        }
    }

    proptest! {
        #[test]
        fn what_is_made_safe_is_safe_and_can_be_undone(text in "[=+@';a\"-]{0,12}|\\PC{0,40}") {
            let safe = without_formulas(&text);
            prop_assert!(!safe.split(';').any(|cell| cell.starts_with(['=', '+', '-', '@'])));
            prop_assert_eq!(undone(&safe), text);
        }
    }
}
