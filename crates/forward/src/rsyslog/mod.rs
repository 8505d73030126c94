//! rsyslog's configuration, for those who let it bring the audit log to a collector,
//! and for collectors that take ours.
//!
//! rsyslog's defaults lose records: it acknowledges what is only in memory, cuts off what
//! is too long, escapes what it does not like, drops what does not fit into a queue and
//! accepts any certificate. So every setting that matters is written out, with its
//! reason, and both files are tried with rsyslog itself. Both are files of
//! `/etc/rsyslog.d`: what they need beyond a host's own configuration they load, and their
//! records pass through a ruleset of their own, not through the host's.
//!
//! Rendering cannot fail. What would break out of rsyslog's quoting is no [`Path`], and
//! nobody at all is no [`Permitted`].

mod collector;
mod sender;
mod words;

pub use collector::Collector;
pub use sender::Sender;
pub use words::{Path, Permitted, Target, WordError};

/// Where RELP is spoken over TLS: there is no port of its own for it, so that of syslog
/// over TLS (RFC 5425).
pub const RELP_PORT: u16 = 6514;
/// Where a collector takes syslog over TLS, as its neighbour has the usual port.
pub const SYSLOG_PORT: u16 = 6515;

/// Who speaks, and whose signature counts: PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Who signs the other side's certificate.
    pub ca: Path,
    /// Our certificate.
    pub certificate: Path,
    /// Its key.
    pub key: Path,
}

impl Credentials {
    /// As imrelp and omrelp take them.
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
    use pulse_core::name::NodeName;

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

    /// What rsyslog reads, without what people read.
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
    fn a_sender_loses_little_and_believes_nobody_else() {
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
    fn a_collector_stores_before_it_acknowledges_and_changes_nothing() {
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
    fn an_address_to_listen_on_counts_for_both_inputs() {
        let inputs = |text: &str| text.matches("address=\"::1\" port=").count();
        assert_eq!(inputs(&collector(Some("::1"))), 2);
        assert_eq!(settings(&collector(None)).matches("address=").count(), 0);
    }

    #[test]
    fn quotes_are_balanced_and_what_is_said_to_people_is_plain() {
        for text in [sender(), collector(Some("::1"))] {
            for line in settings(&text).lines() {
                assert_eq!(line.matches('"').count() % 2, 0, "{line}");
            }
            assert!(text.is_ascii() && text.ends_with('\n'));
        }
    }
}
