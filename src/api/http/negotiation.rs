//! Which of several forms of an answer a client wants: `Accept` and `Accept-Encoding`, as RFC 9110 sections 12.5.1 and
//! 12.5.3 have them.

use axum::http::header::{ACCEPT, ACCEPT_ENCODING};
use axum::http::{HeaderMap, HeaderName};

/// Which of the `offered` media types the client prefers: the first of those that it likes equally, and the first of
/// all when it says nothing. None when it takes none of them.
pub fn preferred<T: Copy>(headers: &HeaderMap, offered: &[(&str, T)]) -> Option<T> {
    if !headers.contains_key(ACCEPT) {
        return offered.first().map(|(_, form)| *form);
    }
    let ranges = ranges(headers, ACCEPT);
    let liked = |(media_type, form): &(&str, T)| Some((quality(&ranges, media_type)?, *form));
    // `max_by` takes the last of equals.
    let best = offered.iter().rev().filter_map(liked).max_by(|(a, _), (b, _)| a.total_cmp(b));
    best.map(|(_, form)| form)
}

/// Whether `Accept-Encoding` names the coding, or everything, and not with a quality of zero.
pub fn takes_coding(headers: &HeaderMap, coding: &str) -> bool {
    let ranges = ranges(headers, ACCEPT_ENCODING);
    let quality_of =
        |name| ranges.iter().find(|range| range.name.eq_ignore_ascii_case(name)).map(|range| range.quality);
    quality_of(coding).or_else(|| quality_of("*")).is_some_and(|quality| quality > 0.0)
}

/// The members of such a header, over all of its lines.
fn ranges(headers: &HeaderMap, name: HeaderName) -> Vec<Range<'_>> {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(Range::of).collect()
}

/// A media range such as `text/*;q=0.5`, or a coding. Parameters other than its quality make no difference.
struct Range<'a> {
    name: &'a str,
    quality: f32,
}

impl<'a> Range<'a> {
    /// A quality that is none counts as zero: the client did not say that it wants this.
    fn of(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let name = parts.next().unwrap_or_default();
        let named =
            parts.filter_map(|part| part.split_once('=')).find(|(parameter, _)| parameter.eq_ignore_ascii_case("q"));
        let quality = named.map_or(Some(1.0), |(_, value)| value.parse().ok().filter(|q| (0.0..=1.0).contains(q)));
        Self { name, quality: quality.unwrap_or(0.0) }
    }

    /// How closely the range names the media type; None when it does not.
    fn closeness(&self, media_type: &str) -> Option<u8> {
        let of_its_kind = || media_type.split_once('/').map(|(kind, _)| format!("{kind}/*")).unwrap_or_default();
        match self.name {
            "*/*" => Some(0),
            range if range.eq_ignore_ascii_case(&of_its_kind()) => Some(1),
            range if range.eq_ignore_ascii_case(media_type) => Some(2),
            _ => None,
        }
    }
}

/// The quality that the closest range gives the media type; None when the client does not take it.
fn quality(ranges: &[Range], media_type: &str) -> Option<f32> {
    let naming = ranges.iter().filter_map(|range| Some((range.closeness(media_type)?, range.quality)));
    naming.max_by_key(|(closeness, _)| *closeness).map(|(_, quality)| quality).filter(|quality| *quality > 0.0)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    const OFFERED: [(&str, &str); 2] = [("application/json", "json"), ("text/html", "html")];

    fn chosen(accept: &str) -> Option<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).expect("a header"));
        preferred(&headers, &OFFERED)
    }

    #[test]
    fn the_client_chooses_and_the_first_is_for_those_who_do_not() {
        assert_eq!(preferred(&HeaderMap::new(), &OFFERED), Some("json"));
        for (accept, form) in [
            ("*/*", Some("json")),
            ("text/html", Some("html")),
            ("TEXT/HTML; charset=utf-8", Some("html")),
            ("text/*", Some("html")),
            ("text/html;q=0.5, application/json;q=0.4", Some("html")),
            ("text/html, application/json", Some("json")),
            ("text/csv, */*;q=0.8", Some("json")),
            ("*/*, application/json;q=0.1", Some("html")),
            ("application/json;q=0, */*", Some("html")),
            ("application/json;q=0, text/html;q=0", None),
            ("text/html;q=nonsense", None),
            ("text/csv", None),
            ("", None),
        ] {
            assert_eq!(chosen(accept), form, "{accept}");
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_it_panic(accept in "[ -~]{0,60}|[a-z*/;=q0-9., ]{0,60}") {
            let _ = chosen(&accept);
        }
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("br, GZIP;q=0.8", true),
            ("deflate, *", true),
            ("*;q=0.1", true),
            ("gzip;q=0", false),
            ("gzip; q=0.0, *", false),
            ("gzip;q=nonsense", false),
            ("br, deflate", false),
            ("identity", false),
            ("x-gzipped", false),
            ("", false),
        ] {
            let value = HeaderValue::from_str(accepted).expect("a header");
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, value)]);
            assert_eq!(takes_coding(&headers, "gzip"), takes, "{accepted}");
        }
        assert!(!takes_coding(&HeaderMap::new(), "gzip"));
    }
}
