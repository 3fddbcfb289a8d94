//! TLS from configured files, reloaded when they change.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::databases::{Kind, TestDatabase};
use crate::harness::TestBank;

/// A certificate for `localhost` that trusts itself, as the two files of the settings.
pub fn write_certificate(directory: &Path) -> CertificateDer<'static> {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(directory.join("cert.pem"), cert.pem()).expect("a file");
    std::fs::write(directory.join("key.pem"), signing_key.serialize_pem()).expect("a file");
    cert.der().clone()
}

/// The answer to a GET over TLS, from a client that trusts this certificate only.
async fn get(address: SocketAddr, trusted: &CertificateDer<'static>, path: &str) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
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
