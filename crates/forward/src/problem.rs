//! Failures of a collector: the step, the error, and the remedy.
//!
//! An operator who reads a remedy has nothing else to go by. So it names the machine and the
//! file to look at, and only causes that this error can have.

use pulse_core::nodes::backoff::FailureKind;
use pulse_files::Exhaustion;
use pulse_relp::connection::{ConnectionError, Step};
use pulse_relp::identity::IdentityError;
use pulse_relp::session::SessionError;
use rustls::{AlertDescription, CertificateError, Error as TlsError};
use std::io;

/// The steps of forwarding to a collector, as named in `status` and metrics.
pub const STEPS: [&str; 6] = ["certificates", "name", "tcp", "tls", "open", "records"];

const OUR_CERTIFICATE: &str = "the collector does not accept our certificate: is its CA one that the collector trusts, is its name permitted there, and is it in date? The collector's own log says which";
const OUR_CERTIFICATE_EXPIRED: &str = "the collector does not accept our certificate because it has expired: renew certificate.pem here, or correct the collector's clock";
const OUR_CA: &str = "the collector does not accept our certificate because it does not know its CA: the collector's CA file must contain the CA of certificate.pem";
const NO_TLS: &str =
    "what listens on this port does not speak TLS: is it the collector's TLS port?";
const NO_COMMON_TLS: &str =
    "the two sides have no TLS version or algorithm in common: the collector needs TLS 1.2 or 1.3";
const OUT_OF_DESCRIPTORS: &str =
    "raise LimitNOFILE= of the daemon's service; it tries again by itself";
const HOST_OUT_OF_DESCRIPTORS: &str = "this host has too many open files: raise the sysctl fs.file-max, or stop what has so many open; the daemon tries again by itself";
const OUT_OF_MEMORY: &str = "free memory on this host, or raise MemoryMax= of the daemon's service; it tries again by itself";
const OTHER_PROTOCOL: &str =
    "does the collector speak this `protocol` on this port? RELP and syslog have a port each";

/// Why records are not forwarded to a collector.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// The certificates and key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The collector's name has no address.
    #[error("\"{0}\" is not in /etc/hosts")]
    Name(String),
    /// `/etc/hosts` is not used, for this reason.
    #[error("/etc/hosts {0}")]
    Hosts(String),
    /// The connection failed.
    #[error(transparent)]
    Connection(#[from] ConnectionError),
    /// The log cannot be read.
    #[error("the audit log cannot be read")]
    Log(#[from] io::Error),
}

impl Problem {
    /// The step that failed, one of [`STEPS`].
    #[must_use]
    pub fn step(&self) -> &'static str {
        match self {
            Self::Identity(_) => "certificates",
            Self::Name(_) | Self::Hosts(_) => "name",
            Self::Log(_) => "records",
            Self::Connection(error) => match error {
                ConnectionError::Connect(_) | ConnectionError::TimedOut(Step::Tcp) => "tcp",
                // In TLS 1.3 a refusal of our certificate arrives after the handshake, but belongs
                // to it.
                ConnectionError::Tls(_)
                | ConnectionError::ClosedEarly(_)
                | ConnectionError::TimedOut(Step::Tls) => "tls",
                ConnectionError::Broken(_)
                | ConnectionError::SessionEnded(_)
                | ConnectionError::TimedOut(Step::Acknowledgement) => "records",
                ConnectionError::Session(_)
                | ConnectionError::UnexpectedData
                | ConnectionError::TimedOut(Step::Open) => "open",
            },
        }
    }

    /// Its kind, which decides for how long the collector is left alone.
    #[must_use]
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Connection(
                ConnectionError::Connect(_) | ConnectionError::TimedOut(Step::Tcp),
            ) => FailureKind::Unreachable,
            _ => FailureKind::Transient,
        }
    }

    /// The remedy, as a sentence.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self.exhaustion() {
            Some(Exhaustion::Process) => return OUT_OF_DESCRIPTORS,
            Some(Exhaustion::System) => return HOST_OUT_OF_DESCRIPTORS,
            Some(Exhaustion::Memory) => return OUT_OF_MEMORY,
            None => {}
        }
        match self {
            Self::Identity(error) => match error {
                IdentityError::Unreadable { .. }
                | IdentityError::Pem { .. }
                | IdentityError::Empty { .. } => {
                    "put ca.pem, certificate.pem and key.pem there, readable by the daemon's user (mode 0640, its group); they are read again within seconds, but a directory that did not exist when the daemon started requires a restart"
                }
                IdentityError::Untrusted(_) => {
                    "a file that other users can change is not used: run that command as root; the files are read again within seconds"
                }
                IdentityError::Mismatch { .. } => {
                    "put ca.pem, certificate.pem and key.pem there, all three from one directory: the key must be the certificate's own; they are read again within seconds"
                }
                IdentityError::Ca { .. } => {
                    "it must be the certificate of the CA that signs the collector's; it is read again within seconds"
                }
            },
            Self::Name(_) => {
                "add it to /etc/hosts, or give the collector an `address` in the configuration: DNS is not used"
            }
            Self::Hosts(_) => {
                "a file that other users can change, or that cannot be read, is not used: correct that as root; until then give the collector an `address` in the configuration"
            }
            Self::Log(_) => "the log's directory and files must be readable by the daemon's user",
            Self::Connection(error) => connection_remedy(error),
        }
    }
}

impl Problem {
    /// The resource of this host that has run out, which no collector can change.
    fn exhaustion(&self) -> Option<Exhaustion> {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let exhaustion = error.downcast_ref::<io::Error>().and_then(Exhaustion::of);
            if exhaustion.is_some() {
                return exhaustion;
            }
            cause = error.source();
        }
        None
    }
}

fn connection_remedy(error: &ConnectionError) -> &'static str {
    match error {
        ConnectionError::Connect(error) => connect_remedy(error.kind()),
        ConnectionError::TimedOut(Step::Tcp) => connect_remedy(io::ErrorKind::TimedOut),
        ConnectionError::Tls(error) => tls_remedy(error),
        ConnectionError::ClosedEarly(_) => OUR_CERTIFICATE,
        ConnectionError::TimedOut(Step::Tls) => NO_TLS,
        ConnectionError::Session(SessionError::Refused { .. })
        | ConnectionError::SessionEnded(SessionError::Refused { .. }) => {
            "the collector's own log says why it refused"
        }
        // rsyslog with OpenSSL closes the session when it refuses a certificate, and says no more.
        ConnectionError::Session(SessionError::ServerClosed) => {
            "the collector's own log says why: was it stopped, or does it permit the name in our certificate, and is that in date?"
        }
        ConnectionError::Session(_)
        | ConnectionError::TimedOut(Step::Open)
        | ConnectionError::UnexpectedData => OTHER_PROTOCOL,
        ConnectionError::TimedOut(Step::Acknowledgement) => {
            "is the collector overloaded, or its disk full? What it did not acknowledge is sent again"
        }
        ConnectionError::SessionEnded(error) if *error != SessionError::ServerClosed => {
            "the collector violates the RELP protocol: is it up to date, and is there a proxy in between? What it did not acknowledge is sent again"
        }
        ConnectionError::SessionEnded(_) | ConnectionError::Broken(_) => {
            "was the collector restarted? Its own log may say why; what it did not acknowledge is sent again"
        }
    }
}

fn connect_remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::ConnectionRefused => {
            "nothing listens there: start the collector, or correct its address and port"
        }
        io::ErrorKind::PermissionDenied => {
            "the daemon's confinement forbids this connection: a new port in the configuration requires a restart, a new address under systemd requires IPAddressAllow="
        }
        _ => {
            "is the collector running? Firewalls must permit the connection, and under systemd IPAddressAllow= must name the address"
        }
    }
}

fn tls_remedy(error: &io::Error) -> &'static str {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<TlsError>())
    {
        Some(TlsError::InvalidCertificate(error)) => match error {
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "the collector's certificate has another name: put the name that it has into the configuration, or the right certificate on the collector"
            }
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "the collector's certificate is not signed by the CA in ca.pem: put the right ca.pem here, or the right certificate on the collector"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "the collector's certificate has expired: renew it there, and restart the collector"
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "the collector's certificate is not valid yet: are the clocks of both machines right?"
            }
            _ => "the collector's certificate cannot be used: issue a new one",
        },
        // An alert is about our certificate, unless it names another cause.
        Some(TlsError::AlertReceived(alert)) => match alert {
            AlertDescription::CertificateExpired => OUR_CERTIFICATE_EXPIRED,
            AlertDescription::UnknownCA => OUR_CA,
            AlertDescription::ProtocolVersion
            | AlertDescription::HandshakeFailure
            | AlertDescription::InsufficientSecurity => NO_COMMON_TLS,
            _ => OUR_CERTIFICATE,
        },
        // Bytes that are no TLS message, for example those of a plain-text server.
        Some(TlsError::InvalidMessage(_)) => NO_TLS,
        Some(TlsError::PeerIncompatible(_)) => NO_COMMON_TLS,
        // Our verifier's, about the pin: rustls reports nothing of a peer with this variant.
        Some(TlsError::General(_)) => {
            "the collector has another public key than the pinned one: if that is intended, change `pin` in the configuration"
        }
        Some(_) => "the collector's own log may say more",
        None => {
            "the collector closed the connection during the TLS handshake: is this its TLS port, and does its own log say why?"
        }
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

    fn tls(error: TlsError) -> ConnectionError {
        ConnectionError::Tls(io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn certificate(error: CertificateError) -> ConnectionError {
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
    fn a_collectors_bad_certificate() {
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
            (CertificateError::UnknownIssuer, "the CA in ca.pem"),
            (over, "has expired: renew it there"),
            (early, "clocks"),
            (CertificateError::BadEncoding, "issue a new one"),
        ] {
            assert_is(certificate(error), "tls", remedy);
        }
        let pin = TlsError::General("its public key is not the pinned one".to_owned());
        assert_is(tls(pin), "tls", "change `pin`");
    }

    #[test]
    fn a_refusal_of_our_certificate() {
        for (alert, remedy) in [
            (
                AlertDescription::CertificateExpired,
                "renew certificate.pem here",
            ),
            (AlertDescription::UnknownCA, "collector's CA file"),
            (AlertDescription::BadCertificate, OUR_CERTIFICATE),
            (AlertDescription::CertificateRequired, OUR_CERTIFICATE),
        ] {
            assert_is(tls(TlsError::AlertReceived(alert)), "tls", remedy);
        }
        // GnuTLS closes the connection without an alert.
        let gone = io::ErrorKind::ConnectionReset.into();
        assert_is(ConnectionError::ClosedEarly(gone), "tls", OUR_CERTIFICATE);
    }

    #[test]
    fn no_common_tls_is_no_refusal() {
        let plain = TlsError::InvalidMessage(InvalidMessage::InvalidContentType);
        assert_is(tls(plain), "tls", "does not speak TLS");
        assert_is(
            ConnectionError::TimedOut(Step::Tls),
            "tls",
            "does not speak TLS",
        );
        let old = TlsError::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13);
        assert_is(tls(old), "tls", "TLS 1.2 or 1.3");
        let gone = ConnectionError::Tls(io::ErrorKind::UnexpectedEof.into());
        assert_is(gone, "tls", "during the TLS handshake");
    }

    #[test]
    fn each_step_has_its_remedy() {
        let connect = |kind: io::ErrorKind| ConnectionError::Connect(kind.into());
        assert_is(
            connect(io::ErrorKind::ConnectionRefused),
            "tcp",
            "nothing listens",
        );
        assert_is(
            connect(io::ErrorKind::PermissionDenied),
            "tcp",
            "requires a restart",
        );
        assert_is(
            connect(io::ErrorKind::HostUnreachable),
            "tcp",
            "IPAddressAllow=",
        );
        assert_is(
            ConnectionError::TimedOut(Step::Tcp),
            "tcp",
            "IPAddressAllow=",
        );
        assert_is(Problem::Name("logs".to_owned()), "name", "/etc/hosts");
        assert_is(Problem::Hosts(String::new()), "name", "`address`");
        let unknown = SessionError::Unknown(Number::FIRST);
        assert_is(ConnectionError::Session(unknown), "open", "`protocol`");
        assert_is(ConnectionError::UnexpectedData, "open", "`protocol`");
        let refused = SessionError::Refused {
            code: 500,
            text: "no".to_owned(),
        };
        assert_is(
            ConnectionError::Session(refused),
            "open",
            "says why it refused",
        );
        let late = ConnectionError::TimedOut(Step::Acknowledgement);
        assert_is(late, "records", "disk full");
        let stopped = ConnectionError::Session(SessionError::ServerClosed);
        assert_is(stopped, "open", "permit the name");
        let stopped = ConnectionError::SessionEnded(SessionError::ServerClosed);
        assert_is(stopped, "records", "restarted");
        let lie = ConnectionError::SessionEnded(SessionError::NoCode);
        assert_is(lie, "records", "violates the RELP");
        let broken = ConnectionError::Broken(io::ErrorKind::BrokenPipe.into());
        assert_is(broken, "records", "sent again");
        let log = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_is(log, "records", "readable");
    }

    #[test]
    fn exhaustion_blames_nobody_else() {
        use nix::errno::Errno;
        for (errno, remedy) in [
            (Errno::EMFILE, "LimitNOFILE="),
            (Errno::ENFILE, "fs.file-max"),
            (Errno::ENOMEM, "MemoryMax="),
        ] {
            let exhausted = || io::Error::from_raw_os_error(errno as i32);
            assert_is(ConnectionError::Connect(exhausted()), "tcp", remedy);
            assert_is(exhausted(), "records", remedy);
            let unreadable = IdentityError::Unreadable {
                path: PathBuf::from("/c/ca.pem"),
                source: exhausted(),
            };
            assert_is(unreadable, "certificates", remedy);
        }
    }

    #[test]
    fn our_files_have_their_remedies() {
        let path = || PathBuf::from("/c/ca.pem");
        assert_is(
            IdentityError::Empty { path: path() },
            "certificates",
            "put ca.pem",
        );
        let ca = IdentityError::Ca {
            path: path(),
            source: "x".into(),
        };
        assert_is(ca, "certificates", "the CA that signs");
        let mismatch = IdentityError::Mismatch {
            certificate: path(),
            key: path(),
            source: TlsError::InconsistentKeys(rustls::InconsistentKeys::KeyMismatch),
        };
        assert_is(mismatch, "certificates", "the certificate's own");
    }
}
