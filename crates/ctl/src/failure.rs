//! What can go wrong, what to do about it, and the exit code that says so.

use crate::audit::AuditError;
use crate::client::ClientError;
use crate::keys::KeyError;
use crate::shown::shown;
use pulse_audit::verify::Verdict;
use pulse_core::config::ConfigError;
use pulse_core::rpc::Method;
use pulse_core::trust::Untrusted;
use pulse_forward::rsyslog::WordError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments are wrong.
pub(crate) const USAGE: u8 = 64;

/// The arguments of `audit verify` are wrong. Its codes are those of programs that
/// compare, so that a script need not know more than 0 and 1.
pub(crate) const VERIFY_USAGE: u8 = 2;

/// `audit verify` could not read what it had to.
const VERIFY_UNREADABLE: u8 = 4;

/// Every exit code and what it means: `sysexits.h` where that has a word for it,
/// as with the daemon and the node helper.
pub(crate) const EXIT_CODES: [(u8, &str); 12] = [
    (0, "done; also when Ctrl-C ended a watch"),
    (
        1,
        "a node or a collector failed, the daemon refused, or the log is not intact",
    ),
    (VERIFY_USAGE, "audit verify: the arguments are wrong"),
    (
        3,
        "audit verify: nothing contradicts itself, but not all is proven",
    ),
    (VERIFY_UNREADABLE, "audit verify: a file cannot be read"),
    (USAGE, "the arguments are wrong"),
    (66, "a file cannot be read"),
    (69, "the daemon cannot be reached, or did not answer"),
    (70, "the system refused what every program needs"),
    (73, "the audit log cannot be begun, rotated or archived"),
    (74, "the result could not be written"),
    (78, "the configuration is wrong"),
];

/// How a command ended that could do what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All is well.
    Done,
    /// Something that was shown is a failure.
    ShownFailure,
    /// What was shown is a mistake in the configuration.
    ShownMistake,
    /// What was shown is the verdict on an audit log.
    Verified(Verdict),
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Done => 0,
            Ending::ShownFailure => 1,
            Ending::ShownMistake => 78,
            Ending::Verified(verdict) => verdict.exit_code(),
        })
    }
}

/// Why a command could not do what it is for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The daemon did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The daemon answered with an error.
    #[error("the daemon refused: {}{}", shown(.0), remedy(.0))]
    Refused(String),
    /// The daemon's answer is not what the protocol says.
    #[error("the daemon's answer is not understood ({0}): is it of version {version}, as this program is?", version = env!("CARGO_PKG_VERSION"))]
    Answer(&'static str),
    /// A file cannot be read.
    #[error("{}: {error}{}", path.display(), file_remedy(error))]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        error: io::Error,
    },
    /// The configuration is wrong.
    #[error("{}: {}: `pulse-sensorctl config check` shows where", path.display(), shown(&error.to_string()))]
    Config {
        /// Which file.
        path: PathBuf,
        /// What is wrong, and where.
        error: ConfigError,
    },
    /// Others may change the configuration.
    #[error("the configuration is refused: {0}")]
    Untrusted(Untrusted),
    /// A variable of the environment is wrong.
    #[error("{variable}: {reason}")]
    Variable {
        /// Which one.
        variable: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The arguments do not go together.
    #[error("{0}")]
    Usage(&'static str),
    /// Something cannot stand in another program's configuration.
    #[error("the audit log's place: {0}: give another path to it with --log")]
    Word(WordError),
    /// As [`Failure::Usage`], for `audit verify`.
    #[error("{0}")]
    VerifyUsage(&'static str),
    /// There is no collector in the configuration.
    #[error("{NOT_FORWARDING}{}", remedy(NOT_FORWARDING))]
    NotForwarding,
    /// There is none of this name.
    #[error("there is no collector \"{name}\" in the configuration, but {known}")]
    NoCollector {
        /// Which one was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// There is no such record to be sent again.
    #[error("there is no record {from} yet: the last one on disk is {last}")]
    NotOnDisk {
        /// From where on records were to be sent.
        from: u64,
        /// The last one.
        last: u64,
    },
    /// A record to be sent again is not in the log any more.
    #[error(
        "record {from} is not in the log any more: retention removed what comes before record \
         {first}. `--from {first}` sends everything that there is"
    )]
    Removed {
        /// From where on records were to be sent.
        from: u64,
        /// The first one that there is.
        first: u64,
    },
    /// Something with the audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The audit log cannot be verified, because it cannot be read.
    #[error("{0}")]
    Unverified(AuditError),
    /// The daemon's public key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The result cannot be written.
    #[error("cannot write the result: {0}")]
    Output(#[from] io::Error),
    /// The system gives no signals, or no event loop.
    #[error("the system refused what every program needs: {0}")]
    Runtime(io::Error),
}

impl Failure {
    /// One of [`EXIT_CODES`].
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(_) | Self::NotOnDisk { .. } | Self::Removed { .. } => 1,
            Self::File { .. } | Self::Key(_) => 66,
            Self::Client(_) | Self::Answer(_) => 69,
            Self::Runtime(_) => 70,
            Self::Output(_) => 74,
            Self::Usage(_) | Self::Word(_) | Self::NoCollector { .. } => USAGE,
            Self::VerifyUsage(_) => VERIFY_USAGE,
            Self::Audit(error) => error.exit_code(),
            Self::Unverified(_) => VERIFY_UNREADABLE,
            Self::Config { .. }
            | Self::Untrusted(_)
            | Self::Variable { .. }
            | Self::NotForwarding => 78,
        }
    }

    /// Whoever read our output has read enough.
    pub(crate) fn is_hang_up(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

/// As the daemon says it.
const NOT_FORWARDING: &str = "forwarding is not configured";

/// What to do about an error of the daemon.
fn remedy(error: &str) -> String {
    match error {
        "unauthorized" => format!(
            ": add {} to allowed_peers in the daemon's configuration, or ask as root over the \
             control socket",
            user()
        ),
        "rate limit exceeded" => {
            ": the next request is possible within seconds (see [rate_limit] in the configuration)"
                .to_owned()
        }
        "method requires admin capability" => format!(
            ": ask as root over the control socket, or give {} \"admin\" in allowed_peers",
            user()
        ),
        "unknown method" => {
            let methods = Method::ALL.map(Method::as_str).join(", ");
            format!(": there are {methods}; an older daemon has fewer")
        }
        NOT_FORWARDING => {
            ": name a collector below [forward] in the daemon's configuration and restart it (docs/operations.md)"
                .to_owned()
        }
        "forwarding is busy" => ": ask again in some seconds".to_owned(),
        "audit log unavailable" => ": its log says why".to_owned(),
        _ => String::new(),
    }
}

/// What to do about an error that concerns one node, where it does not say so
/// itself: these texts are fixed by the protocol.
pub(crate) fn node_remedy(error: &str) -> &'static str {
    let has = |part| error.contains(part);
    if has("node_not_allowlisted") || has("no_validation_sources") {
        ": add it to allowed_nodes in the daemon's configuration"
    } else if has("address_not_permitted") {
        ": its address is outside what the daemon may connect to"
    } else if has("rate limit exceeded") {
        ": ask again in some seconds (see [rate_limit] in the configuration)"
    } else {
        ""
    }
}

fn user() -> String {
    let ours = std::fs::metadata("/proc/self");
    ours.map_or_else(
        |_| "your user id".to_owned(),
        |process| format!("your user id ({})", process.uid()),
    )
}

/// What to do about a file that cannot be read.
pub(crate) fn file_remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => ": is this the right path?",
        io::ErrorKind::PermissionDenied => ": try as root, or as the daemon's user",
        io::ErrorKind::InvalidData => ": is this the right file?",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_documented() {
        let hang_up = || io::Error::from(io::ErrorKind::BrokenPipe);
        let path = PathBuf::from("a");
        for failure in [
            Failure::Refused("unauthorized".into()),
            Failure::Answer("nodes"),
            Failure::File {
                path,
                error: hang_up(),
            },
            Failure::Output(hang_up()),
            Failure::Runtime(hang_up()),
            Failure::Usage("a"),
            Failure::NotForwarding,
            Failure::NotOnDisk { from: 2, last: 1 },
            Failure::Unverified(AuditError::NoLog("a".into())),
            Failure::Audit(AuditError::NoLog("a".into())),
            Failure::Audit(AuditError::NoRecord("a".into())),
            Failure::Audit(AuditError::unreadable("a".as_ref(), hang_up())),
        ] {
            let code = failure.exit_code();
            assert!(EXIT_CODES.iter().any(|(known, _)| *known == code), "{code}");
        }
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        let text = Failure::Refused("unauthorized".into()).to_string();
        assert!(text.contains("allowed_peers"), "{text}");
        let text = Failure::Refused("rate limit exceeded".into()).to_string();
        assert!(text.contains("within seconds"), "{text}");
        let text = Failure::NotForwarding.to_string();
        assert!(text.contains("[forward]"), "{text}");
        let refused = Failure::Refused(NOT_FORWARDING.into()).to_string();
        assert!(refused.ends_with(&text), "{refused}");
        let text = Failure::Refused("method requires admin capability".into()).to_string();
        assert!(text.contains("\"admin\" in allowed_peers"), "{text}");
        let text = node_remedy("rejected by validator (node_not_allowlisted)");
        assert!(text.contains("allowed_nodes"), "{text}");
        let text = Failure::Refused("a\u{1b}[2J".into()).to_string();
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
