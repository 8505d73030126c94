//! The collector: RELP and syslog over TLS, into files per host.

use crate::rsyslog::{Credentials, Path, Permitted};
use std::fmt;
use std::net::IpAddr;

/// The parameters for writing both kinds of files: synchronously, with endless retries.
const STORED: &str = r#"dynaFileCacheSize="100" dirCreateMode="0750" fileCreateMode="0640"
        sync="on" flushOnTXEnd="on" asyncWriting="off"
        action.resumeRetryCount="-1" action.resumeInterval="1" action.resumeIntervalMax="60""#;

/// The settings of a collector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// The address to listen on; all addresses unless it is given.
    pub listen: Option<IpAddr>,
    /// The port for RELP.
    pub port: u16,
    /// The port for syslog over TLS (RFC 5425).
    pub syslog_port: u16,
    /// The names that senders' certificates may have.
    pub permitted: Permitted,
    /// Its certificate and key, and the CA of the senders.
    pub credentials: Credentials,
    /// The directory of the files: `<host>.audit.log`, and `<host>.log` for the daemon's own
    /// messages.
    pub directory: Path,
}

impl fmt::Display for Collector {
    /// The complete file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let address = self
            .listen
            .map(|ip| format!("address=\"{ip}\" "))
            .unwrap_or_default();
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

# Global to this rsyslogd: long messages are not truncated, no characters are escaped.
global(maxMessageSize="64k" parser.escapeControlCharactersOnReceive="off")

# The TLS library whose refusal of wrong certificates is tested.
module(load="imrelp" tls.tlslib="openssl")
module(load="imtcp" maxFrameSize="65536")
# The space before a message is not part of it.
module(load="mmrm1stspace")

template(name="pulse_audit_record" type="string" string="%msg%\n")
# The sender chooses the name: slashes are replaced, and its length is limited to leave
# room for the suffix.
template(name="pulse_audit_file" type="string"
    string="{directory}/%HOSTNAME:1:200:secpath-replace%.audit.log")
# The daemon's own messages (application_log), one per line.
template(name="pulse_log_line" type="string"
    string="%timereported:::date-rfc3339% %syslogseverity-text% %msg:::escape-cc%\n")
template(name="pulse_log_file" type="string"
    string="{directory}/%HOSTNAME:1:200:secpath-replace%.log")

# Without a queue, records are on disk before they are acknowledged. But when the disk is
# full, rsyslog acknowledges records and drops them: monitor its free space.
ruleset(name="pulse_audit_collector" queue.type="Direct") {{
    action(type="mmrm1stspace")
    # Other messages go to another file, so that this one has nothing but records.
    if $msgid == "audit" then {{
        action(type="omfile" dynaFile="pulse_audit_file" template="pulse_audit_record"
        {STORED})
    }} else {{
        action(type="omfile" dynaFile="pulse_log_file" template="pulse_log_line"
        {STORED})
    }}
}}

# RELP over TLS. A frame that is too long ends the session: by default it is truncated and
# acknowledged.
input(type="imrelp" {address}port="{port}" ruleset="pulse_audit_collector"
    maxDataSize="64k" oversizeMode="abort" keepAlive="on"
    {tls})

# Syslog over TLS (RFC 5425), without acknowledgements, for senders without RELP.
# The driver is gtls, because ossl accepted certificates with a wrong name.
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
