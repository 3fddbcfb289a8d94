//! Shortcomings of the settings for a bank that holds other people's money.
//!
//! [`shortcomings`] is one list for both: `--production` refuses to start while it has an item, and a bank that serves
//! other machines without that warns of each.

use std::net::IpAddr;

use axum::http::HeaderValue;
use secrecy::ExposeSecret;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tracing::Level;
use tracing_subscriber::filter::Targets;

use super::{ListenAddress, Settings, database_url};
use coffer_core::db::DbTarget;

/// Where a name is always this machine (RFC 6761 section 6.3).
const LOCALHOST: &str = "localhost";
/// Where failed sign-ins are logged.
const SIGN_IN_LOG: &str = "coffer::sign_in";

/// One sentence for each thing that is missing, with the setting that mends it. Depends on the settings alone.
pub fn shortcomings(settings: &Settings) -> Vec<String> {
    let all = [
        transport(settings),
        believed_proxies(settings),
        settings.self_service_deposits.then(|| {
            "customers may book deposits to their own accounts: set COFFER_SELF_SERVICE_DEPOSITS=false".to_owned()
        }),
        (!settings.staff_second_factor).then(|| {
            "whoever works here needs no second factor: set COFFER_STAFF_SECOND_FACTOR=true".to_owned()
        }),
        settings.approval_above.is_none().then(|| {
            "staff move any amount without a second approver: set COFFER_APPROVAL_ABOVE to the most that one may move alone"
                .to_owned()
        }),
        public_metrics(settings),
        database(settings),
        unlimited(settings),
        plain_origins(settings),
        plain_links(settings),
        silent_log(settings),
    ];
    all.into_iter().flatten().collect()
}

/// Whether machines other than this one may connect.
pub fn serves_others(settings: &Settings) -> bool {
    !is_loopback(&settings.listen.host)
}

fn transport(settings: &Settings) -> Option<String> {
    let is_protected = settings.tls_cert.is_some() || !settings.trusted_proxies.is_empty();
    (!is_protected).then(|| {
        "passwords and money cross the network in the clear: set COFFER_TLS_CERT and COFFER_TLS_KEY, or \
         COFFER_TRUSTED_PROXIES to the proxy before it that does TLS"
            .to_owned()
    })
}

/// No network of proxies is larger than 10.0.0.0/8.
const SMALLEST_PREFIX: u8 = 8;

/// A trusted network that everybody belongs to would let everybody choose an address.
fn believed_proxies(settings: &Settings) -> Option<String> {
    let all = settings.trusted_proxies.iter().find(|network| network.prefix_len() < SMALLEST_PREFIX)?;
    Some(format!("everybody is believed to be a proxy: list your own in COFFER_TRUSTED_PROXIES in place of {all}"))
}

fn public_metrics(settings: &Settings) -> Option<String> {
    let is_private = |listen: &ListenAddress| is_loopback(&listen.host) || is_private_address(&listen.host);
    let are_public = settings.metrics && !settings.admin_listen.as_ref().is_some_and(is_private);
    are_public.then(|| {
        "everybody can read the metrics: give them a private address of their own, such as \
         COFFER_ADMIN_LISTEN=127.0.0.1:9464, or set COFFER_METRICS=false"
            .to_owned()
    })
}

/// An address of a network that the internet does not reach: RFC 1918 and RFC 4193.
fn is_private_address(host: &str) -> bool {
    match host.parse::<IpAddr>().map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(address)) => address.is_private(),
        Ok(IpAddr::V6(address)) => address.is_unique_local(),
        Err(_) => false,
    }
}

fn database(settings: &Settings) -> Option<String> {
    // An address that is none is refused with better words.
    let target = database_url::parse(settings.database_url.as_ref()?.expose_secret()).ok()?;
    let DbTarget::Postgres(servers) = target else { return None };
    let is_safe = |server: &&PgConnectOptions| {
        is_on_this_machine(server) || matches!(server.get_ssl_mode(), PgSslMode::VerifyFull)
    };
    let unsafe_one = servers.named.iter().find(|server| !is_safe(server))?;
    let host = unsafe_one.get_host();
    Some(format!(
        "the connection to PostgreSQL on {host} is not sure to be private: add sslmode=verify-full to DATABASE_URL"
    ))
}

fn is_on_this_machine(options: &PgConnectOptions) -> bool {
    options.get_socket().is_some() || options.get_host().starts_with('/') || is_loopback(options.get_host())
}

fn unlimited(settings: &Settings) -> Option<String> {
    let limits = [
        ("COFFER_CALLER_RATE", settings.caller_rate),
        ("COFFER_ADDRESS_RATE", settings.address_rate),
        ("COFFER_MOVEMENT_RATE", settings.movement_rate),
        ("COFFER_MOVEMENTS_PER_DAY", settings.movements_per_day),
        ("COFFER_ACCOUNTS_PER_DAY", settings.accounts_per_day),
        ("COFFER_CHANGES_PER_DAY", settings.changes_per_day),
        ("COFFER_SIGN_UPS_PER_HOUR", settings.sign_ups_per_hour),
        ("COFFER_CONNECTIONS_PER_NETWORK", settings.connections_per_network),
    ];
    let off: Vec<&str> = limits.iter().filter(|(_, rate)| *rate == 0).map(|(name, _)| *name).collect();
    (!off.is_empty()).then(|| {
        format!("floods are not limited: set {} to a number, or leave it out for the default", off.join(" and "))
    })
}

/// Anybody on the way can change a page that comes over plain HTTP, and so get the bank's tokens.
fn plain_origins(settings: &Settings) -> Option<String> {
    let is_plain = |origin: &&str| {
        let Some(host) = origin.strip_prefix("http://") else { return false };
        !is_loopback(host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host))
    };
    let mut origins = settings.cors_origins.iter().filter_map(|origin| HeaderValue::to_str(origin).ok());
    let plain = origins.find(is_plain)?;
    Some(format!("pages over plain HTTP may call: list https:// origins alone in COFFER_CORS_ORIGINS, not {plain}"))
}

/// Whoever reads a link on its way can set the password.
fn plain_links(settings: &Settings) -> Option<String> {
    let url = settings.public_url.as_deref()?;
    let host = url.strip_prefix("http://")?;
    let host = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')).map_or(host, |(host, _)| host);
    (!is_loopback(host)).then(|| {
        format!("links in mail lead over plain HTTP: set COFFER_PUBLIC_URL to an address with https://, not {url}")
    })
}

fn silent_log(settings: &Settings) -> Option<String> {
    let filter: Targets = settings.log.parse().ok()?;
    (!filter.would_enable(SIGN_IN_LOG, &Level::WARN)).then(|| {
        "the log leaves out warnings, failed sign-ins among them: set COFFER_LOG to info, or leave it out".to_owned()
    })
}

pub(super) fn is_loopback(host: &str) -> bool {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let is_name = host.eq_ignore_ascii_case(LOCALHOST) || host.to_ascii_lowercase().ends_with(".localhost");
    is_name || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use proptest::prelude::*;

    use super::*;

    #[derive(Parser)]
    struct Arguments {
        #[command(flatten)]
        settings: Settings,
    }

    fn settings(flags: &[&str]) -> Settings {
        let parsed = Arguments::try_parse_from([&["coffer"], flags].concat());
        parsed.unwrap_or_else(|error| panic!("{flags:?}: {error}")).settings
    }

    /// Each shortcoming: what the sentence must name, flags that mend it, and flags that bring it about.
    const EACH: [(&str, &[&str], &[&str]); 11] = [
        ("COFFER_TLS_CERT", &["--tls-cert=c", "--tls-key=k"], &[]),
        ("COFFER_SELF_SERVICE_DEPOSITS", &["--self-service-deposits=false"], &[]),
        ("COFFER_STAFF_SECOND_FACTOR", &["--staff-second-factor=true"], &[]),
        ("COFFER_APPROVAL_ABOVE", &["--approval-above=0"], &[]),
        ("COFFER_METRICS", &["--metrics=false"], &[]),
        (
            "DATABASE_URL",
            &["--database-url=postgres://db/x?sslmode=verify-full"],
            &["--database-url=postgres://db/x?sslmode=require"],
        ),
        ("COFFER_CALLER_RATE", &["--caller-rate=1"], &["--caller-rate=0"]),
        ("COFFER_TRUSTED_PROXIES", &["--trusted-proxies=10.0.0.0/8"], &["--trusted-proxies=10.0.0.1,0.0.0.0/0"]),
        (
            "COFFER_CORS_ORIGINS",
            &["--cors-origins=https://a.example,http://localhost:3000"],
            &["--cors-origins=http://a.example"],
        ),
        ("COFFER_PUBLIC_URL", &["--public-url=http://localhost:8080"], &["--public-url=http://bank.example:8080"]),
        ("COFFER_LOG", &["--log=warn"], &["--log=info,coffer=error"]),
    ];

    proptest! {
        #[test]
        fn all_that_is_missing_is_named_in_a_sentence_each_and_nothing_else(missing in prop::array::uniform11(any::<bool>())) {
            let flags: Vec<&str> =
                EACH.iter().zip(missing).flat_map(|((_, mended, broken), missing)| if missing { *broken } else { *mended }).copied().collect();
            let sentences = shortcomings(&settings(&flags));
            for ((name, _, _), mut missing) in EACH.iter().zip(missing) {
                // Trusted proxies are another way to be protected: here they are always set.
                if *name == "COFFER_TLS_CERT" {
                    missing = false;
                }
                let named = sentences.iter().filter(|sentence| sentence.contains(name)).count();
                prop_assert_eq!(named, usize::from(missing), "{}: {:?}", name, sentences);
            }
        }
    }

    #[test]
    fn metrics_may_have_an_address_of_their_own() {
        let with = |flags: &[&str]| public_metrics(&settings(flags)).is_some();
        assert!(
            with(&[])
                && !with(&["--admin-listen=127.0.0.1:9464"])
                && !with(&["--admin-listen=10.0.0.1:9464"])
                && with(&["--admin-listen=0.0.0.0:9464"])
                && with(&["--admin-listen=192.0.2.1:9464"])
                && !with(&["--metrics=false"])
        );
    }

    #[test]
    fn every_limit_that_is_off_is_named() {
        let off = [
            "--movement-rate=0",
            "--movements-per-day=0",
            "--accounts-per-day=0",
            "--changes-per-day=0",
            "--sign-ups-per-hour=0",
            "--connections-per-network=0",
        ];
        for flag in off {
            let variable = format!("COFFER_{}", flag[2..flag.len() - 2].replace('-', "_").to_uppercase());
            assert!(unlimited(&settings(&[flag])).is_some_and(|sentence| sentence.contains(&variable)), "{flag}");
        }
    }

    #[test]
    fn the_default_lacks_what_the_readme_says() {
        let sentences = shortcomings(&settings(&[]));
        assert_eq!(sentences.len(), 5, "{sentences:?}");
        assert!(sentences[0].contains("COFFER_TLS_CERT") && sentences[0].contains("COFFER_TRUSTED_PROXIES"));
        assert!(
            shortcomings(&settings(&["--tls-cert=c", "--tls-key=k"])).iter().all(|sentence| !sentence.contains("TLS"))
        );
    }

    #[test]
    fn only_a_database_beyond_this_machine_needs_a_certificate() {
        for (url, is_safe) in [
            ("sqlite://bank.db", true),
            ("postgres://localhost/x", true),
            ("postgres://127.0.0.1/x?sslmode=disable", true),
            ("postgres://[::1]:5433/x", true),
            ("postgres:///x?host=/run/postgresql", true),
            ("postgres://db.example/x?sslmode=verify-full", true),
            ("postgres://db.example/x", false),
            ("postgres://db.example/x?sslmode=verify-ca", false),
            ("postgres://localhost/x?host=db.example", false),
            ("postgres://127.0.0.1.example/x", false),
            ("postgres://localhost.example/x", false),
            ("postgres://localhost,db.example/x", false),
            ("postgres://localhost,db.example/x?sslmode=verify-full", true),
        ] {
            let settings = settings(&["--database-url", url]);
            assert_eq!(database(&settings).is_none(), is_safe, "{url}");
        }
    }

    #[test]
    fn others_are_served_unless_the_address_is_of_this_machine() {
        for (listen, others) in [
            ("127.0.0.1:80", false),
            ("8080", false),
            ("localhost:80", false),
            ("[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", false),
            (":8080", true),
            ("0.0.0.0:80", true),
            ("[::]:80", true),
            ("192.0.2.1:80", true),
            ("bank.example:80", true),
        ] {
            assert_eq!(serves_others(&settings(&["--listen", listen])), others, "{listen}");
        }
    }
}
