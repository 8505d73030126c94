//! What we do when a node speaks SSH to us: check its host key, refuse the rest.
//!
//! The library accepts, by default, every channel that a server opens; a hostile
//! node could fill our memory with them. No node has a reason to open one, so the
//! first attempt ends the connection.

use super::failure::NodeFailure;
use pulse_core::known_hosts::{
    CertVerdict, CertificateFacts, HostQuery, KnownHosts, Verdict, fingerprint,
};
use russh::client::{ChannelOpenHandle, Handler, Msg, Session};
use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelId};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the check of a host key came to; shared with whoever is connecting.
#[derive(Clone, Default)]
pub(super) struct KeyCheck(Arc<Mutex<Option<Result<String, NodeFailure>>>>);

impl KeyCheck {
    /// The fingerprint of the accepted key, or why it was not accepted; `None`
    /// when the node never showed one.
    pub(super) fn take(&self) -> Option<Result<String, NodeFailure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, outcome: Result<String, NodeFailure>) -> bool {
        let accepted = outcome.is_ok();
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(outcome);
        accepted
    }
}

/// Our end of one SSH connection.
pub(super) struct NodeClient {
    pub(super) known_hosts: Arc<KnownHosts>,
    pub(super) host: HostQuery,
    pub(super) check: KeyCheck,
}

impl NodeClient {
    pub(super) fn judge(&self, shown: &PublicKeyOrCertificate) -> Result<String, NodeFailure> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.judge_key(key),
            PublicKeyOrCertificate::Certificate(certificate) => self.judge_certificate(certificate),
        }
    }

    fn judge_key(&self, key: &PublicKey) -> Result<String, NodeFailure> {
        let blob = key
            .to_bytes()
            .map_err(|e| NodeFailure::Ssh(e.to_string()))?;
        let fingerprint = fingerprint(&blob);
        match self.known_hosts.check_key(&self.host, &blob) {
            Verdict::Trusted => Ok(fingerprint),
            Verdict::Unknown => Err(NodeFailure::HostKeyUnknown { fingerprint }),
            Verdict::Changed { expected } => Err(NodeFailure::HostKeyChanged {
                fingerprint,
                expected,
            }),
            Verdict::Revoked => Err(NodeFailure::HostKeyRevoked { fingerprint }),
        }
    }

    /// A certificate counts only when its authority really signed it; when it is
    /// not accepted, the key inside may still be pinned by itself.
    fn judge_certificate(&self, certificate: &Certificate) -> Result<String, NodeFailure> {
        let key = PublicKey::new(certificate.public_key().clone(), "");
        let blob = key
            .to_bytes()
            .map_err(|e| NodeFailure::Ssh(e.to_string()))?;
        certificate
            .verify_signature()
            .map_err(|_| NodeFailure::Ssh("the host certificate's signature is wrong".into()))?;
        match self.certificate_verdict(certificate, &blob)? {
            CertVerdict::Trusted => Ok(fingerprint(&blob)),
            CertVerdict::Revoked => Err(NodeFailure::HostKeyRevoked {
                fingerprint: fingerprint(&blob),
            }),
            verdict => self
                .judge_key(&key)
                .map_err(|_| NodeFailure::HostCertificate(verdict)),
        }
    }

    fn certificate_verdict(
        &self,
        certificate: &Certificate,
        key_blob: &[u8],
    ) -> Result<CertVerdict, NodeFailure> {
        let authority = PublicKey::new(certificate.signature_key().clone(), "");
        let ca_blob = authority
            .to_bytes()
            .map_err(|e| NodeFailure::Ssh(e.to_string()))?;
        let facts = CertificateFacts {
            key_blob,
            ca_blob: &ca_blob,
            principals: certificate.valid_principals(),
            valid_after: certificate.valid_after(),
            valid_before: certificate.valid_before(),
            is_host: certificate.cert_type() == CertType::Host,
            critical_options: !certificate.critical_options().is_empty(),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |t| t.as_secs());
        Ok(self.known_hosts.check_certificate(&self.host, &facts, now))
    }
}

/// A node that opens a channel to us is broken or hostile.
const OPENED_A_CHANNEL: Result<(), russh::Error> = Err(russh::Error::WrongChannel);

impl Handler for NodeClient {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        Ok(self.check.set(self.judge(shown)))
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
