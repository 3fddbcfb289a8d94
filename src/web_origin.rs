//! Origins of web pages, as a browser writes them into the header `Origin` (WHATWG HTML, "serialization of an origin").

use url::Url;

/// The origin as a browser writes it, or why no page has it and what to set instead.
pub fn canonical(text: &str) -> Result<String, String> {
    let text = text.trim();
    let refuse = |why: &str| Err(format!("{why}; set origins such as https://app.example.com, separated by commas"));
    if text.is_empty() {
        return refuse("an origin is missing: two commas in a row, or one at an end");
    }
    if text.contains('*') {
        return refuse("there are no wildcards: list each origin by itself");
    }
    if text.eq_ignore_ascii_case("null") {
        return refuse("any page can have the origin null, by a sandbox for one, so it is not taken");
    }
    if text.chars().any(|char| char.is_whitespace() || char.is_control()) {
        return refuse("there is a space in it");
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        return refuse("the scheme is missing: write http:// or https:// before the host");
    };
    let (authority, after) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return refuse("an origin has no user name: leave out what stands before the @");
    }
    if !matches!(after, "" | "/") {
        return refuse("an origin ends with its host and port: leave out the path, the ? and the #");
    }
    match &*scheme.to_ascii_lowercase() {
        scheme @ ("http" | "https") => of_a_site(scheme, authority).or_else(|why| refuse(&why)),
        "file" => refuse("pages in files have the origin null, which is not taken: serve them over http"),
        "ws" | "wss" | "ftp" => refuse("pages come by http or https"),
        scheme => of_an_app(scheme, authority).or_else(|why| refuse(&why)),
    }
}

fn of_a_site(scheme: &str, authority: &str) -> Result<String, String> {
    let url = Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| format!("this is no host: {error}"))?;
    if url.host_str().is_some_and(|host| host.ends_with('.')) {
        return Err("a host with a dot at its end is another one: leave the dot out".to_owned());
    }
    if url.port() == Some(0) {
        return Err("no page comes from port 0".to_owned());
    }
    Ok(url.origin().ascii_serialization())
}

/// Browser extensions and apps have schemes of their own: chrome-extension://id, capacitor://localhost. Their hosts are
/// left as they are, because the browsers differ in that.
fn of_an_app(scheme: &str, authority: &str) -> Result<String, String> {
    let is_scheme = scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_scheme && is_host && is_port {
        return Ok(format!("{scheme}://{authority}"));
    }
    Err("this is no scheme with a host behind it".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn origins_become_what_a_browser_writes() {
        for (given, written) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://App.Example.com", "https://app.example.com"),
            ("https://app.example.com:443", "https://app.example.com"),
            ("https://app.example.com:0443", "https://app.example.com"),
            ("http://x:80", "http://x"),
            ("http://x:443", "http://x:443"),
            ("https://app.example.com:8443/", "https://app.example.com:8443"),
            ("https://app.example.com:", "https://app.example.com"),
            (" https://app.example.com\t", "https://app.example.com"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
            ("https://BÜCHER.example", "https://xn--bcher-kva.example"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
            ("https://%61pp.example", "https://app.example"),
            ("http://[::1]:3000", "http://[::1]:3000"),
            ("http://[0:0:0:0:0:0:0:1]", "http://[::1]"),
            ("http://[2001:DB8::1]:80", "http://[2001:db8::1]"),
            ("http://127.0.0.1:5173", "http://127.0.0.1:5173"),
            ("http://127.1", "http://127.0.0.1"),
            ("http://my_app", "http://my_app"),
            ("Chrome-Extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
            (
                "moz-extension://0b1c3d5e-0000-4000-8000-1234567890ab",
                "moz-extension://0b1c3d5e-0000-4000-8000-1234567890ab",
            ),
            ("safari-web-extension://0B1C3D5E-0000", "safari-web-extension://0B1C3D5E-0000"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("tauri://localhost/", "tauri://localhost"),
            ("ionic://localhost:8100", "ionic://localhost:8100"),
        ] {
            assert_eq!(canonical(given).as_deref(), Ok(written), "{given}");
        }
    }

    #[test]
    fn what_no_page_has_is_refused_with_the_reason() {
        for (given, reason) in [
            ("", "missing"),
            (" ", "missing"),
            ("*", "wildcards"),
            ("https://*.example.com", "wildcards"),
            ("null", "null"),
            ("NULL", "null"),
            ("app.example.com", "scheme"),
            ("localhost:3000", "scheme"),
            ("//app.example.com", "scheme"),
            ("https:app.example.com", "scheme"),
            ("https:\\\\app.example.com", "scheme"),
            ("mailto:ada@example.com", "scheme"),
            ("https://user@app.example.com", "user name"),
            ("https://user:word@app.example.com", "user name"),
            ("https://@app.example.com", "user name"),
            ("https://app.example.com/path", "path"),
            ("https://app.example.com//", "path"),
            ("https://app.example.com?", "?"),
            ("https://app.example.com?x", "?"),
            ("https://app.example.com/?x", "?"),
            ("https://app.example.com#x", "#"),
            ("https://app.example.com\\x", "path"),
            ("https://app.example.com.", "dot"),
            ("https://app.example.com。", "dot"),
            ("https://app.example.com https://other.example.com", "space"),
            ("https://exa\tmple.com", "space"),
            ("https://app.example.com:0", "port 0"),
            ("https://app.example.com:99999", "no host"),
            ("https://app.example.com:x", "no host"),
            ("https://", "no host"),
            ("https:///x", "path"),
            ("https://[::1", "no host"),
            ("https://::1", "no host"),
            ("https://exa<mple", "no host"),
            ("file://", "null"),
            ("file:///home/ada/page.html", "path"),
            ("wss://app.example.com", "http or https"),
            ("chrome-extension://", "scheme"),
            ("capacitor://localhost:0", "scheme"),
            ("capacitor://localhost:x", "scheme"),
            ("1password://localhost", "scheme"),
            ("blob:https://app.example.com", "scheme"),
        ] {
            let refusal = canonical(given).expect_err(given);
            assert!(refusal.contains(reason) && refusal.contains("https://app.example.com"), "{given}: {refusal}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_it_writes_it_takes(text in "\\PC*|https?://[a-zA-Z0-9.:\\[\\]%/@ü-]{0,20}") {
            if let Ok(written) = canonical(&text) {
                prop_assert_eq!(canonical(&written), Ok(written.clone()));
                prop_assert!(written.is_ascii());
            }
        }
    }
}
