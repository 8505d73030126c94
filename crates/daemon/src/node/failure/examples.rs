//! An example of each failure of a node, for tests and for `docs/troubleshooting.md`.

use super::{
    CommandEnd, CommandFault, ConnectError, HostKeyFailure, NodeFailure, Phase,
    RejectedCertificate, ShownKey, Stage, Withdrawn,
};
use crate::startup::remedy;
use pulse_core::nodes::known_hosts::{CertVerdict, PinnedElsewhere, PinnedKey};
use pulse_core::trust::FileKind;
use pulse_files::Exhaustion;
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// The part of a reading that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Address,
    Connection,
    HostKey,
    Login,
    Command,
    Host,
}

/// A failure with its place on the page.
pub(crate) struct NodeExample {
    pub(crate) part: Part,
    pub(crate) failure: NodeFailure,
}

const USER: &str = "pulse-sensor";

fn address() -> SocketAddr {
    ([192, 0, 2, 11], 22).into()
}

fn key(key_type: &str, fingerprint: &str) -> PinnedKey {
    PinnedKey {
        key_type: key_type.to_owned(),
        fingerprint: format!("SHA256:{fingerprint}"),
    }
}

fn shown() -> ShownKey {
    ShownKey {
        key: key("ssh-ed25519", "uNiVztksCsDhcc0u9e8BrbJzQUDyiRVoHmK2gWDSNF8"),
        known_as: "pve1".to_owned(),
    }
}

fn pinned() -> Vec<PinnedKey> {
    vec![key(
        "ssh-ed25519",
        "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM",
    )]
}

fn certificate(verdict: CertVerdict) -> HostKeyFailure {
    let day = 86_400;
    let begin = 1_767_225_600;
    HostKeyFailure::Certificate(Box::new(RejectedCertificate {
        verdict,
        principals: vec!["pve2".to_owned()],
        valid_after: begin,
        valid_before: begin + 30 * day,
        judged_at: match verdict {
            CertVerdict::NotYetValid => begin - day,
            _ => begin + 31 * day,
        },
        authority: shown().key.fingerprint.clone(),
        name: "pve1".to_owned(),
        known_as: "pve1".to_owned(),
    }))
}

/// Every failure, those of a part together.
pub(crate) fn every() -> Vec<NodeExample> {
    let user = || USER.to_owned();
    let unreachable = |error| NodeFailure::Unreachable {
        address: address(),
        error,
    };
    let command = |end, stderr: &str, fault| NodeFailure::Command {
        end,
        stderr: stderr.to_owned(),
        fault,
    };
    let exit = CommandEnd::Exit;
    let pins = |key_type| vec![key(key_type, "p2QAMXNIC1TJYWeIOttrVc98/R1BUFWu3/LiyKgUfQM")];
    let known_hosts = "/var/lib/pulse-sensor-proxy/ssh/known_hosts";
    let denied = io::Error::from_raw_os_error(nix::errno::Errno::EACCES as i32);
    let remedy = remedy::of_shared(Path::new(known_hosts), FileKind::File, &denied);
    let failures = vec![
        NodeFailure::NoAddress,
        NodeFailure::HostsRefused("cannot be read: Permission denied".to_owned()),
        NodeFailure::LinkLocal,
        NodeFailure::AddressNotPermitted,
        unreachable(ConnectError::Refused),
        unreachable(ConnectError::NoRouteToHost),
        unreachable(ConnectError::NoRouteToNetwork(address().ip())),
        unreachable(ConnectError::NoSourceAddress),
        unreachable(ConnectError::Denied),
        unreachable(ConnectError::NotPermitted),
        unreachable(ConnectError::Other(
            "Invalid argument (os error 22)".to_owned(),
        )),
        NodeFailure::TimedOut(Stage::Connecting(address())),
        NodeFailure::NotSsh {
            address: address(),
            said: "HTTP/1.1 400 Bad Request".to_owned(),
        },
        NodeFailure::Ssh("Packet size overflow".to_owned()),
        NodeFailure::Closed(Phase::BeforeLogin),
        NodeFailure::Waiting {
            last: Box::new(unreachable(ConnectError::Refused)),
            retry_in: Duration::from_secs(2),
        },
        NodeFailure::TriedJustNow {
            last: Box::new(unreachable(ConnectError::Refused)),
            retry_in: Duration::from_secs(1),
        },
        HostKeyFailure::Unknown {
            shown: Box::new(shown()),
            pinned: None,
        }
        .into(),
        HostKeyFailure::Unknown {
            shown: Box::new(ShownKey {
                known_as: "[pve1]:22022".to_owned(),
                ..shown()
            }),
            pinned: Some(Box::new(PinnedElsewhere {
                name: "pve1".to_owned(),
                key_types: vec!["ssh-rsa".to_owned()],
            })),
        }
        .into(),
        HostKeyFailure::UnsupportedPins {
            shown: Box::new(shown()),
            expected: pins("ssh-rsa"),
        }
        .into(),
        HostKeyFailure::OtherKind {
            shown: Box::new(shown()),
            expected: pins("ecdsa-sha2-nistp256"),
        }
        .into(),
        HostKeyFailure::Changed {
            fingerprint: shown().key.fingerprint,
            expected: pinned(),
        }
        .into(),
        NodeFailure::Withdrawn(Withdrawn {
            address: address(),
            failure: HostKeyFailure::Revoked {
                fingerprint: shown().key.fingerprint,
            },
        }),
        certificate(CertVerdict::NotACertificateAuthorityForHost).into(),
        certificate(CertVerdict::NotAHostCertificate).into(),
        certificate(CertVerdict::NotYetValid).into(),
        certificate(CertVerdict::Expired).into(),
        certificate(CertVerdict::PrincipalMismatch).into(),
        certificate(CertVerdict::UnknownCriticalOption).into(),
        HostKeyFailure::CertificateSignature.into(),
        HostKeyFailure::CertificateAuthority {
            key_type: "ssh-rsa".to_owned(),
        }
        .into(),
        NodeFailure::NoHostKey,
        NodeFailure::KeyRefused { user: user() },
        NodeFailure::KeyNotEnough { user: user() },
        NodeFailure::Penalised,
        NodeFailure::TooManyLogins,
        NodeFailure::TimedOut(Stage::LoggingIn(address())),
        NodeFailure::NoForcedCommand { user: user() },
        NodeFailure::NoSession { user: user() },
        NodeFailure::NotStarted { user: user() },
        command(
            exit(127),
            "sh: 1: /usr/libexec/pulse-sensor-node: not found",
            CommandFault::NotFound,
        ),
        command(
            exit(126),
            "sh: 1: /usr/libexec/pulse-sensor-node: Permission denied",
            CommandFault::NotExecutable,
        ),
        command(exit(1), "", CommandFault::NoLogin { user: user() }),
        command(exit(1), "", CommandFault::Silent),
        command(exit(2), "cannot open /sys", CommandFault::Failed),
        command(
            CommandEnd::Signal("KILL".to_owned()),
            "",
            CommandFault::Killed,
        ),
        NodeFailure::HelperEnded {
            end: CommandEnd::Signal("KILL".to_owned()),
            stderr: String::new(),
            fault: CommandFault::Killed,
        },
        NodeFailure::NoDocument("it is not JSON".to_owned()),
        NodeFailure::Oversized { limit: 1_048_576 },
        NodeFailure::TimedOut(Stage::Reading(address())),
        NodeFailure::KnownHosts(format!("{known_hosts}: {denied}: {remedy}").into()),
        NodeFailure::Exhausted(Exhaustion::Process),
        NodeFailure::Exhausted(Exhaustion::System),
        NodeFailure::Exhausted(Exhaustion::Memory),
        NodeFailure::TimedOut(Stage::Queued),
        NodeFailure::QueueFull,
        NodeFailure::Pending,
        NodeFailure::Removed,
    ];
    let examples = failures.into_iter().map(|failure| NodeExample {
        part: place(&failure).0,
        failure,
    });
    examples.collect()
}

/// The part, and the number of the variant: a new one does not compile until it is here, and then
/// needs an example above.
fn place(failure: &NodeFailure) -> (Part, u32) {
    match failure {
        NodeFailure::NoAddress => (Part::Address, 0),
        NodeFailure::HostsRefused(_) => (Part::Address, 1),
        NodeFailure::LinkLocal => (Part::Address, 2),
        NodeFailure::AddressNotPermitted => (Part::Address, 3),
        NodeFailure::Unreachable { error, .. } => {
            let number = match error {
                ConnectError::Refused => 4,
                ConnectError::NoRouteToHost => 5,
                ConnectError::NoRouteToNetwork(_) => 6,
                ConnectError::NoSourceAddress => 7,
                ConnectError::Denied => 8,
                ConnectError::NotPermitted => 9,
                ConnectError::Other(_) => 10,
            };
            (Part::Connection, number)
        }
        NodeFailure::TimedOut(stage) => match stage {
            Stage::Connecting(_) => (Part::Connection, 11),
            Stage::LoggingIn(_) => (Part::Login, 12),
            Stage::Reading(_) => (Part::Command, 13),
            Stage::Queued => (Part::Host, 14),
        },
        NodeFailure::NotSsh { .. } => (Part::Connection, 15),
        NodeFailure::Ssh(_) => (Part::Connection, 16),
        NodeFailure::Closed(_) => (Part::Connection, 17),
        NodeFailure::HostKey(failure) | NodeFailure::Withdrawn(Withdrawn { failure, .. }) => {
            let number = match failure {
                HostKeyFailure::Unknown { .. } => 18,
                HostKeyFailure::UnsupportedPins { .. } => 19,
                HostKeyFailure::OtherKind { .. } => 20,
                HostKeyFailure::Changed { .. } => 21,
                HostKeyFailure::Revoked { .. } => 22,
                HostKeyFailure::Certificate(rejected) => match rejected.verdict {
                    CertVerdict::NotACertificateAuthorityForHost => 23,
                    CertVerdict::NotAHostCertificate => 24,
                    CertVerdict::NotYetValid => 25,
                    CertVerdict::Expired => 26,
                    CertVerdict::PrincipalMismatch => 27,
                    CertVerdict::UnknownCriticalOption => 28,
                    // Neither is a rejection of this kind.
                    CertVerdict::Trusted | CertVerdict::Revoked => 22,
                },
                HostKeyFailure::CertificateSignature => 29,
                HostKeyFailure::CertificateAuthority { .. } => 30,
            };
            (Part::HostKey, number)
        }
        NodeFailure::NoHostKey => (Part::HostKey, 31),
        NodeFailure::KeyRefused { .. } => (Part::Login, 32),
        NodeFailure::Waiting { last, .. } => (place(last).0, 33),
        NodeFailure::TriedJustNow { last, .. } => (place(last).0, 34),
        NodeFailure::KeyNotEnough { .. } => (Part::Login, 35),
        NodeFailure::Penalised => (Part::Login, 36),
        NodeFailure::TooManyLogins => (Part::Login, 37),
        NodeFailure::NoForcedCommand { .. } => (Part::Login, 38),
        NodeFailure::NoSession { .. } => (Part::Login, 39),
        NodeFailure::NotStarted { .. } => (Part::Login, 40),
        NodeFailure::Command { fault, .. } => {
            let number = match fault {
                CommandFault::NotFound => 41,
                CommandFault::NotExecutable => 42,
                CommandFault::NoLogin { .. } => 43,
                CommandFault::Silent => 44,
                CommandFault::Failed => 45,
                CommandFault::Killed => 46,
            };
            (Part::Command, number)
        }
        NodeFailure::HelperEnded { .. } => (Part::Command, 56),
        NodeFailure::NoDocument(_) => (Part::Command, 47),
        NodeFailure::Oversized { .. } => (Part::Command, 48),
        NodeFailure::KnownHosts(_) => (Part::Host, 49),
        NodeFailure::Exhausted(exhaustion) => {
            let number = match exhaustion {
                Exhaustion::Process => 50,
                Exhaustion::System => 51,
                Exhaustion::Memory => 52,
            };
            (Part::Host, number)
        }
        NodeFailure::QueueFull => (Part::Host, 53),
        NodeFailure::Pending => (Part::Host, 54),
        NodeFailure::Removed => (Part::Host, 55),
    }
}

#[test]
fn every_variant_has_an_example() {
    let numbers: BTreeSet<u32> = every()
        .iter()
        .map(|example| place(&example.failure).1)
        .collect();
    assert_eq!(numbers, (0..=56).collect());
}
