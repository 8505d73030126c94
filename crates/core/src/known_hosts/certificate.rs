//! Host certificates: what one says, and whether that is good for a host now.
//!
//! The rules are those of OpenSSH 10.3, the strictest so far. Up to 10.2 an empty
//! list of principals meant any host at all, which made every CA slip a skeleton
//! key (CVE-2024-7594); and wildcards in principals were documented but compared
//! the wrong way round. We refuse the first and read the second as documented.

use super::pattern::{MAX_PATTERN_BYTES, wildcard_matches};
use std::fmt;

/// The most principals a certificate may have; OpenSSH's own limit.
const MAX_PRINCIPALS: usize = 256;

/// What a certificate says, as its driver read it.
#[derive(Clone, Copy, Debug)]
pub struct CertificateFacts<'a> {
    /// The host's own key inside the certificate, as a plain key in wire format.
    pub key_blob: &'a [u8],
    /// The authority's key that signed it, in wire format.
    pub ca_blob: &'a [u8],
    /// The host names it was issued for; `*` and `?` are wildcards.
    pub principals: &'a [String],
    /// The first second it is valid, since 1970.
    pub valid_after: u64,
    /// The first second it is valid no more, since 1970.
    pub valid_before: u64,
    /// It is a host certificate, not a user's.
    pub is_host: bool,
    /// It has critical options; none is defined for hosts.
    pub critical_options: bool,
}

/// What the pins say about a host certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertVerdict {
    /// A pinned authority vouches for this host, today.
    Trusted,
    /// The host's key or the authority's was revoked for this host.
    Revoked,
    /// No `@cert-authority` line makes this authority one for this host.
    NotACertificateAuthorityForHost,
    /// A user's certificate, or of a kind unknown.
    NotAHostCertificate,
    /// Its time has not come.
    NotYetValid,
    /// Its time is over.
    Expired,
    /// It was issued for other names, or for none.
    PrincipalMismatch,
    /// It has critical options, which must be understood and are not.
    UnknownCriticalOption,
}

impl CertificateFacts<'_> {
    /// Judges all but the authority. `name` is in lower case.
    pub(super) fn check_contents(&self, name: &str, now_unix: u64) -> CertVerdict {
        if !self.is_host {
            CertVerdict::NotAHostCertificate
        } else if now_unix < self.valid_after {
            CertVerdict::NotYetValid
        } else if now_unix >= self.valid_before {
            CertVerdict::Expired
        } else if !self.is_issued_for(name) {
            CertVerdict::PrincipalMismatch
        } else if self.critical_options {
            CertVerdict::UnknownCriticalOption
        } else {
            CertVerdict::Trusted
        }
    }

    /// Principals keep their case, as in OpenSSH: a CA writes names in lower case.
    fn is_issued_for(&self, name: &str) -> bool {
        self.principals.len() <= MAX_PRINCIPALS
            && self.principals.iter().any(|principal| {
                principal.len() <= MAX_PATTERN_BYTES && wildcard_matches(principal, name)
            })
    }
}

impl CertVerdict {
    /// The verdict as a phrase, for a person and for the audit record.
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
