//! The collector: from RELP, or syslog, over TLS to a file for each host.

use crate::rsyslog::{Credentials, Path, Permitted};
use std::fmt;
use std::net::IpAddr;

/// How both kinds of files are written: at once, and for as long as it takes.
const STORED: &str = r#"dynaFileCacheSize="100" dirCreateMode="0750" fileCreateMode="0640"
        sync="on" flushOnTXEnd="on" asyncWriting="off"
        action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="60""#;

/// What a collector is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Where it listens; everywhere unless it is given.
    pub listen: Option<IpAddr>,
    /// For RELP.
    pub port: u16,
    /// For syslog over TLS (RFC 5425).
    pub syslog_port: u16,
    /// The senders' names; a certificate with another one is refused.
    pub permitted: Permitted,
    /// What it shows, and whom it believes.
    pub credentials: Credentials,
    /// Where the files are: `<host>.audit.log`, and `<host>.log` for the daemon's own
    /// messages.
    pub directory: Path,
}

impl Collector {
    fn address(&self) -> String {
        let address = |ip: IpAddr| format!("address=\"{ip}\" ");
        self.listen.map(address).unwrap_or_default()
    }
}

impl fmt::Display for Collector {
    /// The file, whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self.address();
        let Self {
            port,
            syslog_port,
            permitted,
            credentials,
            directory,
            ..
        } = self;
        let tls = credentials.relp(permitted);
        let Credentials {
            ca,
            certificate,
            key,
        } = credentials;
        write!(
            f,
            r#"# Audit logs of pulse-sensor-proxy, a file for each host.
# Written by `pulse-sensorctl forward render rsyslog-collector`: a file of /etc/rsyslog.d.
# Debian: rsyslog, rsyslog-relp, rsyslog-gnutls. Check it with `rsyslogd -N1`.

# For all of this rsyslogd: long messages stay whole, and no byte is written as another.
global(maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")

# Its refusal of wrong certificates is tried.
module(load="imrelp" tls.tlslib="openssl")
module(load="imtcp" maxFrameSize="65536")
# The space before a message is not part of it.
module(load="mmrm1stspace")

template(name="pulse_audit_record" type="string" string="%msg%\n")
# The name is what the sender says: no slash of it makes a path, and its length leaves
# room for the ending.
template(name="pulse_audit_file" type="string"
    string="{directory}/%HOSTNAME:1:200:secpath-replace%.audit.log")
# What else the daemon says (application_log), a line each.
template(name="pulse_log_line" type="string"
    string="%timereported:::date-rfc3339% %syslogseverity-text% %msg:::escape-cc%\n")
template(name="pulse_log_file" type="string"
    string="{directory}/%HOSTNAME:1:200:secpath-replace%.log")

# Without a queue a record is on disk before it is acknowledged. But a full disk is not
# told to the sender: rsyslog acknowledges, and drops. Watch it.
ruleset(name="pulse_audit_collector" queue.type="Direct") {{
    action(type="mmrm1stspace")
    # Only records are records: a chain with other lines in between is hard to read.
    if $msgid == "audit" then {{
        action(type="omfile" dynaFile="pulse_audit_file" template="pulse_audit_record"
        {STORED})
    }} else {{
        action(type="omfile" dynaFile="pulse_log_file" template="pulse_log_line"
        {STORED})
    }}
}}

# RELP over TLS. A longer frame would be cut off and acknowledged; it ends the session.
input(type="imrelp" {address}port="{port}" ruleset="pulse_audit_collector"
    maxDataSize="64k" oversizeMode="abort" keepAlive="on"
    {tls})

# Syslog over TLS (RFC 5425), which acknowledges nothing: for those who have no RELP.
# The driver is gtls, since ossl let certificates with a wrong name in.
input(type="imtcp" {address}port="{syslog_port}" ruleset="pulse_audit_collector"
    streamDriver.name="gtls" streamDriver.mode="1"
    streamDriver.authMode="x509/name" permittedPeer={permitted}
    streamDriver.caFile="{ca}"
    streamDriver.certFile="{certificate}"
    streamDriver.keyFile="{key}")
"#
        )
    }
}
