//! TLS by rustls, from files that are read again when they change: a renewed certificate needs no restart.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Why the certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("COFFER_TLS_CERT (--tls-cert) or COFFER_TLS_KEY (--tls-key): cannot read {path}: {cause}")]
    File { path: PathBuf, cause: pem::Error },
    #[error("COFFER_WEBHOOK_CA (--webhook-ca): cannot read {path}: {cause}")]
    Authorities { path: PathBuf, cause: pem::Error },
    #[error("COFFER_WEBHOOK_CA (--webhook-ca): a certificate in {path} cannot be used: {cause}")]
    Authority { path: PathBuf, cause: rustls::Error },
    #[error("COFFER_TLS_CERT and COFFER_TLS_KEY do not fit: {0}")]
    Unusable(#[from] rustls::Error),
}

/// The certificate in use. Clones share it.
#[derive(Clone, Debug)]
pub struct Certificate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    chain_file: PathBuf,
    key_file: PathBuf,
    in_use: RwLock<(Arc<CertifiedKey>, Version)>,
}

/// When the two files were changed, and how long they are: two changes may fall into one tick of the file system's
/// clock.
type Version = [Option<(SystemTime, u64)>; 2];

impl Certificate {
    /// Reads a chain and its key, both in PEM.
    pub fn read(chain_file: PathBuf, key_file: PathBuf) -> Result<Self, TlsError> {
        let version = version_of(&chain_file, &key_file);
        let in_use = RwLock::new((Arc::new(certified_key(&chain_file, &key_file)?), version));
        Ok(Self(Arc::new(Inner { chain_file, key_file, in_use })))
    }

    /// Reads the files again if they have changed. One that cannot be used is logged, and the old one kept.
    pub fn renew(&self) {
        let Inner { chain_file, key_file, in_use } = &*self.0;
        let version = version_of(chain_file, key_file);
        if in_use.read().unwrap_or_else(PoisonError::into_inner).1 == version {
            return;
        }
        let read = certified_key(chain_file, key_file);
        let mut in_use = in_use.write().unwrap_or_else(PoisonError::into_inner);
        // Noted even if it is of no use, so that this is said once.
        in_use.1 = version;
        match read {
            Ok(key) => {
                in_use.0 = Arc::new(key);
                tracing::info!("a new TLS certificate is in use");
            }
            Err(error) => tracing::error!(%error, "the new TLS certificate cannot be used; the old one stays"),
        }
    }

    /// TLS 1.2 and 1.3, with the provider's safe defaults.
    pub fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(self.0.clone());
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// For connecting to servers whose certificate comes from an authority that browsers trust, or from one in the file, in
/// PEM.
pub fn client_config(authorities_file: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(path) = authorities_file {
        let unreadable = |cause| TlsError::Authorities { path: path.to_owned(), cause };
        let found: Vec<_> = CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(unreadable)?;
        if found.is_empty() {
            return Err(unreadable(pem::Error::NoItemsFound));
        }
        for authority in found {
            roots.add(authority).map_err(|cause| TlsError::Authority { path: path.to_owned(), cause })?;
        }
    }
    Ok(ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// For connecting to a server whose certificate is not checked at all: to anybody who answers there.
pub fn connector_to_anybody() -> Result<TlsConnector, rustls::Error> {
    let provider = aws_lc_rs::default_provider();
    let schemes = provider.signature_verification_algorithms.supported_schemes();
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(schemes)))
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Takes any certificate, also one that cannot be read.
#[derive(Debug)]
struct AnyCertificate(Vec<SignatureScheme>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.clone()
    }
}

impl ResolvesServerCert for Inner {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use.read().unwrap_or_else(PoisonError::into_inner).0.clone())
    }
}

fn certified_key(chain_file: &Path, key_file: &Path) -> Result<CertifiedKey, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |cause| TlsError::File { path, cause }
    };
    let chain: Vec<CertificateDer<'static>> =
        CertificateDer::pem_file_iter(chain_file).and_then(Iterator::collect).map_err(unreadable(chain_file))?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(unreadable(key_file))?;
    Ok(CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())?)
}

fn version_of(chain_file: &Path, key_file: &Path) -> Version {
    let version = |file: &Path| {
        let metadata = file.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    [version(chain_file), version(key_file)]
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    fn write(directory: &Path) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        std::fs::write(directory.join("cert.pem"), made.cert.pem()).expect("a file");
        std::fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    }

    #[test]
    fn a_certificate_that_cannot_be_used_changes_nothing() {
        let directory = TempDir::new().expect("a directory");
        let (chain, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        write(directory.path());
        let certificate = Certificate::read(chain.clone(), key.clone()).expect("a certificate");
        let in_use = || certificate.0.in_use.read().expect("no panic").0.cert.clone();
        let first = in_use();
        certificate.renew();
        assert_eq!(in_use(), first);
        for broken in ["", "no certificate"] {
            std::fs::write(&chain, broken).expect("a file");
            certificate.renew();
            assert_eq!(in_use(), first);
        }
        write(directory.path());
        certificate.renew();
        assert_ne!(in_use(), first);
        // The key of another certificate is no key for this one.
        let other = TempDir::new().expect("a directory");
        write(other.path());
        assert!(Certificate::read(chain, other.path().join("key.pem")).is_err());
    }
}
