//! The server that the bank hands its mail to.

use std::path::PathBuf;
use std::time::Duration;

use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{PoolConfig, response::Code};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use url::Url;
use uuid::Uuid;

use super::letters::Letter;

/// How long the server may take for each of its answers.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// How long it may take to hand over one mail.
const SENT_WITHIN: Duration = Duration::from_secs(60);
/// How long a connection is kept for the next mail.
const IDLE: Duration = Duration::from_secs(10);
/// Refusals that are about this bank's login, not about the mail (RFC 4954 section 6): whoever runs the bank mends that.
const ABOUT_LOGIN: [u16; 4] = [530, 534, 535, 538];

/// Where mail is handed over, and how.
#[derive(Clone, Debug)]
pub struct SmtpServer {
    pub host: String,
    pub port: u16,
    pub protection: Protection,
    pub login: Option<Login>,
    /// PEM file with the certificates that the server's is to be signed by; those that the web trusts, if None.
    pub authority: Option<PathBuf>,
}

#[derive(Clone, Debug)]
pub struct Login {
    pub user: String,
    pub password: SecretString,
}

/// How the connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protection {
    /// TLS from the first byte.
    Tls,
    /// TLS before anything that matters is said: a server that does not offer it gets no mail.
    StartTls,
    /// For a server on this machine.
    None,
}

impl Protection {
    /// For people.
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Tls => "TLS",
            Self::StartTls => "STARTTLS",
            Self::None => "without TLS",
        }
    }
}

/// What came of a try to send a mail.
#[derive(Debug)]
pub enum Sent {
    /// The server has taken it.
    Yes,
    /// Not this time.
    NotNow(String),
    /// Never: trying again would not help.
    Never(String),
}

/// Why mail cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SmtpError {
    #[error("COFFER_SMTP_CA (--smtp-ca): cannot read {path}: {cause}")]
    File { path: PathBuf, cause: std::io::Error },
    #[error("COFFER_SMTP_CA (--smtp-ca): there is no certificate in {path}: it is to be a PEM file")]
    NoCertificate { path: PathBuf },
    #[error("COFFER_SMTP_URL (--smtp-url): {0}")]
    Server(lettre::transport::smtp::Error),
}

/// Sends letters. Clones share its connections.
#[derive(Clone)]
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Smtp {
    /// Connects when there is something to send. `bank` is the bank's address, by whose host it introduces itself.
    pub fn new(server: &SmtpServer, from: Mailbox, bank: &str) -> Result<Self, SmtpError> {
        let tls = match server.protection {
            Protection::Tls => Tls::Wrapper(tls_to(server)?),
            Protection::StartTls => Tls::Required(tls_to(server)?),
            Protection::None => Tls::None,
        };
        let host = Url::parse(bank).ok().and_then(|bank| bank.host_str().map(str::to_owned));
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&server.host)
            .port(server.port)
            .tls(tls)
            .timeout(Some(ANSWER_WITHIN))
            .hello_name(host.map_or_else(ClientId::default, ClientId::Domain))
            .pool_config(PoolConfig::new().max_size(super::AT_ONCE as u32).idle_timeout(IDLE));
        if let Some(Login { user, password }) = &server.login {
            builder = builder.credentials(Credentials::new(user.clone(), password.expose_secret().to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    /// Hands a letter over. `id` is the mail's: whoever gets it twice, because an answer was lost, sees that it is one.
    pub async fn send(&self, id: Uuid, letter: &Letter) -> Sent {
        let message = match self.message(id, letter) {
            Ok(message) => message,
            Err(error) => return Sent::Never(error.to_string()),
        };
        match tokio::time::timeout(SENT_WITHIN, self.transport.send(message)).await {
            Ok(Ok(_)) => Sent::Yes,
            Ok(Err(error)) => {
                // Servers repeat whom the mail is for, and the reason goes to the log.
                let reason = in_words(&error).replace(&letter.to, "(the recipient)");
                if is_final(&error) { Sent::Never(reason) } else { Sent::NotNow(reason) }
            }
            Err(_) => Sent::NotNow("it takes too long".to_owned()),
        }
    }

    /// Nothing but an address that was parsed, an id and a fixed subject goes into the header.
    fn message(&self, id: Uuid, letter: &Letter) -> Result<Message, Box<dyn std::error::Error + Send + Sync>> {
        let to: Address = letter.to.parse()?;
        let mut message = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .subject(letter.subject)
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text.clone())?;
        // RFC 3834: so that no programs answer.
        let name = HeaderName::new_from_ascii_str("Auto-Submitted");
        message.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".to_owned()));
        Ok(message)
    }
}

/// TLS 1.2 or later, to a server whose certificate is verified.
fn tls_to(server: &SmtpServer) -> Result<TlsParameters, SmtpError> {
    let builder = TlsParameters::builder(server.host.clone());
    let builder = match &server.authority {
        // The roots that the connection to PostgreSQL goes by, too.
        None => builder.certificate_store(CertificateStore::WebpkiRoots),
        Some(path) => {
            let pem = std::fs::read(path).map_err(|cause| SmtpError::File { path: path.clone(), cause })?;
            let no_certificate = || SmtpError::NoCertificate { path: path.clone() };
            // A file without any is read as none, by which no server could be trusted.
            let is_any = CertificateDer::pem_slice_iter(&pem).next().is_some();
            let trusted = Certificate::from_pem(&pem).ok().filter(|_| is_any).ok_or_else(no_certificate)?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(trusted)
        }
    };
    builder.build_rustls().map_err(SmtpError::Server)
}

fn is_final(error: &lettre::transport::smtp::Error) -> bool {
    error.is_permanent() && !error.status().is_some_and(is_about_login)
}

fn is_about_login(code: Code) -> bool {
    ABOUT_LOGIN.contains(&code.into())
}

/// With the causes, of which the first alone often says little.
fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !words.contains(&more) {
            words = format!("{words}: {more}");
        }
        cause = error.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_people_write_reaches_the_header() {
        let server = SmtpServer {
            host: "localhost".to_owned(),
            port: 25,
            protection: Protection::None,
            login: None,
            authority: None,
        };
        let from: Mailbox = "Coffer <bank@example.org>".parse().expect("a sender");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _here = runtime.enter();
        let smtp = Smtp::new(&server, from, "https://bank.example").expect("a transport");
        let letter = |to: &str| Letter {
            to: to.to_owned(),
            subject: "Hello",
            text: "Hello Ada\r\nBcc: eve@example.com,\n\nZoë\n.\nEnd".to_owned(),
        };
        let message = smtp.message(Uuid::nil(), &letter("ada@example.com")).expect("a message");
        let text = String::from_utf8(message.formatted()).expect("ASCII");
        let (header, _) = text.split_once("\r\n\r\n").expect("a header");
        assert!(!header.contains("Bcc") && header.contains("Auto-Submitted: auto-generated"), "{header}");
        assert!(header.contains("charset=utf-8") && header.contains("@example.org>"), "{header}");
        for to in ["ada@example.com\r\nBcc: eve@example.com", "ada", "ada@example.com, eve@example.com"] {
            assert!(smtp.message(Uuid::nil(), &letter(to)).is_err(), "{to}");
        }
    }
}
