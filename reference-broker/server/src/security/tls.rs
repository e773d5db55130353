//! TLS 1.2 and 1.3, by `rustls`.

use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::error::SecurityError;
use super::files::NamedFile;

/// The certificate of this node, and its key.
pub(super) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    key_file: NamedFile,
}

/// Whose signatures count.
#[derive(Clone)]
pub(super) struct Authorities {
    roots: Arc<RootCertStore>,
    file: NamedFile,
}

impl Identity {
    pub(super) fn read(certificate: &NamedFile, key_file: NamedFile) -> Result<Self, SecurityError> {
        let chain = certificates(certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&key_file.read_secret()?)
            .map_err(|error| key_file.error(format!("it holds no private key in PEM: {error}")))?;
        Ok(Self { chain, key, key_file })
    }

    /// For a listener whose peers need a certificate of one of these authorities, if there are any.
    pub(super) fn acceptor(&self, authorities: Option<Authorities>) -> Result<TlsAcceptor, SecurityError> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.refused(&error))?;
        let builder = match authorities {
            None => builder.with_no_client_auth(),
            Some(Authorities { roots, file }) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                    .build()
                    .map_err(|error| file.error(error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(self.chain.clone(), self.key.clone_key());
        Ok(TlsAcceptor::from(Arc::new(config.map_err(|error| self.refused(&error))?)))
    }

    /// For dialling other nodes.
    pub(super) fn connector(&self, authorities: &Authorities) -> Result<TlsConnector, SecurityError> {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| self.refused(&error))?
            .with_root_certificates(Arc::clone(&authorities.roots))
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key());
        Ok(TlsConnector::from(Arc::new(config.map_err(|error| self.refused(&error))?)))
    }

    fn refused(&self, error: &Error) -> SecurityError {
        self.key_file.error(format!("together with `ssl.certificate.file`: {error}"))
    }
}

impl Authorities {
    pub(super) fn read(file: &NamedFile) -> Result<Self, SecurityError> {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(file)? {
            roots.add(certificate).map_err(|error| file.error(error.to_string()))?;
        }
        Ok(Self { roots: Arc::new(roots), file: file.clone() })
    }
}

fn certificates(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, SecurityError> {
    let pem = file.read()?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certificates {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        Ok(_) => Err(file.error("it holds no certificate in PEM")),
        Err(error) => Err(file.error(format!("it holds no certificate in PEM: {error}"))),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// Bytes that nobody can guess, from the operating system.
pub(super) fn random_bytes() -> Result<[u8; 32], SecurityError> {
    let mut bytes = [0; 32];
    provider()
        .secure_random
        .fill(&mut bytes)
        .map_err(|_| SecurityError::Conflict("the system gives no random bytes".into()))?;
    Ok(bytes)
}
