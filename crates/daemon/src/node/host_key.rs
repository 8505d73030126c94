//! The client's side of SSH: checks the host key, and refuses what else a node sends.
//!
//! By default the library accepts every channel that a server opens, and a hostile node could
//! fill the daemon's memory with them. No node has a reason to open one, so the first attempt
//! ends the connection.

use super::connect::is_supported;
use super::ending::SharedEnding;
use super::failure::{HostKeyFailure, NodeFailure, RejectedCertificate, ShownKey, harmless};
use pulse_core::nodes::known_hosts::{
    CertVerdict, CertificateFacts, HostQuery, KeyVerdict, KnownHosts, PinnedKey, fingerprint,
};
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The host key that a node has proved to own, with its certificate. It is judged when the
/// node shows it, and again while the connection is open: when the pins change, and as time
/// passes, since certificates expire.
pub(super) struct Identity {
    host: HostQuery,
    fingerprint: String,
    /// Such as `ssh-ed25519`.
    key_type: String,
    /// The key in wire format (RFC 4253, section 6.6).
    key: Vec<u8>,
    certificate: Option<Certified>,
}

/// A certificate with a valid signature of its authority.
struct Certified {
    authority: Vec<u8>,
    principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    is_host: bool,
    critical_options: bool,
}

impl Identity {
    fn of(host: &HostQuery, shown: &PublicKeyOrCertificate) -> Result<Self, NodeFailure> {
        let (key, certificate) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (Cow::Borrowed(key), None),
            PublicKeyOrCertificate::Certificate(certificate) => {
                // The library verifies the node's signature with the key inside, but not that of
                // the authority on the certificate.
                certificate.verify_signature().map_err(|_| {
                    let authority = certificate.signature_key().algorithm();
                    if is_supported(authority.as_str()) {
                        HostKeyFailure::CertificateSignature
                    } else {
                        HostKeyFailure::CertificateAuthority {
                            key_type: harmless(authority.as_str()),
                        }
                    }
                })?;
                let key = PublicKey::new(certificate.public_key().clone(), "");
                (Cow::Owned(key), Some(Certified::of(certificate)?))
            }
        };
        Ok(Self {
            certificate,
            ..Self::plain(host.clone(), key.algorithm().as_str(), wire_format(&key)?)
        })
    }

    /// A key in wire format that no certificate vouches for.
    pub(super) fn plain(host: HostQuery, key_type: &str, key: Vec<u8>) -> Self {
        Self {
            host,
            fingerprint: fingerprint(&key),
            key_type: key_type.to_owned(),
            key,
            certificate: None,
        }
    }

    /// The fingerprint as `ssh-keygen -l` prints it.
    pub(super) fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// True if it has a certificate, which expires.
    pub(super) fn is_certified(&self) -> bool {
        self.certificate.is_some()
    }

    /// Judges it by these pins at the current time.
    pub(super) fn judge(&self, known_hosts: &KnownHosts) -> Result<(), HostKeyFailure> {
        let Some(certificate) = &self.certificate else {
            return self.judge_key(known_hosts);
        };
        let now = unix_seconds();
        let facts = CertificateFacts {
            key_blob: &self.key,
            ca_blob: &certificate.authority,
            principals: &certificate.principals,
            valid_after: certificate.valid_after,
            valid_before: certificate.valid_before,
            is_host: certificate.is_host,
            critical_options: certificate.critical_options,
        };
        match known_hosts.check_certificate(&self.host, &facts, now) {
            CertVerdict::Trusted => Ok(()),
            CertVerdict::Revoked => Err(self.revoked()),
            // The key inside may be pinned by itself.
            verdict => self.judge_key(known_hosts).map_err(|_| {
                HostKeyFailure::Certificate(Box::new(RejectedCertificate {
                    verdict,
                    principals: certificate.principals.clone(),
                    valid_after: certificate.valid_after,
                    valid_before: certificate.valid_before,
                    judged_at: now,
                    authority: fingerprint(&certificate.authority),
                    name: self.host.name().to_owned(),
                    known_as: self.host.known_as().to_owned(),
                }))
            }),
        }
    }

    fn judge_key(&self, known_hosts: &KnownHosts) -> Result<(), HostKeyFailure> {
        match known_hosts.check_key(&self.host, &self.key) {
            KeyVerdict::Trusted => Ok(()),
            KeyVerdict::Unknown => Err(HostKeyFailure::Unknown {
                shown: Box::new(self.shown_key()),
                pinned: known_hosts.pinned_elsewhere(&self.host).map(Box::new),
            }),
            // The node was not asked for a key of these kinds, so another one says nothing.
            KeyVerdict::Changed { expected }
                if !expected.iter().any(|pin| is_supported(&pin.key_type)) =>
            {
                Err(HostKeyFailure::UnsupportedPins {
                    shown: Box::new(self.shown_key()),
                    expected,
                })
            }
            KeyVerdict::Changed { expected }
                if !expected.iter().any(|pin| pin.key_type == self.key_type) =>
            {
                Err(HostKeyFailure::OtherKind {
                    shown: Box::new(self.shown_key()),
                    expected,
                })
            }
            KeyVerdict::Changed { expected } => Err(HostKeyFailure::Changed {
                fingerprint: self.fingerprint.clone(),
                expected,
            }),
            KeyVerdict::Revoked => Err(self.revoked()),
        }
    }

    fn shown_key(&self) -> ShownKey {
        ShownKey {
            key: PinnedKey {
                key_type: self.key_type.clone(),
                fingerprint: self.fingerprint.clone(),
            },
            known_as: self.host.known_as().to_owned(),
        }
    }

    fn revoked(&self) -> HostKeyFailure {
        HostKeyFailure::Revoked {
            fingerprint: self.fingerprint.clone(),
        }
    }
}

impl Certified {
    fn of(certificate: &Certificate) -> Result<Self, NodeFailure> {
        let authority = PublicKey::new(certificate.signature_key().clone(), "");
        Ok(Self {
            authority: wire_format(&authority)?,
            principals: certificate.valid_principals().to_vec(),
            valid_after: certificate.valid_after(),
            valid_before: certificate.valid_before(),
            is_host: certificate.cert_type() == CertType::Host,
            critical_options: !certificate.critical_options().is_empty(),
        })
    }
}

/// The time of this host's clock, in seconds since 1970; 0 for an earlier one.
pub(super) fn unix_seconds() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    since_1970.map_or(0, |time| time.as_secs())
}

fn wire_format(key: &PublicKey) -> Result<Vec<u8>, NodeFailure> {
    key.to_bytes().map_err(|e| NodeFailure::Ssh(e.to_string()))
}

/// The host key that was shown, with its verdict; shared by the handler and the connect.
#[derive(Clone, Default)]
pub(super) struct KeyCheck(Arc<Mutex<Option<Shown>>>);

/// A host key that was shown.
pub(super) struct Shown {
    /// `None` when it could not be read.
    pub(super) identity: Option<Arc<Identity>>,
    /// Accepted, or the reason that it is not.
    pub(super) verdict: Result<(), NodeFailure>,
}

impl KeyCheck {
    /// `None` when the node has shown no key.
    pub(super) fn take(&self) -> Option<Shown> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The handler of one SSH connection.
pub(super) struct NodeClient {
    pub(super) known_hosts: Arc<KnownHosts>,
    pub(super) host: HostQuery,
    pub(super) check: KeyCheck,
    pub(super) ending: SharedEnding,
}

impl NodeClient {
    pub(super) fn judge(&self, shown: &PublicKeyOrCertificate) -> Shown {
        match Identity::of(&self.host, shown) {
            Ok(identity) => Shown {
                verdict: identity.judge(&self.known_hosts).map_err(NodeFailure::from),
                identity: Some(Arc::new(identity)),
            },
            Err(failure) => Shown {
                identity: None,
                verdict: Err(failure),
            },
        }
    }
}

/// The end of a connection on which the node opens a channel: it is broken or hostile.
const OPENED_A_CHANNEL: Result<(), russh::Error> = Err(russh::Error::WrongChannel);

impl Handler for NodeClient {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        let shown = self.judge(shown);
        let accepted = shown.verdict.is_ok();
        // Kept for the connect: the library turns a refusal into an error without its reason.
        *self.check.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        Ok(accepted)
    }

    async fn disconnected(
        &mut self,
        reason: DisconnectReason<russh::Error>,
    ) -> Result<(), russh::Error> {
        self.ending.set(reason);
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn should_accept_unknown_server_channel(&mut self, _: ChannelId, _: &str) -> bool {
        false
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        OPENED_A_CHANNEL
    }
}
