//! Where webhooks may lead to. The bank stands inside a network, and its address must not be lent to whoever writes a URL
//! (OWASP API7:2023, server side request forgery): what counts is the address that is connected to, at that moment.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, de};
use url::{Host, Url};

use coffer_core::problem_code::ProblemCode;
use coffer_core::schema::{scalar_schema, string};

/// In bytes.
const MAX_URL_LENGTH: usize = 500;

/// IPv4 addresses that are not for everybody (the IANA special-purpose registry, RFC 6890), and multicast.
const NOT_PUBLIC: [Ipv4Net; 14] = [
    v4([0, 0, 0, 0], 8),
    v4([10, 0, 0, 0], 8),
    v4([100, 64, 0, 0], 10),
    v4([127, 0, 0, 0], 8),
    v4([169, 254, 0, 0], 16),
    v4([172, 16, 0, 0], 12),
    v4([192, 0, 0, 0], 24),
    v4([192, 0, 2, 0], 24),
    v4([192, 88, 99, 0], 24),
    v4([192, 168, 0, 0], 16),
    v4([198, 18, 0, 0], 15),
    v4([198, 51, 100, 0], 24),
    v4([203, 0, 113, 0], 24),
    // Multicast, reserved and broadcast.
    v4([224, 0, 0, 0], 3),
];

/// Of IPv6 only this is given out to be reached by everybody (RFC 4291, section 2.4)...
const GLOBAL_UNICAST: Ipv6Net = v6([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);
/// ...but for protocols (Teredo among them), documentation, and 6to4, which leads to IPv4.
const NOT_GLOBAL: [Ipv6Net; 4] = [
    v6([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    v6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    v6([0x2002, 0, 0, 0, 0, 0, 0, 0], 16),
    v6([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
];

const fn v4([a, b, c, d]: [u8; 4], prefix: u8) -> Ipv4Net {
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), prefix)
}

const fn v6(s: [u16; 8], prefix: u8) -> Ipv6Net {
    Ipv6Net::new_assert(Ipv6Addr::new(s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), prefix)
}

/// Where a webhook may lead to.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// Networks of the bank's own that it may reach, also without TLS.
    networks: Vec<IpNet>,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    Tls,
    /// For the bank's own networks alone.
    Plain,
}

/// An address that a webhook must not lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RefusedAddress {
    #[error("{0} is a private address, and not among COFFER_WEBHOOK_NETWORKS")]
    Private(IpAddr),
    #[error("{0} is reached without TLS, and not among COFFER_WEBHOOK_NETWORKS: use https")]
    Plain(IpAddr),
}

impl Destinations {
    pub fn new(networks: Vec<IpNet>) -> Self {
        Self { networks }
    }

    pub fn check(&self, address: IpAddr, protection: Protection) -> Result<(), RefusedAddress> {
        let canonical = address.to_canonical();
        if self.networks.iter().any(|network| network.contains(&canonical)) {
            return Ok(());
        }
        match protection {
            _ if !is_public(canonical) => Err(RefusedAddress::Private(address)),
            Protection::Plain => Err(RefusedAddress::Plain(address)),
            Protection::Tls => Ok(()),
        }
    }

    /// Those of the addresses that may be connected to, or why there is none.
    pub fn admitted(
        &self,
        found: impl Iterator<Item = SocketAddr>,
        protection: Protection,
    ) -> Result<Vec<SocketAddr>, Option<RefusedAddress>> {
        let (mut admitted, mut refused) = (Vec::new(), None);
        for address in found {
            match self.check(address.ip(), protection) {
                Ok(()) => admitted.push(address),
                Err(refusal) => refused = Some(refusal),
            }
        }
        if admitted.is_empty() { Err(refused) } else { Ok(admitted) }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !NOT_PUBLIC.iter().any(|network| network.contains(&v4)),
        IpAddr::V6(v6) => GLOBAL_UNICAST.contains(&v6) && !NOT_GLOBAL.iter().any(|network| network.contains(&v6)),
    }
}

/// The URL of a webhook: `https` or `http`, with a host, without user, password and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookUrl(Url);

/// The text is no such URL. Prints as `code: what to send instead`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{code}: send a URL of at most {MAX_URL_LENGTH} bytes that begins with https:// and has no user, password or fragment, \
     such as \"https://shop.example.com/coffer\"",
    code = ProblemCode::UrlMalformed
)]
pub struct WebhookUrlError;

impl WebhookUrl {
    pub fn parse(text: &str) -> Result<Self, WebhookUrlError> {
        let url = Url::parse(text).map_err(|_| WebhookUrlError)?;
        let has_address = matches!(url.scheme(), "https" | "http") && url.has_host();
        let has_secret = !url.username().is_empty() || url.password().is_some();
        // What the parser would take silently, a line break in the middle say, was not meant.
        let is_clean = text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_short = text.len() <= MAX_URL_LENGTH && url.as_str().len() <= MAX_URL_LENGTH;
        match has_address && is_clean && is_short && !has_secret && url.fragment().is_none() {
            true => Ok(Self(url)),
            false => Err(WebhookUrlError),
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    pub fn protection(&self) -> Protection {
        if self.0.scheme() == "https" { Protection::Tls } else { Protection::Plain }
    }

    /// The address, of a URL that has one in the place of a name.
    pub fn address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
        }
    }
}

impl<'de> Deserialize<'de> for WebhookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Whatever is taken matches it; of what matches, a port above 65535, say, is refused.
const URL_PATTERN: &str = r"^https?://([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?(/[!-\x22$-~]*)?(\?[!-\x22$-~]*)?$";

scalar_schema!(
    WebhookUrl,
    "Where events are sent: `https`, or `http` within COFFER_WEBHOOK_NETWORKS; no user, password or fragment.",
    string().pattern(Some(URL_PATTERN)).max_length(Some(MAX_URL_LENGTH)).examples(["https://shop.example.com/coffer"])
);

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn only_public_addresses_are_reached_unless_the_bank_says_so() {
        let nothing = Destinations::default();
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.255.255",
            "192.168.0.1",
            "192.0.0.1",
            "198.19.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::1",
            "100::1",
            "3fff::1",
        ] {
            let refused = nothing.check(address(private), Protection::Tls);
            assert_eq!(refused, Err(RefusedAddress::Private(address(private))), "{private}");
        }
        for public in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.255", "2606:4700::1111", "2001:4860::8888"]
        {
            assert_eq!(nothing.check(address(public), Protection::Tls), Ok(()), "{public}");
            let refused = nothing.check(address(public), Protection::Plain);
            assert_eq!(refused, Err(RefusedAddress::Plain(address(public))), "{public}");
        }
    }

    #[test]
    fn what_the_bank_names_is_reached_with_and_without_tls() {
        let own = Destinations::new(vec!["10.0.0.0/8".parse().expect("a network")]);
        for protection in [Protection::Tls, Protection::Plain] {
            assert_eq!(own.check(address("10.9.9.9"), protection), Ok(()));
            assert_eq!(own.check(address("::ffff:10.9.9.9"), protection), Ok(()));
            assert!(own.check(address("192.168.0.1"), protection).is_err());
        }
        let both = ["192.168.0.1:443", "10.0.0.1:443"].map(|text| text.parse().expect("an address and a port"));
        assert_eq!(own.admitted(both.into_iter(), Protection::Tls), Ok(vec![both[1]]));
        assert!(own.admitted(both.into_iter().take(1), Protection::Tls).is_err());
    }

    #[test]
    fn a_url_is_what_it_says() {
        let schema = regex::Regex::new(URL_PATTERN).expect("a pattern");
        for right in [
            "https://a.example/x?y=z",
            "https://a.example/?q=a%20b&c[]=~",
            "http://10.0.0.1:8080/",
            "https://a.example:65535/",
            "https://[2606:4700::1111]/hook",
        ] {
            assert_eq!(WebhookUrl::parse(right).expect(right).as_str(), right);
            assert!(schema.is_match(right), "{right}");
        }
        for right in ["https://Shop.Example.com", "https://a.example?q=1"] {
            assert!(WebhookUrl::parse(right).is_ok() && schema.is_match(right), "{right}");
        }
        for wrong in [
            "",
            "shop.example.com",
            "ftp://a.example/",
            "https://",
            "https://user@a.example/",
            "https://:pw@a.example/",
            "https://a.example/#part",
            "https://a.exa mple/",
            "https://a.example/\n",
            " https://a.example/",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "https://a.example:99999/",
        ] {
            assert_eq!(WebhookUrl::parse(wrong), Err(WebhookUrlError), "{wrong:?}");
        }
        assert_eq!(WebhookUrl::parse(&format!("https://a.example/{}", "x".repeat(500))), Err(WebhookUrlError));
    }

    #[test]
    fn an_address_is_seen_however_it_is_written() {
        for text in ["http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://127.1/", "http://0177.0.0.1/"]
        {
            let url = WebhookUrl::parse(text).expect(text);
            assert_eq!(url.address(), Some(address("127.0.0.1")), "{text}");
        }
        assert_eq!(WebhookUrl::parse("https://a.example/").expect("a URL").address(), None);
    }
}
