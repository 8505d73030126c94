//! What a collector is sent of a record.
//!
//! There is one place for it, so that whoever tries the way sends exactly what the daemon
//! does: a collector that has both finds one record twice, and not two.

use pulse_audit::Record;
use pulse_relp::message::{DAEMON, LOG_AUDIT, Origin, Severity};

/// What a message says of its program.
const PROGRAM: &str = "pulse-sensor-proxy";
/// What kind of message a record is; collectors tell records from others by it.
const RECORD: &str = "audit";

/// Makes messages of records.
#[derive(Clone, Debug)]
pub struct RecordMessages(Origin);

impl RecordMessages {
    /// Those of the host with this name.
    #[must_use]
    pub fn of(host: &str) -> Self {
        Self(origin(LOG_AUDIT, host))
    }

    /// Appends the message of a record, which stands in it unchanged.
    pub fn write(&self, out: &mut Vec<u8>, record: &Record<'_>) {
        let when = record.ts.to_string();
        self.0
            .write(out, Severity::Info, &when, RECORD, record.text);
    }
}

/// Where the daemon's own messages come from.
pub(crate) fn own(host: &str) -> Origin {
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
    fn a_record_is_told_from_others_by_its_kind_and_stands_unchanged() {
        let mut out = Vec::new();
        let record = Record {
            head: Head::from_parts(1, &"a".repeat(64)).unwrap(),
            ts: Timestamp::now(),
            text: b"{\"seq\":1}",
        };
        RecordMessages::of("pve1").write(&mut out, &record);
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("<110>1 "), "{text}");
        assert!(text.contains(" pve1 pulse-sensor-proxy "), "{text}");
        assert!(text.ends_with(" audit - {\"seq\":1}"), "{text}");
    }
}
