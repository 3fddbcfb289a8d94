//! Where to serve, as people write it.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// The port of addresses that name none.
const DEFAULT_PORT: u16 = 8080;
/// The host of ports that stand alone: a bank is open to other machines only if that is said.
const LOOPBACK: &str = "127.0.0.1";
/// The host of a port behind a colon, as in other servers.
const EVERYWHERE: &str = "0.0.0.0";
const HINT: &str = "send an address and a port such as 127.0.0.1:8080, 0.0.0.0:8080 or [::1]:8080, a name and a port \
                    such as localhost:8080, or a port alone";

/// An address or a name, which is resolved when it is used, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    pub host: String,
    pub port: u16,
}

impl FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { host: address.to_string(), port: DEFAULT_PORT });
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Self { host: LOOPBACK.to_owned(), port: parse_port(text)? });
        }
        let (host, port) = match text.rsplit_once(':') {
            // The colons of an address in brackets.
            Some((_, port)) if port.ends_with(']') => (text, DEFAULT_PORT),
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DEFAULT_PORT),
        };
        Ok(Self { host: parse_host(host)?, port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

fn parse_port(text: &str) -> Result<u16, String> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let port = if is_number { text.parse().ok() } else { None };
    port.ok_or_else(|| format!("{text:?} is no port, which is a number up to 65535; {HINT}"))
}

fn parse_host(text: &str) -> Result<String, String> {
    if text.is_empty() || text == "*" {
        return Ok(EVERYWHERE.to_owned());
    }
    if let Some(address) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
        // A link-local address has the network card behind a %.
        let is_address = address.split('%').next().is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        return if is_address { Ok(address.to_owned()) } else { Err(HINT.to_owned()) };
    }
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    if is_name { Ok(text.to_owned()) } else { Err(HINT.to_owned()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn all_usual_spellings_are_understood() {
        for (text, meant) in [
            ("127.0.0.1:8080", "127.0.0.1:8080"),
            ("0.0.0.0:80", "0.0.0.0:80"),
            ("9000", "127.0.0.1:9000"),
            ("0", "127.0.0.1:0"),
            (":9000", "0.0.0.0:9000"),
            ("*:9000", "0.0.0.0:9000"),
            ("0.0.0.0", "0.0.0.0:8080"),
            ("localhost", "localhost:8080"),
            ("localhost:9000", "localhost:9000"),
            ("bank.example.com:9000", "bank.example.com:9000"),
            ("::1", "[::1]:8080"),
            ("::", "[::]:8080"),
            ("[::1]", "[::1]:8080"),
            ("[::]:9000", "[::]:9000"),
            ("[fe80::1%eth0]:9000", "[fe80::1%eth0]:9000"),
            (" 127.0.0.1:8080\n", "127.0.0.1:8080"),
        ] {
            let address: ListenAddress = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(address.to_string(), meant, "{text}");
        }
    }

    #[test]
    fn everything_else_is_told_what_to_send() {
        for text in [
            "http://localhost:8080",
            "localhost:",
            "localhost:http",
            "127.0.0.1:65536",
            "70000",
            "127.0.0.1:-1",
            "127.0.0.1:+1",
            "a b:80",
            "[localhost]:80",
            "[::1:80",
            "/run/coffer.sock",
            "127.0.0.1:8080/",
        ] {
            let error = text.parse::<ListenAddress>().expect_err(text);
            assert!(error.contains("127.0.0.1:8080"), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_breaks_it_and_what_it_says_it_understands(text in "\\PC{0,40}") {
            if let Ok(address) = text.parse::<ListenAddress>() {
                prop_assert_eq!(address.to_string().parse::<ListenAddress>(), Ok(address));
            }
        }
    }
}
