//! Host keys we may trust: the `known_hosts` reader and its verdicts.
//!
//! The daemon trusts a node by what its operator pinned and by nothing else, so
//! every rule of sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT", has to hold: a reader
//! that skips one marker turns a revoked key into a trusted one. Names are
//! patterns or hashes, keys are compared as the bytes that travel on the wire,
//! and comments are never looked at.
//!
//! Where OpenSSH leaves a choice, the stricter one is taken:
//!
//! * A pin for `pve1` does not cover `[pve1]:2222`. The `ssh` client falls back
//!   to the plain name, but two ports of one host may well be two machines.
//! * A pin for an address does not cover a name that resolves to it: what was
//!   pinned is the node's name, and whoever changes where it points must not be
//!   able to choose another pinned key as well.
//! * A revocation reaches further than a pin (see [`HostQuery`]): when in doubt,
//!   a stolen key is refused.
//!
//! Plain names are found by an index. A hashed name has none: a look-up costs one
//! HMAC per hashed line, about 0.25 µs, so a large fleet had better pin in plain.

mod certificate;
mod key;
mod line;
mod pattern;
pub mod pins;
mod query;

pub use certificate::{CertVerdict, CertificateFacts};
pub use key::{fingerprint, is_ed25519};
pub use line::{Problem, Reason};
pub use query::HostQuery;

use line::{Line, Role};
use std::collections::HashMap;
use std::fmt;

/// The most lines a file may have.
pub const MAX_LINES: usize = 100_000;

/// The most bytes a file may have.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// What one or more `known_hosts` files say.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    /// Host keys and authorities, in the order of the files.
    pins: Vec<Line>,
    /// Where a name's lines are, for lines that only list plain names.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// Lines with hashes, wildcards or negations: tried for every name.
    unindexed: Vec<usize>,
    revocations: Vec<Line>,
}

/// What the pins say about a plain host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The key is pinned for this host.
    Trusted,
    /// No key is pinned for this host, or only revoked ones.
    Unknown,
    /// Other keys are pinned for this host, and this is none of them.
    Changed {
        /// What is pinned instead, keys of the offered type first.
        expected: Vec<PinnedKey>,
    },
    /// The key was revoked for this host.
    Revoked,
}

/// A pinned key, as a person compares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    /// The key's type, as in `ssh-ed25519`.
    pub key_type: String,
    /// As [`fingerprint`] gives it.
    pub fingerprint: String,
}

/// What to ask a host for, so that it proves what is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedAlgorithms {
    /// The types of the host's pinned keys (`ssh-rsa` means the key, whatever
    /// its signatures are called), each once, in the order of the files.
    pub key_types: Vec<String>,
    /// A certificate authority is pinned: prefer certificates.
    pub authority: bool,
}

impl KnownHosts {
    /// Reads one file. A bad line is reported and costs no other line.
    ///
    /// A file over [`MAX_LINES`] or [`MAX_BYTES`] is refused whole, with one
    /// problem: half a file may be the half without its revocations.
    #[must_use]
    pub fn parse(text: impl AsRef<[u8]>) -> (Self, Vec<Problem>) {
        let text = text.as_ref();
        let mut known = Self::default();
        if let Some(problem) = line::over_limit(text) {
            return (known, vec![problem]);
        }
        let mut problems = Vec::new();
        for (number, bytes) in (1..).zip(text.split_inclusive(|byte| *byte == b'\n')) {
            match Line::parse(bytes) {
                Ok(Some(line)) => known.add(line),
                Ok(None) => {}
                Err(reason) => problems.push(Problem::new(number, reason, bytes)),
            }
        }
        (known, problems)
    }

    /// Adds what another file says: its pins and its revocations.
    pub fn extend(&mut self, other: Self) {
        for line in other.pins.into_iter().chain(other.revocations) {
            self.add(line);
        }
    }

    /// How many keys are pinned or revoked.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pins.len() + self.revocations.len()
    }

    /// Whether nothing is pinned and nothing revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Judges the plain key, in wire format, that a host has proved to own.
    #[must_use]
    pub fn check_key(&self, host: &HostQuery, key_blob: &[u8]) -> Verdict {
        if self.is_revoked(host, key_blob) {
            return Verdict::Revoked;
        }
        if self.is_pinned(Role::HostKey, host, key_blob) {
            return Verdict::Trusted;
        }
        match self.expected(host, key_blob) {
            expected if expected.is_empty() => Verdict::Unknown,
            expected => Verdict::Changed { expected },
        }
    }

    /// Judges a host certificate at `now_unix`, in seconds since 1970.
    ///
    /// The caller has verified the certificate's signature by `ca_blob`, and the
    /// host's possession of the key inside. When the verdict is neither
    /// [`CertVerdict::Trusted`] nor [`CertVerdict::Revoked`], the key inside may
    /// still be pinned by itself: OpenSSH then asks [`KnownHosts::check_key`].
    #[must_use]
    pub fn check_certificate(
        &self,
        host: &HostQuery,
        facts: &CertificateFacts<'_>,
        now_unix: u64,
    ) -> CertVerdict {
        let revoked = |blob| self.is_revoked(host, blob);
        if revoked(facts.key_blob) || revoked(facts.ca_blob) {
            return CertVerdict::Revoked;
        }
        if !self.is_pinned(Role::Authority, host, facts.ca_blob) {
            return CertVerdict::NotACertificateAuthorityForHost;
        }
        facts.check_contents(host.name(), now_unix)
    }

    /// What is pinned for a host, to order the algorithms offered to it.
    ///
    /// A host that has several keys must be asked for one that is pinned, or a
    /// good host looks like one whose key has changed. Revoked keys do not count.
    #[must_use]
    pub fn algorithms_for(&self, host: &HostQuery) -> PinnedAlgorithms {
        let mut algorithms = PinnedAlgorithms::default();
        for line in self.pins_for(host) {
            match line.role {
                Role::HostKey if !algorithms.key_types.contains(&line.key_type) => {
                    algorithms.key_types.push(line.key_type.clone());
                }
                Role::Authority => algorithms.authority = true,
                Role::HostKey | Role::Revoked => {}
            }
        }
        algorithms
    }

    fn add(&mut self, line: Line) {
        if line.role == Role::Revoked {
            self.revocations.push(line);
            return;
        }
        let index = self.pins.len();
        match line.hosts.plain_names() {
            Some(names) => {
                for name in names {
                    self.by_name.entry(name.into()).or_default().push(index);
                }
            }
            None => self.unindexed.push(index),
        }
        self.pins.push(line);
    }

    /// Lines that may match the host; whether they do is still to be asked.
    fn candidates(&self, host: &HostQuery) -> impl Iterator<Item = &Line> {
        let named = self.by_name.get(host.known_as());
        let indexes = named.into_iter().flatten().chain(&self.unindexed);
        indexes.filter_map(|index| self.pins.get(*index))
    }

    /// The key is compared before the host: a hashed name costs an HMAC.
    fn is_pinned(&self, role: Role, host: &HostQuery, blob: &[u8]) -> bool {
        self.candidates(host)
            .any(|line| line.role == role && line.blob == blob && host.is_pinned_by(&line.hosts))
    }

    fn is_revoked(&self, host: &HostQuery, blob: &[u8]) -> bool {
        let mut lines = self.revocations.iter();
        lines.any(|line| line.blob == blob && host.is_revoked_by(&line.hosts))
    }

    fn pins_for(&self, host: &HostQuery) -> impl Iterator<Item = &Line> {
        self.candidates(host)
            .filter(|line| host.is_pinned_by(&line.hosts))
            .filter(|line| !self.is_revoked(host, &line.blob))
    }

    fn expected(&self, host: &HostQuery, offered: &[u8]) -> Vec<PinnedKey> {
        let offered_type = key::type_of(offered);
        let mut lines: Vec<&Line> = self
            .pins_for(host)
            .filter(|line| line.role == Role::HostKey)
            .collect();
        lines.sort_by_key(|line| Some(line.key_type.as_bytes()) != offered_type);
        lines.into_iter().map(PinnedKey::of).collect()
    }
}

impl PinnedKey {
    fn of(line: &Line) -> Self {
        Self {
            key_type: line.key_type.clone(),
            fingerprint: fingerprint(&line.blob),
        }
    }
}

impl fmt::Display for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key_type, self.fingerprint)
    }
}
