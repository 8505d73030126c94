//! What is wrong with a collector, at which step, and what to do about it.

use pulse_relp::identity::IdentityError;
use pulse_relp::link::{LinkError, Step};
use pulse_relp::session::SessionError;
use std::io;

/// The steps on the way to a collector, as they are named in `status` and metrics.
pub const STEPS: [&str; 6] = ["certificates", "name", "tcp", "tls", "open", "records"];

/// Why records do not get to a collector.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Our own certificates are of no use.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// It has no address.
    #[error("\"{0}\" is not in /etc/hosts")]
    Name(String),
    /// The way to it, or its answer.
    #[error("{0}")]
    Link(#[from] LinkError),
    /// The log cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Log(#[from] io::Error),
}

impl Problem {
    /// The step at which it is met, one of [`STEPS`].
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Identity(_) => "certificates",
            Self::Name(_) => "name",
            Self::Link(LinkError::Connect(_) | LinkError::Silent(Step::Tcp)) => "tcp",
            Self::Link(LinkError::Tls(_) | LinkError::Silent(Step::Tls)) => "tls",
            Self::Link(error) if is_refusal(error) => "tls",
            Self::Link(LinkError::Session(_) | LinkError::Silent(Step::Open)) => "open",
            Self::Link(_) | Self::Log(_) => "records",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Identity(_) => {
                "put ca.pem, certificate.pem and key.pem there, readable for the daemon's user; they are tried again by themselves"
            }
            Self::Name(_) => {
                "add it to /etc/hosts, or give the collector an address in the configuration"
            }
            Self::Log(_) => "make the log's directory readable for the daemon's user",
            Self::Link(error) => of_link(error),
        }
    }
}

/// When the collector refuses us.
const OURS: &str = "the collector does not take our certificate: is it of an authority that it trusts, with a name that it permits, and in date?";

fn of_link(error: &LinkError) -> &'static str {
    match error {
        LinkError::Connect(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            "the confinement does not let this through: a new port takes a restart, under systemd an address takes IPAddressAllow="
        }
        LinkError::Connect(_) | LinkError::Silent(Step::Tcp) => {
            "is the collector up, and do firewalls let us through?"
        }
        LinkError::Tls(error) => of_tls(&error.to_string()),
        error if is_refusal(error) => OURS,
        LinkError::Silent(Step::Tls) => "does TLS listen on this port?",
        // rsyslog with OpenSSL says no more than this to a sender that it refuses.
        LinkError::Session(SessionError::ServerClosed) => {
            "if it does so at once, the collector does not take our certificate: is it of an authority that it trusts, with a name that it permits, and in date?"
        }
        LinkError::Session(SessionError::Refused { .. }) => "its own log says why it refused",
        LinkError::Session(_) | LinkError::Silent(Step::Open) | LinkError::Answered => {
            "does the collector speak this protocol on this port?"
        }
        _ => "its own log may say why; what it did not acknowledge is sent again",
    }
}

/// rustls's own words tell these apart; nothing else does through an [`io::Error`].
fn of_tls(words: &str) -> &'static str {
    let has = |word: &str| words.contains(word);
    // What an alert names is ours, also when it is `CertificateExpired`.
    if has("alert") {
        OURS
    } else if has("NotValidForName") || has("not valid for name") {
        "the collector shows a certificate with another name: is it the right one?"
    } else if has("UnknownIssuer") || has("BadSignature") {
        "the collector's certificate is not of the authority in ca.pem"
    } else if has("Expired") || has("expired") {
        "the collector's certificate is over: renew it there"
    } else if has("NotValidYet") || has("not valid yet") {
        "the collector's certificate is not valid yet: are both clocks right?"
    } else if has("pinned") {
        "the collector has another public key than the pinned one: if that is meant, change `pin`"
    } else if has("corrupt") || has("InvalidContentType") {
        "what listens there does not speak TLS"
    } else {
        "look at the collector's own log"
    }
}

/// With TLS 1.3 a refusal comes when the handshake seemed to be over. `GnuTLS` hangs up
/// without a word.
fn is_refusal(error: &LinkError) -> bool {
    match error {
        LinkError::Broken(error) => error.to_string().contains("alert"),
        LinkError::HungUp(_) => true,
        _ => false,
    }
}
