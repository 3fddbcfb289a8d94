//! The server that sends the bank's mail, as `COFFER_SMTP_URL` says.

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

use super::production::is_loopback;
use crate::mailing::smtp::{Login, Protection, SmtpServer};

/// Submission over TLS from the first byte, and with STARTTLS: RFC 8314 and RFC 6409.
const SUBMISSIONS_PORT: u16 = 465;
const SUBMISSION_PORT: u16 = 587;
/// Of a relay on this machine.
const RELAY_PORT: u16 = 25;
const HINT: &str = "write smtps://USER:PASSWORD@HOST, or smtp://USER:PASSWORD@HOST for STARTTLS; in user and password / is \
                    %2F, ? is %3F, # is %23, @ is %40 and % is %25";

/// Never repeats any of the address: it may hold a password.
pub fn parse(text: &str) -> Result<SmtpServer, String> {
    let hinted = |why: &str| format!("{why}; {HINT}");
    let refuse = |why: &str| Err(hinted(why));
    let Ok(url) = Url::parse(text.trim()) else { return refuse("this is no address of a server") };
    let Some(host) = url.host_str().filter(|host| !host.is_empty()) else { return refuse("the host is missing") };
    if !matches!(url.path(), "" | "/") || url.fragment().is_some() {
        return refuse("an address of a server ends with its host and port");
    }
    let (protection, default_port) = match (url.scheme(), url.query()) {
        ("smtps", None) => (Protection::Tls, SUBMISSIONS_PORT),
        ("smtp", None) => (Protection::StartTls, SUBMISSION_PORT),
        ("smtp", Some("tls=none")) if is_loopback(host) => (Protection::None, RELAY_PORT),
        ("smtp", Some("tls=none")) => {
            return Err(
                "tls=none is for a server on this machine: beyond it, mail and password would cross the network in \
                        the clear. Leave out ?tls=none for STARTTLS, or write smtps://"
                    .to_owned(),
            );
        }
        ("smtp" | "smtps", Some(_)) => return refuse("behind the ? there is tls=none, of smtp:// alone, or nothing"),
        _ => return refuse("the scheme is smtps or smtp"),
    };
    Ok(SmtpServer {
        host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
        port: url.port().unwrap_or(default_port),
        protection,
        login: login(&url).map_err(hinted)?,
        authority: None,
    })
}

fn login(url: &Url) -> Result<Option<Login>, &'static str> {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8().map(String::from);
    let (Ok(user), Ok(password)) = (decoded(url.username()), url.password().map(decoded).transpose()) else {
        return Err("user and password are not UTF-8");
    };
    match (user.is_empty(), password) {
        (true, None) => Ok(None),
        (false, Some(password)) => Ok(Some(Login { user, password: SecretString::from(password) })),
        (true, Some(_)) => Err("the user is missing"),
        (false, None) => Err("the password is missing"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn usual_addresses_are_understood() {
        for (url, place, protection) in [
            ("smtps://mail.example.org", "mail.example.org:465", Protection::Tls),
            (" smtp://mail.example.org\n", "mail.example.org:587", Protection::StartTls),
            ("smtp://mail.example.org:2525/", "mail.example.org:2525", Protection::StartTls),
            ("smtp://localhost", "localhost:587", Protection::StartTls),
            ("smtp://localhost?tls=none", "localhost:25", Protection::None),
            ("smtp://127.0.0.1:1025?tls=none", "127.0.0.1:1025", Protection::None),
            ("smtp://[::1]:1025?tls=none", "::1:1025", Protection::None),
        ] {
            let server = parse(url).expect(url);
            assert_eq!((format!("{}:{}", server.host, server.port), server.protection), (place.to_owned(), protection));
            assert!(server.login.is_none());
        }
        let login = parse("smtps://ada%40example.org:p%2F%40%25+w@mail.example.org").expect("a server").login;
        let login = login.expect("a login");
        assert_eq!((&*login.user, login.password.expose_secret()), ("ada@example.org", "p/@%+w"));
    }

    #[test]
    fn nothing_goes_over_a_network_in_the_clear() {
        for host in ["mail.example.org", "10.0.0.1", "127.0.0.1.example", "[2001:db8::1]"] {
            let refusal = parse(&format!("smtp://{host}?tls=none")).expect_err(host);
            assert!(refusal.contains("Leave out ?tls=none"), "{refusal}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_a_word_of_the_password() {
        for url in [
            "mail.example.org:587",
            "smtp://",
            "http://ada:hunter2@mail.example.org",
            "smtps://ada:hunter2@mail.example.org/box",
            "smtps://ada:hunter2/x@mail.example.org",
            "smtps://ada:hunter2?x@mail.example.org",
            "smtps://ada:hunter2#x@mail.example.org",
            "smtps://ada:hunter2@mail.example.org?tls=none",
            "smtp://ada:hunter2@mail.example.org?tls=opportunistic",
            "smtps://ada@mail.example.org",
            "smtps://:hunter2@mail.example.org",
            "smtps://ada:hunter2%ff@mail.example.org",
        ] {
            let refusal = parse(url).map(|server| server.host).expect_err(url);
            assert!(refusal.contains("smtps://") && !refusal.contains("hunter2"), "{url}: {refusal}");
        }
    }
}
