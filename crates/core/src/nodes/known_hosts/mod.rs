//! `known_hosts`: pinned and revoked host keys, and the verdicts they give.
//!
//! The daemon trusts a node only because its operator pinned a key, so every rule of
//! sshd(8), "`SSH_KNOWN_HOSTS` FILE FORMAT", is implemented: a parser that ignores one
//! marker turns a revoked key into a trusted one. Host names are patterns or hashes, keys
//! are compared in wire format, comments are ignored.
//!
//! Where OpenSSH has a choice, the stricter one is implemented:
//!
//! * A pin for `pve1` does not cover `[pve1]:2222`. The `ssh` client falls back to the
//!   plain name, but two ports of one host can be two machines.
//! * A pin for an address does not cover a name that resolves to it. Otherwise whoever
//!   redirects the name could choose any machine whose address is pinned.
//! * A revocation covers more names of a node than a pin (see [`HostQuery`]): refusing a
//!   good key costs a reading, accepting a stolen one costs the node.
//!
//! Plain names have an index. Hashed names cannot have one: a look-up computes an HMAC for
//! every hashed line, about 0.25 µs each, so large fleets should not hash their names.

mod certificate;
mod key;
mod line;
mod pattern;
pub mod pins;
mod query;

pub use certificate::{CertVerdict, CertificateFacts};
pub use key::{fingerprint, is_ed25519};
pub use line::{BadLine, LineError};
pub use query::HostQuery;

use line::{Line, Role};
use pattern::Match;
use std::collections::HashMap;
use std::fmt;

/// The most lines a file may have.
pub const MAX_LINES: usize = 100_000;

/// The most bytes a file may have.
pub const MAX_BYTES: usize = 16 * 1024 * 1024;

/// The content of one or more `known_hosts` files.
#[derive(Clone, Debug, Default)]
pub struct KnownHosts {
    /// Host keys and authorities, in the order of the files.
    pins: Vec<Line>,
    /// The indexes of a name's lines, for lines that list plain names only.
    by_name: HashMap<Box<str>, Vec<usize>>,
    /// The indexes of lines with hashes, wildcards or negations, tried for every name.
    unindexed: Vec<usize>,
    revocations: Vec<Line>,
}

/// A file of which no line is used: a part of it may have its revocations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It exceeds [`MAX_LINES`] or [`MAX_BYTES`].
    #[error(
        "the file has more than {MAX_LINES} lines or {MAX_BYTES} bytes and was not read; split it"
    )]
    TooLarge,
    /// Its byte-order mark is that of UTF-16.
    #[error("the file is UTF-16, which some editors call Unicode; save it as UTF-8")]
    Utf16,
}

/// UTF-8's byte-order mark, which some editors write before the text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// True if a file begins with a byte-order mark. [`KnownHosts::parse`] skips it, since the first
/// line may be a revocation, but ssh(1) takes it for a part of that line.
#[must_use]
pub fn has_byte_order_mark(text: &[u8]) -> bool {
    text.starts_with(BYTE_ORDER_MARK)
}

/// The verdict of the pins on a plain host key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyVerdict {
    /// The key is pinned for this host.
    Trusted,
    /// No key is pinned for this host, or only revoked ones.
    Unknown,
    /// Other keys are pinned for this host, but not this one.
    Changed {
        /// The pinned keys, those of the offered type first.
        expected: Vec<PinnedKey>,
    },
    /// The key is revoked for this host.
    Revoked,
}

/// A pinned key, for people to compare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedKey {
    /// The key type, such as `ssh-ed25519`.
    pub key_type: String,
    /// The fingerprint, as [`fingerprint`] formats it.
    pub fingerprint: String,
}

/// The algorithms to offer a host, so that it proves a key that is pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PinnedAlgorithms {
    /// The types of the host's pinned keys, each once, in the order of the files.
    /// `ssh-rsa` is the type of the key and stands for all its signature algorithms.
    pub key_types: Vec<String>,
    /// True if a certificate authority is pinned: certificates are preferred then.
    pub authority: bool,
}

/// Keys that are pinned under a name that does not count for the node: for another port, or by
/// its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedElsewhere {
    /// The name of the line.
    pub name: String,
    /// The types of the keys, each once.
    pub key_types: Vec<String>,
}

impl KnownHosts {
    /// Parses one file. A bad line is returned and does not affect other lines.
    ///
    /// # Errors
    /// [`FileError`] for a file over [`MAX_LINES`] or [`MAX_BYTES`], or in UTF-16.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<(Self, Vec<BadLine>), FileError> {
        let text = text.as_ref();
        if let [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] = text {
            return Err(FileError::Utf16);
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let lines = || text.split_inclusive(|byte| *byte == b'\n');
        if text.len() > MAX_BYTES || lines().count() > MAX_LINES {
            return Err(FileError::TooLarge);
        }
        let mut known = Self::default();
        let mut bad = Vec::new();
        for (number, bytes) in (1..).zip(lines()) {
            match Line::parse(bytes) {
                Ok(Some(line)) => known.add(line),
                Ok(None) => {}
                Err(error) => bad.push(BadLine::new(number, error, bytes)),
            }
        }
        Ok((known, bad))
    }

    /// Adds the pins and revocations of another file.
    pub fn extend(&mut self, other: Self) {
        for line in other.pins.into_iter().chain(other.revocations) {
            self.add(line);
        }
    }

    /// The number of pinned and revoked keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.pins.len() + self.revocations.len()
    }

    /// True if no key is pinned or revoked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks the plain key, in wire format, that a host has proved to own.
    #[must_use]
    pub fn check_key(&self, host: &HostQuery, key_blob: &[u8]) -> KeyVerdict {
        // First: a revoked key is refused whether or not it is pinned as well.
        if self.is_revoked(host, key_blob) {
            return KeyVerdict::Revoked;
        }
        if self.is_pinned(Role::HostKey, host, key_blob) {
            return KeyVerdict::Trusted;
        }
        match self.expected(host, key_blob) {
            expected if expected.is_empty() => KeyVerdict::Unknown,
            expected => KeyVerdict::Changed { expected },
        }
    }

    /// Checks a host certificate at `now_unix`, in seconds since 1970.
    ///
    /// The caller must have verified the signature by `ca_blob`, and that the host owns the
    /// key in the certificate. For a verdict other than [`CertVerdict::Trusted`] and
    /// [`CertVerdict::Revoked`], that key may still be pinned by itself: OpenSSH then checks
    /// it like [`KnownHosts::check_key`].
    #[must_use]
    pub fn check_certificate(
        &self,
        host: &HostQuery,
        facts: &CertificateFacts<'_>,
        now_unix: u64,
    ) -> CertVerdict {
        // First, so that an operator sees a revocation even if the certificate has expired.
        if self.is_revoked(host, facts.key_blob) || self.is_revoked(host, facts.ca_blob) {
            return CertVerdict::Revoked;
        }
        if !self.is_pinned(Role::Authority, host, facts.ca_blob) {
            return CertVerdict::NotACertificateAuthorityForHost;
        }
        facts.check_contents(host.name(), now_unix)
    }

    /// The algorithms to offer a host. Revoked keys do not count.
    ///
    /// A host with several keys must be asked for a pinned one. Otherwise it proves another
    /// one, and looks as if its key had changed.
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

    /// The host keys of a node that are pinned under another of its names, for a node that has
    /// none under its own. Other programs, such as Proxmox VE's, write plain names for every port.
    #[must_use]
    pub fn pinned_elsewhere(&self, host: &HostQuery) -> Option<PinnedElsewhere> {
        host.aliases().find_map(|alias| {
            let named = self.by_name.get(alias).into_iter().flatten();
            let mut key_types: Vec<String> = Vec::new();
            for line in named
                .chain(&self.unindexed)
                .filter_map(|index| self.pins.get(*index))
            {
                if line.role == Role::HostKey
                    && !key_types.contains(&line.key_type)
                    && line.hosts.matches(alias) == Match::Yes
                {
                    key_types.push(line.key_type.clone());
                }
            }
            (!key_types.is_empty()).then(|| PinnedElsewhere {
                name: alias.to_owned(),
                key_types,
            })
        })
    }

    fn add(&mut self, line: Line) {
        // Revocations have no index: each is compared with every name of a node, and there
        // are few.
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

    /// The lines that can match the host; their patterns are still to be compared.
    fn candidates(&self, host: &HostQuery) -> impl Iterator<Item = &Line> {
        let named = self.by_name.get(host.known_as()).into_iter().flatten();
        named
            .chain(&self.unindexed)
            .filter_map(|index| self.pins.get(*index))
    }

    /// The key is compared before the host, because a hashed name costs an HMAC.
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
        // A key of the offered type comes first, since that is the one that has changed.
        let offered_type = key::type_of(offered);
        let mut lines: Vec<&Line> = self
            .pins_for(host)
            .filter(|line| line.role == Role::HostKey)
            .collect();
        lines.sort_by_key(|line| Some(line.key_type.as_bytes()) != offered_type);
        let pinned = lines.into_iter().map(|line| PinnedKey {
            key_type: line.key_type.clone(),
            fingerprint: fingerprint(&line.blob),
        });
        pinned.collect()
    }
}

impl fmt::Display for PinnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.key_type, self.fingerprint)
    }
}
