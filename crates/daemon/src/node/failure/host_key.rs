//! Host keys that are not accepted: each has a sentence with its cause and its remedy.

use super::harmless;
use crate::node::connect::is_supported;
use pulse_core::event::HostKeyReason;
use pulse_core::nodes::known_hosts::{CertVerdict, PinnedElsewhere, PinnedKey};
use pulse_sensors::calendar::rfc3339;

/// A host key that is not accepted. The text follows `node "<name>" `.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HostKeyFailure {
    /// The host key is in no `known_hosts` line.
    #[error(
        "showed a host key that is not in known_hosts ({}): check it on the node, then add it as \"{}\"{}",
        shown.key, shown.known_as, elsewhere(pinned.as_deref())
    )]
    Unknown {
        shown: Box<ShownKey>,
        /// Lines that do not count.
        pinned: Option<Box<PinnedElsewhere>>,
    },
    /// The pinned keys are of kinds that the daemon cannot verify, so the node was not asked for
    /// one of them.
    #[error(
        "showed its {} host key, but known_hosts pins only {}, which is not supported: check {} on the node, then add it as \"{}\"",
        shown.key.key_type, kinds(expected.iter().map(|pin| &pin.key_type)), shown.key, shown.known_as
    )]
    UnsupportedPins {
        shown: Box<ShownKey>,
        expected: Vec<PinnedKey>,
    },
    /// The node was asked for a key of a pinned kind first, and showed one of another kind.
    #[error(
        "showed its {} host key, but known_hosts pins {}: the node has no such key any more, or someone may be in between; check {} on the node, then add it as \"{}\"",
        shown.key.key_type, pinned_keys(expected), shown.key, shown.known_as
    )]
    OtherKind {
        shown: Box<ShownKey>,
        expected: Vec<PinnedKey>,
    },
    /// The host key is another than the pinned ones.
    #[error(
        "showed another host key ({fingerprint}) than the pinned {}: someone may be in between, or the node was reinstalled: compare it with \"ssh-keygen -lf FILE\" on the node's console, where FILE is its /etc/ssh/ssh_host_*_key.pub of that kind, and replace the line in known_hosts only if they are equal",
        pinned(expected)
    )]
    Changed {
        fingerprint: String,
        expected: Vec<PinnedKey>,
    },
    /// The host key, or its certificate's authority, is revoked.
    #[error(
        "showed a revoked host key ({fingerprint}): its key or its certificate's authority has a @revoked line in known_hosts; give the node a new host key and pin that one"
    )]
    Revoked { fingerprint: String },
    /// The host certificate is not valid for this node.
    #[error("showed a host certificate that is not accepted ({}): {}", .0.verdict, .0.remedy())]
    Certificate(Box<RejectedCertificate>),
    /// The host certificate does not have its authority's signature.
    #[error(
        "showed a host certificate with a wrong signature: it is damaged, or someone may be in between: sign the node's host key again"
    )]
    CertificateSignature,
    /// The host certificate is signed by a key that the daemon cannot verify.
    #[error(
        "showed a host certificate that is signed by a key of type {key_type}, which is not supported: sign it with an Ed25519 or ECDSA key"
    )]
    CertificateAuthority {
        /// Such as `ssh-rsa`.
        key_type: String,
    },
}

/// A host certificate that is not accepted, with the facts that its sentence names.
#[derive(Clone, Debug)]
pub(crate) struct RejectedCertificate {
    pub(crate) verdict: CertVerdict,
    /// The names that it was issued for.
    pub(crate) principals: Vec<String>,
    /// The first second of its validity, since 1970.
    pub(crate) valid_after: u64,
    /// The first second after its validity, since 1970.
    pub(crate) valid_before: u64,
    /// The time of the verdict by this host's clock, in seconds since 1970.
    pub(crate) judged_at: u64,
    /// The fingerprint of the authority's key.
    pub(crate) authority: String,
    /// The node's name, as a principal has to be.
    pub(crate) name: String,
    /// The name to pin the authority for.
    pub(crate) known_as: String,
}

impl RejectedCertificate {
    /// The facts that the verdict rests on, and what to do.
    fn remedy(&self) -> String {
        let Self {
            authority,
            known_as,
            ..
        } = self;
        match self.verdict {
            // Neither is a rejection with this type: a revoked key has a sentence of its own.
            CertVerdict::Trusted | CertVerdict::Revoked => {
                "pin the node's host key in known_hosts".to_owned()
            }
            CertVerdict::NotACertificateAuthorityForHost => format!(
                "its authority's key {authority} is in no @cert-authority line for \"{known_as}\": add that line to known_hosts if the authority is yours, or correct the names in it"
            ),
            CertVerdict::NotAHostCertificate => {
                format!(
                    "it is a user's: sign the node's host key with {}",
                    self.signing()
                )
            }
            CertVerdict::NotYetValid => format!(
                "{}: a clock is probably wrong, here or where it was signed: check \"timedatectl\" on both",
                self.validity()
            ),
            CertVerdict::Expired => format!(
                "{}: sign a new one; if that time is not right, correct this host's clock (\"timedatectl\")",
                self.validity()
            ),
            CertVerdict::PrincipalMismatch if self.principals.is_empty() => {
                format!("it names no host: sign it again with {}", self.signing())
            }
            CertVerdict::PrincipalMismatch => format!(
                "it is for {}: sign it again with {}",
                self.names(),
                self.signing()
            ),
            CertVerdict::UnknownCriticalOption => {
                "sign it again without critical options".to_owned()
            }
        }
    }

    /// The command that signs the node's host key.
    fn signing(&self) -> String {
        let name = &self.name;
        format!(
            "\"ssh-keygen -s CA -I {name} -h -n {name} FILE\", where CA is the authority's private key and FILE the node's /etc/ssh/ssh_host_ed25519_key.pub"
        )
    }

    fn validity(&self) -> String {
        format!(
            "it is valid from {} to {}, and the clock here says {}",
            time(self.valid_after),
            time(self.valid_before),
            time(self.judged_at)
        )
    }

    /// The names that it was issued for, bounded, since the node chooses them.
    fn names(&self) -> String {
        let shown = self.principals.iter().take(MAX_NAMES);
        let mut names: Vec<_> = shown.map(|name| harmless(name)).collect();
        if self.principals.len() > MAX_NAMES {
            names.push("others".to_owned());
        }
        names.join(", ")
    }
}

/// Names of a certificate that its sentence has.
const MAX_NAMES: usize = 3;

/// A time of a certificate. The largest one means that it does not expire
/// (OpenSSH, PROTOCOL.certkeys).
fn time(seconds: u64) -> String {
    if seconds == u64::MAX {
        "forever".to_owned()
    } else {
        rfc3339(seconds)
    }
}

/// A host key that could be pinned.
#[derive(Clone, Debug)]
pub(crate) struct ShownKey {
    pub(crate) key: PinnedKey,
    /// The name to pin it under.
    pub(crate) known_as: String,
}

impl HostKeyFailure {
    pub(crate) fn reason(&self) -> HostKeyReason {
        match self {
            Self::Unknown { .. } | Self::UnsupportedPins { .. } => HostKeyReason::Unknown,
            Self::Changed { .. } | Self::OtherKind { .. } => HostKeyReason::Changed,
            Self::Revoked { .. } => HostKeyReason::Revoked,
            Self::Certificate(_)
            | Self::CertificateSignature
            | Self::CertificateAuthority { .. } => HostKeyReason::Certificate,
        }
    }
}

/// The end of the sentence about an unknown key: lines for the node that do not count.
fn elsewhere(pinned: Option<&PinnedElsewhere>) -> String {
    let Some(PinnedElsewhere { name, key_types }) = pinned else {
        return String::new();
    };
    let line = format!("; the line for \"{name}\" is not one for this node and port");
    let unsupported = || key_types.iter().filter(|kind| !is_supported(kind));
    match unsupported().next() {
        Some(_) => format!("{line}, and {} is not supported", kinds(unsupported())),
        None => line,
    }
}

/// Types of keys, each once.
fn kinds<'a>(types: impl Iterator<Item = &'a String>) -> String {
    let mut kinds: Vec<&str> = Vec::new();
    for kind in types.map(String::as_str) {
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    kinds.join(" and ")
}

/// Keys with their types.
fn pinned_keys(expected: &[PinnedKey]) -> String {
    let keys: Vec<_> = expected.iter().map(ToString::to_string).collect();
    keys.join(" and ")
}

fn pinned(expected: &[PinnedKey]) -> String {
    expected
        .iter()
        .map(|key| key.fingerprint.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::host_key::Identity;
    use pulse_core::nodes::known_hosts::{HostQuery, KnownHosts};
    use pulse_core::nodes::name::NodeName;

    /// A node on port 22022 that shows its Ed25519 key.
    fn judged(known_hosts: &str) -> String {
        let name = NodeName::parse("pve1").unwrap();
        let host = HostQuery::new(&name, "192.0.2.11".parse().ok(), 22022);
        let identity = Identity::plain(host, "ssh-ed25519", b"key".to_vec());
        let (known, bad) = KnownHosts::parse(known_hosts).unwrap();
        assert!(bad.is_empty(), "{bad:?}");
        identity.judge(&known).unwrap_err().to_string()
    }

    /// An RSA key of Proxmox VE's, shortened.
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAAQU=";

    #[test]
    fn unknown_key_names_its_pin() {
        let text = judged("");
        assert!(text.ends_with("then add it as \"[pve1]:22022\""), "{text}");
        // As a Proxmox cluster keeps it: the plain name, for every port.
        let text = judged(&format!("pve1 {RSA}\n192.0.2.11 {RSA}"));
        for part in [
            "not in known_hosts (ssh-ed25519 SHA256:",
            "add it as \"[pve1]:22022\"",
            "the line for \"pve1\"",
            "ssh-rsa is not supported",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    #[test]
    fn kind_of_the_pin_is_the_matter() {
        let text = judged(&format!("[pve1]:22022 {RSA}"));
        for part in [
            "pins only ssh-rsa, which is not supported",
            "add it as \"[pve1]:22022\"",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains("in between"), "{text}");
        // With a pin of a supported kind another key is another key.
        let ed25519 =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBERERERERERERERERERERERERERERERERERERERERER";
        let text = judged(&format!("[pve1]:22022 {RSA}\n[pve1]:22022 {ed25519}"));
        assert!(text.contains("in between"), "{text}");
    }

    #[test]
    fn other_kind_is_named() {
        let ecdsa =
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAAAEAAAAAA==";
        let text = judged(&format!("[pve1]:22022 {ecdsa}"));
        for part in [
            "showed its ssh-ed25519 host key, but known_hosts pins ecdsa-sha2-nistp256 SHA256:",
            "the node has no such key any more, or someone may be in between",
            "add it as \"[pve1]:22022\"",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
    }

    /// The sentence about a certificate of 2026 for `pve2`, in the year 2000.
    fn rejected(verdict: CertVerdict) -> String {
        let failure = HostKeyFailure::Certificate(Box::new(RejectedCertificate {
            verdict,
            principals: vec!["pve2".to_owned()],
            valid_after: 1_767_225_600,
            valid_before: u64::MAX,
            judged_at: 946_684_800,
            authority: "SHA256:ca".to_owned(),
            name: "pve1".to_owned(),
            known_as: "[pve1]:22022".to_owned(),
        }));
        failure.to_string()
    }

    #[test]
    fn each_verdict_has_its_remedy() {
        let validity = "from 2026-01-01T00:00:00Z to forever, and the clock here says 2000-01-01";
        for (verdict, parts) in [
            (
                CertVerdict::NotACertificateAuthorityForHost,
                ["SHA256:ca", "@cert-authority line for \"[pve1]:22022\""],
            ),
            (
                CertVerdict::NotAHostCertificate,
                ["it is a user's", "ssh-keygen -s CA -I pve1 -h"],
            ),
            (CertVerdict::NotYetValid, [validity, "timedatectl"]),
            (CertVerdict::Expired, [validity, "sign a new one"]),
            (
                CertVerdict::PrincipalMismatch,
                ["it is for pve2", "-n pve1"],
            ),
            (
                CertVerdict::UnknownCriticalOption,
                ["critical option", "sign it again"],
            ),
        ] {
            let text = rejected(verdict);
            for part in parts {
                assert!(text.contains(part), "{part:?} is not in {text}");
            }
        }
    }
}
