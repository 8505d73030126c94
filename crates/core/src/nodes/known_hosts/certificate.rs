//! Host certificates and their validity for a host.
//!
//! The rules are those of OpenSSH 10.3, the strictest version. Up to 10.2 an empty list of
//! principals matched every host, so that one mistake of a CA was valid everywhere
//! (CVE-2024-7594), and wildcards in principals were documented but compared the wrong way
//! round. Here an empty list matches no host, and wildcards work as documented.

use super::pattern::{MAX_PATTERN_BYTES, wildcard_matches};
use std::fmt;

/// The most principals of a certificate; OpenSSH's own limit.
const MAX_PRINCIPALS: usize = 256;

/// The content of a certificate, as its driver parsed it.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFacts<'a> {
    /// The host's key in the certificate, as a plain key in wire format.
    pub key_blob: &'a [u8],
    /// The key of the authority that signed it, in wire format.
    pub ca_blob: &'a [u8],
    /// The host names it was issued for; `*` and `?` are wildcards.
    pub principals: &'a [String],
    /// The first second of its validity, since 1970.
    pub valid_after: u64,
    /// The first second after its validity, since 1970.
    pub valid_before: u64,
    /// The type: true for a host certificate, false for a user's.
    pub is_host: bool,
    /// True if it has critical options; none is defined for hosts.
    pub critical_options: bool,
}

/// The verdict of the pins on a host certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertVerdict {
    /// A pinned authority has certified this host, and the certificate is valid now.
    Trusted,
    /// The host's key or the authority's is revoked for this host.
    Revoked,
    /// No `@cert-authority` line for this host has the authority's key.
    NotACertificateAuthorityForHost,
    /// It is not a host certificate.
    NotAHostCertificate,
    /// Its validity has not begun.
    NotYetValid,
    /// It has expired.
    Expired,
    /// Its principals do not match the host, or it has none.
    PrincipalMismatch,
    /// It has a critical option, which must not be ignored and is not known.
    UnknownCriticalOption,
}

impl CertificateFacts<'_> {
    /// Checks all but the authority. `name` is in lower case.
    pub(super) fn check_contents(&self, name: &str, now_unix: u64) -> CertVerdict {
        // Principals are compared with their case, as in OpenSSH: a CA has to write names in
        // lower case. A longer list or name than ours is not searched.
        let has_principal = || {
            self.principals.len() <= MAX_PRINCIPALS
                && self.principals.iter().any(|principal| {
                    principal.len() <= MAX_PATTERN_BYTES && wildcard_matches(principal, name)
                })
        };
        // The validity is `valid after <= now < valid before` (OpenSSH, PROTOCOL.certkeys).
        if !self.is_host {
            CertVerdict::NotAHostCertificate
        } else if now_unix < self.valid_after {
            CertVerdict::NotYetValid
        } else if now_unix >= self.valid_before {
            CertVerdict::Expired
        } else if !has_principal() {
            CertVerdict::PrincipalMismatch
        } else if self.critical_options {
            CertVerdict::UnknownCriticalOption
        } else {
            CertVerdict::Trusted
        }
    }
}

impl CertVerdict {
    /// The phrase in messages and records.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trusted => "trusted host certificate",
            Self::Revoked => "revoked host or authority key",
            Self::NotACertificateAuthorityForHost => "not a certificate authority for this host",
            Self::NotAHostCertificate => "not a host certificate",
            Self::NotYetValid => "host certificate not yet valid",
            Self::Expired => "host certificate expired",
            Self::PrincipalMismatch => "host certificate issued for other names",
            Self::UnknownCriticalOption => "unknown critical option in host certificate",
        }
    }
}

impl fmt::Display for CertVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
