//! TLS from configured files, reloaded when they change.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion, version};

use crate::databases::{Kind, TestDatabase};
use crate::harness::TestBank;

pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// A new certificate, and the flags that serve it.
pub fn certificate_in(directory: &Path) -> (CertificateDer<'static>, [String; 4]) {
    let file = |name: &str| directory.join(name).to_str().expect("UTF-8").to_owned();
    let flags = ["--tls-cert".to_owned(), file("cert.pem"), "--tls-key".to_owned(), file("key.pem")];
    (write_certificate(directory), flags)
}

/// A certificate for `localhost` that trusts itself, as the two files of the settings.
pub fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("cert.pem"), cert.pem()).expect("a file");
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).expect("a file");
    cert.der().clone()
}

/// A client of this version of TLS that trusts this certificate only.
pub async fn connect(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder_with_protocol_versions(&[version]);
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(address).await?).await
}

/// The answer to a GET over TLS, from a client that trusts this certificate only.
async fn get(address: SocketAddr, trusted: &CertificateDer<'static>, path: &str) -> std::io::Result<String> {
    let mut stream = connect(address, trusted, &version::TLS13).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    // A peer that closes without a farewell is no error here.
    let _ = stream.read_to_end(&mut answer).await;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_serves_and_its_successor_needs_no_restart() {
    let database = TestDatabase::create(Kind::Sqlite).await;
    let directory = database.directory.path().to_owned();
    let first = write_certificate(&directory);
    let (cert, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    let flags = ["--tls-cert", cert.to_str().expect("UTF-8"), "--tls-key", key.to_str().expect("UTF-8")];
    let bank = TestBank::open_on(database, &flags).await;

    let answer = get(bank.address, &first, "/livez").await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000"), "{answer}");

    let second = write_certificate(&directory);
    let renewed = async {
        while get(bank.address, &second, "/livez").await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), renewed).await.expect("the new certificate is used");
    assert!(get(bank.address, &first, "/livez").await.is_err());
    bank.close_with_books_right().await;
}
