//! What is wrong with a collector, at which step, and what to do about it.
//!
//! Whoever reads it has a collector that does not get records, and this sentence. So the
//! remedy names the machine and the file to look at, and nothing that was not met.

use pulse_relp::identity::IdentityError;
use pulse_relp::link::{LinkError, Step};
use pulse_relp::session::SessionError;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::io;

/// The steps on the way to a collector, as they are named in `status` and metrics.
pub const STEPS: [&str; 6] = ["certificates", "name", "tcp", "tls", "open", "records"];

const OUR_CERTIFICATE: &str = "the collector does not take our certificate: is it of an authority that it trusts, with a name that it permits, and in date? Its own log says what it misses";
const OUR_CERTIFICATE_IS_OVER: &str = "the collector does not take our certificate, because it is over: renew certificate.pem here, or set the collector's clock";
const OUR_AUTHORITY: &str = "the collector does not take our certificate, because it does not know who signed it: its CA file has to hold the authority of certificate.pem";
const NO_TLS: &str =
    "what listens on this port does not speak TLS: is it the collector's TLS port?";
const NO_COMMON_TLS: &str =
    "the two sides have no version or algorithm in common: the collector needs TLS 1.2 or 1.3";
const OTHER_PROTOCOL: &str =
    "does the collector speak this `protocol` on this port? RELP and syslog have a port each";

/// Why records do not get to a collector.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// Our own certificates are of no use.
    #[error("{0}")]
    Identity(#[from] IdentityError),
    /// It has no address.
    #[error("\"{0}\" is not in /etc/hosts")]
    Name(String),
    /// Its address cannot be looked up.
    #[error("/etc/hosts is refused: {0}")]
    Hosts(String),
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
            Self::Name(_) | Self::Hosts(_) => "name",
            Self::Link(error) => step_of(error),
            Self::Log(_) => "records",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::Identity(error) => of_identity(error),
            Self::Name(_) => {
                "add it to /etc/hosts, or give the collector an `address` in the configuration: DNS is not asked"
            }
            Self::Hosts(_) => {
                "what others may change decides nothing: the command is root's; until then give the collector an `address` in the configuration"
            }
            Self::Log(_) => "the log's directory and files must be readable for the daemon's user",
            Self::Link(error) => of_link(error),
        }
    }
}

/// A refusal of our certificate belongs to TLS, also when it comes after the handshake,
/// as it does with TLS 1.3.
fn step_of(error: &LinkError) -> &'static str {
    match error {
        LinkError::Connect(_) | LinkError::Silent(Step::Tcp) => "tcp",
        LinkError::Tls(_) | LinkError::HungUp(_) | LinkError::Silent(Step::Tls) => "tls",
        LinkError::Broken(_) | LinkError::Over(_) | LinkError::Silent(Step::Acknowledgement) => {
            "records"
        }
        LinkError::Session(_) | LinkError::Answered | LinkError::Silent(Step::Open) => "open",
    }
}

fn of_identity(error: &IdentityError) -> &'static str {
    match error {
        IdentityError::Unreadable { .. } | IdentityError::Empty { .. } => {
            "put ca.pem, certificate.pem and key.pem there, readable for the daemon's user (mode 0640, its group); they are tried again within seconds, but a directory that was not there when the daemon started takes a restart"
        }
        IdentityError::Untrusted(_) => {
            "what others may change decides nothing: the command is root's; the files are tried again within seconds"
        }
        IdentityError::Mismatch { .. } => {
            "put ca.pem, certificate.pem and key.pem there, all three from one directory: the key has to be the certificate's own; they are tried again within seconds"
        }
        IdentityError::Ca { .. } => {
            "it has to be the certificate of the authority that signs the collector's; it is tried again within seconds"
        }
    }
}

fn of_link(error: &LinkError) -> &'static str {
    match error {
        LinkError::Connect(error) => of_connect(error.kind()),
        LinkError::Silent(Step::Tcp) => of_connect(io::ErrorKind::TimedOut),
        LinkError::Tls(error) => of_tls(error),
        LinkError::HungUp(_) => OUR_CERTIFICATE,
        LinkError::Silent(Step::Tls) => NO_TLS,
        LinkError::Session(SessionError::Refused { .. })
        | LinkError::Over(SessionError::Refused { .. }) => {
            "the collector's own log says why it refused"
        }
        // rsyslog with OpenSSL says no more to a sender whose certificate it does not take.
        LinkError::Session(SessionError::ServerClosed) => {
            "its own log says why: was it stopped, or does it permit the name in our certificate, and is that in date?"
        }
        LinkError::Session(_) | LinkError::Silent(Step::Open) | LinkError::Answered => {
            OTHER_PROTOCOL
        }
        LinkError::Silent(Step::Acknowledgement) => {
            "is the collector overloaded, or its disk full? What it did not acknowledge is sent again"
        }
        LinkError::Over(error) if *error != SessionError::ServerClosed => {
            "the collector does not keep to RELP: is it up to date, and is nothing between us and it? What it did not acknowledge is sent again"
        }
        LinkError::Over(_) | LinkError::Broken(_) => {
            "was the collector restarted? Its own log may say why; what it did not acknowledge is sent again"
        }
    }
}

fn of_connect(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: start the collector, or see to its address and port"
        }
        io::ErrorKind::PermissionDenied => {
            "the daemon's confinement does not let this through: a port that is new in the configuration takes a restart, an address under systemd takes IPAddressAllow="
        }
        _ => {
            "is the collector up? Firewalls must let us through, and under systemd IPAddressAllow= must name its address"
        }
    }
}

fn of_tls(error: &io::Error) -> &'static str {
    let inner = error.get_ref();
    match inner.and_then(|inner| inner.downcast_ref::<TlsError>()) {
        Some(TlsError::InvalidCertificate(error)) => of_certificate(error),
        Some(TlsError::AlertReceived(alert)) => of_alert(*alert),
        Some(TlsError::InvalidMessage(_)) => NO_TLS,
        Some(TlsError::PeerIncompatible(_)) => NO_COMMON_TLS,
        // The pin's: rustls itself has none of this kind about a peer.
        Some(TlsError::General(_)) => {
            "the collector has another public key than the pinned one: if that is meant, change `pin` in the configuration"
        }
        Some(_) => "the collector's own log may say more",
        None => {
            "the collector hung up in the middle of TLS: does TLS listen on this port, and does its own log say why?"
        }
    }
}

fn of_certificate(error: &CertificateError) -> &'static str {
    match error {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the collector's certificate has another name: write the name that it has into the configuration, or give the collector the right certificate"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the collector's certificate is not of the authority in ca.pem: put the right ca.pem here, or the right certificate there"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the collector's certificate is over: renew it there, and restart what uses it"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the collector's certificate is not valid yet: are the clocks of both machines right?"
        }
        _ => "the collector's certificate is of no use to us: make it anew",
    }
}

fn of_alert(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::CertificateExpired => OUR_CERTIFICATE_IS_OVER,
        AlertDescription::UnknownCA => OUR_AUTHORITY,
        AlertDescription::ProtocolVersion
        | AlertDescription::HandshakeFailure
        | AlertDescription::InsufficientSecurity => NO_COMMON_TLS,
        _ => OUR_CERTIFICATE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_relp::frame::Number;
    use rustls::pki_types::{ServerName, UnixTime};
    use rustls::{InvalidMessage, PeerIncompatible};
    use std::path::PathBuf;
    use std::time::Duration;

    fn tls(error: TlsError) -> LinkError {
        LinkError::Tls(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn certificate(error: CertificateError) -> LinkError {
        tls(TlsError::InvalidCertificate(error))
    }

    fn assert_is(error: impl Into<Problem>, step: &str, remedy: &str) {
        let problem = error.into();
        assert_eq!(problem.step(), step, "{problem}");
        let said = problem.remedy();
        assert!(said.contains(remedy), "{problem}: {said}");
        assert!(STEPS.contains(&problem.step()));
    }

    #[test]
    fn a_wrong_certificate_of_the_collector_is_told_apart_by_what_is_wrong_with_it() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let name = ServerName::try_from("logs.example").unwrap();
        let other_name = CertificateError::NotValidForNameContext {
            expected: name.to_owned(),
            presented: vec!["DnsName(\"other.example\")".to_owned()],
        };
        let over = CertificateError::ExpiredContext {
            time: at(2),
            not_after: at(1),
        };
        let early = CertificateError::NotValidYetContext {
            time: at(1),
            not_before: at(2),
        };
        for (error, remedy) in [
            (other_name, "has another name"),
            (CertificateError::UnknownIssuer, "authority in ca.pem"),
            (over, "is over: renew it there"),
            (early, "clocks"),
            (CertificateError::BadEncoding, "make it anew"),
        ] {
            assert_is(certificate(error), "tls", remedy);
        }
        let pin = TlsError::General("its public key is not the pinned one".to_owned());
        assert_is(tls(pin), "tls", "change `pin`");
    }

    #[test]
    fn a_refusal_of_ours_is_told_as_one_however_the_collector_refuses() {
        for (alert, remedy) in [
            (
                AlertDescription::CertificateExpired,
                "renew certificate.pem here",
            ),
            (AlertDescription::UnknownCA, "its CA file"),
            (AlertDescription::BadCertificate, OUR_CERTIFICATE),
            (AlertDescription::CertificateRequired, OUR_CERTIFICATE),
        ] {
            assert_is(tls(TlsError::AlertReceived(alert)), "tls", remedy);
        }
        // GnuTLS hangs up without a word.
        let gone = io::ErrorKind::ConnectionReset.into();
        assert_is(LinkError::HungUp(gone), "tls", OUR_CERTIFICATE);
    }

    #[test]
    fn what_speaks_no_tls_or_another_one_is_not_taken_for_a_refusal() {
        let plain = TlsError::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_is(tls(plain), "tls", "does not speak TLS");
        assert_is(LinkError::Silent(Step::Tls), "tls", "does not speak TLS");
        let old = TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13);
        assert_is(tls(old), "tls", "TLS 1.2 or 1.3");
        let gone = LinkError::Tls(io::ErrorKind::UnexpectedEof.into());
        assert_is(gone, "tls", "in the middle of TLS");
    }

    #[test]
    fn the_way_there_is_told_apart_from_what_is_there() {
        let connect = |kind: io::ErrorKind| LinkError::Connect(kind.into());
        assert_is(
            connect(io::ErrorKind::ConnectionRefused),
            "tcp",
            "nothing listens",
        );
        assert_is(
            connect(io::ErrorKind::PermissionDenied),
            "tcp",
            "takes a restart",
        );
        assert_is(
            connect(io::ErrorKind::HostUnreachable),
            "tcp",
            "IPAddressAllow=",
        );
        assert_is(LinkError::Silent(Step::Tcp), "tcp", "IPAddressAllow=");
        assert_is(Problem::Name("logs".to_owned()), "name", "/etc/hosts");
        assert_is(Problem::Hosts(String::new()), "name", "`address`");
        let unknown = SessionError::Unknown(Number::FIRST);
        assert_is(LinkError::Session(unknown), "open", "`protocol`");
        assert_is(LinkError::Answered, "open", "`protocol`");
        let refused = SessionError::Refused {
            code: 500,
            text: "no".to_owned(),
        };
        assert_is(LinkError::Session(refused), "open", "says why it refused");
        let late = LinkError::Silent(Step::Acknowledgement);
        assert_is(late, "records", "disk full");
        let stopped = LinkError::Session(SessionError::ServerClosed);
        assert_is(stopped, "open", "permit the name");
        let stopped = LinkError::Over(SessionError::ServerClosed);
        assert_is(stopped, "records", "restarted");
        let lie = LinkError::Over(SessionError::NoCode);
        assert_is(lie, "records", "keep to RELP");
        let broken = LinkError::Broken(io::ErrorKind::BrokenPipe.into());
        assert_is(broken, "records", "sent again");
        let log = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_is(log, "records", "readable");
    }

    #[test]
    fn a_file_of_ours_is_told_with_what_has_to_be_in_it() {
        let path = || PathBuf::from("/c/ca.pem");
        assert_is(
            IdentityError::Empty { path: path() },
            "certificates",
            "put ca.pem",
        );
        let reason = String::new();
        let ca = IdentityError::Ca {
            path: path(),
            reason,
        };
        assert_is(ca, "certificates", "the authority");
        let mismatch = IdentityError::Mismatch {
            certificate: path(),
            key: path(),
            reason: TlsError::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch),
        };
        assert_is(mismatch, "certificates", "the certificate's own");
    }
}
