//! Who we are to a collector, and whom we take for one: certificates from files.
//!
//! The collector's name is always verified, against the CA of the operator and no
//! other. A pin narrows that to one public key. Files are read whole, so that a new
//! certificate and its key are taken together or not at all.

use crate::hybrid;
use pulse_core::pin::Pin;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore, SignatureScheme,
};
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// The largest file that is read: a system's list of authorities has some 220 KiB.
const MAX_PEM_BYTES: usize = 1 << 20;

/// Where the files are, PEM each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// Who signs collectors' certificates.
    pub ca: PathBuf,
    /// Ours, and those between it and its CA.
    pub certificate: PathBuf,
    /// The private key of ours.
    pub key: PathBuf,
}

/// What is in the files.
pub struct Contents {
    ca: Vec<u8>,
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl Contents {
    /// What each of the [`Files`] holds.
    #[must_use]
    pub fn new(ca: Vec<u8>, certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self {
            ca,
            certificate,
            key: Zeroizing::new(key),
        }
    }
}

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// A file cannot be read, or is no PEM.
    #[error("{}: {reason}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Others may change it, or read the key.
    #[error("{0}")]
    Untrusted(String),
    /// There is nothing of the kind in it.
    #[error("{}: there is no certificate in it", path.display())]
    Empty {
        /// Which file.
        path: PathBuf,
    },
    /// The certificate and the key do not belong together, or are of no use.
    #[error("{} and {}: {reason}", certificate.display(), key.display())]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What is wrong.
        reason: TlsError,
    },
    /// The CA is of no use.
    #[error("{}: {reason}", path.display())]
    Ca {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What a connection to a collector is opened with.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For rustls.
    pub config: Arc<ClientConfig>,
    /// Our certificate, as it is: for whoever wants to know when it ends.
    pub certificate: CertificateDer<'static>,
    /// The CAs, likewise.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Identity {
    /// Reads the files.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and what is wrong with it.
    pub fn load(files: &Files, pin: Option<Pin>) -> Result<Self, IdentityError> {
        let read =
            |path: &PathBuf| pulse_files::read(path, MAX_PEM_BYTES).map_err(unreadable(path));
        let [ca, certificate, key] = [&files.ca, &files.certificate, &files.key].map(read);
        let contents = Contents::new(ca?, certificate?, key?);
        Self::parse(files, &contents, pin)
    }

    /// Takes what somebody has read from the files.
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
        let key = PrivateKeyDer::from_pem_slice(&contents.key).map_err(unreadable(&files.key))?;
        let certificate = chain
            .first()
            .cloned()
            .ok_or_else(|| empty(&files.certificate))?;
        let provider = Arc::new(hybrid::provider());
        let verifier = verifier(&files.ca, &authorities, &provider, pin)?;
        let builder = ClientConfig::builder_with_provider(provider);
        let mismatch = |reason| IdentityError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
            reason,
        };
        let builder = builder
            .with_safe_default_protocol_versions()
            .map_err(mismatch)?;
        let mut config = builder
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_auth_cert(chain, key)
            .map_err(mismatch)?;
        // A connection lasts for days; a ticket would only be one more secret.
        config.resumption = rustls::client::Resumption::disabled();
        Ok(Self {
            config: Arc::new(config),
            certificate,
            authorities,
        })
    }
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found = CertificateDer::pem_slice_iter(pem);
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(unreadable(path))?;
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
    let unusable = |reason: &dyn std::fmt::Display| IdentityError::Ca {
        path: path.to_owned(),
        reason: reason.to_string(),
    };
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority.clone()).map_err(|e| unusable(&e))?;
    }
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let inner = inner.build().map_err(|e| unusable(&e))?;
    Ok(Arc::new(Verifier { inner, pin }))
}

fn unreadable<E: std::fmt::Display>(path: &Path) -> impl Fn(E) -> IdentityError {
    let path = path.to_owned();
    move |error| IdentityError::Unreadable {
        path: path.clone(),
        reason: error.to_string(),
    }
}

fn empty(path: &Path) -> IdentityError {
    IdentityError::Empty {
        path: path.to_owned(),
    }
}

/// What rustls verifies anyway, and the pin.
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

/// The pin of a certificate.
///
/// # Errors
/// When it is no certificate.
pub fn public_key(certificate: &CertificateDer<'_>) -> Result<Pin, TlsError> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    let key = parsed.subject_public_key_info();
    Ok(Pin(Sha256::digest(&key).into()))
}
