//! The syslog messages of records.
//!
//! `pulse-sensorctl forward test` sends a record with the same code as the daemon, so that the
//! collector sees one record twice and not two different ones.

use pulse_audit::Record;
use pulse_relp::message::{DAEMON, LOG_AUDIT, Origin, Severity};

/// The APP-NAME of messages.
const PROGRAM: &str = "pulse-sensor-proxy";
/// The MSGID of records, by which collectors separate them from other messages.
const RECORD: &str = "audit";

/// Encodes records as messages.
#[derive(Clone, Debug)]
pub struct RecordMessages(Origin);

impl RecordMessages {
    /// For the host with this name.
    #[must_use]
    pub fn new(host: &str) -> Self {
        Self(origin(LOG_AUDIT, host))
    }

    /// Appends the message of a record, whose text is unchanged.
    pub fn write(&self, out: &mut Vec<u8>, record: &Record<'_>) {
        let when = record.ts.to_string();
        self.0
            .write(out, Severity::Info, &when, RECORD, record.text);
    }
}

/// The origin of the daemon's own messages.
pub(crate) fn daemon_origin(host: &str) -> Origin {
    origin(DAEMON, host)
}

fn origin(facility: u8, host: &str) -> Origin {
    Origin::new(facility, host, PROGRAM, std::process::id())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pulse_audit::{Head, Timestamp};

    #[test]
    fn a_record_is_unchanged_and_marked() {
        let mut out = Vec::new();
        let record = Record {
            head: Head::from_parts(1, &"a".repeat(64)).unwrap(),
            ts: Timestamp::now(),
            text: b"{\"seq\":1}",
        };
        RecordMessages::new("pve1").write(&mut out, &record);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("<110>1 "), "{text}");
        assert!(text.contains(" pve1 pulse-sensor-proxy "), "{text}");
        assert!(text.ends_with(" audit - {\"seq\":1}"), "{text}");
    }
}
