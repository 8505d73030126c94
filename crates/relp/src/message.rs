//! Syslog messages (RFC 5424), and their framing over TLS (RFC 5425).

/// The facility `log audit` (RFC 5424, table 1).
pub const LOG_AUDIT: u8 = 13;
/// The facility `system daemons` (RFC 5424, table 1).
pub const DAEMON: u8 = 3;

/// A severity (RFC 5424, table 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Severity {
    /// Error conditions.
    Error = 3,
    /// Warning conditions.
    Warning = 4,
    /// Normal but significant condition.
    Notice = 5,
    /// Informational messages.
    Info = 6,
    /// Debug messages.
    Debug = 7,
}

impl Severity {
    /// The severity with this numerical code; none for codes that are not used here.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        let all = [
            Self::Error,
            Self::Warning,
            Self::Notice,
            Self::Info,
            Self::Debug,
        ];
        all.into_iter().find(|severity| *severity as u8 == code)
    }
}

/// The parts of the header that all messages of a process share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    facility: u8,
    /// `HOSTNAME SP APP-NAME SP PROCID`.
    names: String,
}

impl Origin {
    /// Characters that RFC 5424 does not permit in a name are omitted, names are truncated to
    /// its limits, and an empty name becomes `-`.
    #[must_use]
    pub fn new(facility: u8, host: &str, program: &str, pid: u32) -> Self {
        Self {
            facility,
            names: format!("{} {} {pid}", printable(host, 255), printable(program, 48)),
        }
    }

    /// Appends a message: a header with the time `when` (RFC 3339) and the MSGID `kind`, then
    /// `text` unchanged. `text` must not contain line feeds.
    pub fn write(
        &self,
        out: &mut Vec<u8>,
        severity: Severity,
        when: &str,
        kind: &str,
        text: &[u8],
    ) {
        // PRI is the facility times 8 plus the severity; the version is 1 (RFC 5424, 6.2).
        let priority = u32::from(self.facility) * 8 + severity as u32;
        // Runs once for each record: everything constant is formatted before.
        out.extend_from_slice(format!("<{priority}>1 ").as_bytes());
        push_printable(out, when, 32);
        out.push(b' ');
        out.extend_from_slice(self.names.as_bytes());
        out.push(b' ');
        push_printable(out, kind, 32);
        out.extend_from_slice(b" - ");
        out.extend_from_slice(text);
    }
}

fn printable(text: &str, most: usize) -> String {
    let mut kept = Vec::new();
    push_printable(&mut kept, text, most);
    kept.into_iter().map(char::from).collect()
}

/// Appends the `PRINTUSASCII` of a text, or RFC 5424's nil value.
fn push_printable(out: &mut Vec<u8>, text: &str, most: usize) {
    let start = out.len();
    out.extend(text.bytes().filter(u8::is_ascii_graphic).take(most));
    if out.len() == start {
        out.push(b'-');
    }
}

/// Appends a message with octet counting (RFC 5425, 4.3): its length in bytes comes first.
#[cfg(feature = "driver")]
pub(crate) fn push_octet_counted(out: &mut Vec<u8>, message: &[u8]) {
    out.extend_from_slice(format!("{} ", message.len()).as_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(origin: &Origin) -> String {
        let mut out = Vec::new();
        let when = "2026-11-21T10:00:03.123456Z";
        origin.write(&mut out, Severity::Info, when, "audit", b"{\"seq\":1}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_follows_the_header_unchanged() {
        let origin = Origin::new(LOG_AUDIT, "pve1", "pulse-sensor-proxy", 42);
        assert_eq!(
            message(&origin),
            "<110>1 2026-11-21T10:00:03.123456Z pve1 pulse-sensor-proxy 42 audit - {\"seq\":1}"
        );
    }

    #[test]
    fn names_cannot_break_the_header() {
        let origin = Origin::new(LOG_AUDIT, "a b\n<1>", "", 1);
        assert_eq!(message(&origin).split(' ').nth(2), Some("ab<1>"));
        assert_eq!(message(&origin).split(' ').nth(3), Some("-"));
        let long = Origin::new(LOG_AUDIT, &"x".repeat(1000), &"y".repeat(1000), 1);
        assert!(message(&long).len() < 400);
    }

    #[test]
    fn octets_are_counted() {
        let mut out = Vec::new();
        push_octet_counted(&mut out, "é".as_bytes());
        assert_eq!(out, "2 é".as_bytes());
    }
}
