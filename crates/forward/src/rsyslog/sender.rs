//! The sender: from the audit log's live file to a collector.

use crate::rsyslog::{Credentials, Path, Permitted, Target};
use std::fmt;

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// Where to.
    pub collector: Target,
    /// The collector's names; a certificate with another one is refused.
    pub permitted: Permitted,
    /// What it shows, and whom it believes.
    pub credentials: Credentials,
    /// The audit log's live file.
    pub log: Path,
    /// A directory that exists, on a disk, for what is not sent yet and how far the
    /// log was read.
    pub spool: Path,
}

impl fmt::Display for Sender {
    /// The file, whole.
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
# rsyslog loses a few records when it is restarted while the collector is away, and many
# after the collector has shown a wrong certificate: it switches the action off. The log
# still has them. `pulse-sensorctl audit verify` at the collector tells which are missing;
# docs/operations.md tells how to send all again.

module(load="imfile" mode="inotify" statefile.directory="{spool}")
# Its refusal of wrong certificates is tried.
module(load="omrelp" tls.tlslib="openssl")

# The record as it is. 110: log audit, informational (RFC 5424).
template(name="pulse_audit_message" type="string"
    string="<110>1 %timegenerated:::date-rfc3339% %HOSTNAME% pulse-sensor-proxy - audit - %msg%")

# From the beginning. How far it was read is kept only when a record is queued, so that
# a crash repeats records and does not leave any out.
input(type="imfile" file="{log}" tag="pulse-sensor-proxy"
    ruleset="pulse_audit_sender" freshStartTail="off"
    persistStateInterval="100" persistStateAfterSubmission="on")

# No queue in memory between the file and the queue on disk.
ruleset(name="pulse_audit_sender" queue.type="Direct") {{
    # What a restart loses is what is in flight: little (windowSize, and
    # queue.dequeueBatchSize below), on a connection that is not given up by itself
    # (rebindInterval).
    action(type="omrelp" target="{name}" port="{port}" template="pulse_audit_message"
    windowSize="1" rebindInterval="0" timeout="30" conn.timeout="10"
    {tls}
    # For ever.
    action.resumeRetryCount="-1" action.resumeInterval="5" action.resumeIntervalMax="60"
    # On disk, record by record. When it is full, reading waits; it would drop records
    # after two seconds (queue.timeoutEnqueue, in milliseconds: 24 days).
    queue.type="Disk" queue.filename="pulse_audit" queue.spoolDirectory="{spool}"
    queue.size="10000000" queue.maxDiskSpace="1g" queue.maxFileSize="16m"
    queue.dequeueBatchSize="1" queue.checkpointInterval="1" queue.syncQueueFiles="on"
    queue.saveOnShutdown="on" queue.timeoutEnqueue="2073600000")
}}
"#
        )
    }
}
