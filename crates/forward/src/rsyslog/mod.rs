//! Configurations of rsyslog: as a collector of the audit log, and as a sender of it.
//!
//! rsyslog's defaults lose records: it acknowledges messages that are only in memory,
//! truncates long ones, escapes some characters, drops messages when a queue is full, and
//! accepts any certificate. So every setting that matters is explicit, with its reason, and
//! both files are tested with rsyslog itself. Both go to `/etc/rsyslog.d`: they load the
//! modules that they need, and use a ruleset of their own beside the host's.
//!
//! Rendering cannot fail: a [`Path`] has no characters with a meaning in rsyslog's syntax, and
//! a [`Permitted`] has at least one name.

mod collector;
mod sender;
mod words;

pub use collector::Collector;
pub use sender::Sender;
pub use words::{Path, Permitted, Target, WordError};

/// The default port for RELP over TLS. None is assigned to it, so the port of syslog over TLS
/// (RFC 5425) is used.
pub const RELP_PORT: u16 = 6514;
/// The default port for syslog over TLS on a collector that has RELP on the usual one.
pub const SYSLOG_PORT: u16 = 6515;

/// Certificates and key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The CA of the other side's certificate.
    pub ca: Path,
    /// The own certificate.
    pub certificate: Path,
    /// Its key.
    pub key: Path,
}

impl Credentials {
    /// The TLS parameters of imrelp and omrelp.
    fn relp(&self, permitted: &Permitted) -> String {
        let Self {
            ca,
            certificate,
            key,
        } = self;
        format!(
            "tls=\"on\" tls.authMode=\"name\" tls.permittedPeer={permitted}\n    \
             tls.caCert=\"{ca}\"\n    \
             tls.myCert=\"{certificate}\"\n    \
             tls.myPrivKey=\"{key}\""
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_core::nodes::name::NodeName;

    fn credentials() -> Credentials {
        let [ca, certificate, key] =
            ["/c/ca.pem", "/c/certificate.pem", "/c/key.pem"].map(|path| path.parse().unwrap());
        Credentials {
            ca,
            certificate,
            key,
        }
    }

    fn permitted(name: &str) -> Permitted {
        NodeName::parse(name).unwrap().into()
    }

    fn sender() -> String {
        let sender = Sender {
            collector: "192.0.2.7:20514".parse().unwrap(),
            permitted: permitted("logs.example"),
            credentials: credentials(),
            log: "/l/audit.log".parse().unwrap(),
            spool: "/s".parse().unwrap(),
        };
        sender.to_string()
    }

    fn collector(listen: Option<&str>) -> String {
        let collector = Collector {
            listen: listen.map(|address| address.parse().unwrap()),
            port: RELP_PORT,
            syslog_port: SYSLOG_PORT,
            permitted: permitted("pve1.example"),
            credentials: credentials(),
            directory: "/d".parse().unwrap(),
        };
        collector.to_string()
    }

    /// The settings without comments.
    fn settings(text: &str) -> String {
        let read = |line: &&str| !line.trim_start().starts_with('#');
        text.lines().filter(read).collect::<Vec<_>>().join("\n")
    }

    fn assert_all(text: &str, parts: &[&str]) {
        let settings = settings(text);
        for part in parts {
            assert!(settings.contains(part), "{part} is not in:\n{settings}");
        }
    }

    #[test]
    fn sender_settings() {
        assert_all(
            &sender(),
            &[
                "file=\"/l/audit.log\"",
                "freshStartTail=\"off\"",
                "statefile.directory=\"/s\"",
                "persistStateAfterSubmission=\"on\"",
                "queue.type=\"Direct\") {",
                "target=\"192.0.2.7\" port=\"20514\"",
                "tls=\"on\" tls.authMode=\"name\" tls.permittedPeer=[\"logs.example\"]",
                "tls.caCert=\"/c/ca.pem\"",
                "tls.myCert=\"/c/certificate.pem\"",
                "tls.myPrivKey=\"/c/key.pem\"",
                "action.resumeRetryCount=\"-1\"",
                "windowSize=\"1\" rebindInterval=\"0\"",
                "queue.type=\"Disk\"",
                "queue.spoolDirectory=\"/s\"",
                "queue.dequeueBatchSize=\"1\"",
                "queue.checkpointInterval=\"1\"",
                "queue.syncQueueFiles=\"on\"",
                "queue.saveOnShutdown=\"on\"",
                "queue.timeoutEnqueue=\"2073600000\"",
                " audit - %msg%\"",
            ],
        );
    }

    #[test]
    fn collector_settings() {
        let text = collector(None);
        assert_all(
            &text,
            &[
                "maxMessageSize=\"64k\"",
                "parser.escapeControlCharactersOnReceive=\"off\"",
                "queue.type=\"Direct\") {",
                "maxDataSize=\"64k\" oversizeMode=\"abort\"",
                "maxFrameSize=\"65536\"",
                "type=\"mmrm1stspace\"",
                "string=\"%msg%\\n\"",
                "string=\"/d/%HOSTNAME:1:200:secpath-replace%.audit.log\"",
                "if $msgid == \"audit\" then {",
                "string=\"/d/%HOSTNAME:1:200:secpath-replace%.log\"",
                "sync=\"on\"",
                "action.resumeRetryCount=\"-1\"",
                "tls=\"on\" tls.authMode=\"name\" tls.permittedPeer=[\"pve1.example\"]",
                "streamDriver.name=\"gtls\" streamDriver.mode=\"1\"",
                "streamDriver.authMode=\"x509/name\" permittedPeer=[\"pve1.example\"]",
            ],
        );
        assert!(!settings(&text).contains("ossl"));
    }

    #[test]
    fn listen_address_is_for_both_inputs() {
        let inputs = |text: &str| text.matches("address=\"::1\" port=").count();
        assert_eq!(inputs(&collector(Some("::1"))), 2);
        assert_eq!(settings(&collector(None)).matches("address=").count(), 0);
    }

    #[test]
    fn quotes_balance_and_text_is_ascii() {
        for text in [sender(), collector(Some("::1"))] {
            for line in settings(&text).lines() {
                assert_eq!(line.matches('"').count() % 2, 0, "{line}");
            }
            assert!(text.is_ascii() && text.ends_with('\n'));
        }
    }
}
