//! The sender: the audit log's live file to a collector over RELP.

use crate::rsyslog::{Credentials, Path, Permitted, Target};
use std::fmt;

/// The settings of a sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The collector.
    pub collector: Target,
    /// The names that the collector's certificate may have.
    pub permitted: Permitted,
    /// Its certificate and key, and the CA of the collector.
    pub credentials: Credentials,
    /// The audit log's live file.
    pub log: Path,
    /// An existing directory on a disk, for unsent records and the position in the log.
    pub spool: Path,
}

impl fmt::Display for Sender {
    /// The complete file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            collector,
            permitted,
            credentials,
            log,
            spool,
        } = self;
        let Target { name, port } = collector;
        let tls = credentials.relp(permitted);
        write!(
            f,
            r#"# The audit log of pulse-sensor-proxy, to {name}, port {port}.
# Written by `pulse-sensorctl forward render rsyslog-sender`: a file of /etc/rsyslog.d.
# Debian: rsyslog, rsyslog-relp. Check it with `rsyslogd -N1`.
#
# rsyslog loses a few records when it is restarted while the collector is unreachable, and
# many after the collector has presented a wrong certificate, because it then disables the
# action. The log still has them: `pulse-sensorctl audit verify` on the collector lists what
# is missing, and docs/operations.md says how to send it again.

module(load="imfile" mode="inotify" statefile.directory="{spool}")
# The TLS library whose refusal of wrong certificates is tested.
module(load="omrelp" tls.tlslib="openssl")

# The record unchanged. 110 is log audit, informational (RFC 5424).
template(name="pulse_audit_message" type="string"
    string="<110>1 %timegenerated:::date-rfc3339% %HOSTNAME% pulse-sensor-proxy - audit - %msg%")

# From the beginning of the file. The position is saved after records are queued, so a crash
# repeats records and loses none.
input(type="imfile" file="{log}" tag="pulse-sensor-proxy"
    ruleset="pulse_audit_sender" freshStartTail="off"
    persistStateInterval="100" persistStateAfterSubmission="on")

# No queue in memory between the file and the disk queue.
ruleset(name="pulse_audit_sender" queue.type="Direct") {{
    # A restart loses what is in flight. So that is one record (windowSize, and
    # queue.dequeueBatchSize below), and the connection is not renewed without need
    # (rebindInterval).
    action(type="omrelp" target="{name}" port="{port}" template="pulse_audit_message"
    windowSize="1" rebindInterval="0" timeout="30" conn.timeout="10"
    {tls}
    # Retry for ever.
    action.resumeRetryCount="-1" action.resumeInterval="5" action.resumeIntervalMax="60"
    # A disk queue, synced after each record. When it is full, reading waits for 24 days
    # (queue.timeoutEnqueue, in milliseconds): by default records are dropped after 2 s.
    queue.type="Disk" queue.filename="pulse_audit" queue.spoolDirectory="{spool}"
    queue.size="10000000" queue.maxDiskSpace="1g" queue.maxFileSize="16m"
    queue.dequeueBatchSize="1" queue.checkpointInterval="1" queue.syncQueueFiles="on"
    queue.saveOnShutdown="on" queue.timeoutEnqueue="2073600000")
}}
"#
        )
    }
}
