//! The client certificate, and verification of the collector's.
//!
//! The collector's certificate must be signed by the operator's CA, never by one of the
//! system's, and must have the configured name. A pin narrows that to one public key.
//! All files are read before any is used, so a renewed certificate and its key are taken
//! together or not at all.

use crate::hybrid;
use pulse_core::pin::Pin;
use pulse_core::trust::Untrusted;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The largest file that is read. A system's CA bundle has about 220 KiB.
const MAX_PEM_BYTES: usize = 1 << 20;

/// The paths of the PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The CA of collectors' certificates.
    pub ca: PathBuf,
    /// The client certificate, followed by intermediate ones.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The contents of the [`Files`].
pub struct Contents {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Contents {
    /// In the order of [`Files`].
    #[must_use]
    pub fn new(ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            ca,
            certificate,
            key: Zeroizing::new(key),
        }
    }
}

/// Why certificates and keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A file is not PEM, or has no item of the kind that is needed.
    #[error("{}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// The parser's reason.
        source: pem::Error,
    },
    /// Other users can change a file, or read the key.
    #[error(transparent)]
    Untrusted(Untrusted),
    /// A file contains no certificate.
    #[error("{}: there is no certificate in it", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The key is not the certificate's, or rustls cannot use them.
    #[error("{} and {}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The reason of rustls.
        source: TlsError,
    },
    /// The CA certificate cannot be used.
    #[error("{}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// The reason of rustls.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The TLS configuration for connections to a collector.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The configuration of rustls.
    pub config: Arc<ClientConfig>,
    /// The client certificate in DER, for its expiry.
    pub certificate: CertificateDer<'static>,
    /// The CA certificates in DER, likewise.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what is wrong with it.
    pub fn load(files: &Files, pin: Option<Pin>) -> Result<Self, IdentityError> {
        let read = |path: &PathBuf| {
            pulse_files::read(path, MAX_PEM_BYTES).map_err(|source| IdentityError::Unreadable {
                path: path.clone(),
                source,
            })
        };
        let [ca, certificate, key] = [&files.ca, &files.certificate, &files.key].map(read);
        Self::parse(files, &Contents::new(ca?, certificate?, key?), pin)
    }

    /// Parses the contents of files that were read already.
    ///
    /// # Errors
    /// As [`Identity::load`].
    pub fn parse(
        files: &Files,
        contents: &Contents,
        pin: Option<Pin>,
    ) -> Result<Self, IdentityError> {
        let authorities = certificates(&files.ca, &contents.ca)?;
        let chain = certificates(&files.certificate, &contents.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(not_pem(&files.key))?;
        let certificate = chain
            .first()
            .cloned()
            .ok_or_else(|| empty(&files.certificate))?;
        let provider = Arc::new(hybrid::provider());
        let verifier = verifier(&files.ca, &authorities, &provider, pin)?;
        let mismatch = |source| IdentityError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            source,
        };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(mismatch)?
            // rustls calls every custom verifier dangerous. This one only adds the pin to the
            // usual verification.
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(mismatch)?;
        // A connection lasts for days: a session ticket would save nothing, and would be one
        // more secret.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            certificate,
            authorities,
        })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(not_pem(path))?;
    // A file without any item is no error of the parser.
    if found.is_empty() {
        Err(empty(path))
    } else {
        Ok(found)
    }
}

fn verifier(
    path: &Path,
    authorities: &[CertificateDer<'static>],
    provider: &Arc<CryptoProvider>,
    pin: Option<Pin>,
) -> Result<Arc<Verifier>, IdentityError> {
    let unusable = |source: Box<dyn Error + Send + Sync>| IdentityError::Ca {
        path: path.to_owned(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots
            .add(authority.clone())
            .map_err(|error| unusable(error.into()))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(error.into()))?;
    Ok(Arc::new(Verifier { inner, pin }))
}

fn not_pem(path: &Path) -> impl FnOnce(pem::Error) -> IdentityError {
    let path = path.to_owned();
    move |source| IdentityError::Pem { path, source }
}

fn empty(path: &Path) -> IdentityError {
    IdentityError::Empty {
        path: path.to_owned(),
    }
}

/// The verifier of rustls, and the pin.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    pin: Option<Pin>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verified =
            self.inner
                .verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        // In addition to the CA and the name, never instead of them.
        match self.pin {
            Some(pin) if public_key(certificate)? != pin => Err(TlsError::General(
                "its public key is not the pinned one".to_owned(),
            )),
            _ => Ok(verified),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// The pin of a certificate: the SHA-256 of its `SubjectPublicKeyInfo`.
///
/// # Errors
/// When it is not a certificate.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<Pin, TlsError> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(Pin(Sha256::digest(parsed.subject_public_key_info()).into()))
}
