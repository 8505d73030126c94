//! Settings of a node, and its host keys.

use std::borrow::Cow;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use russh::keys::ssh_key::certificate::{Builder, CertType};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Certificate, PrivateKey, PublicKey};
use russh::{MethodKind, MethodSet, Preferred, SshId, kex, server};

use crate::behaviour::Behaviour;

/// A session's receive window, in bytes: requests are a few bytes each.
const WINDOW_BYTES: u32 = 32 * 1024;

const SSH_VERSION: &str = concat!("SSH-2.0-PulseSimNode_", env!("CARGO_PKG_VERSION"));

const KEX_POST_QUANTUM: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// Settings of a node.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The address to listen on, which must be loopback. Port 0 is a free port.
    pub listen: SocketAddr,
    /// The only key that may log in; none for any key.
    pub authorized_key: Option<PublicKey>,
    /// The host key; none for a fresh Ed25519 key.
    pub host_key: Option<PrivateKey>,
    /// The authority that certifies the host key, if any.
    pub host_authority: Option<HostAuthority>,
    /// True to offer `mlkem768x25519-sha256`; false for `curve25519-sha256` alone, as older
    /// nodes do. Strict key exchange is offered in both cases.
    pub post_quantum: bool,
    /// The behaviour at the start.
    pub behaviour: Behaviour,
}

impl SimConfig {
    /// A node on a free port of 127.0.0.1 with a fresh host key, which accepts any key.
    #[must_use]
    pub fn new(behaviour: Behaviour) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            authorized_key: None,
            host_key: None,
            host_authority: None,
            post_quantum: true,
            behaviour,
        }
    }
}

/// A certificate authority for host keys.
#[derive(Clone, Debug)]
pub struct HostAuthority {
    /// The authority's own key.
    pub key: PrivateKey,
    /// The host names a certificate is for.
    pub principals: Vec<String>,
    /// Validity of certificates, in seconds since 1970.
    pub valid: RangeInclusive<u64>,
}

impl HostAuthority {
    /// A fresh authority whose certificates for `name` never expire.
    ///
    /// # Errors
    /// When the kernel gives no random bytes.
    pub fn fresh(name: &str) -> io::Result<Self> {
        Ok(Self {
            key: fresh_key()?,
            principals: vec![name.to_owned()],
            valid: 0..=u64::MAX,
        })
    }

    /// The line of `known_hosts` that trusts this authority for `pattern`.
    #[must_use]
    pub fn known_hosts_line(&self, pattern: &str) -> String {
        format!(
            "@cert-authority {pattern} {}",
            openssh_text(self.key.public_key())
        )
    }

    fn certify(&self, host_key: &PublicKey) -> io::Result<Certificate> {
        // Random bytes against collisions of the signature's hash (OpenSSH's PROTOCOL.certkeys).
        let mut nonce = [0_u8; Builder::RECOMMENDED_NONCE_SIZE];
        getrandom::fill(&mut nonce)?;
        let (from, to) = (*self.valid.start(), *self.valid.end());
        let sign = || {
            let mut builder = Builder::new(nonce, host_key.key_data().clone(), from, to)?;
            builder.cert_type(CertType::Host)?.key_id("simnode")?;
            for name in &self.principals {
                builder.valid_principal(name)?;
            }
            builder.sign(&self.key)
        };
        sign().map_err(io::Error::other)
    }
}

/// A fresh Ed25519 key pair.
///
/// # Errors
/// When the kernel gives no random bytes.
pub fn fresh_key() -> io::Result<PrivateKey> {
    let mut seed = [0_u8; 32];
    getrandom::fill(&mut seed)?;
    Ok(Ed25519Keypair::from_seed(&seed).into())
}

/// A key in the format of `authorized_keys` and `known_hosts`, without a comment.
pub(crate) fn openssh_text(key: &PublicKey) -> String {
    let bare = PublicKey::from(key.key_data().clone());
    // An Ed25519 key always has this format; an empty text would match nothing.
    bare.to_openssh().unwrap_or_default()
}

/// The SSH library's configuration for one host key.
pub(crate) fn ssh_config(
    host_key: PrivateKey,
    authority: Option<&HostAuthority>,
    post_quantum: bool,
) -> io::Result<server::Config> {
    let certificates = authority
        .map(|authority| authority.certify(host_key.public_key()))
        .into_iter()
        .collect::<io::Result<_>>()?;
    Ok(server::Config {
        server_id: SshId::Standard(Cow::Borrowed(SSH_VERSION)),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        // The library delays rejections against guessing, which tests would wait for.
        auth_rejection_time: Duration::ZERO,
        keys: vec![host_key],
        certificates,
        preferred: Preferred {
            // The first algorithm is the post-quantum one.
            kex: Cow::Borrowed(&KEX_POST_QUANTUM[usize::from(!post_quantum)..]),
            ..Preferred::DEFAULT
        },
        // Small window and buffers: there are up to ten thousand connections.
        window_size: WINDOW_BYTES,
        channel_buffer_size: 2,
        event_buffer_size: 4,
        // An idle daemon keeps its connections open for any time.
        inactivity_timeout: None,
        ..server::Config::default()
    })
}
